"""Each box exactly once, although neighbouring blocks see it too.

A box belongs to the block whose core holds its centre. A network that places boxes does not see
the same numbers in two blocks unless its halo is exact, so near a seam both blocks may claim the
object or neither: such boxes are *candidates*, and the best of those that mean the same object
stays. A box cut by the edge of what its block saw is a *fragment*: it goes where a whole box means
the same object, and fragments of one object are joined to the box around them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.inference.planner import Block, Plan
from tilescope.inference.seams import CANDIDATE, DROPPED, FRAGMENT, WHOLE
from tilescope.ops.nms import box_areas, common_areas, overlapping_pairs, suppress

#: Intersection over union from which two boxes of a class mean one object.
SAME_BOX_IOU = 0.5
#: A box this close to the edge of what its block saw is taken to be cut by it.
_EDGE_PX = 1.0
#: How far from a seam a centre is doubtful: pixels, and share of the box's shorter side.
_NEAR_PX = 2.0
_NEAR_SHARE = 0.25

Boxes = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class BoxColumns:
    """Boxes in working pixels: ``float64[n, 4]``, with score, class and block of each."""

    boxes: Boxes
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    tiles: NDArray[np.int64]
    fragments: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, index: NDArray[np.intp]) -> BoxColumns:
        """Return the boxes at ``index``, in that order."""
        return BoxColumns(
            self.boxes[index],
            self.scores[index],
            self.classes[index],
            self.tiles[index],
            self.fragments[index],
        )


def classify_boxes(plan: Plan, block: Block, boxes: Boxes) -> NDArray[np.uint8]:
    """Return what becomes of each box that a block found, as :mod:`tilescope.inference.seams` says.

    Parameters
    ----------
    boxes
        ``float64[n, 4]`` in working pixels.
    """
    canvas, seen, core = plan.grid.canvas, block.outer, block.core
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    kinds = np.full(len(boxes), DROPPED, np.uint8)
    inside = _inside(centres, core, plan.region)
    kinds[inside] = WHOLE
    near = np.maximum(
        _NEAR_PX, _NEAR_SHARE * (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf)
    )
    kinds[_beside_seam(centres, core, plan.region, near)] = CANDIDATE
    cut = np.zeros(len(boxes), bool)
    for axis, low, high, first, last in (
        (0, seen.x0, seen.x1, canvas.x0, canvas.x1),
        (1, seen.y0, seen.y1, canvas.y0, canvas.y1),
    ):
        if low > first:
            cut |= boxes[:, axis] < low + _EDGE_PX
        if high < last:
            cut |= boxes[:, axis + 2] > high - _EDGE_PX
    meets = common_areas(boxes, np.broadcast_to(_corners(core), boxes.shape)) > 0
    kinds[cut] = np.where(meets[cut], FRAGMENT, DROPPED)
    return kinds


def _corners(rect: Rect) -> NDArray[np.float64]:
    return np.array([rect.x0, rect.y0, rect.x1, rect.y1], np.float64)


def _inside(centres: NDArray[np.float64], core: Rect, region: Rect) -> NDArray[np.bool_]:
    """Tell which centres are a core's; what lies beyond the region belongs to the nearest one."""
    x, y = centres.T
    inside: NDArray[np.bool_] = (x >= core.x0) | (core.x0 == region.x0)
    inside &= (x < core.x1) | (core.x1 == region.x1)
    inside &= (y >= core.y0) | (core.y0 == region.y0)
    inside &= (y < core.y1) | (core.y1 == region.y1)
    return inside


def _beside_seam(
    centres: NDArray[np.float64], core: Rect, region: Rect, near: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Tell which centres lie within ``near`` of an edge of ``core`` that another core shares."""
    beside = np.zeros(len(centres), bool)
    about = np.ones(len(centres), bool)
    for axis, low, high, first, last in (
        (0, core.x0, core.x1, region.x0, region.x1),
        (1, core.y0, core.y1, region.y0, region.y1),
    ):
        place = centres[:, axis]
        about &= (place >= low - (near if low > first else 0)) & (
            place < high + (near if high < last else 0)
        )
        if low > first:
            beside |= np.abs(place - low) < near
        if high < last:
            beside |= np.abs(place - high) < near
    return beside & about


def settle_boxes(
    plan: Plan, undecided: BoxColumns, whole_near: Callable[[NDArray[np.float64]], BoxColumns]
) -> BoxColumns:
    """Return the objects that candidates and fragments amount to, in order of block.

    Parameters
    ----------
    undecided
        Candidates and fragments of all blocks, in order of block.
    whole_near
        Whole objects whose box meets a box ``float64[4]``.
    """
    same = _Same(plan)
    fresh = [
        i
        for i in range(len(undecided))
        if not same.any(undecided.select(np.array([i])), whole_near(undecided.boxes[i]))
    ]
    left = undecided.select(np.array(fresh, np.intp))
    candidates = left.select(np.flatnonzero(~left.fragments))
    best = candidates.select(
        suppress(candidates.boxes, candidates.scores, candidates.classes, SAME_BOX_IOU)
    )
    fragments = left.select(np.flatnonzero(left.fragments))
    joined = _joined(_outside(fragments, best, same), same)
    both = _together(best, joined)
    return both.select(np.argsort(both.tiles, kind="stable"))


class _Same:
    """Tells which boxes of different blocks mean one object.

    Of a fragment and another box only what both blocks saw is compared: outside of it one of them
    could not know.
    """

    def __init__(self, plan: Plan) -> None:
        self._seen = np.stack([_corners(block.outer) for block in plan.blocks])

    def any(self, one: BoxColumns, others: BoxColumns) -> bool:
        """Tell whether one box means the object of any of the others."""
        index = np.arange(len(others))
        return bool(self.pairs(one, np.zeros_like(index), others, index).any())

    def pairs(
        self, one: BoxColumns, i: NDArray[np.integer], other: BoxColumns, j: NDArray[np.integer]
    ) -> NDArray[np.bool_]:
        """Tell of every pair of indices whether both mean one object."""
        a, b = one.boxes[i], other.boxes[j]
        seen_a, seen_b = self._seen[one.tiles[i]], self._seen[other.tiles[j]]
        cut = (one.fragments[i] | other.fragments[j])[:, None]
        a, b = (np.where(cut, _clipped(box, seen_a, seen_b), box) for box in (a, b))
        common = common_areas(a, b)
        same: NDArray[np.bool_] = (
            (one.classes[i] == other.classes[j])
            & (one.tiles[i] != other.tiles[j])
            & (common > 0)
            & (common >= SAME_BOX_IOU * (box_areas(a) + box_areas(b) - common))
        )
        return same


def _clipped(boxes: Boxes, *frames: Boxes) -> Boxes:
    low, high = boxes[:, :2], boxes[:, 2:]
    for frame in frames:
        low, high = np.maximum(low, frame[:, :2]), np.minimum(high, frame[:, 2:])
    return np.concatenate([low, high], axis=1)


def _outside(fragments: BoxColumns, best: BoxColumns, same: _Same) -> BoxColumns:
    """Return the fragments that mean no object of ``best``."""
    both = _together(fragments, best)
    known = np.zeros(len(both), bool)
    for pairs in overlapping_pairs(both.boxes):
        i, j = pairs[(pairs[:, 0] < len(fragments)) & (pairs[:, 1] >= len(fragments))].T
        known[i[same.pairs(both, i, both, j)]] = True
    return fragments.select(np.flatnonzero(~known[: len(fragments)]))


def _joined(fragments: BoxColumns, same: _Same) -> BoxColumns:
    """Return one box around the fragments of each object, with the best score of them."""
    parent = np.arange(len(fragments))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for pairs in overlapping_pairs(fragments.boxes):
        i, j = pairs.T
        for a, b in pairs[same.pairs(fragments, i, fragments, j)].tolist():
            low, high = sorted((root(a), root(b)))
            parent[high] = low
    groups: dict[int, list[int]] = {}
    for i in range(len(fragments)):
        groups.setdefault(root(i), []).append(i)
    rows = [np.array(members) for members in groups.values()]
    around = [
        [*fragments.boxes[r, :2].min(axis=0), *fragments.boxes[r, 2:].max(axis=0)] for r in rows
    ]
    return BoxColumns(
        np.array(around, np.float64).reshape(-1, 4),
        np.array([fragments.scores[r].max() for r in rows], np.float64),
        np.array([fragments.classes[r[0]] for r in rows], np.int64),
        np.array([fragments.tiles[r].min() for r in rows], np.int64),
        np.zeros(len(rows), bool),
    )


def _together(one: BoxColumns, other: BoxColumns) -> BoxColumns:
    return BoxColumns(
        np.concatenate([one.boxes, other.boxes]),
        np.concatenate([one.scores, other.scores]),
        np.concatenate([one.classes, other.classes]),
        np.concatenate([one.tiles, other.tiles]),
        np.concatenate([one.fragments, other.fragments]),
    )
