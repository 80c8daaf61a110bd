"""Boxes that mean the same object: overlap, and keeping the best of each.

Boxes are ``float[n, 4]``: x0, y0, x1, y1. What overlaps is found by a sweep along x, so that
memory and time grow with the number of overlapping pairs and not with the square of the boxes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.floating]

_AT_ONCE = 1 << 20


def box_areas(boxes: Boxes) -> NDArray[np.float64]:
    """Return the area of every box, ``float64[n]``; 0 for one that ends before it begins."""
    sides = np.maximum(np.asarray(boxes[:, 2:], np.float64) - boxes[:, :2], 0)
    areas: NDArray[np.float64] = sides.prod(axis=1)
    return areas


def common_areas(one: Boxes, other: Boxes) -> NDArray[np.float64]:
    """Return the area that each box shares with its counterpart, ``float64[n]``."""
    low = np.maximum(one[:, :2], other[:, :2]).astype(np.float64)
    high = np.minimum(one[:, 2:], other[:, 2:])
    areas: NDArray[np.float64] = np.maximum(high - low, 0).prod(axis=1)
    return areas


def overlapping_pairs(boxes: Boxes) -> Iterator[NDArray[np.int64]]:
    """Yield ``int64[k, 2]``: pairs ``i < j`` of boxes with a common area, each once."""
    order = np.argsort(boxes[:, 0], kind="stable")
    x0 = boxes[order, 0]
    # In order of x0 a box meets, along x, those that follow until one begins beyond its end.
    counts = np.maximum(np.searchsorted(x0, boxes[order, 2]) - np.arange(len(order)) - 1, 0)
    ends = np.cumsum(counts)
    start = 0
    while start < len(order):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _AT_ONCE, "right")))
        part = counts[start:stop]
        first = np.repeat(np.arange(start, stop), part)
        within = np.arange(len(first)) - np.repeat(np.cumsum(part) - part, part)
        i, j = order[first], order[first + 1 + within]
        meets = common_areas(boxes[i], boxes[j]) > 0
        if meets.any():
            yield np.sort(np.stack([i[meets], j[meets]], axis=1), axis=1)
        start = stop


def suppress(
    boxes: Boxes, scores: NDArray[np.floating], classes: NDArray[np.integer], least_iou: float
) -> NDArray[np.intp]:
    """Return the indices of the boxes that stay, ascending.

    Of two boxes of one class whose intersection over union is at least ``least_iou`` the one with
    the higher score stays, of equal ones the earlier. Boxes of different classes never meet. This
    is the greedy rule of Neubeck and Van Gool, "Efficient Non-Maximum Suppression", ICPR 2006:
    a box that was suppressed suppresses none.
    """
    areas = box_areas(boxes)
    by_x = np.argsort(boxes[:, 0], kind="stable")
    x0 = boxes[by_x, 0]
    widest = float((boxes[:, 2] - boxes[:, 0]).max(initial=0))
    alive = np.ones(len(boxes), bool)
    for i in np.argsort(-np.asarray(scores, np.float64), kind="stable").tolist():
        if not alive[i]:
            continue
        first, last = np.searchsorted(x0, [boxes[i, 0] - widest, boxes[i, 2]])
        near = by_x[first:last]
        near = near[alive[near] & (classes[near] == classes[i])]
        common = common_areas(boxes[near], boxes[i : i + 1])
        alive[near[(common > 0) & (common >= least_iou * (areas[near] + areas[i] - common))]] = (
            False
        )
        alive[i] = True
    return np.flatnonzero(alive)
