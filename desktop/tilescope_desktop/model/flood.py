"""The connected part of an image that looks like one of its pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: A part that winds more often than this is cut off.
_MOST_TURNS = 400
#: Pixels around the one that was pointed at, whose spread says how much colours may differ.
_NEAR = 7
_LEAST_DIFFERENCE = 8.0


def like_pixel(
    colors: NDArray[np.uint8], column: int, row: int, *, sensitivity: float = 2.0
) -> NDArray[np.bool_]:
    """Return which pixels have about the colour of one, and are connected to it: ``bool[h, w]``.

    Parameters
    ----------
    colors
        ``uint8[h, w, 3]``.
    column, row
        The pixel, inside the image.
    sensitivity
        How far a colour may be away, in standard deviations of the colours around the pixel.
    """
    values = colors.astype(np.float32)
    top, left = max(0, row - _NEAR), max(0, column - _NEAR)
    near = values[top : row + _NEAR + 1, left : column + _NEAR + 1].reshape(-1, 3)
    seed = values[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].reshape(-1, 3)
    distance = np.sqrt(((values - seed.mean(axis=0)) ** 2).sum(axis=2))
    spread = float(np.sqrt(near.var(axis=0).sum()))
    similar = distance <= max(_LEAST_DIFFERENCE, sensitivity * spread)
    similar[row, column] = True
    return connected(similar, column, row)


def connected(mask: NDArray[np.bool_], column: int, row: int) -> NDArray[np.bool_]:
    """Return the part of a mask that is connected to one of its pixels by sides: ``bool[h, w]``."""
    reached = np.zeros_like(mask)
    reached[row, column] = mask[row, column]
    rows, columns = _runs(mask), _runs(mask.T)
    count = 0
    for _ in range(_MOST_TURNS):
        reached = _spread(reached, mask, rows)
        reached = np.ascontiguousarray(_spread(reached.T, mask.T, columns).T)
        found = int(np.count_nonzero(reached))
        if found == count:
            break
        count = found
    return reached


def _runs(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return a number for every stretch of equal pixels in a row."""
    begins = np.ones(mask.shape, bool)
    begins[:, 1:] = mask[:, 1:] != mask[:, :-1]
    return (np.cumsum(begins.ravel()) - 1).reshape(mask.shape)


def _spread(
    reached: NDArray[np.bool_], mask: NDArray[np.bool_], runs: NDArray[np.intp]
) -> NDArray[np.bool_]:
    hit = np.zeros(int(runs[-1, -1]) + 1, bool)
    hit[runs[reached]] = True
    return hit[runs] & mask
