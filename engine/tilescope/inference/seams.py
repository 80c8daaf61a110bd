"""Each object exactly once, although neighbouring blocks see it too.

A block decodes its valid rectangle, which reaches beyond its core. An object belongs to the block
whose core holds its centre of mass. Because inference and decoding are exact inside the valid
rectangle, two blocks that see an object wholly see the same object, and ownership alone settles
nearly everything at once. What it cannot settle is kept until all blocks are done:

* a *candidate*: its centre lies within ``TWIN_PX`` of a seam, where the last digit of a floating
  point sum could give it to both blocks or to none, or its owner sees only a part of it;
* a *fragment*: cut by the edge of what its block saw. Fragments of one object agree where their
  blocks overlap; they are joined, each contributing what lies in its own core, and what lies in
  no core that was looked at: beyond the region, or in a block that failed or was left out.
  Fragments keep every vertex until then, so that the joined outline is the one a single block
  would have traced.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.results import Detections
from tilescope.inference.planner import Block, Plan
from tilescope.ops.contours import retraced, ring_centroids, thinned
from tilescope.ops.shapes import clip_parts, overlap, union_of

TWIN_PX = 2.0
#: Share of the smaller outline that must be common for two outlines to be one object.
SAME_OBJECT = 0.5
#: An outline may stay this far inside the pixels that it outlines.
_EDGE_PX = 0.5

WHOLE, CANDIDATE, FRAGMENT, DROPPED = 0, 1, 2, 255

Boxes = NDArray[np.float64]


def classify(plan: Plan, block: Block, found: Detections) -> NDArray[np.uint8]:
    """Return what becomes of each outline of a block: one of the four constants above.

    Parameters
    ----------
    found
        Outlines in working pixels, inside ``block.valid``.
    """
    if not len(found):
        return np.zeros(0, np.uint8)
    boxes, centres = found.boxes(), ring_centroids(found.rings, found.offsets)
    cut = _touches_inner_edge(boxes, block.valid, plan)
    near = _near_seam(centres, block.core, plan)
    kinds = np.full(len(found), DROPPED, np.uint8)
    for i in range(len(found)):
        if cut[i]:
            if _meets(boxes[i], block.core):
                kinds[i] = FRAGMENT
            continue
        owner = plan.owner_of(*centres[i])
        if near[i]:
            kinds[i] = CANDIDATE
        elif owner.index == block.index:
            kinds[i] = WHOLE
        elif _touches_inner_edge(boxes[i : i + 1], owner.valid, plan)[0]:
            kinds[i] = CANDIDATE
    return kinds


def _touches_inner_edge(boxes: Boxes, valid: Rect, plan: Plan) -> NDArray[np.bool_]:
    canvas = plan.grid.canvas
    touch = np.zeros(len(boxes), bool)
    if valid.x0 > canvas.x0:
        touch |= boxes[:, 0] < valid.x0 + _EDGE_PX
    if valid.y0 > canvas.y0:
        touch |= boxes[:, 1] < valid.y0 + _EDGE_PX
    if valid.x1 < canvas.x1:
        touch |= boxes[:, 2] > valid.x1 - _EDGE_PX
    if valid.y1 < canvas.y1:
        touch |= boxes[:, 3] > valid.y1 - _EDGE_PX
    return touch


def _near_seam(centres: NDArray[np.float64], core: Rect, plan: Plan) -> NDArray[np.bool_]:
    """Tell which centres lie close to an edge of ``core`` that another core shares."""
    near = np.zeros(len(centres), bool)
    for edge, limit, axis in (
        (core.x0, plan.region.x0, 0),
        (core.x1, plan.region.x1, 0),
        (core.y0, plan.region.y0, 1),
        (core.y1, plan.region.y1, 1),
    ):
        if edge != limit:
            near |= np.abs(centres[:, axis] - edge) < TWIN_PX
    inside = core.expanded(int(np.ceil(TWIN_PX)))
    x, y = centres.T
    near &= (x > inside.x0) & (x < inside.x1) & (y > inside.y0) & (y < inside.y1)
    return near


def _meets(box: NDArray[np.float64], rect: Rect) -> bool:
    return bool(box[0] < rect.x1 and box[2] > rect.x0 and box[1] < rect.y1 and box[3] > rect.y0)


class _Groups:
    """Disjoint sets of indices (union by lower index, path halving)."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def root(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        low, high = sorted((self.root(i), self.root(j)))
        self._parent[high] = low

    def sets(self, members: Sequence[int]) -> list[list[int]]:
        by_root: dict[int, list[int]] = {}
        for i in members:
            by_root.setdefault(self.root(i), []).append(i)
        return list(by_root.values())


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """What settling needs of a stored outline.

    Attributes
    ----------
    ring
        ``float64[k, 2]`` in working pixels.
    tile
        Index of the block that found it.
    is_fragment
        Whether the block saw only a part.
    """

    ring: NDArray[np.float64]
    tile: int
    is_fragment: bool
    score: float
    class_index: int
    box: tuple[float, float, float, float] = field(init=False)

    def __post_init__(self) -> None:
        low, high = self.ring.min(axis=0), self.ring.max(axis=0)
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        object.__setattr__(self, "box", box)


def settle(
    plan: Plan,
    undecided: Sequence[Outline],
    whole_near: Callable[..., Sequence[Outline]],
    seen: Collection[int],
) -> list[Outline]:
    """Return the objects that candidates and fragments amount to, in order of block.

    Parameters
    ----------
    undecided
        Candidates and fragments of all blocks, in order of block.
    whole_near
        Whole objects whose box meets ``x0, y0, x1, y1``.
    seen
        Blocks that were looked at, by index. What others would have found of an object is not
        known; what their neighbours saw of it is kept.
    """
    fresh = [o for o in undecided if not _known(o, whole_near(*o.box))]
    groups = _Groups(len(fresh))
    for i, j in _neighbours(fresh):
        if _same(plan, fresh[i], fresh[j]):
            groups.join(i, j)
    sets = groups.sets(range(len(fresh)))
    return [_merged(plan, [fresh[i] for i in members], seen) for members in sets]


def _known(outline: Outline, whole: Sequence[Outline]) -> bool:
    return any(
        other.tile != outline.tile and overlap(outline.ring, other.ring).of_smaller >= SAME_OBJECT
        for other in whole
    )


def _neighbours(outlines: Sequence[Outline]) -> list[tuple[int, int]]:
    """Return pairs whose boxes meet, found by a sweep along x."""
    order = sorted(range(len(outlines)), key=lambda i: outlines[i].box[0])
    pairs: list[tuple[int, int]] = []
    active: list[int] = []
    for i in order:
        x0, y0, _, y1 = outlines[i].box
        active = [j for j in active if outlines[j].box[2] >= x0]
        pairs += [
            (min(i, j), max(i, j))
            for j in active
            if outlines[j].box[1] <= y1 and outlines[j].box[3] >= y0
        ]
        active.append(i)
    return sorted(pairs)


def _same(plan: Plan, a: Outline, b: Outline) -> bool:
    if a.tile == b.tile:  # a block never sees one object twice
        return False
    common = plan.blocks[a.tile].valid.intersect(plan.blocks[b.tile].valid)
    if common is None:
        return False
    # Outside the common part one of them could not have seen the other's pixels.
    part_a, part_b = clip_parts(a.ring, common), clip_parts(b.ring, common)
    return any(overlap(one, other).of_smaller >= SAME_OBJECT for one in part_a for other in part_b)


def _merged(plan: Plan, members: Sequence[Outline], seen: Collection[int]) -> Outline:
    complete = [o for o in members if not o.is_fragment]
    if complete:
        return complete[0]
    best = max(members, key=lambda o: o.score)
    pieces = [
        piece
        for o in members
        for part in _said_by(plan, plan.blocks[o.tile], seen)
        for piece in clip_parts(o.ring, part)
    ]
    # A sliver that only brushes its core may be clipped to nothing.
    joined = union_of(pieces)
    ring = best.ring if joined is None else retraced(joined)
    return Outline(
        thinned(ring, np.array([0, len(ring)]))[0],
        min(o.tile for o in members),
        is_fragment=False,
        score=best.score,
        class_index=best.class_index,
    )


def _said_by(plan: Plan, block: Block, seen: Collection[int]) -> list[Rect]:
    """Return where a block's word counts: in its core, and where nobody else had a look."""
    valid, region = block.valid, plan.region
    others = (i for i in _blocks_at(plan, valid) if i != block.index and i not in seen)
    parts = [block.core, *(plan.blocks[i].core for i in others)]
    # What lies beyond the region, as four rectangles.
    beyond = (
        (valid.x0, valid.y0, region.x0, valid.y1),
        (region.x1, valid.y0, valid.x1, valid.y1),
        (region.x0, valid.y0, region.x1, region.y0),
        (region.x0, region.y1, region.x1, valid.y1),
    )
    parts += [Rect(*sides) for sides in beyond if sides[0] < sides[2] and sides[1] < sides[3]]
    return parts


def _blocks_at(plan: Plan, rect: Rect) -> list[int]:
    """Return the blocks whose cores meet a rectangle, by index."""
    core, region, rows = plan.blocks[0].core, plan.region, len(plan.blocks) // plan.columns
    left, right = (rect.x0 - region.x0) // core.width, (rect.x1 - 1 - region.x0) // core.width
    top, bottom = (rect.y0 - region.y0) // core.height, (rect.y1 - 1 - region.y0) // core.height
    return [
        row * plan.columns + column
        for row in range(max(0, top), min(rows - 1, bottom) + 1)
        for column in range(max(0, left), min(plan.columns - 1, right) + 1)
    ]
