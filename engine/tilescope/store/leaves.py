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
from math import isnan
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation, Author, ObjectKind
from tilescope.errors import UsageError
from tilescope.store.curve import hilbert
from tilescope.store.schema import LEAF_SIZE, RINGS, WKB
from tilescope.store.wkb import are_rings, boxes, ring_shape, vertices_of

KINDS: tuple[ObjectKind, ...] = get_args(ObjectKind)
"""Their order is part of the file format."""

_LARGE = 8.0  # times the median extent of a batch
_NOBODY = bytes(16)
_MAX_NAMES = 1000
"""Measurements per leaf; bounds the memory that undoing their change takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """A batch of objects as columns, checked, in the order given.

    Attributes
    ----------
    ids
        ``uint8[n, 16]``: the UUIDs.
    boxes
        ``float64[n, 4]``: x0, y0, x1, y1 in level-0 pixels.
    authors
        ``int64[n]``: numbers of the authors.
    is_ring
        ``bool[n]``: whether an object is one closed ring.
    """

    batch: Sequence[Annotation]
    ids: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    authors: NDArray[np.int64]
    is_ring: NDArray[np.bool_]

    @classmethod
    def of(cls, batch: Sequence[Annotation], number_of: Callable[[Author], int]) -> Columns:
        """Return the columns of at least one object.

        Raises
        ------
        UsageError
            Naming the first object whose id is no UUID, appears twice or whose geometry cannot be
            stored.
        """
        ids = np.frombuffer(b"".join([id_bytes(a.id) for a in batch]), np.uint8).reshape(-1, 16)
        shapes = [a.geometry for a in batch]
        try:
            extents = boxes(shapes)
        except ValueError as exc:
            raise UsageError(f"objects {batch[0].id} to {batch[-1].id}: {exc}") from exc
        known: dict[int, int] = {}
        authors = np.empty(len(batch), np.int64)
        for i, annotation in enumerate(batch):
            author = annotation.author
            number = known.get(id(author))
            if number is None:  # the batch keeps its authors alive, so their addresses are names
                number = known[id(author)] = number_of(author)
            authors[i] = number
        return cls(batch, ids, extents, authors, are_rings(shapes))


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


def id_bytes(text: str) -> bytes:
    """Return the 16 bytes of a UUID.

    Raises
    ------
    UsageError
        When it is not one.
    """
    try:
        found = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        found = b""
    if len(found) != 16:
        raise UsageError(f"the id of an object is a UUID, not {text[:80]!r}")
    return found


def id_text(data: bytes) -> str:
    """Return a UUID as text."""
    return _dashed(data.hex(), 0)


def _dashed(h: str, at: int) -> str:
    """Return the UUID that begins at a place of a text of hexadecimal digits."""
    b, c, d, e = at + 8, at + 12, at + 16, at + 20
    return f"{h[at:b]}-{h[b:c]}-{h[c:d]}-{h[d:e]}-{h[e : at + 32]}"


def id_keys(ids: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return ``int64[n]``: a hash of each id; part of the file format."""
    halves = np.ascontiguousarray(ids).view("<u8").reshape(-1, 2)
    # UUIDs that count upwards differ in a few bits only; the product spreads them.
    mixed = (halves[:, 0] * np.uint64(0x9E3779B97F4A7C15)) ^ (
        halves[:, 1] * np.uint64(0xC2B2AE3D27D4EB4F)
    )
    keys: NDArray[np.int64] = mixed.view(np.int64)
    return keys


def pack(columns: Columns, first_leaf: int) -> Packing:
    """Return how a batch is laid out in leaves from ``first_leaf`` on."""
    n = len(columns.batch)
    extents = columns.boxes
    sides = np.maximum(extents[:, 2] - extents[:, 0], extents[:, 3] - extents[:, 1])
    large = sides > _LARGE * max(float(np.median(sides)), 1.0)
    z = np.fromiter((a.z for a in columns.batch), np.int64, n)
    t = np.fromiter((a.t for a in columns.batch), np.int64, n)
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
    batch, order = columns.batch, packing.order
    placed = [batch[i] for i in order.tolist()]
    rings = columns.is_ring[order].tolist()
    blobs = [
        vertices_of(a.geometry) if is_ring else a.geometry
        for a, is_ring in zip(placed, rings, strict=True)
    ]
    ids = columns.ids[order].tobytes()
    extents, authors = columns.boxes[order], columns.authors[order].tolist()
    outer = _outwards(extents).tobytes()
    low = np.minimum.reduceat(extents, packing.bounds[:-1]).tolist()
    high = np.maximum.reduceat(extents, packing.bounds[:-1]).tolist()
    lengths = np.fromiter(map(len, blobs), np.uint32, len(blobs))
    result = []
    for i, (a, b) in enumerate(pairwise(packing.bounds.tolist())):
        members = placed[a:b]
        result.append(
            (
                int(packing.rows[a]) // LEAF_SIZE,
                slide,
                authors[a],
                members[0].z,
                members[0].t,
                low[i][0],
                high[i][2],
                low[i][1],
                high[i][3],
                ids[16 * a : 16 * b],
                outer[16 * a : 16 * b],
                np.cumsum(lengths[a:b], dtype="<u4").tobytes(),
                _parents(members),
                _names(members),
                b"".join(blobs[a:b]),
                RINGS if rings[a] else WKB,
            )
        )
    return result


def _outwards(boxes_l0: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return boxes in half the bytes, none smaller than it was."""
    near = boxes_l0.astype("<f4")
    low, high = near[:, :2], near[:, 2:]
    low = np.where(low > boxes_l0[:, :2], np.nextafter(low, np.float32(-np.inf)), low)
    high = np.where(high < boxes_l0[:, 2:], np.nextafter(high, np.float32(np.inf)), high)
    return np.concatenate([low, high], axis=1).astype("<f4")


def _parents(members: Sequence[Annotation]) -> bytes | None:
    if all(a.parent_id is None for a in members):
        return None
    return b"".join([_NOBODY if a.parent_id is None else id_bytes(a.parent_id) for a in members])


def _names(members: Sequence[Annotation]) -> str | None:
    if all(a.name is None for a in members):
        return None
    return json.dumps([a.name for a in members])


def measured_rows(
    columns: Columns, packing: Packing, number_of: Callable[[tuple[str, ...]], int]
) -> list[tuple[int, int, bytes]]:
    """Return the rows of table ``measured``: leaves in which something is measured."""
    result = []
    for a, b in pairwise(packing.bounds.tolist()):
        members = [columns.batch[i].measurements for i in packing.order[a:b].tolist()]
        if any(members):
            names, numbers = measure_table(members)
            result.append((int(packing.rows[a]) // LEAF_SIZE, number_of(names), numbers))
    return result


def measure_table(members: Sequence[Any]) -> tuple[tuple[str, ...], bytes]:
    """Return the names of all measurements, and the numbers as ``float64[n, k]`` bytes.

    Raises
    ------
    UsageError
        When a number is not finite (absent numbers are left out instead), or there are too many.
    """
    names = tuple(members[0])
    if any(tuple(m) != names for m in members):
        names = tuple(dict.fromkeys(name for m in members for name in m))
        table = np.array([[m.get(name, np.nan) for name in names] for m in members], "<f8")
        missing = sum(len(names) - len(m) for m in members)
    else:
        table = np.array([list(m.values()) for m in members], "<f8")
        missing = 0
    if len(names) > _MAX_NAMES:
        raise UsageError(f"an object has more than {_MAX_NAMES} measurements")
    if int(np.count_nonzero(~np.isfinite(table))) != missing:
        raise UsageError("a measurement is not a finite number; leave it out instead")
    return names, table.tobytes()


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
        ids = self.ids.hex()
        measures = None if self.measures is None else measures_of(*self.measures)
        return [
            Annotation(
                _dashed(ids, 32 * slot),
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


def measures_of(names: tuple[str, ...], numbers: bytes) -> list[dict[str, float]]:
    """Return what is measured on every object of a leaf."""
    table = np.frombuffer(numbers, "<f8").reshape(-1, len(names))
    if np.isnan(table).any():
        return [
            {name: value for name, value in zip(names, row, strict=True) if not isnan(value)}
            for row in table.tolist()
        ]
    return [dict(zip(names, row, strict=True)) for row in table.tolist()]


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
    return ring_shape(data) if coding == RINGS else data
