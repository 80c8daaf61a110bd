"""Where a person clicked, as maps that a network can be shown, and as distances."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tilescope.plugins.api import Clicks

DISC_RADIUS_PX: Final = 3.0
"""Radius of a click in the maps: well inside the smallest nucleus on the working grid."""

MOST_STROKE_POINTS: Final = 256
"""A stroke is drawn through at most so many of its points: a patch shows no more of it."""

_REACH_PX: Final = int(DISC_RADIUS_PX) + 2
_FAR_PX: Final = 1e6


def click_maps(
    clicks: Clicks, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the maps of the object and of what is not it, float32[h, w] each, 0..1."""
    inside = np.zeros(shape, np.float32)
    for point in _bounded(clicks.inside):
        _draw(inside, point, point)
    for stroke in clicks.strokes:
        points = _bounded(thinned(stroke))
        for start, end in pairwise(points if len(points) > 1 else points.repeat(2, axis=0)):
            _draw(inside, start, end)
    outside = np.zeros(shape, np.float32)
    for point in _bounded(clicks.outside):
        _draw(outside, point, point)
    return inside, outside


def points_on(clicks: Clicks) -> Sequence[NDArray[np.float64]]:
    """Return the points on the object, float64[2] each; of long strokes some of them."""
    strokes = [point for stroke in clicks.strokes for point in _bounded(thinned(stroke))]
    return [*_bounded(clicks.inside), *strokes]


def thinned(stroke: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a stroke of at most ``MOST_STROKE_POINTS``, both ends kept."""
    if len(stroke) <= MOST_STROKE_POINTS:
        return stroke
    return stroke[np.linspace(0, len(stroke) - 1, MOST_STROKE_POINTS).astype(np.intp)]


def distance_to(points: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the distance of every pixel's centre to the nearest point, in px; inf without one."""
    rows, columns = _centres((slice(0, shape[0]), slice(0, shape[1])))
    squared = np.full(shape, np.inf, np.float32)
    for x, y in _bounded(points).astype(np.float32):
        np.minimum(squared, (rows - y) ** 2 + (columns - x) ** 2, out=squared)
    return np.sqrt(squared)


def window_around(
    low: NDArray[np.float64], high: NDArray[np.float64], reach: int, shape: tuple[int, int]
) -> tuple[slice, slice]:
    """Return rows and columns of a map at most ``reach`` px beyond a box of points (x, y)."""
    limits = np.array([shape[1], shape[0]], np.float64)
    first = np.clip(np.floor(low) - reach, 0, limits).astype(np.intp)
    last = np.clip(np.floor(high) + reach + 1, 0, limits).astype(np.intp)
    return slice(int(first[1]), int(last[1])), slice(int(first[0]), int(last[0]))


def _bounded(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points whose squares are numbers; far beyond the patch it does not matter where."""
    return np.clip(points, -_FAR_PX, _FAR_PX)


def _draw(drawn: NDArray[np.float32], start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
    """Draw the line between two points, as thick as a click, in place."""
    window = window_around(np.minimum(start, end), np.maximum(start, end), _REACH_PX, drawn.shape)
    rows, columns = _centres(window)
    (x0, y0), (x1, y1) = start.astype(np.float32), end.astype(np.float32)
    dx, dy = x1 - x0, y1 - y0
    length = max(float(dx * dx + dy * dy), 1e-12)
    along = np.clip(((columns - x0) * dx + (rows - y0) * dy) / length, 0.0, 1.0)
    away = np.hypot(rows - y0 - along * dy, columns - x0 - along * dx)
    disc = np.clip(DISC_RADIUS_PX + 0.5 - away, 0.0, 1.0)
    np.maximum(drawn[window], disc, out=drawn[window], casting="same_kind")


def _centres(window: tuple[slice, slice]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows, columns = (np.arange(s.start, s.stop, dtype=np.float32) + np.float32(0.5) for s in window)
    return rows[:, None], columns[None]
