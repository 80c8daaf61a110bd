"""Connected parts of a patch: the one that was pointed at, holes filled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tilescope_nuclick.maps import distance_to, points_on, window_around

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilescope.plugins.api import Clicks

SEEK_RADIUS_PX: Final = 5.0
"""How far beside the object a click may lie and still mean it."""


def object_in(allowed: NDArray[np.bool_], clicks: Clicks) -> NDArray[np.bool_]:
    """Return the parts of ``allowed`` that were pointed at, holes filled, bool[h, w]."""
    mask = np.zeros_like(allowed)
    where = _box_of(allowed)
    mask[where] = fill_holes(grow(seeds(allowed, clicks)[where], allowed[where]))
    return mask


def nearer_to(
    points: NDArray[np.float64], clicks: Clicks, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return what is nearer to points off the object than to any on it, bool[h, w].

    For those that the network did not heed: they must not become holes that an outline fills.
    """
    return distance_to(points, shape) <= distance_to(np.array(points_on(clicks)), shape)


def value_at(mask: NDArray[np.bool_], point: NDArray[np.float64]) -> bool:
    """Return the pixel under a point, False beyond the mask."""
    column, row = np.floor(point)
    if not (0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]):
        return False
    return bool(mask[int(row), int(column)])


def _box_of(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the smallest window that holds every True pixel; an empty one without any."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def seeds(allowed: NDArray[np.bool_], clicks: Clicks) -> NDArray[np.bool_]:
    """Return where the object is surely: the pixel pointed at, or the nearest one beside it."""
    found = np.zeros_like(allowed)
    for point in points_on(clicks):
        window = window_around(point, point, int(SEEK_RADIUS_PX) + 1, allowed.shape)
        rows, columns = np.nonzero(allowed[window])
        if not rows.size:
            continue
        rows, columns = rows + window[0].start, columns + window[1].start
        away = np.hypot(rows + 0.5 - point[1], columns + 0.5 - point[0])
        nearest = int(away.argmin())
        if away[nearest] <= SEEK_RADIUS_PX:
            found[rows[nearest], columns[nearest]] = True
    return found


def grow(seeds: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the 4-connected parts of ``allowed`` that hold a seed, bool[h, w].

    Rows and columns in turn: all of a run that holds a found pixel is found at once, so a convex
    object takes a few passes however large it is.
    """
    found = seeds & allowed
    runs = (_runs(allowed), _runs(np.ascontiguousarray(allowed.T)).T)
    count = int(found.sum())
    while 0 < count < found.size:
        for numbers in runs:
            hit = np.zeros(int(numbers.max()) + 1, np.bool_)
            hit[numbers[found]] = True
            found = hit[numbers] & allowed
        before, count = count, int(found.sum())
        if count == before:
            break
    return np.asarray(found, np.bool_)


def _runs(allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the number of the run along its row that each allowed pixel belongs to."""
    begins = np.ones(allowed.shape, np.bool_)
    begins[:, 1:] = ~(allowed[:, 1:] & allowed[:, :-1])
    return np.asarray(np.cumsum(begins.ravel()).reshape(allowed.shape), np.intp)


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask with everything that it encloses, bool[h, w]."""
    padded = np.pad(~mask, 1, constant_values=True)
    border = np.zeros_like(padded)
    border[0, 0] = True
    return ~grow(border, padded)[1:-1, 1:-1]
