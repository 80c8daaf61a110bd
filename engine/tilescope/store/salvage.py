"""What can still be read of a damaged project, in a new one.

The damaged file is only read. Rows are copied table by table; where a page cannot be read, the
search goes on behind it. What follows from other tables (indices, counts) is made anew. The steps
of the history are kept as a record, but cannot be undone any more: what they would need may be
gone.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilescope.store import schema
from tilescope.store.catalogue import now
from tilescope.store.faults import ProjectError, database_errors
from tilescope.store.history import Standing
from tilescope.store.leaves import KINDS, id_keys, is_whole, unreadable_slots
from tilescope.store.objects import ROW_OF_ID
from tilescope.store.schema import LEAF_SIZE, TABLES
from tilescope.store.storage import new_file

_BATCH = 200
_LAST_KEY = 2**62
_COPIED = ("slide", "class", "author", "run", "measure_names", "journal", "edit", "delta")
_PLACEHOLDERS = {
    "slide": "INSERT INTO slide SELECT DISTINCT s.slide, 'slide ' || s.slide, '', NULL, "
    "'lost ' || s.slide, NULL, NULL, NULL, '' FROM {0} s "
    "WHERE s.slide NOT IN (SELECT slide FROM slide)",
    "class": "INSERT INTO class SELECT DISTINCT s.class, 'class ' || s.class, 8421504, NULL "
    "FROM state s WHERE s.class != 0 AND s.class NOT IN (SELECT class FROM class)",
    "author": "INSERT INTO author SELECT DISTINCT author, 'import', 'lost ' || author, '{{}}' "
    "FROM leaf WHERE author NOT IN (SELECT author FROM author)",
}


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What a salvage found.

    Attributes
    ----------
    objects
        Objects in the new project.
    losses
        One sentence per kind of thing that was lost or had to be guessed; empty when everything
        could be read.
    """

    objects: int
    losses: tuple[str, ...]


def salvage(damaged: Path, target: Path) -> Salvaged:
    """Write what can be read of ``damaged`` to a new project ``target``.

    Raises
    ------
    ProjectError
        When nothing can be read at all, or ``target`` is there already or cannot be written.
    """
    new_file(target)
    try:
        with (
            tempfile.TemporaryDirectory(dir=target.parent, prefix=".salvage-") as folder,
            database_errors(target),
            closing(_readable(damaged, Path(folder))) as source,
            closing(sqlite3.connect(target, isolation_level=None)) as new,
        ):
            new.execute("BEGIN IMMEDIATE")
            result = _Salvage(damaged, source, new).run()
            new.execute("COMMIT")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return result


def _readable(damaged: Path, folder: Path) -> sqlite3.Connection:
    """Return a connection through which the tables can at least be named."""
    with suppress(sqlite3.DatabaseError):
        return _connect(damaged, "mode=ro")
    try:
        copy = _with_new_head(damaged, folder)
        return _connect(copy, "mode=rw")
    except (OSError, sqlite3.DatabaseError) as exc:
        raise _hopeless(damaged) from exc


def _hopeless(damaged: Path) -> ProjectError:
    return ProjectError(damaged, "nothing of it can be read; open one of its backups")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
    try:
        names = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
    except BaseException:
        db.close()
        raise
    if not {"leaf", "state"} <= names:
        db.close()
        raise sqlite3.DatabaseError("its tables are missing")
    return db


def _with_new_head(damaged: Path, folder: Path) -> Path:
    """Copy the file and put the first page of an empty project over its own.

    Every project is made by the same statements in one transaction, so the tables of all begin
    at the same pages; the first page names these and little else.
    """
    fresh, copy = folder / "fresh", folder / "copy"
    with closing(sqlite3.connect(fresh, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        schema.create(db)
        db.execute("COMMIT")
        page_bytes = int(db.execute("PRAGMA page_size").fetchone()[0])
    head = bytearray(fresh.read_bytes()[:page_bytes])
    head[28:40] = (damaged.stat().st_size // page_bytes).to_bytes(4, "big") + bytes(8)
    shutil.copyfile(damaged, copy)
    log = damaged.with_name(f"{damaged.name}-wal")
    if log.exists():
        shutil.copyfile(log, folder / "copy-wal")
        head[18:20] = b"\x02\x02"  # what marks a file whose log has to be read
    with copy.open("r+b") as file:
        file.write(head)
    return copy


class _Salvage:
    """One salvage from an open database into another."""

    def __init__(self, damaged: Path, source: sqlite3.Connection, new: sqlite3.Connection) -> None:
        self._damaged = damaged
        self._read = 0
        self._source = source
        self._new = new
        self._gaps: dict[str, int] = {}
        self._losses: list[str] = []

    def run(self) -> Salvaged:
        for table in _COPIED:
            self._copy(table)
        self._copy_leaves()
        self._copy_states()
        self._copy_measures()
        if self._gaps and not self._read:
            raise _hopeless(self._damaged)
        for table, statement in _PLACEHOLDERS.items():
            for used_in in ("state", "run") if table == "slide" else ("",):
                found = self._new.execute(statement.format(used_in)).rowcount
                self._lost(found, f"{table} entries had to be replaced by placeholders")
        self._index()
        self._close_history()
        self._losses += [
            f"{n} places in table {table} cannot be read" for table, n in self._gaps.items()
        ]
        there = self._new.execute("SELECT count(*) FROM state WHERE gone IS NULL").fetchone()[0]
        return Salvaged(there, tuple(self._losses))

    def _lost(self, number: int, what: str) -> None:
        if number > 0:
            self._losses.append(f"{number} {what}")

    def _copy(self, table: str) -> None:
        for rows in self._rows(table):
            marks = ", ".join("?" * len(rows[0]))
            for row in rows:
                with suppress(sqlite3.IntegrityError):  # counted as missing where it is used
                    self._new.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608

    def _rows(self, table: str) -> Iterator[list[Any]]:
        """Yield all rows that can be read, in order of their key."""
        key = TABLES[table].split(" ", 1)[0]
        after, limit = -1, _BATCH
        while True:
            query = f"SELECT * FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT ?"  # noqa: S608
            try:
                rows = self._source.execute(query, (after, limit)).fetchall()
            except sqlite3.DatabaseError:
                if limit > 1:
                    limit = 1
                    continue
                self._gaps[table] = self._gaps.get(table, 0) + 1
                after = self._behind_gap(table, key, after)
                if after >= _LAST_KEY:
                    return
                continue
            if not rows:
                return
            self._read += len(rows)
            yield rows
            after, limit = rows[-1][0], min(2 * limit, _BATCH)

    def _behind_gap(self, table: str, key: str, after: int) -> int:
        """Return a key behind which the next row can be read, as small as possible."""

        def readable(start: int) -> bool:
            try:
                query = f"SELECT * FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT 1"  # noqa: S608
                self._source.execute(query, (start,)).fetchone()
            except sqlite3.DatabaseError:
                return False
            return True

        step = 1
        while not readable(after + step):
            step *= 2
            if after + step >= _LAST_KEY:
                return _LAST_KEY
        low, high = after + step // 2, after + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if readable(middle) else (middle, high)
        return high

    def _copy_leaves(self) -> None:
        broken = 0
        for rows in self._rows("leaf"):
            whole = [row for row in rows if is_whole(row)]
            broken += len(rows) - len(whole)
            marks = ", ".join("?" * len(rows[0]))
            self._new.executemany(f"INSERT INTO leaf VALUES ({marks})", whole)  # noqa: S608
        self._lost(broken, f"groups of up to {LEAF_SIZE} objects contradict themselves")

    def _copy_states(self) -> None:
        """Copy states of objects whose leaf is there, and guess those that are missing."""
        homeless = 0
        for rows in self._rows("state"):
            kept = [row for row in rows if _is_state(row) and self._has_place(row[0])]
            homeless += len(rows) - len(kept)
            self._new.executemany("INSERT INTO state VALUES (?, ?, ?, ?, ?, ?)", kept)
        self._lost(homeless, "objects lost their outline")
        guessed = unreadable = 0
        for leaf, slide, ends, geometry in self._new.execute(
            "SELECT leaf, slide, ends, geometry FROM leaf"
        ):
            first = leaf * LEAF_SIZE
            known = {
                row[0]
                for row in self._new.execute(
                    "SELECT row FROM state WHERE row BETWEEN ? AND ?",
                    (first, first + LEAF_SIZE - 1),
                )
            }
            unreadable_here = unreadable_slots(ends, geometry)
            for slot in range(len(ends) // 4):
                row = first + slot
                if slot in unreadable_here:
                    unreadable += self._new.execute(
                        "DELETE FROM state WHERE row = ?", (row,)
                    ).rowcount
                elif row not in known:
                    guess = (row, slide, 0, KINDS.index("detection"), 0, None)
                    self._new.execute("INSERT INTO state VALUES (?, ?, ?, ?, ?, ?)", guess)
                    guessed += 1
        self._lost(unreadable, "objects have an outline that cannot be read")
        self._lost(guessed, "objects lost class and lock, and are there even if they were deleted")

    def _has_place(self, row: int) -> bool:
        return row % LEAF_SIZE < self._objects_in(row // LEAF_SIZE)

    def _copy_measures(self) -> None:
        lost = 0
        listed = self._new.execute("SELECT names, list FROM measure_names")
        widths = {number: len(json.loads(text)) for number, text in listed}
        for rows in self._rows("measured"):
            for leaf, names, numbers in rows:
                n = self._objects_in(leaf)
                size = 8 * n * widths.get(names, 0)
                if not size or not isinstance(numbers, bytes) or len(numbers) != size:
                    lost += 1
                    continue
                self._new.execute("INSERT INTO measured VALUES (?, ?, ?)", (leaf, names, numbers))
        self._lost(lost, f"groups of up to {LEAF_SIZE} objects lost their measurements")

    def _objects_in(self, leaf: int) -> int:
        query = "SELECT length(ids) / 16 FROM leaf WHERE leaf = ?"
        found = self._new.execute(query, (leaf,)).fetchone()
        return int(found[0]) if found else 0

    def _index(self) -> None:
        """Make anew what follows from leaves and states; of twins the newest version stays."""
        for leaf, names in self._new.execute("SELECT leaf, ids FROM leaf ORDER BY leaf DESC"):
            ids = np.frombuffer(names, np.uint8).reshape(-1, 16)
            for slot, key in enumerate(id_keys(ids).tolist()):
                row = leaf * LEAF_SIZE + slot
                state = self._new.execute("SELECT gone FROM state WHERE row = ?", (row,)).fetchone()
                if state is None:
                    continue
                if state[0] is None and self._has_twin(key, ids[slot].tobytes()):
                    self._new.execute("UPDATE state SET gone = 0 WHERE row = ?", (row,))
                self._new.execute("INSERT INTO handle VALUES (?, ?)", (key, row))
        self._new.execute(
            "INSERT INTO box SELECT leaf, slide, slide, x0, x1, y0, y1 FROM leaf WHERE leaf IN "  # noqa: S608
            f"(SELECT DISTINCT row / {LEAF_SIZE} FROM state WHERE gone IS NULL)"
        )
        self._new.execute(
            "INSERT INTO tally SELECT slide, class, kind, count(*) FROM state "
            "WHERE gone IS NULL GROUP BY slide, class, kind"
        )

    def _has_twin(self, key: int, name: bytes) -> bool:
        return self._new.execute(ROW_OF_ID, (key, name)).fetchone() is not None

    def _close_history(self) -> None:
        self._new.execute("UPDATE edit SET standing = ?", (Standing.DROPPED,))
        self._new.execute(
            "INSERT INTO edit SELECT DISTINCT gone, 'lost', '', ?, NULL, NULL, 0, 0, 0, ? "
            "FROM state WHERE gone NOT IN (SELECT edit FROM edit)",
            (now(), Standing.DROPPED),
        )
        self._new.execute(
            "INSERT INTO journal (at, user, action) VALUES (?, '', 'salvage')", (now(),)
        )


def _is_state(row: Sequence[Any]) -> bool:
    return all(isinstance(v, int) for v in row[:5]) and 0 <= row[3] < len(KINDS)
