"""Which object is meant by a place or a box."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Point
from tilescope.store.project import View
from tilescope_desktop.model.frame import LEVEL, Box, Frame
from tilescope_desktop.model.view_parts import boxes_of

_AREA = 2


def object_at(view: View, at_l0: Point, reach_px: float) -> int | None:
    """Return the index of the object at a place, None when there is none.

    A point or line within reach comes first, then the smallest area that holds the place, then the
    nearest outline within reach.
    """
    if not len(view):
        return None
    crossings, distance = _crossings_and_distance(view, at_l0)
    near = distance <= reach_px
    thin = near & (view.dimensions < _AREA)
    if thin.any():
        return int(np.flatnonzero(thin)[np.argmin(distance[thin])])
    boxes = boxes_of(view)
    size = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    inside = (crossings % 2 == 1) & (view.dimensions == _AREA)
    if inside.any():
        return int(np.flatnonzero(inside)[np.argmin(size[inside])])
    return int(np.argmin(distance)) if near.any() else None


def inside_box(view: View, box: Box, frame: Frame = LEVEL) -> NDArray[np.intp]:
    """Return the indices of the objects that lie wholly in a box along the axes of a frame."""
    if frame != LEVEL:
        view = replace(view, points=frame.of(view.points).astype(np.float32))
    boxes = boxes_of(view)
    left, top, right, bottom = box
    inside = (boxes[:, 0] >= left) & (boxes[:, 2] <= right)
    inside &= (boxes[:, 1] >= top) & (boxes[:, 3] <= bottom)
    return np.flatnonzero(inside)


def _crossings_and_distance(
    view: View, at_l0: Point
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return how often a line to the right crosses every object, and how far away it is."""
    n = len(view)
    points = view.points.astype(np.float64) - (at_l0.x, at_l0.y)
    ring = np.repeat(np.arange(len(view.ring_offsets) - 1), np.diff(view.ring_offsets))
    owner = np.repeat(np.arange(n), np.diff(view.object_offsets))[ring]
    distance = np.full(n, np.inf)
    np.minimum.at(distance, owner, np.hypot(points[:, 0], points[:, 1]))
    start, end = points[:-1], points[1:]
    joins = ring[1:] == ring[:-1]
    start, end, owner = start[joins], end[joins], owner[:-1][joins]
    if not len(start):
        return np.zeros(n, np.int64), distance
    np.minimum.at(distance, owner, _distance(start, end))
    spans = (start[:, 1] > 0) != (end[:, 1] > 0)
    start, end, owner = start[spans], end[spans], owner[spans]
    x = start[:, 0] - start[:, 1] * (end[:, 0] - start[:, 0]) / (end[:, 1] - start[:, 1])
    return np.bincount(owner[x > 0], minlength=n), distance


def _distance(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of the origin to every side."""
    along = end - start
    length = (along**2).sum(axis=1)
    share = -(start * along).sum(axis=1) / np.where(length > 0, length, 1.0)
    nearest = start + along * np.clip(share, 0.0, 1.0)[:, None]
    found: NDArray[np.float64] = np.hypot(nearest[:, 0], nearest[:, 1])
    return found
