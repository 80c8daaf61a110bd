"""What may change on many objects at once without making new versions of them.

A field reads and writes the values at some places and packs them into bytes. Undo and redo are the
same act: the values stored with the edit and those in the tables change places.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tilescope.store import deltas, states

_TABLE_LIMIT = 2**28
"""Bytes of measurements in one record of a delta; ``MEASURE_CHUNK`` leaves stay far below."""

MEASURE_CHUNK = 512


Values = TypeVar("Values")


class Field(Protocol[Values]):
    """A column that edits may change in place."""

    name: str

    def read(self, db: sqlite3.Connection, places: NDArray[np.int64]) -> Values:
        """Return the values at ``places``."""

    def write(self, db: sqlite3.Connection, places: NDArray[np.int64], values: Values) -> None:
        """Store values at ``places``, and keep the tally right."""

    def pack(self, values: Values) -> bytes:
        """Return values as bytes."""

    def unpack(self, data: bytes) -> Values:
        """Return the values of ``pack``."""


class StateField:
    """A small number in the states; places are rows, ascending."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, db: sqlite3.Connection, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of every row."""
        found = states.read(db, states.leaves_of(places))
        numbers: NDArray[np.int64] = found.states[self.name][found.at(places)].astype(np.int64)
        return numbers

    def write(
        self, db: sqlite3.Connection, places: NDArray[np.int64], values: NDArray[np.int64]
    ) -> None:
        """Store the numbers of rows."""
        old = states.read(db, states.leaves_of(places))
        new = old.states.copy()
        new[self.name][old.at(places)] = values
        states.put(db, old, new)

    def pack(self, values: NDArray[np.int64]) -> bytes:
        """Return the numbers, compressed."""
        return deltas.pack_numbers(values)

    def unpack(self, data: bytes) -> NDArray[np.int64]:
        """Return the numbers of ``pack``."""
        return deltas.unpack_numbers(data)


class MeasureField:
    """The measurements of whole leaves; places are leaves, values rows of ``measured`` or None."""

    name = "measures"

    def read(
        self, db: sqlite3.Connection, places: NDArray[np.int64]
    ) -> Sequence[tuple[int, bytes] | None]:
        """Return number of names, and numbers, of every leaf."""
        query = "SELECT names, numbers FROM measured WHERE leaf = ?"
        return [db.execute(query, (leaf,)).fetchone() for leaf in places.tolist()]

    def write(
        self,
        db: sqlite3.Connection,
        places: NDArray[np.int64],
        values: Sequence[tuple[int, bytes] | None],
    ) -> None:
        """Store or drop the measurements of leaves."""
        rows = list(zip(places.tolist(), values, strict=True))
        db.executemany(
            "INSERT OR REPLACE INTO measured (leaf, names, numbers) VALUES (?, ?, ?)",
            [(leaf, *value) for leaf, value in rows if value is not None],
        )
        db.executemany(
            "DELETE FROM measured WHERE leaf = ?",
            [(leaf,) for leaf, value in rows if value is None],
        )

    def pack(self, values: Sequence[tuple[int, bytes] | None]) -> bytes:
        """Return count, names and lengths of all leaves, then their numbers, compressed."""
        heads = [(-1, 0) if value is None else (value[0], len(value[1])) for value in values]
        cells = np.array([len(heads), *(cell for head in heads for cell in head)], "<i8")
        numbers = [value[1] for value in values if value is not None]
        return zlib.compress(cells.tobytes() + b"".join(numbers), 1)

    def unpack(self, data: bytes) -> Sequence[tuple[int, bytes] | None]:
        """Return the values of ``pack``."""
        plain = deltas.inflate(data, _TABLE_LIMIT)
        count = int(np.frombuffer(plain, "<i8", 1)[0])
        if not 0 <= 8 + 16 * count <= len(plain):
            raise deltas.damaged("a record of the history")
        values: list[tuple[int, bytes] | None] = []
        at = 8 + 16 * count
        for names, length in np.frombuffer(plain, "<i8", 2 * count, 8).reshape(-1, 2).tolist():
            values.append(None if names < 0 else (names, plain[at : at + length]))
            at += length
        return values


#: Name, colour (``0xRRGGBB``) and hot key of a class.
ClassRow = tuple[str, int, str | None]


class ClassField:
    """The classes themselves; places are their numbers, values None where there is no class."""

    name = "classes"

    def read(self, db: sqlite3.Connection, places: NDArray[np.int64]) -> Sequence[ClassRow | None]:
        """Return what every class is."""
        query = "SELECT name, color, hot_key FROM class WHERE class = ?"
        return [db.execute(query, (number,)).fetchone() for number in places.tolist()]

    def write(
        self,
        db: sqlite3.Connection,
        places: NDArray[np.int64],
        values: Sequence[ClassRow | None],
    ) -> None:
        """Store or drop classes; a name or key that another one took since stays with that one."""
        numbers = places.tolist()
        db.executemany("DELETE FROM class WHERE class = ?", [(number,) for number in numbers])
        for number, value in zip(numbers, values, strict=True):
            if value is not None:
                name, color, key = value
                db.execute(
                    "INSERT INTO class (class, name, color, hot_key) VALUES (?, ?, ?, "
                    "CASE WHEN EXISTS (SELECT 1 FROM class WHERE hot_key = ?4) THEN NULL "
                    "ELSE ?4 END)",
                    (number, _free_name(db, name), color, key),
                )

    def pack(self, values: Sequence[ClassRow | None]) -> bytes:
        """Return the classes as JSON."""
        return json.dumps(list(values)).encode()

    def unpack(self, data: bytes) -> Sequence[ClassRow | None]:
        """Return the classes of ``pack``."""
        try:
            found = json.loads(data)
            return [None if one is None else _class_row(*one) for one in found]
        except (TypeError, ValueError) as exc:
            raise deltas.damaged("a record of the history") from exc


def _class_row(name: object, color: object, key: object) -> ClassRow:
    return str(name), int(str(color)), None if key is None else str(key)


def _free_name(db: sqlite3.Connection, name: str) -> str:
    """Return a name, or one like it that no class has."""
    found, count = name, 1
    while db.execute("SELECT 1 FROM class WHERE name = ?", (found,)).fetchone():
        count += 1
        found = f"{name} ({count})"
    return found


FIELDS: dict[str, Field[Any]] = {
    field.name: field
    for field in (StateField("class"), StateField("locked"), MeasureField(), ClassField())
}
