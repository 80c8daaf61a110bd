"""Objects packed into leaves of neighbours, and back.

A leaf holds objects of one author and one plane, in the order of a Hilbert curve; an object much
larger than the others has a leaf of its own, so that it does not widen theirs. Polygons without
holes, which are nearly all, share leaves that hold nothing but their vertices.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation, Author
from tilescope.domain.annotation_ids import id_text, id_texts
from tilescope.domain.annotation_rings import Rings, ring_wkb
from tilescope.store.columns import Columns
from tilescope.store.curve import hilbert
from tilescope.store.measures import measures_of
from tilescope.store.schema import KINDS, LEAF_SIZE, RINGS, WKB
from tilescope.store.wkb import VERTEX_BYTES, boxes, vertices_of

_LARGE = 8.0  # times the median extent of a batch
_NOBODY = bytes(16)


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """Which object goes where.

    Attributes
    ----------
    order
        ``int64[n]``: index into the batch, by place.
    bounds
        ``int64[k + 1]``: leaf ``i`` holds ``order[bounds[i]:bounds[i + 1]]``.
    rows
        ``int64[n]``: row number, by place.
    """

    order: NDArray[np.int64]
    bounds: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def leaves(self) -> NDArray[np.int64]:
        """``int64[k]``: number of each leaf."""
        return self.rows[self.bounds[:-1]] // LEAF_SIZE


def pack(columns: Columns, first_leaf: int) -> Packing:
    """Return how a batch is laid out in leaves from ``first_leaf`` on."""
    n = len(columns)
    extents = columns.boxes
    sides = np.maximum(extents[:, 2] - extents[:, 0], extents[:, 3] - extents[:, 1])
    large = sides > _LARGE * max(float(np.median(sides)), 1.0)
    z, t = columns.planes.T
    along = hilbert((extents[:, :2] + extents[:, 2:]) / 2)
    order = np.lexsort((along, large, columns.is_ring, t, z, columns.authors))
    starts = np.zeros(n, bool)
    for key in (columns.authors, z, t, columns.is_ring, large):
        starts[1:] |= key[order][1:] != key[order][:-1]
    starts |= large[order]
    starts[0] = True
    place = np.arange(n)
    within = place - np.maximum.accumulate(np.where(starts, place, 0))
    begins = within % LEAF_SIZE == 0
    leaf = np.cumsum(begins) - 1
    bounds = np.append(np.flatnonzero(begins), n)
    rows = (first_leaf + leaf) * LEAF_SIZE + place - bounds[leaf]
    return Packing(order, bounds, rows)


def leaf_rows(columns: Columns, packing: Packing, slide: int) -> list[tuple[Any, ...]]:
    """Return the rows of table ``leaf``."""
    order, starts = packing.order, packing.bounds[:-1]
    first = order[starts]
    ids = columns.ids[order].tobytes()
    extents = columns.boxes[order]
    outer = _outwards(extents).tobytes()
    low = np.minimum.reduceat(extents, starts)
    high = np.maximum.reduceat(extents, starts)
    geometry, cuts = _placed(columns, order)
    begins = np.repeat(cuts[starts], np.diff(packing.bounds))
    ends = (cuts[1:] - begins).astype("<u4").tobytes()
    heads = zip(
        packing.leaves.tolist(),
        columns.authors[first].tolist(),
        columns.planes[first].tolist(),
        np.stack([low[:, 0], high[:, 2], low[:, 1], high[:, 3]], axis=1).tolist(),
        np.where(columns.is_ring[first], RINGS, WKB).tolist(),
        pairwise(packing.bounds.tolist()),
        pairwise(cuts[packing.bounds].tolist()),
        strict=True,
    )
    return [
        (
            *(leaf, slide, author, *plane, *box),
            ids[16 * a : 16 * b],
            outer[16 * a : 16 * b],
            ends[4 * a : 4 * b],
            _parents(columns.parents, order[a:b]),
            _names(columns.names, order[a:b]),
            geometry[start:stop],
            coding,
        )
        for leaf, author, plane, box, coding, (a, b), (start, stop) in heads
    ]


def _placed(columns: Columns, order: NDArray[np.int64]) -> tuple[bytes, NDArray[np.int64]]:
    """Return the geometry in an order, as leaves hold it, and where each begins and ends."""
    if isinstance(columns.geometry, Rings):
        rings = columns.geometry.take(order)
        return rings.points.astype("<f8", copy=False).tobytes(), VERTEX_BYTES * rings.offsets
    pairs = zip(order.tolist(), columns.is_ring[order].tolist(), strict=True)
    shapes = columns.geometry
    blobs = [vertices_of(shapes[i]) if is_ring else shapes[i] for i, is_ring in pairs]
    lengths = np.fromiter(map(len, blobs), np.int64, len(blobs))
    return b"".join(blobs), np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def _outwards(boxes_l0: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return boxes in half the bytes, none smaller than it was."""
    near = boxes_l0.astype("<f4")
    low, high = near[:, :2], near[:, 2:]
    low = np.where(low > boxes_l0[:, :2], np.nextafter(low, np.float32(-np.inf)), low)
    high = np.where(high < boxes_l0[:, 2:], np.nextafter(high, np.float32(np.inf)), high)
    return np.concatenate([low, high], axis=1).astype("<f4")


def _parents(parents: Sequence[bytes | None] | None, members: NDArray[np.int64]) -> bytes | None:
    found = [] if parents is None else [parents[i] for i in members.tolist()]
    return b"".join([parent or _NOBODY for parent in found]) if any(found) else None


def _names(names: Sequence[str | None] | None, members: NDArray[np.int64]) -> str | None:
    found = [] if names is None else [names[i] for i in members.tolist()]
    return None if all(name is None for name in found) else json.dumps(found)


def measured_rows(
    columns: Columns, packing: Packing, number_of: Callable[[tuple[str, ...]], int]
) -> list[tuple[int, int, bytes]]:
    """Return the rows of table ``measured``: leaves in which something is measured.

    Raises
    ------
    UsageError
        As ``Measures.groups``.
    """
    groups = columns.measures.groups(packing.order, packing.bounds)
    return [
        (leaf, number_of(group[0]), group[1])
        for leaf, group in zip(packing.leaves.tolist(), groups, strict=True)
        if group is not None
    ]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf as it was read, with the state of the objects in it that are there.

    Attributes
    ----------
    slots
        Slot, class name, kind and lock of each.
    measures
        Names and numbers, None when nothing is measured.
    """

    author: Author
    slots: Sequence[tuple[int, str | None, int, int]]
    measures: tuple[tuple[str, ...], bytes] | None
    z: int
    t: int
    ids: bytes
    ends: bytes
    parents: bytes | None
    names: str | None
    coding: int
    geometry: bytes

    def objects(self) -> list[Annotation]:
        """Return the objects that are there, by slot."""
        bounds = [0, *np.frombuffer(self.ends, "<u4").tolist()]
        names = json.loads(self.names) if self.names else None
        ids = id_texts(self.ids)
        measures = None if self.measures is None else measures_of(*self.measures)
        return [
            Annotation(
                ids[slot],
                shape_of(self.geometry[bounds[slot] : bounds[slot + 1]], self.coding),
                KINDS[kind],
                class_name,
                names[slot] if names else None,
                measures[slot] if measures else {},
                bool(locked),
                self._parent(slot),
                self.author,
                self.z,
                self.t,
            )
            for slot, class_name, kind, locked in self.slots
        ]

    def _parent(self, slot: int) -> str | None:
        found = self.parents[16 * slot : 16 * slot + 16] if self.parents else _NOBODY
        return None if found == _NOBODY else id_text(found)


def is_whole(row: Sequence[Any]) -> bool:
    """Tell whether the columns of a row of table ``leaf`` agree with each other."""
    *_, ids, extents, ends, parents, names, geometry, coding = row
    if not all(isinstance(column, bytes) for column in (ids, extents, ends, geometry)):
        return False
    n = len(ends) // 4
    if not 0 < n <= LEAF_SIZE or (len(ids), len(extents), len(ends)) != (16 * n, 16 * n, 4 * n):
        return False
    if parents is not None and (not isinstance(parents, bytes) or len(parents) != 16 * n):
        return False
    bounds = np.frombuffer(ends, "<u4").astype(np.int64)
    rising = bool((np.diff(bounds, prepend=0) > 0).all()) and int(bounds[-1]) == len(geometry)
    numbers = row[:9]
    known = coding in (WKB, RINGS) and all(isinstance(v, int | float) for v in numbers)
    return rising and known and _is_names(names, n)


def _is_names(names: object, n: int) -> bool:
    if names is None:
        return True
    with suppress(ValueError, TypeError):
        return len(json.loads(str(names))) == n
    return False


def unreadable_slots(ends: bytes, geometry: bytes, coding: int) -> set[int]:
    """Return the slots of a leaf whose bytes are no shape as it is stored."""
    bounds = pairwise([0, *np.frombuffer(ends, "<u4").tolist()])
    blobs = [shape_of(geometry[a:b], coding) for a, b in bounds]
    with suppress(ValueError):
        boxes(blobs)
        return set()
    return {slot for slot, blob in enumerate(blobs) if not _is_shape(blob)}


def _is_shape(blob: bytes) -> bool:
    with suppress(ValueError):
        boxes([blob])
        return True
    return False


def shape_of(data: bytes, coding: int) -> bytes:
    """Return the WKB of an object from what its leaf holds."""
    return ring_wkb(data) if coding == RINGS else data
