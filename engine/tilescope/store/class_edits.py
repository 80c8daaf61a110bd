"""Changing classes themselves: each change is one edit, and their objects go with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import numpy as np

from tilescope.domain.annotation import ObjectClass
from tilescope.errors import UsageError
from tilescope.store import states
from tilescope.store.catalogue import Catalogue, packed_color
from tilescope.store.fields import FIELDS, ClassRow
from tilescope.store.history import Step
from tilescope.store.objects import Objects, Selection


class ClassEdits:
    """Changes the classes of an open project.

    Parameters
    ----------
    edit
        Begins an edit of that name; it is whole or not done at all.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        catalogue: Catalogue,
        objects: Objects,
        edit: Callable[[str], AbstractContextManager[Step]],
    ) -> None:
        self._db = db
        self._catalogue = catalogue
        self._objects = objects
        self._edit = edit

    def change(self, name: str, wanted: ObjectClass) -> None:
        """Give a class another name, colour or key; who had the key before goes without.

        Objects know their class by number: however many there are, none is touched.

        Raises
        ------
        UsageError
            When there is no class of that name, or another one has the new name.
        """
        is_renamed = wanted.name != name
        label = f"rename class {name} to {wanted.name}" if is_renamed else f"change class {name}"
        with self._edit(label) as step:
            number = self._number(name)
            if is_renamed and self._catalogue.find_class(wanted.name) is not None:
                raise UsageError(f"nothing was renamed: there is a class {wanted.name} already")
            after: dict[int, ClassRow | None] = dict(self._without_key(wanted.hot_key))
            after[number] = (wanted.name, packed_color(wanted.color), wanted.hot_key)
            _put(step, after)
        self._catalogue.forget()

    def remove(self, name: str, into: str | None = None) -> int:
        """Delete a class and return how many objects it had; they go into another, or none.

        Raises
        ------
        UsageError
            When there is no class of that name, or its objects are to go into itself.
        """
        if into == name:
            raise UsageError(f"nothing was deleted: {name} cannot go into itself")
        label = f"delete class {name}" if into is None else f"put class {name} into {into}"
        with self._edit(label) as step:
            number, other = self._number(name), self._catalogue.class_number(into)
            wanted = Selection(class_names=(name,))
            count = 0
            for rows in self._objects.rows(wanted, spare_locked=False):
                step.change(FIELDS["class"], rows, np.full(len(rows), other, np.int64))
                count += len(rows)
            step.changed += count
            _put(step, {number: None})
        self._catalogue.forget()
        return count

    def assign(self, ids: Iterable[str], class_name: str | None) -> tuple[int, int]:
        """Sort those of some objects that are not locked into a class, made if it is new.

        Returns
        -------
        tuple of int
            How many were sorted, and how many locked ones keep another class.

        Raises
        ------
        UsageError
            When one of them is not there, or locked ones alone are of another class.
        """
        with self._edit("set class") as step:
            number = self._catalogue.class_number(class_name)
            rows = np.unique(np.array(self._objects.rows_of(ids), np.int64))
            found = states.read(self._db, states.leaves_of(rows))
            places = found.at(rows)
            is_locked = found.states["locked"][places] != 0
            is_other = found.states["class"][places] != number
            kept = int(np.count_nonzero(is_locked & is_other))
            if kept and not (is_other & ~is_locked).any():
                one = "the object is locked; unlock it first"
                many = f"{kept:,} objects are locked; unlock them first"
                raise UsageError(f"nothing was changed: {one if kept == 1 else many}")
            free = rows[~is_locked]
            for some in self._objects.rows(free, spare_locked=False):
                step.change(FIELDS["class"], some, np.full(len(some), number, np.int64))
                step.changed += len(some)
        return len(free), kept

    def _number(self, name: str) -> int:
        number = self._catalogue.find_class(name)
        if number is None:
            raise UsageError(f"there is no class {name}")
        return number

    def _without_key(self, key: str | None) -> dict[int, ClassRow]:
        """Return the classes that a key chooses, without it."""
        rows = self._db.execute("SELECT class, name, color FROM class WHERE hot_key = ?", (key,))
        return {number: (name, color, None) for number, name, color in rows}


def _put(step: Step, after: dict[int, ClassRow | None]) -> None:
    numbers = sorted(after)
    places = np.array(numbers, np.int64)
    step.change(FIELDS["classes"], places, [after[number] for number in numbers])
    step.changed += len(numbers)
