"""All objects of a plane as dots: where they are and how large, read without their outlines.

Who keeps dots is told which leaves were changed since, and reads those again: an edit of a few
objects among a million costs some milliseconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.store import deltas
from tilescope.store.leaves import shape_of
from tilescope.store.schema import LEAF_SIZE, STATE
from tilescope.store.views import View, view_of
from tilescope.store.wkb import shapes_of

#: Leaves that are read together.
AT_ONCE = 512

_VERTEX_BYTES = 16
_PARAMETERS = 500  # per statement; every SQLite takes 999
_HEAD = (
    "SELECT state.leaf, boxes, ends, objects FROM state "
    "CROSS JOIN leaf ON leaf.leaf = state.leaf WHERE state.slide = ?1 AND z = ?2 AND t = ?3 "
)


@dataclass(frozen=True, slots=True, eq=False)
class Dots:
    """The objects of some leaves, those that are gone too.

    Attributes
    ----------
    leaves
        ``int64[k]``: numbers of the leaves, ascending.
    ends
        ``int64[k]``: the objects of leaf ``i`` end before this place.
    rows
        ``int64[n]``: row number of each object.
    boxes
        ``float32[n, 4]``: left, top, right, bottom in level-0 pixels.
    corners
        ``int64[n]``: about how many vertices each has.
    classes
        ``int32[n]``: number of the class, 0 for none.
    kinds
        ``uint8[n]``: index into annotation, detection, cell, tile.
    there
        ``bool[n]``: whether it is there.
    """

    leaves: NDArray[np.int64]
    ends: NDArray[np.int64]
    rows: NDArray[np.int64]
    boxes: NDArray[np.float32]
    corners: NDArray[np.int64]
    classes: NDArray[np.int32]
    kinds: NDArray[np.uint8]
    there: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    def leaf_boxes(self) -> list[tuple[float, float, float, float]]:
        """Return left, top, right, bottom of every leaf in level-0 pixels."""
        if not len(self):
            return []
        starts = np.concatenate([np.zeros(1, np.int64), self.ends[:-1]])
        low = np.minimum.reduceat(self.boxes[:, :2], starts).tolist()
        high = np.maximum.reduceat(self.boxes[:, 2:], starts).tolist()
        return [(x0, y0, x1, y1) for (x0, y0), (x1, y1) in zip(low, high, strict=True)]


class DotReader:
    """Reads the dots of one plane of a slide, on the thread that owns the project."""

    def __init__(
        self,
        db: sqlite3.Connection,
        reading: Callable[[], AbstractContextManager[None]],
        slide: int,
        plane: tuple[int, int],
    ) -> None:
        self._db = db
        self._reading = reading
        self._where = (slide, *plane)

    def mark(self) -> int:
        """Return a number that grows with every edit, also of other processes."""
        with self._reading():
            return self._mark()

    def names(self) -> dict[int, str | None]:
        """Return the names of all classes by number."""
        with self._reading():
            return self._names()

    def after(self, leaf: int) -> Dots:
        """Return the next leaves that hold objects, ``AT_ONCE`` at most; none at the end."""
        with self._reading():
            query = f"{_HEAD} AND state.leaf > ?4 AND there > 0 ORDER BY state.leaf LIMIT ?5"
            return _dots(self._db.execute(query, (*self._where, leaf, AT_ONCE)).fetchall())

    def of(self, leaves: NDArray[np.int64]) -> Dots:
        """Return leaves by number; those of other slides and planes are left out."""
        numbers, rows = np.unique(leaves).tolist(), []
        with self._reading():
            for at in range(0, len(numbers), _PARAMETERS):
                part = numbers[at : at + _PARAMETERS]
                marks = ", ".join(f"?{4 + i}" for i in range(len(part)))
                query = f"{_HEAD} AND state.leaf IN ({marks}) ORDER BY state.leaf"
                rows += self._db.execute(query, (*self._where, *part)).fetchall()
        return _dots(rows)

    def changed(self, since: int, limit: int) -> tuple[int, NDArray[np.int64] | None]:
        """Return the mark now and the leaves that edits after ``since`` touched.

        None stands for all leaves: more than about ``limit`` objects were changed.
        """
        with self._reading():
            mark = self._mark()
            if mark < since:
                return mark, None
            edits = self._db.execute(
                "SELECT edit, first, last, added + removed + changed FROM edit WHERE edit IN "
                "(SELECT edit FROM journal WHERE entry > ?)",
                (since,),
            ).fetchall()
            if sum(edit[3] for edit in edits) > limit:
                return mark, None
            found = [np.zeros(0, np.int64)]
            for number, first, last, _ in edits:
                if first is not None:
                    found.append(np.arange(first // LEAF_SIZE, last // LEAF_SIZE + 1))
                found += [
                    deltas.unpack_numbers(places) // LEAF_SIZE
                    for (places,) in self._db.execute(
                        "SELECT places FROM delta WHERE edit = ? "
                        "AND field NOT IN ('measures', 'classes')",
                        (number,),
                    )
                ]
            return mark, np.unique(np.concatenate(found))

    def outlines(self, rows: NDArray[np.int64]) -> View:
        """Return objects by row, ascending, with their outlines; what is gone is left out."""
        parts: list[tuple[bytes, bytes, bytes]] = []
        with self._reading():
            names = self._names()
            for leaf in np.unique(rows // LEAF_SIZE).tolist():
                row = self._db.execute(
                    "SELECT objects, ids, ends, coding, geometry FROM leaf "
                    "CROSS JOIN state ON state.leaf = leaf.leaf WHERE leaf.leaf = ?",
                    (leaf,),
                ).fetchone()
                if row is not None:
                    parts += _slots(row, rows[rows // LEAF_SIZE == leaf] % LEAF_SIZE)
            return _view(parts, names)

    def _mark(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(entry), 0) FROM journal").fetchone()[0])

    def _names(self) -> dict[int, str | None]:
        return {0: None, **dict(self._db.execute("SELECT class, name FROM class"))}


def _dots(found: Sequence[tuple[int, bytes, bytes, bytes]]) -> Dots:
    leaves = np.fromiter((row[0] for row in found), np.int64, len(found))
    sizes = np.fromiter((len(row[2]) // 4 for row in found), np.int64, len(found))
    states = np.frombuffer(b"".join([row[3] for row in found]), STATE)
    stops = np.frombuffer(b"".join([row[2] for row in found]), "<u4").astype(np.int64)
    ends = np.cumsum(sizes)
    within = np.arange(len(stops)) - np.repeat(ends - sizes, sizes)
    lengths = np.diff(stops, prepend=0)
    lengths[within == 0] = stops[within == 0]
    boxes = np.frombuffer(b"".join([row[1] for row in found]), "<f4").reshape(-1, 4)
    if not (len(states) == len(boxes) == len(stops) and np.isfinite(boxes).all()):
        raise ValueError("the boxes of objects are damaged")
    return Dots(
        leaves,
        ends,
        np.repeat(leaves * LEAF_SIZE, sizes) + within,
        boxes,
        lengths // _VERTEX_BYTES,
        states["class"].astype(np.int32),
        np.ascontiguousarray(states["kind"]),
        states["gone"] == 0,
    )


def _slots(row: tuple[Any, ...], slots: NDArray[np.int64]) -> list[tuple[bytes, bytes, bytes]]:
    """Return state, id and WKB of objects of a leaf that are there."""
    objects, ids, ends, coding, geometry = row
    states = np.frombuffer(objects, STATE)
    stops = [0, *np.frombuffer(ends, "<u4").tolist()]
    found = []
    for slot in slots.tolist():
        if states["gone"][slot] == 0:
            shape = shape_of(geometry[stops[slot] : stops[slot + 1]], coding)
            found.append((states[slot].tobytes(), ids[16 * slot : 16 * slot + 16], shape))
    return found


def _view(parts: Sequence[tuple[bytes, bytes, bytes]], names: Mapping[int, str | None]) -> View:
    states = np.frombuffer(b"".join([part[0] for part in parts]), STATE)
    ids = np.frombuffer(b"".join([part[1] for part in parts]), np.uint8).reshape(-1, 16)
    shapes = shapes_of([part[2] for part in parts])
    return view_of(states, ids, shapes, names, is_complete=True)
