"""Which objects of a project make room for those of a run, and which of the run stay away.

The newest answer of a model for a place counts, whatever its version, its parameters and the part
of the slide it ran over: what lies in the part, by the rule that says what a run over it finds
(`outputs.Scope`), makes room. What lies on the edge of the part may come out on the other side of
it the next time, for outlines differ a little; so what is the same object counts there as well.
What a person had a hand in (`store.found`) stays, and stands for the object that a run finds there.
Of the tiles that failed a run has no answer: what an earlier one found in them stays, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation_ids import id_keys, id_texts
from tilescope.domain.geometry import Rect
from tilescope.exchange.objects import object_uuids
from tilescope.inference.box_seams import SAME_BOX_IOU
from tilescope.inference.seams import SAME_OBJECT
from tilescope.jobs.running.outputs import ResultFrame
from tilescope.ops.inner_points import inner_points
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.found import Found, FoundReader
from tilescope.store.schema import LEAF_SIZE

_IDS = 1 << 16  # looked for together
_NONE = np.zeros(0, np.int64)

Shapes = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Succession:
    """What happens to the objects of a project and of a run.

    Attributes
    ----------
    leaving
        ``int64[n]``, ascending: rows of the objects that make room.
    left_out
        ``int64[m]``, ascending: numbers of the run's objects that are in the project already,
        changed by hand.
    taken
        Ids that objects which stay have.
    kept
        How many objects of the part stay because a person had a hand in them.
    """

    leaving: NDArray[np.int64]
    left_out: NDArray[np.int64]
    taken: frozenset[str]
    kept: int


def succession(found: FoundReader, frame: ResultFrame, token: CancellationToken) -> Succession:
    """Return what happens when the objects of a run go into a project.

    Parameters
    ----------
    found
        What the model has found on the slide.

    Raises
    ------
    Cancelled
        When the token is set meanwhile.
    """
    settling = _Settling(found, frame, token)
    settling.look_around()
    settling.look_for_ids()
    return settling.result()


class _Settling:
    """Looks at what the model has found, some neighbours at a time."""

    def __init__(self, found: FoundReader, frame: ResultFrame, token: CancellationToken) -> None:
        self._found = found
        self._frame = frame
        self._token = token
        self._size = frame.source.info.size
        self._is_whole = frame.scope.is_all_of(self._size) and not frame.failed_l0
        self._failed = shapely.STRtree([shapely.box(*rect) for rect in frame.failed_l0])
        self._leaving: list[NDArray[np.int64]] = [_NONE]
        self._left_out: list[NDArray[np.int64]] = [_NONE]
        # Of tiles that failed: they keep their ids, too.
        self._staying: list[NDArray[np.int64]] = [_NONE]
        self._taken: set[str] = set()
        self._kept = 0

    def result(self) -> Succession:
        leaving, left_out = (np.unique(np.concatenate(x)) for x in (self._leaving, self._left_out))
        return Succession(leaving, left_out, frozenset(self._taken), self._kept)

    def look_around(self) -> None:
        if self._is_whole:
            kept = [_NONE]
            for part in self._found.everywhere():
                self._token.raise_if_cancelled()
                self._leaving.append(part.rows[~part.is_kept])
                kept.append(part.rows[part.is_kept])
            parts = self._found.of(np.concatenate(kept))
        else:
            covered = self._frame.covered_l0
            parts = self._found.near(covered.x0, covered.y0, covered.x1, covered.y1)
        for part in parts:
            self._token.raise_if_cancelled()
            self._settle(part)

    def _settle(self, part: Found) -> None:
        failed = self._has_failed(part.shapes)
        inside = self._hold(part.shapes) & ~failed
        self._kept += int((inside & part.is_kept).sum())
        goes = inside & ~part.is_kept
        doubtful = ~goes | self._is_on_edge(part.shapes)
        for leaf in _leaves(part.rows, doubtful):
            goes[leaf] = self._settled(part.shapes[leaf], part.is_kept[leaf], goes[leaf])
        self._leaving.append(part.rows[goes])
        self._staying.append(part.rows[failed & ~goes])

    def _hold(self, shapes: Shapes) -> Mask:
        if self._is_whole:
            return np.ones(len(shapes), bool)
        return self._frame.scope.hold(_points(shapes), self._size)

    def _has_failed(self, shapes: Shapes) -> Mask:
        """Tell which shapes lie in tiles that failed."""
        failed = np.zeros(len(shapes), bool)
        if self._frame.failed_l0:
            failed[self._failed.query(shapely.points(_points(shapes)), "intersects")[0]] = True
        return failed

    def _is_on_edge(self, shapes: Shapes) -> Mask:
        """Tell which shapes may reach across the edge of what was run over."""
        if self._is_whole:
            return np.zeros(len(shapes), bool)
        scope = self._frame.scope
        region = scope.region_l0
        boxes = shapely.bounds(shapes)
        low, high = [region.x0, region.y0], [region.x1, region.y1]
        across: Mask = (boxes[:, :2] < low).any(axis=1) | (boxes[:, 2:] > high).any(axis=1)
        across[self._failed.query(shapely.box(*boxes.T), "intersects")[0]] = True
        if scope.areas is not None:
            across |= ~scope.areas.cover(boxes)
        return across

    def _settled(self, shapes: Shapes, is_kept: Mask, goes: Mask) -> Mask:
        """Return which of some neighbours go, and note which new objects stay away for others."""
        rect = _around(shapes)
        found, numbers = self._frame.objects_in(rect)
        old, new = self._same(shapes, _outlined(found.rings, found.offsets))
        stands = is_kept[old]
        self._left_out.append(numbers[new[stands]].astype(np.int64))
        followed = np.zeros(len(shapes), bool)
        followed[old[~stands]] = True
        beside = self._frame.outside_near(rect)
        old, _ = self._same(shapes, _outlined(beside.rings, beside.offsets))
        # The run has seen it, and says that it lies outside.
        aside = np.zeros(len(shapes), bool)
        aside[old] = True
        return (goes & ~aside) | followed

    def _same(self, old: Shapes, new: Shapes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return pairs of indices of shapes that are one object."""
        i, j = shapely.STRtree(new).query(old, "intersects")
        common = shapely.area(shapely.intersection(old[i], new[j]))
        a, b = shapely.area(old[i]), shapely.area(new[j])
        if self._frame.are_boxes:
            same = common >= SAME_BOX_IOU * (a + b - common)
        else:
            same = common >= SAME_OBJECT * np.minimum(a, b)
        same &= common > 0
        return i[same], j[same]

    def look_for_ids(self) -> None:
        """Let go of what has an id that the run needs, or note that it is taken."""
        known = np.unique(np.concatenate(self._leaving))
        staying = np.concatenate(self._staying)
        for ids in self._ids():
            self._token.raise_if_cancelled()
            bearers = np.setdiff1d(self._found.bearers(np.sort(id_keys(ids))), known)
            others = self._found.strangers(bearers)
            needed = np.isin(_as_one(others.ids), _as_one(ids))
            stays = others.is_kept | np.isin(others.rows, staying)
            self._leaving.append(others.rows[needed & ~stays])
            self._taken.update(id_texts(others.ids[needed & stays].tobytes()))

    def _ids(self) -> Iterator[NDArray[np.uint8]]:
        """Yield ``uint8[n, 16]``: the ids of the run's objects."""
        count = self._frame.ledger.count_objects()
        for first in range(1, count + 1, _IDS):
            names = object_uuids(self._frame.run_id, range(first, min(first + _IDS, count + 1)))
            data = bytes.fromhex("".join(names).replace("-", ""))
            yield np.frombuffer(data, np.uint8).reshape(-1, 16)


def _as_one(ids: NDArray[np.uint8]) -> NDArray[np.void]:
    return np.ascontiguousarray(ids).view("V16").ravel()


def _leaves(rows: NDArray[np.int64], wanted: Mask) -> Iterator[NDArray[np.intp]]:
    """Yield the indices of wanted rows, neighbours together."""
    index = np.flatnonzero(wanted)
    leaves = rows[index] // LEAF_SIZE
    starts = np.flatnonzero(np.diff(leaves, prepend=-1))
    yield from np.split(index, starts[1:]) if len(index) else ()


def _around(shapes: Shapes) -> Rect:
    x0, y0, x1, y1 = shapely.total_bounds(shapes)
    return Rect(floor(x0), floor(y0), max(ceil(x1), floor(x0) + 1), max(ceil(y1), floor(y0) + 1))


def _outlined(rings: NDArray[np.float64], offsets: NDArray[np.int64]) -> Shapes:
    """Return outlines as valid shapes; what has no three vertices is empty."""
    lengths = np.diff(offsets)
    shapes = np.full(len(lengths), shapely.Polygon(), object)
    index = np.repeat(np.arange(len(lengths)), lengths)
    areal = lengths >= 3
    kept = areal[index]
    numbers = (np.cumsum(areal) - 1)[index[kept]]
    drawn = shapely.polygons(shapely.linearrings(rings[kept], indices=numbers))
    shapes[areal] = shapely.make_valid(drawn)
    return shapes


def _points(shapes: Shapes) -> NDArray[np.float64]:
    """Return where objects are, as a run says it of its own: `ops.inner_points`."""
    points: NDArray[np.float64] = shapely.get_coordinates(shapely.centroid(shapes))
    is_ring = (shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON) & (
        shapely.get_num_interior_rings(shapes) == 0
    )
    rings = shapes[is_ring]
    if len(rings):
        counts = shapely.get_num_coordinates(rings)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        vertices = np.delete(shapely.get_coordinates(rings), offsets[1:] - 1, axis=0)
        points[is_ring] = inner_points(vertices, offsets - np.arange(len(offsets)))
    for i in np.flatnonzero(~is_ring):
        if not shapely.intersects_xy(shapes[i], *points[i]):
            points[i] = shapely.get_coordinates(shapely.point_on_surface(shapes[i]))[0]
    return points
