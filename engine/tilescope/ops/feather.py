"""Blocks of a class map blended where they overlap.

A network without a finite halo gives a pixel another value in every block that holds it. Blended
with weights that fall towards the edges of the blocks no seam can be seen.

Arrays are ``float32[c, h, w]``; places are pixels of whatever grid the blocks lie on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect

Float = NDArray[np.float32]


class Overlap(NamedTuple):
    """Pixels that a block shares with the neighbour on each side; 0 at the edge of the image."""

    top: int
    bottom: int
    left: int
    right: int


def overlap_of(rect: Rect, others: Iterable[Rect]) -> Overlap:
    """Return what ``rect`` shares with its neighbours in a grid of blocks.

    A neighbour at a side begins and ends beyond this block in that direction.
    """
    top = bottom = left = right = 0
    for other in others:
        if rect.intersect(other) is None:
            continue
        if other.x0 < rect.x0 and other.x1 < rect.x1:
            left = max(left, other.x1 - rect.x0)
        if other.x1 > rect.x1 and other.x0 > rect.x0:
            right = max(right, rect.x1 - other.x0)
        if other.y0 < rect.y0 and other.y1 < rect.y1:
            top = max(top, other.y1 - rect.y0)
        if other.y1 > rect.y1 and other.y0 > rect.y0:
            bottom = max(bottom, rect.y1 - other.y0)
    return Overlap(top, bottom, left, right)


def feather_weights(height: int, width: int, overlap: tuple[int, int, int, int]) -> Float:
    """Return the weight of each pixel of a block, ``float32[height, width]``, above 0, at most 1.

    Across an overlap the weight rises in a straight line from the block's edge; the ramps of two
    neighbours that share the same pixels sum to 1. Without an overlap there is no ramp.

    Parameters
    ----------
    overlap
        Pixels shared with the neighbour at the top, bottom, left and right.

    Raises
    ------
    ValueError
        When an overlap is negative or wider than the block.
    """
    top, bottom, left, right = overlap
    rows, columns = _ramp(height, top, bottom), _ramp(width, left, right)
    return rows[:, None] * columns[None, :]


def _ramp(length: int, before: int, after: int) -> Float:
    if not (0 <= before <= length and 0 <= after <= length):
        msg = f"overlaps of {before} and {after} pixels do not fit a side of {length}"
        raise ValueError(msg)
    ramp = np.ones(length, np.float32)
    ramp[:before] *= _rise(before)
    ramp[length - after :] *= _rise(after)[::-1]
    return ramp


def _rise(pixels: int) -> Float:
    return ((np.arange(pixels, dtype=np.float32) + 0.5) / max(pixels, 1)).astype(np.float32)


class FeatherBand:
    """Weighted sums of blocks over the rows that are not finished yet.

    Blocks are added from the top down in any order within a row of blocks; :meth:`take` gives the
    rows that no later block touches and forgets them. A pixel's weights are normalised to sum
    to 1, so that blocks of uneven size, or one that failed, change no value's scale.

    Parameters
    ----------
    x0, width
        The columns of the image that are blended.
    y0
        The first row.
    channels
        Values per pixel.
    """

    def __init__(self, x0: int, width: int, y0: int, channels: int) -> None:
        self._x0 = x0
        self._y0 = y0
        self._sums = np.zeros((channels, 0, width), np.float32)
        self._weights = np.zeros((0, width), np.float32)

    @property
    def size_bytes(self) -> int:
        """Memory that the rows in progress take."""
        return self._sums.nbytes + self._weights.nbytes

    def add(self, values: Float, x0: int, y0: int, overlap: tuple[int, int, int, int]) -> None:
        """Add the block ``float32[c, h, w]`` whose first pixel is (x0, y0).

        Raises
        ------
        ValueError
            When the block leaves the columns of the band or begins above the rows in progress.
        """
        height, width = values.shape[1:]
        left, top = x0 - self._x0, y0 - self._y0
        if left < 0 or top < 0 or left + width > self._weights.shape[1]:
            msg = f"a block at ({x0}, {y0}) of {width} columns leaves the band"
            raise ValueError(msg)
        self._reach(top + height)
        weights = feather_weights(height, width, overlap)
        here = np.s_[top : top + height, left : left + width]
        self._weights[here] += weights
        for channel, plane in zip(self._sums, values, strict=True):
            channel[here] += plane * weights

    def take(self, until_y: int) -> tuple[Float, NDArray[np.bool_]]:
        """Return the rows above ``until_y`` and forget them.

        Returns
        -------
        values
            ``float32[c, rows, width]``, 0 where there was no block.
        present
            ``bool[rows, width]``: where there was one.
        """
        rows = max(until_y - self._y0, 0)
        self._reach(rows)
        values, weights = self._sums[:, :rows], self._weights[:rows]
        present = weights > 0
        np.divide(values, weights, out=values, where=present)
        self._sums, self._weights = self._sums[:, rows:].copy(), self._weights[rows:].copy()
        self._y0 += rows
        return values, present

    def _reach(self, rows: int) -> None:
        missing = rows - len(self._weights)
        if missing > 0:
            self._sums = np.pad(self._sums, ((0, 0), (0, missing), (0, 0)))
            self._weights = np.pad(self._weights, ((0, missing), (0, 0)))
