"""Objects in the tables: put in and found again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation, ObjectKind
from tilescope.domain.annotation_ids import id_bytes, id_keys, id_text
from tilescope.domain.annotation_table import AnnotationTable
from tilescope.errors import UsageError
from tilescope.store import states
from tilescope.store.catalogue import Catalogue
from tilescope.store.columns import Columns
from tilescope.store.deltas import CHUNK
from tilescope.store.fields import FIELDS, MEASURE_CHUNK
from tilescope.store.history import Step
from tilescope.store.leaves import Leaf, leaf_rows, measured_rows, pack
from tilescope.store.measures import Measures, measures_of
from tilescope.store.schema import KINDS, LEAF_SIZE, STATE
from tilescope.store.states import Stretch

BATCH = 16_384
"""Objects laid out in space together: the more, the tighter their leaves, and the more memory."""

_GONE_AT = 5  # SQL counts bytes from 1
ROW_OF_ID = (
    f"SELECT row FROM handle CROSS JOIN leaf ON leaf.leaf = row / {LEAF_SIZE} "  # noqa: S608
    f"CROSS JOIN state ON state.leaf = leaf.leaf WHERE key = ? "
    f"AND substr(ids, row % {LEAF_SIZE} * 16 + 1, 16) = ? "
    f"AND substr(objects, row % {LEAF_SIZE} * {STATE.itemsize} + {_GONE_AT}, 4) = x'00000000'"
)
"""Finds the row of an object that is there, by hash and bytes of its id."""

_PARAMETERS = 500  # per statement; every SQLite takes 999
_HANDLES = 250  # per statement
_LEAVES = 64  # read together


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


Targets = Sequence[str] | Selection | NDArray[np.int64]
"""Objects by id, by what they are, or by row."""


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
        for parts in _regrouped(batches):
            self._insert(step, slide, Columns.of(parts, self._catalogue))

    def _insert(self, step: Step, slide: int, columns: Columns) -> None:
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
        placed, ends = columns.states[packing.order], packing.bounds[1:].tolist()
        states.insert(self._db, slide, packing.leaves.tolist(), ends, placed)
        self._insert_handles(keys[packing.order], rows)
        self._db.executemany(
            "INSERT INTO box VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(leaf[0], slide, slide, *leaf[5:9]) for leaf in leaves],
        )
        step.add(int(rows[0]), int(rows[-1]), len(columns))

    def _insert_handles(self, keys: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        # Ascending keys meet each page once; a statement for many rows takes the interpreter's
        # lock from a thread that parses once, not for every row.
        order = np.argsort(keys)
        values = np.stack([keys[order], rows[order]], axis=1).reshape(-1).tolist()
        for at in range(0, len(values), 2 * _HANDLES):
            part = values[at : at + 2 * _HANDLES]
            marks = ", ".join(["(?, ?)"] * (len(part) // 2))
            self._db.execute(f"INSERT INTO handle VALUES {marks}", part)  # noqa: S608

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
                    f"an object with the id {id_text(name)} is already there; nothing was added; "
                    "delete what is there first, or leave the ids out of the file"
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
        part = states.read(self._db, np.array([row // LEAF_SIZE]))
        return next(self._leaves(part, part.rows == row))[0]

    def slide_of(self, row: int) -> int:
        """Return the slide of an object by row."""
        query = "SELECT slide FROM state WHERE leaf = ?"
        return int(self._db.execute(query, (row // LEAF_SIZE,)).fetchone()[0])

    def rows(self, targets: Targets, *, spare_locked: bool) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of the targets, ascending, some at a time; those may then be changed.

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
            yield from self._selected(targets, spare_locked=spare_locked)
            return
        named = targets if isinstance(targets, np.ndarray) else self.rows_of(targets)
        rows = np.unique(np.array(named, np.int64))
        if spare_locked:
            found = states.read(self._db, states.leaves_of(rows))
            if locked := int(np.count_nonzero(found.states["locked"][found.at(rows)])):
                one = "the object is" if len(rows) == 1 else "one of the objects is"
                many = f"{locked:,} of the objects are locked; unlock them first"
                raise UsageError(f"{one} locked; unlock it first" if locked == 1 else many)
        for at in range(0, len(rows), CHUNK):
            yield rows[at : at + CHUNK]

    def _selected(self, wanted: Selection, *, spare_locked: bool) -> Iterator[NDArray[np.int64]]:
        condition, values, meets = self._condition(wanted)
        for part in states.stretches(self._db, condition, values):
            keep = meets(part)
            if spare_locked:
                keep &= part.states["locked"] == 0
            if keep.any():
                yield part.rows[keep]

    def _condition(
        self, wanted: Selection
    ) -> tuple[str, list[int], Callable[[Stretch], NDArray[np.bool_]]]:
        """Return what holds for the leaves, and what for the objects in them."""
        condition, values, numbers = "there > 0", [], None
        if wanted.slide is not None:
            condition += " AND slide = ?"
            values.append(wanted.slide)
        if wanted.class_names is not None:
            found = [self._catalogue.find_class(name) for name in wanted.class_names]
            numbers = [number for number in found if number is not None]

        def meets(part: Stretch) -> NDArray[np.bool_]:
            keep: NDArray[np.bool_] = part.states["gone"] == 0
            if wanted.kind is not None:
                keep &= part.states["kind"] == KINDS.index(wanted.kind)
            if numbers is not None:
                keep &= np.isin(part.states["class"], numbers)
            return keep

        return condition, values, meets

    def measure(self, step: Step, batch: Mapping[str, Mapping[str, float]]) -> None:
        """Add measurements to objects, leaf by leaf.

        Raises
        ------
        UsageError
            When an object is not there, or a number is not finite.
        """
        rows = dict(zip(self.rows_of(batch), batch.values(), strict=True))
        leaves = states.leaves_of(np.fromiter(rows, np.int64, len(rows)))
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
        known: Sequence[Mapping[str, float]] = [{}] * size
        if old is not None:
            known = measures_of(self._catalogue.names(old[0]), old[1])
        first = leaf * LEAF_SIZE
        members = [{**known[slot], **new.get(first + slot, {})} for slot in range(size)]
        whole = np.arange(size), np.array([0, size])
        found = Measures.of(members).groups(*whole)[0]
        names, numbers = found or ((), b"")
        return self._catalogue.names_number(names), numbers

    def batches(self, wanted: Selection) -> Iterator[list[Annotation]]:
        """Yield the objects of a selection by leaf: neighbours come together."""
        condition, values, meets = self._condition(wanted)
        for part in states.stretches(self._db, condition, values, at_once=_LEAVES):
            keep = meets(part)
            if keep.any():
                yield [a for leaf in self._leaves(part, keep) for a in leaf]

    def _leaves(self, part: Stretch, keep: NDArray[np.bool_]) -> Iterator[list[Annotation]]:
        """Yield the objects of which ``keep`` (``bool[n]``) is true, by leaf."""
        names = self._catalogue.class_names()
        wanted = np.unique(part.owners[keep])
        numbers = part.leaves[wanted].tolist()
        marks = ", ".join("?" * len(numbers))
        rows = self._db.execute(
            "SELECT author, z, t, ids, ends, parents, names, coding, geometry FROM leaf "  # noqa: S608
            f"WHERE leaf IN ({marks}) ORDER BY leaf",
            numbers,
        ).fetchall()
        firsts, sizes = part.firsts[wanted].tolist(), part.sizes[wanted].tolist()
        for number, row, first, size in zip(numbers, rows, firsts, sizes, strict=True):
            measured = self._db.execute(
                "SELECT names, numbers FROM measured WHERE leaf = ?", (number,)
            ).fetchone()
            slots = np.flatnonzero(keep[first : first + size])
            known = zip(slots.tolist(), part.states[first + slots].tolist(), strict=True)
            author, *columns = row
            yield Leaf(
                self._catalogue.author(author),
                [(slot, names.get(number), kind, lock) for slot, (number, _, kind, lock) in known],
                measured and (self._catalogue.names(measured[0]), measured[1]),
                *columns,
            ).objects()


def _regrouped(batches: Iterable[Sequence[Annotation]]) -> Iterator[Sequence[Sequence[Annotation]]]:
    """Yield parts of ``BATCH`` objects together, and of what is left; none of them is empty."""
    parts: list[AnnotationTable | list[Annotation]] = []
    count = 0
    for batch in batches:
        at = 0
        while at < len(batch):
            part = batch[at : at + BATCH - count]
            at += len(part)
            count += len(part)
            last = parts[-1] if parts else None
            if isinstance(part, AnnotationTable):
                parts.append(part)
            elif isinstance(last, list):
                last.extend(part)
            else:
                parts.append(list(part))
            if count == BATCH:
                yield parts
                parts, count = [], 0
    if parts:
        yield parts


def _repeated(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    values, counts = np.unique(keys, return_counts=True)
    return values[counts > 1]
