"""The small tables of a project: slides, classes, runs, and texts that many objects share."""

from __future__ import annotations

import colorsys
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tilescope.domain.annotation import Author, ObjectClass
from tilescope.errors import UsageError
from tilescope.store.deltas import unpack_numbers

_GOLDEN = 0.61803398875  # turns of the colour wheel: any number of hues, all well apart


@dataclass(frozen=True, slots=True)
class SlideRecord:
    """A slide as the project knows it.

    Attributes
    ----------
    slide
        Its number in this project.
    name
        What to call it.
    path
        Where it was last seen, absolute.
    relative_path
        The same from the project's folder; None on another drive.
    identity
        What tells that a file elsewhere is the same slide.
    um_per_px
        Micrometres per level-0 pixel in x and y, None when unknown.
    um_per_px_source
        Where that comes from: a tag of the file, or who entered it.
    notes
        Free text.
    """

    slide: int
    name: str
    path: Path
    relative_path: str | None
    identity: str
    um_per_px: tuple[float, float] | None
    um_per_px_source: str | None
    notes: str

    def candidates(self, project: Path) -> list[Path]:
        """Return where to look for the slide: where it was, then beside the project as it was."""
        moved = [project.parent / self.relative_path] if self.relative_path else []
        return [self.path, *(p for p in moved if p.absolute() != self.path)]

    def is_found(self, project: Path) -> bool:
        """Tell whether the slide is at one of its places; on a drive that is away it is not."""
        # Not Path.exists, which raises what such a drive says.
        return any(os.path.exists(path) for path in self.candidates(project))  # noqa: PTH110


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A model that ran over a slide.

    Attributes
    ----------
    at
        When it was recorded, ISO 8601 in UTC.
    model
        Id of the model.
    detail
        What JSON can hold: version, sha256, parameters, counts.
    """

    slide: int
    model: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    at: str = ""


def now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Catalogue:
    """The small tables of an open database; transactions are the caller's."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._classes: dict[str | None, int] = {None: 0}
        self._authors: dict[str, int] = {}
        self._names: dict[tuple[str, ...], int] = {}
        self._made: list[int] = []

    def forget(self) -> None:
        """Drop remembered numbers: after a rollback they may be gone from the file."""
        self._classes, self._authors, self._names = {None: 0}, {}, {}
        self._made = []

    # Slides

    def slides(self) -> list[SlideRecord]:
        """Return all slides, in the order they were added."""
        rows = self._db.execute(
            "SELECT slide, name, path, relative, identity, um_x, um_y, um_source, notes "
            "FROM slide ORDER BY slide"
        )
        return [_slide(row) for row in rows]

    def slide(self, number: int) -> SlideRecord:
        """Return one slide; ``UsageError`` when the project has none of that number."""
        found = [record for record in self.slides() if record.slide == number]
        if not found:
            raise UsageError(f"{self._path.name} has no slide {number}")
        return found[0]

    def add_slide(self, record: SlideRecord) -> int:
        """Add a slide and return its number; ``record.slide`` is ignored."""
        um_x, um_y = record.um_per_px or (None, None)
        path, relative = str(record.path.absolute()), self._relative(record.path)
        cursor = self._db.execute(
            "INSERT INTO slide (name, path, relative, identity, um_x, um_y, um_source, notes) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *(record.name, path, relative, record.identity),
                *(um_x, um_y, record.um_per_px_source, record.notes),
            ],
        )
        return int(cursor.lastrowid or 0)

    def change_slide(self, record: SlideRecord) -> None:
        """Store everything of a slide but its identity."""
        um_x, um_y = record.um_per_px or (None, None)
        path, relative = str(record.path.absolute()), self._relative(record.path)
        self._db.execute(
            "UPDATE slide SET name = ?, path = ?, relative = ?, um_x = ?, um_y = ?, "
            "um_source = ?, notes = ? WHERE slide = ?",
            [
                *(record.name, path, relative, um_x, um_y),
                *(record.um_per_px_source, record.notes, record.slide),
            ],
        )

    def _relative(self, path: Path) -> str | None:
        try:
            return Path(os.path.relpath(path.absolute(), self._path.parent)).as_posix()
        except ValueError:  # another drive of Windows
            return None

    # Classes

    def classes(self) -> list[ObjectClass]:
        """Return all classes, in the order they were added."""
        rows = self._db.execute("SELECT name, color, hot_key FROM class ORDER BY class")
        return [ObjectClass(name, _color(color), key) for name, color, key in rows]

    def class_names(self) -> dict[int, str | None]:
        """Return the name of every class by number; 0 is None."""
        return {0: None, **dict(self._db.execute("SELECT class, name FROM class"))}

    def put_class(self, wanted: ObjectClass) -> None:
        """Add a class, or change colour and hot key of the one of that name."""
        if wanted.hot_key is not None:
            self._db.execute("UPDATE class SET hot_key = NULL WHERE hot_key = ?", (wanted.hot_key,))
        self._db.execute(
            "INSERT INTO class (class, name, color, hot_key) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET color = excluded.color, hot_key = excluded.hot_key",
            (self._new_number(), wanted.name, packed_color(wanted.color), wanted.hot_key),
        )

    def _new_number(self) -> int:
        """Return a number that no class has or can get back by undoing that it was deleted."""
        numbers = [self._db.execute("SELECT coalesce(max(class), 0) FROM class").fetchone()[0]]
        for (places,) in self._db.execute("SELECT places FROM delta WHERE field = 'classes'"):
            numbers += unpack_numbers(places).tolist()
        return 1 + int(max(numbers))

    def class_number(self, name: str | None) -> int:
        """Return the number of a class, adding it with a colour of its own if it is new."""
        number = self._classes.get(name)
        if number is None:
            number = self.find_class(name)
            if number is None:
                count = self._db.execute("SELECT count(*) FROM class").fetchone()[0]
                self.put_class(ObjectClass(str(name), _hue(count)))
                number = self.find_class(name) or 0
                self._made.append(number)
            self._classes[name] = number
        return number

    def take_made(self) -> list[int]:
        """Return the classes that ``class_number`` added since the last call."""
        made, self._made = self._made, []
        return made

    def find_class(self, name: str | None) -> int | None:
        """Return the number of a class, None when there is none of that name."""
        if name is None:
            return 0
        row = self._db.execute("SELECT class FROM class WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else None

    def counts(self, slide: int | None) -> dict[str | None, int]:
        """Return the number of objects by class name; classes without objects are left out."""
        names = self.class_names()
        rows = self._db.execute(
            "SELECT class, sum(n) FROM tally WHERE ?1 IS NULL OR slide = ?1 "
            "GROUP BY class HAVING sum(n) > 0",
            (slide,),
        )
        return {names.get(number): total for number, total in rows}

    # Runs

    def add_run(self, run: RunRecord) -> None:
        """Record that a model ran."""
        self._db.execute(
            "INSERT INTO run (slide, at, model, detail) VALUES (?, ?, ?, ?)",
            (run.slide, run.at or now(), run.model, json.dumps(run.detail)),
        )

    def runs(self) -> list[RunRecord]:
        """Return all runs, oldest first."""
        rows = self._db.execute("SELECT slide, model, detail, at FROM run ORDER BY run")
        return [RunRecord(slide, model, json.loads(text), at) for slide, model, text, at in rows]

    # Shared texts

    def author_number(self, author: Author) -> int:
        """Return the number of an author, adding it if it is new."""
        detail = json.dumps(author.detail, sort_keys=True)
        key = json.dumps([author.kind, author.name, detail])
        number = self._authors.get(key)
        if number is None:
            row = (author.kind, author.name, detail)
            self._db.execute(
                "INSERT OR IGNORE INTO author (kind, name, detail) VALUES (?, ?, ?)", row
            )
            number = int(
                self._db.execute(
                    "SELECT author FROM author WHERE kind = ? AND name = ? AND detail = ?", row
                ).fetchone()[0]
            )
            if len(self._authors) > 10_000:  # every click may be an author of its own
                self._authors.clear()
            self._authors[key] = number
        return number

    def author(self, number: int) -> Author:
        """Return an author by number."""
        kind, name, detail = self._db.execute(
            "SELECT kind, name, detail FROM author WHERE author = ?", (number,)
        ).fetchone()
        return Author(kind, name, json.loads(detail))

    def names_number(self, names: tuple[str, ...]) -> int:
        """Return the number of a list of measurement names, adding it if it is new."""
        number = self._names.get(names)
        if number is None:
            text = json.dumps(names)
            self._db.execute("INSERT OR IGNORE INTO measure_names (list) VALUES (?)", (text,))
            found = self._db.execute("SELECT names FROM measure_names WHERE list = ?", (text,))
            number = self._names[names] = int(found.fetchone()[0])
        return number

    def names(self, number: int) -> tuple[str, ...]:
        """Return a list of measurement names by number."""
        found = self._db.execute("SELECT list FROM measure_names WHERE names = ?", (number,))
        return tuple(json.loads(found.fetchone()[0]))


def _slide(row: Sequence[Any]) -> SlideRecord:
    slide, name, path, relative, identity, um_x, um_y, source, notes = row
    um_per_px = None if um_x is None else (um_x, um_y)
    return SlideRecord(slide, name, Path(path), relative, identity, um_per_px, source, notes)


def packed_color(color: tuple[int, int, int]) -> int:
    """Return a colour as it is stored, ``0xRRGGBB``."""
    red, green, blue = color
    return red << 16 | green << 8 | blue


def _color(packed: int) -> tuple[int, int, int]:
    return packed >> 16 & 255, packed >> 8 & 255, packed & 255


def _hue(count: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(count * _GOLDEN % 1.0, 0.75, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)
