"""Objects in the tables: put in, found again, drawn and counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation, ObjectKind
from tilescope.domain.geometry import Rect
from tilescope.errors import UsageError
from tilescope.store import changes
from tilescope.store.catalogue import Catalogue
from tilescope.store.fields import FIELDS, MEASURE_CHUNK, leaves_of
from tilescope.store.history import Step
from tilescope.store.leaves import (
    KINDS,
    Columns,
    Leaf,
    id_bytes,
    id_keys,
    id_text,
    leaf_rows,
    measure_table,
    measured_rows,
    measures_of,
    pack,
)
from tilescope.store.schema import LEAF_SIZE
from tilescope.store.wkb import Rings, rings

BATCH = 16_384
"""Objects laid out in space together: the more, the tighter their leaves, and the more memory."""

ROW_OF_ID = (
    "SELECT row FROM handle CROSS JOIN state USING (row) "  # noqa: S608
    f"CROSS JOIN leaf ON leaf = row / {LEAF_SIZE} WHERE key = ? AND gone IS NULL "
    f"AND substr(ids, row % {LEAF_SIZE} * 16 + 1, 16) = ?"
)
"""Finds the row of an object that is there, by hash and bytes of its id."""

_PARAMETERS = 500  # per statement; every SQLite takes 999
_VIEW_LEAVES = 64
_MEETS = (
    "box.s0 <= ? AND box.s1 >= ? AND box.x1 >= ? AND box.x0 <= ? AND box.y1 >= ? AND box.y0 <= ?"
)
_CLASS_BITS, _KIND_BITS = 32, 7
_STATES = (
    f"WITH wanted (i, leaf) AS (VALUES {', '.join(f'({i}, ?)' for i in range(_VIEW_LEAVES))}) "  # noqa: S608
    f"SELECT ((i * {LEAF_SIZE} + row % {LEAF_SIZE}) << {_CLASS_BITS + _KIND_BITS + 1}) "
    f"| (class << {_KIND_BITS + 1}) | (kind << 1) | locked FROM wanted CROSS JOIN state "
    f"ON row BETWEEN leaf * {LEAF_SIZE} AND leaf * {LEAF_SIZE} + {LEAF_SIZE - 1} WHERE gone IS NULL"
)
"""The objects of some leaves that are there, each as one number: place, class, kind and lock.

Fetching them is the largest part of a view, and one number is quicker to fetch than four.
"""


@dataclass(frozen=True, slots=True)
class Selection:
    """Objects by what they are; all conditions hold together.

    Attributes
    ----------
    slide
        Number of a slide, None for all.
    class_names
        Any of these classes; None in it stands for unclassified objects.
    kind
        One kind, None for all.
    """

    slide: int | None = None
    class_names: tuple[str | None, ...] | None = None
    kind: ObjectKind | None = None


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What lies in a rectangle, as columns.

    Attributes
    ----------
    ids
        ``uint8[n, 16]``: UUIDs as bytes; ``id_of`` gives the text of one.
    classes
        ``int32[n]``: index into ``class_names``; 0 is unclassified.
    class_names
        Names by number; there may be numbers without a class.
    kinds
        ``uint8[n]``: index into annotation, detection, cell, tile.
    locked
        ``bool[n]``.
    points
        ``float32[m, 2]``: level-0 pixels, all rings one after the other; closed rings repeat
        their first vertex.
    ring_offsets
        ``int64[r + 1]``: ring ``i`` is ``points[ring_offsets[i]:ring_offsets[i + 1]]``.
    object_offsets
        ``int64[n + 1]``: object ``i`` owns rings ``object_offsets[i]`` to ``[i + 1]``.
    dimensions
        ``uint8[n]``: 0 points, 1 lines, 2 areas (holes by the even-odd rule).
    is_complete
        Whether nothing was left out because of the limit.
    """

    ids: NDArray[np.uint8]
    classes: NDArray[np.int32]
    class_names: Mapping[int, str | None]
    kinds: NDArray[np.uint8]
    locked: NDArray[np.bool_]
    points: NDArray[np.float32]
    ring_offsets: NDArray[np.int64]
    object_offsets: NDArray[np.int64]
    dimensions: NDArray[np.uint8]
    is_complete: bool

    def __len__(self) -> int:
        return len(self.classes)

    def id_of(self, index: int) -> str:
        """Return the id of one object."""
        return id_text(self.ids[index].tobytes())


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some of the objects of a view; ``states`` are numbers as ``_STATES`` gives them."""

    states: NDArray[np.int64]
    ids: NDArray[np.uint8]
    shapes: Rings


class Objects:
    """The objects of an open database; transactions are the caller's."""

    def __init__(self, db: sqlite3.Connection, catalogue: Catalogue) -> None:
        self._db = db
        self._catalogue = catalogue

    # In

    def insert(self, step: Step, slide: int, batches: Iterable[Sequence[Annotation]]) -> None:
        """Add objects to a slide; memory is bounded by ``BATCH`` and the largest batch.

        Raises
        ------
        UsageError
            When an object cannot be stored or its id is already in the project.
        """
        for batch in _regrouped(batches):
            self._insert(step, slide, batch)

    def _insert(self, step: Step, slide: int, batch: Sequence[Annotation]) -> None:
        columns = Columns.of(batch, self._catalogue.author_number)
        keys = id_keys(columns.ids)
        self._refuse_known(columns, keys)
        first = 1 + self._db.execute("SELECT coalesce(max(leaf), 0) FROM leaf").fetchone()[0]
        packing = pack(columns, first)
        rows = packing.rows
        leaves = leaf_rows(columns, packing, slide)
        marks = ", ".join("?" * len(leaves[0]))
        self._db.executemany(f"INSERT INTO leaf VALUES ({marks})", leaves)  # noqa: S608
        self._db.executemany(
            "INSERT INTO measured VALUES (?, ?, ?)",
            measured_rows(columns, packing, self._catalogue.names_number),
        )
        self._insert_states(batch, packing.order, rows, slide)
        by_key = np.argsort(keys[packing.order])
        self._db.executemany(
            "INSERT INTO handle VALUES (?, ?)",
            zip(keys[packing.order][by_key].tolist(), rows[by_key].tolist(), strict=True),
        )
        self._db.executemany(
            "INSERT INTO box VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(leaf[0], slide, slide, *leaf[5:9]) for leaf in leaves],
        )
        step.add(int(rows[0]), int(rows[-1]), len(batch))

    def _insert_states(
        self,
        batch: Sequence[Annotation],
        order: NDArray[np.int64],
        rows: NDArray[np.int64],
        slide: int,
    ) -> None:
        number_of, kind_of = self._catalogue.class_number, {kind: i for i, kind in enumerate(KINDS)}
        classes = np.array([number_of(a.class_name) for a in batch], np.int64)[order]
        kinds = np.array([kind_of[a.kind] for a in batch], np.int64)[order]
        locked = np.array([a.locked for a in batch], np.int64)[order]
        self._db.executemany(
            "INSERT INTO state VALUES (?, ?, ?, ?, ?, NULL)",
            zip(rows.tolist(), repeat(slide), classes.tolist(), kinds.tolist(), locked.tolist()),
        )
        pairs, counts = np.unique(np.stack([classes, kinds]), axis=1, return_counts=True)
        self._db.executemany(
            "INSERT INTO tally (slide, class, kind, n) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (slide, class, kind) DO UPDATE SET n = n + excluded.n",
            [(slide, *pair, n) for pair, n in zip(pairs.T.tolist(), counts.tolist(), strict=True)],
        )

    def _refuse_known(self, columns: Columns, keys: NDArray[np.int64]) -> None:
        twins = keys[np.isin(keys, _repeated(keys))]
        suspects = {*twins.tolist(), *self._known_keys(keys)}
        if not suspects:
            return
        seen: set[bytes] = set()
        for i in np.flatnonzero(np.isin(keys, list(suspects))).tolist():
            name = columns.ids[i].tobytes()
            if name in seen or self._row_of(name) is not None:
                raise UsageError(
                    f"an object with the id {id_text(name)} is already there; nothing was added"
                )
            seen.add(name)

    def _known_keys(self, keys: NDArray[np.int64]) -> Iterator[int]:
        if self._db.execute("SELECT 1 FROM handle LIMIT 1").fetchone() is None:
            return
        ordered = np.sort(keys).tolist()
        for at in range(0, len(ordered), _PARAMETERS):
            part = ordered[at : at + _PARAMETERS]
            marks = ", ".join("?" * len(part))
            query = f"SELECT key FROM handle WHERE key IN ({marks})"  # noqa: S608
            yield from (row[0] for row in self._db.execute(query, part))

    # Found again

    def _row_of(self, name: bytes) -> int | None:
        key = int(id_keys(np.frombuffer(name, np.uint8).reshape(1, 16))[0])
        row = self._db.execute(ROW_OF_ID, (key, name)).fetchone()
        return None if row is None else int(row[0])

    def rows_of(self, ids: Iterable[str]) -> list[int]:
        """Return the row number of objects.

        Raises
        ------
        UsageError
            When one of them is not there.
        """
        rows = []
        for text in ids:
            row = self._row_of(id_bytes(text))
            if row is None:
                raise UsageError(f"there is no object {text}")
            rows.append(row)
        return rows

    def get(self, text: str) -> Annotation | None:
        """Return one object, None when it is not there."""
        row = self._row_of(id_bytes(text))
        if row is None:
            return None
        found = self._leaves(f"leaf = {row // LEAF_SIZE}", (), f"AND row = {row}")
        return next(found)[0]

    def slide_of(self, row: int) -> int:
        """Return the slide of an object by row."""
        found = self._db.execute("SELECT slide FROM state WHERE row = ?", (row,)).fetchone()
        return int(found[0])

    def touch(self, targets: Sequence[str] | Selection, *, spare_locked: bool) -> None:
        """Make the touched set consist of the targets.

        Parameters
        ----------
        spare_locked
            Whether locked objects of a selection are left out; named ones are refused.

        Raises
        ------
        UsageError
            When a named object is not there, or is locked.
        """
        if isinstance(targets, Selection):
            condition, values = self._condition(targets)
            condition += " AND locked = 0" if spare_locked else ""
            changes.touch_where(self._db, condition, values)
            return
        changes.touch(self._db, self.rows_of(targets))
        if spare_locked:
            query = "SELECT count(*) FROM touched CROSS JOIN state USING (row) WHERE locked"
            if locked := self._db.execute(query).fetchone()[0]:
                raise UsageError(f"{locked} of the objects are locked; unlock them first")

    def _condition(self, wanted: Selection) -> tuple[str, list[int]]:
        parts, values = ["gone IS NULL"], []
        if wanted.slide is not None:
            parts.append("slide = ?")
            values.append(wanted.slide)
        if wanted.kind is not None:
            parts.append("kind = ?")
            values.append(KINDS.index(wanted.kind))
        if wanted.class_names is not None:
            found = [self._catalogue.find_class(name) for name in wanted.class_names]
            numbers = [number for number in found if number is not None]
            parts.append(f"class IN ({', '.join('?' * len(numbers))})")
            values.extend(numbers)
        return " AND ".join(parts), values

    def measure(self, step: Step, batch: Mapping[str, Mapping[str, float]]) -> None:
        """Add measurements to objects, leaf by leaf.

        Raises
        ------
        UsageError
            When an object is not there, or a number is not finite.
        """
        rows = dict(zip(self.rows_of(batch), batch.values(), strict=True))
        leaves = leaves_of(rows)
        field = FIELDS["measures"]
        for at in range(0, len(leaves), MEASURE_CHUNK):
            places = leaves[at : at + MEASURE_CHUNK]
            tables = []
            for leaf, old in zip(places.tolist(), field.read(self._db, places), strict=True):
                tables.append(self._measured(leaf, old, rows))
            step.change(field, places, tables)
        step.changed += len(rows)

    def _measured(
        self,
        leaf: int,
        old: tuple[int, bytes] | None,
        new: Mapping[int, Mapping[str, float]],
    ) -> tuple[int, bytes]:
        size = self._db.execute(
            "SELECT length(ids) / 16 FROM leaf WHERE leaf = ?", (leaf,)
        ).fetchone()[0]
        names = None if old is None else self._catalogue.names(old[0])
        members = []
        for slot in range(size):
            known = {} if old is None or names is None else measures_of(names, old[1], slot)
            members.append({**known, **new.get(leaf * LEAF_SIZE + slot, {})})
        all_names, numbers = measure_table(members)
        return self._catalogue.names_number(all_names), numbers

    def batches(self, wanted: Selection) -> Iterator[list[Annotation]]:
        """Yield the objects of a selection by leaf: neighbours come together."""
        condition, values = self._condition(wanted)
        last = -1
        while True:
            found = [
                row[0]
                for row in self._db.execute(
                    f"SELECT DISTINCT row / {LEAF_SIZE} AS leaf FROM state "  # noqa: S608
                    f"WHERE row >= ? AND {condition} ORDER BY row LIMIT ?",
                    ((last + 1) * LEAF_SIZE, *values, _VIEW_LEAVES),
                )
            ]
            if not found:
                return
            where = f"leaf IN ({', '.join(map(str, found))})"
            batch = [a for leaf in self._leaves(where, values, f"AND {condition}") for a in leaf]
            if batch:
                yield batch
            last = found[-1]

    def _leaves(
        self, where: str, values: Sequence[int], condition: str
    ) -> Iterator[list[Annotation]]:
        names = self._catalogue.class_names()
        rows = self._db.execute(
            "SELECT leaf, author, z, t, ids, ends, parents, names, geometry FROM leaf "  # noqa: S608
            f"WHERE {where} ORDER BY leaf"
        ).fetchall()
        for leaf, author, z, t, ids, ends, parents, labels, geometry in rows:
            first = leaf * LEAF_SIZE
            slots = self._db.execute(
                "SELECT row, class, kind, locked FROM state "  # noqa: S608
                f"WHERE row BETWEEN {first} AND {first + LEAF_SIZE - 1} "
                f"AND gone IS NULL {condition}",
                values,
            )
            measured = self._db.execute(
                "SELECT names, numbers FROM measured WHERE leaf = ?", (leaf,)
            ).fetchone()
            yield Leaf(
                self._catalogue.author(author),
                z,
                t,
                ids,
                ends,
                parents,
                labels,
                geometry,
                [(row - first, names.get(number), kind, lock) for row, number, kind, lock in slots],
                measured and (self._catalogue.names(measured[0]), measured[1]),
            ).objects()

    # Drawn and counted

    def in_view(self, slide: int, rect_l0: Rect, limit: int, plane: tuple[int, int]) -> View:
        """Return the objects of a plane (z, t) whose bounding box meets a rectangle."""
        parts: list[_Part] = []
        left = limit + 1
        # SQLite would take a number of numpy for a blob and find nothing.
        sides = [float(v) for v in (rect_l0.x0, rect_l0.x1, rect_l0.y0, rect_l0.y1)]
        leaves = self._db.execute(
            "SELECT leaf.leaf, ids, boxes, ends, geometry FROM box CROSS JOIN leaf "  # noqa: S608
            f"ON leaf.leaf = box.leaf WHERE {_MEETS} AND z = ? AND t = ?",
            (slide, slide, *sides, *plane),
        )
        while left > 0 and (rows := leaves.fetchmany(_VIEW_LEAVES)):
            part = self._visible(rows, rect_l0)
            parts.append(part)
            left -= len(part.states)
        leaves.close()
        return self._view(parts, limit)

    def _visible(self, leaves: Sequence[tuple[Any, ...]], rect_l0: Rect) -> _Part:
        """Return the objects of leaves that are there and whose box meets the rectangle."""
        numbers, ids, boxes, ends, shapes = zip(*leaves, strict=True)
        wanted = [*numbers, *[None] * (_VIEW_LEAVES - len(numbers))]
        found = self._db.execute(_STATES, wanted).fetchall()
        states = np.fromiter(chain.from_iterable(found), np.int64, len(found))
        of_leaf, slot = np.divmod(states >> (_CLASS_BITS + _KIND_BITS + 1), LEAF_SIZE)
        firsts = np.cumsum([0, *(len(part) // 4 for part in ends)])
        place = firsts[of_leaf] + slot
        box = np.frombuffer(b"".join(boxes), "<f4").reshape(-1, 4)[place]
        keep = (box[:, 2] >= rect_l0.x0) & (box[:, 0] <= rect_l0.x1)
        keep &= (box[:, 3] >= rect_l0.y0) & (box[:, 1] <= rect_l0.y1)
        states, of_leaf, place = states[keep], of_leaf[keep], place[keep]
        stops = np.frombuffer(b"".join(ends), "<u4")
        starts = np.concatenate([stops[:1] * 0, stops[:-1]])
        starts[firsts[:-1]] = 0
        spans = zip(of_leaf.tolist(), starts[place].tolist(), stops[place].tolist(), strict=True)
        return _Part(
            states,
            np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16)[place],
            rings([shapes[i][a:b] for i, a, b in spans]),
        )

    def _view(self, parts: Sequence[_Part], limit: int) -> View:
        states = np.concatenate([np.zeros(0, np.int64), *(part.states for part in parts)])
        ids = np.concatenate([np.zeros((0, 16), np.uint8), *(part.ids for part in parts)])
        shapes = Rings.joined([part.shapes for part in parts])
        is_complete = len(states) <= limit
        if not is_complete:
            shapes = shapes.select(np.arange(len(states)) < limit)
            states, ids = states[:limit], ids[:limit]
        return View(
            ids,
            (states >> (_KIND_BITS + 1) & (2**_CLASS_BITS - 1)).astype(np.int32),
            self._catalogue.class_names(),
            (states >> 1 & (2**_KIND_BITS - 1)).astype(np.uint8),
            (states & 1).astype(bool),
            shapes.points.astype(np.float32),
            shapes.ring_offsets,
            shapes.object_offsets,
            shapes.dimensions,
            is_complete,
        )

    def counts(self, slide: int | None) -> dict[str | None, int]:
        """Return the number of objects by class name; classes without objects are left out."""
        names = self._catalogue.class_names()
        rows = self._db.execute(
            "SELECT class, sum(n) FROM tally WHERE ?1 IS NULL OR slide = ?1 "
            "GROUP BY class HAVING sum(n) > 0",
            (slide,),
        )
        return {names.get(number): total for number, total in rows}


def _regrouped(batches: Iterable[Sequence[Annotation]]) -> Iterator[Sequence[Annotation]]:
    waiting: list[Annotation] = []
    for batch in batches:
        waiting.extend(batch)
        while len(waiting) >= BATCH:
            yield waiting[:BATCH]
            waiting = waiting[BATCH:]
    if waiting:
        yield waiting


def _repeated(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    values, counts = np.unique(keys, return_counts=True)
    return values[counts > 1]
