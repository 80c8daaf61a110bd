"""Edits, and the way back and forth through them.

An edit is the range of rows it added, the rows it removed and the values it changed. Nothing it
replaced is overwritten, so undoing it marks rows and swaps values, however large it was. A new edit
after an undo drops what could have been redone: its rows stay out of sight for good.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.store import deltas, states
from tilescope.store.catalogue import now
from tilescope.store.fields import FIELDS, Field, Values


class Standing(IntEnum):
    """Whether an edit holds."""

    DONE = 0
    UNDONE = 1
    DROPPED = 2


@dataclass(frozen=True, slots=True)
class Edit:
    """One undoable step.

    Attributes
    ----------
    number
        Counts up; never used again.
    label, user, at
        What was done, by whom, and when (ISO 8601, UTC).
    added, removed, changed
        Numbers of objects; one with a new outline counts as removed and added, and a class that
        was renamed or deleted as changed.
    standing
        Whether it holds, can be redone, or was dropped when something else was done instead.
    slide
        Number of the slide that all its objects lie on, told where it is undone or redone.
    """

    number: int
    label: str
    user: str
    at: str
    added: int
    removed: int
    changed: int
    standing: Standing
    slide: int | None = None


class Step:
    """An edit under way."""

    def __init__(self, db: sqlite3.Connection, number: int) -> None:
        self._db = db
        self.number = number
        self.added = self.removed = self.changed = 0
        self.first_row: int | None = None
        self.last_row: int | None = None

    def add(self, first_row: int, last_row: int, count: int) -> None:
        """Note that ``count`` objects were added in a range of rows after all others."""
        self.first_row = first_row if self.first_row is None else self.first_row
        self.last_row = last_row
        self.added += count

    def remove(self, sets: Iterable[NDArray[np.int64]]) -> None:
        """Remove the objects of sets of rows."""
        for rows in sets:
            self._note("gone", rows, None)
            self.removed += len(rows)
            states.mark(self._db, rows, self.number)

    def change(self, field: Field[Values], places: NDArray[np.int64], values: Values) -> None:
        """Change values of a field, and note those that were there before."""
        before = field.read(self._db, places)
        self._note(field.name, places, field.pack(before))
        field.write(self._db, places, values)

    def make_classes(self, numbers: Sequence[int]) -> None:
        """Note that classes were made on the way; they come and go with the objects added here.

        Who sorts objects that were there before into a new class has made it by hand: it stays.
        """
        if numbers and self.added:
            nothing = FIELDS["classes"].pack([None] * len(numbers))
            self._note("classes", np.array(sorted(numbers), np.int64), nothing)

    def _note(self, field: str, places: NDArray[np.int64], other: bytes | None) -> None:
        self._db.execute(
            "INSERT INTO delta (edit, field, places, other) VALUES (?, ?, ?, ?)",
            (self.number, field, deltas.pack_numbers(places), other),
        )


_COLUMNS = "edit, label, user, at, added, removed, changed, standing"


class History:
    """The edits of an open database; used inside the caller's transactions."""

    def __init__(self, db: sqlite3.Connection, user: str) -> None:
        self._db = db
        self._user = user

    @contextmanager
    def step(self, label: str) -> Iterator[Step]:
        """Give a new edit to fill; what could have been redone is dropped.

        A step that changes nothing leaves no trace.
        """
        number = 1 + self._db.execute("SELECT coalesce(max(edit), 0) FROM edit").fetchone()[0]
        step = Step(self._db, number)
        yield step
        if not (step.added or step.removed or step.changed):
            return
        dropped = self._db.execute(
            "UPDATE edit SET standing = ? WHERE standing = ?", (Standing.DROPPED, Standing.UNDONE)
        )
        if dropped.rowcount:
            self.note("drop", number)
        self._db.execute(
            "INSERT INTO edit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *(number, label, self._user, now(), step.first_row, step.last_row),
                *(step.added, step.removed, step.changed, Standing.DONE),
            ],
        )
        self.note("do", number)

    def note(self, action: str, edit: int | None = None) -> None:
        """Append to the journal."""
        self._db.execute(
            "INSERT INTO journal (at, user, action, edit) VALUES (?, ?, ?, ?)",
            (now(), self._user, action, edit),
        )

    def edits(self, limit: int) -> list[Edit]:
        """Return the newest edits, newest first."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM edit ORDER BY edit DESC LIMIT ?",  # noqa: S608
            (limit,),
        )
        return [_edit(row) for row in rows]

    def undo(self) -> Edit | None:
        """Take the newest edit that holds back; None when there is none."""
        return self._turn("undo", Standing.DONE, Standing.UNDONE, "DESC")

    def redo(self) -> Edit | None:
        """Do again what was undone last; None when there is nothing."""
        return self._turn("redo", Standing.UNDONE, Standing.DONE, "ASC")

    def _turn(self, action: str, old: Standing, new: Standing, order: str) -> Edit | None:
        row = self._db.execute(
            f"SELECT edit, first, last FROM edit WHERE standing = ? "  # noqa: S608
            f"ORDER BY edit {order} LIMIT 1",
            (old,),
        ).fetchone()
        if row is None:
            return None
        number, first, last = row
        is_undo = new is Standing.UNDONE
        self._swap(number, is_undo=is_undo)
        if first is not None:
            states.mark_between(self._db, first, last, number if is_undo else 0)
        self._db.execute("UPDATE edit SET standing = ? WHERE edit = ?", (new, number))
        self.note(action, number)
        found = self._db.execute(f"SELECT {_COLUMNS} FROM edit WHERE edit = ?", (number,))  # noqa: S608
        return replace(_edit(found.fetchone()), slide=self._slide_of(number, first, last))

    def _slide_of(self, number: int, first: int | None, last: int | None) -> int | None:
        """Return the slide of the objects of an edit; None when there are none, or several."""
        ends = [] if first is None or last is None else [first, last]
        for (packed,) in self._db.execute(
            "SELECT places FROM delta WHERE edit = ? AND field NOT IN ('measures', 'classes')",
            (number,),
        ):
            rows = deltas.unpack_numbers(packed)
            ends += [*rows[:1].tolist(), *rows[-1:].tolist()]
        found = states.read(self._db, states.leaves_of(np.array(ends, np.int64)))
        slides = {*found.slides.tolist()}
        return slides.pop() if len(slides) == 1 else None

    def _swap(self, number: int, *, is_undo: bool) -> None:
        # A place may be in several deltas, so they are taken back in the opposite order.
        order = "DESC" if is_undo else "ASC"
        deltas_of_edit = self._db.execute(
            f"SELECT delta FROM delta WHERE edit = ? ORDER BY delta {order}",  # noqa: S608
            (number,),
        ).fetchall()
        for (delta,) in deltas_of_edit:  # one at a time: together they may be large
            name, packed, other = self._db.execute(
                "SELECT field, places, other FROM delta WHERE delta = ?", (delta,)
            ).fetchone()
            places = deltas.unpack_numbers(packed)
            if name == "gone":
                states.mark(self._db, places, 0 if is_undo else number)
                continue
            field = FIELDS[name]
            current = field.pack(field.read(self._db, places))
            field.write(self._db, places, field.unpack(other))
            self._db.execute("UPDATE delta SET other = ? WHERE delta = ?", (current, delta))


def _edit(row: Sequence[Any]) -> Edit:
    number, label, user, at, added, removed, changed, standing = row
    return Edit(number, label, user, at, added, removed, changed, Standing(standing))
