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
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.annotation_ids import id_keys
from tilescope.domain.counts import counted
from tilescope.errors import ProjectError
from tilescope.store import schema, states
from tilescope.store.catalogue import now
from tilescope.store.faults import database_errors
from tilescope.store.history import Standing
from tilescope.store.leaves import is_whole, unreadable_slots
from tilescope.store.objects import ROW_OF_ID
from tilescope.store.older import states_by_leaf
from tilescope.store.schema import KINDS, LEAF_SIZE, LOST, STATE, TABLES, WKB
from tilescope.store.storage import new_file

_BATCH = 200
_LAST_KEY = 2**62
_COPIED = ("slide", "class", "author", "run", "measure_names", "journal", "edit", "delta")
_STAND_INS = {
    "slide": "INSERT INTO slide SELECT n, 'slide ' || n, '', NULL, 'lost ' || n, NULL, NULL, NULL, "
    "'' FROM used WHERE n NOT IN (SELECT slide FROM slide)",
    "class": "INSERT INTO class SELECT n, 'class ' || n, 8421504, NULL FROM used "
    "WHERE n != 0 AND n NOT IN (SELECT class FROM class)",
    "author": "INSERT INTO author SELECT n, 'import', 'lost ' || n, '{}' FROM used "
    "WHERE n NOT IN (SELECT author FROM author)",
    "edit": "INSERT INTO edit SELECT n, 'lost', '', '', NULL, NULL, 0, 0, 0, 2 FROM used "
    "WHERE n NOT IN (SELECT edit FROM edit)",
}
_GROUP = f"of up to {LEAF_SIZE} objects"
_GUESS = np.array((0, 0, KINDS.index("detection"), 0), STATE)


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
    new_file(fresh)
    head = bytearray(fresh.read_bytes()[: schema.PAGE_BYTES])
    head[28:40] = (damaged.stat().st_size // schema.PAGE_BYTES).to_bytes(4, "big") + bytes(8)
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
        columns = source.execute("SELECT name FROM pragma_table_info('state')")
        self._is_first_version = ("row",) in columns.fetchall()
        self._losses: list[str] = []

    def run(self) -> Salvaged:
        for table in _COPIED:
            self._copy(table)
        self._copy_leaves()
        self._copy_states()
        self._copy_measures()
        if self._gaps and not self._read:
            raise _hopeless(self._damaged)
        self._index()
        self._replace_lost()
        self._close_history()
        self._losses += [
            f"{counted(n, 'place')} in table {table} cannot be read"
            for table, n in self._gaps.items()
        ]
        there = self._new.execute("SELECT coalesce(sum(there), 0) FROM state").fetchone()[0]
        return Salvaged(there, tuple(self._losses))

    def _lost(self, number: int, one: str, several: str) -> None:
        if number > 0:
            self._losses.append(counted(number, one, several))

    def _copy(self, table: str) -> None:
        for rows in self._rows(table):
            marks = ", ".join("?" * len(rows[0]))
            for row in rows:
                with suppress(sqlite3.IntegrityError):  # counted as missing where it is used
                    self._new.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608

    def _rows(self, table: str) -> Iterator[list[Any]]:
        """Yield all rows that can be read, in order of their key."""
        key = "row" if table == "state" and self._is_first_version else _key_of(table)
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
        coding = (WKB,) if self._is_first_version else ()
        marks = ", ".join("?" * 16)
        for rows in self._rows("leaf"):
            whole = [row for row in ((*row, *coding) for row in rows) if is_whole(row)]
            broken += len(rows) - len(whole)
            self._new.executemany(f"INSERT INTO leaf VALUES ({marks})", whole)  # noqa: S608
        self._lost(
            broken, f"group {_GROUP} contradicts itself", f"groups {_GROUP} contradict themselves"
        )

    def _copy_states(self) -> None:
        """Copy states of objects whose leaf is there, and guess those that are missing."""
        homeless = 0
        for leaf, slide, _, objects in self._states():
            size = self._objects_in(leaf)
            homeless += size == 0
            if size and _are_states(slide, objects, size):
                self._put_states(leaf, slide, np.frombuffer(objects, STATE))
        self._lost(
            homeless, f"group {_GROUP} lost its outline", f"groups {_GROUP} lost their outline"
        )
        guessed = unreadable = 0
        for leaf, slide, *columns in self._new.execute(
            "SELECT leaf, slide, ends, geometry, coding FROM leaf"
        ):
            known = states.read(self._new, np.array([leaf])).states
            lost = unreadable_slots(*columns)
            found = known if len(known) else np.full(self._objects_in(leaf), _GUESS, STATE)
            guessed += len(found) - len(known)
            if lost or not len(known):
                found = found.copy()
                found["gone"][list(lost)] = LOST
                self._put_states(leaf, slide, found)
            unreadable += len(lost)
        outline = "an outline that cannot be read"
        self._lost(unreadable, f"object has {outline}", f"objects have {outline}")
        self._lost(
            guessed,
            "object lost class and lock, and is there even if it was deleted",
            "objects lost class and lock, and are there even if they were deleted",
        )

    def _states(self) -> Iterator[tuple[Any, ...]]:
        rows = chain.from_iterable(self._rows("state"))
        if not self._is_first_version:
            return rows
        known = (row for row in rows if _is_state_by_row(row))
        return states_by_leaf(known, lambda leaf: self._objects_in(leaf) or LEAF_SIZE, _GUESS)

    def _put_states(self, leaf: int, slide: int, found: NDArray[np.void]) -> None:
        there = int(np.count_nonzero(found["gone"] == 0))
        self._new.execute(
            "INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)",
            (leaf, slide, there, found.tobytes()),
        )

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
        self._lost(
            lost,
            f"group {_GROUP} lost its measurements",
            f"groups {_GROUP} lost their measurements",
        )

    def _objects_in(self, leaf: int) -> int:
        query = "SELECT length(ids) / 16 FROM leaf WHERE leaf = ?"
        found = self._new.execute(query, (leaf,)).fetchone()
        return int(found[0]) if found else 0

    def _index(self) -> None:
        """Make anew what follows from leaves and states; of twins the newest version stays."""
        for leaf, slide, names in self._new.execute(
            "SELECT leaf, slide, ids FROM leaf ORDER BY leaf DESC"
        ):
            ids = np.frombuffer(names, np.uint8).reshape(-1, 16)
            found = states.read(self._new, np.array([leaf])).states.copy()
            for slot, key in enumerate(id_keys(ids).tolist()):
                if found["gone"][slot] == 0 and self._has_twin(key, ids[slot].tobytes()):
                    found["gone"][slot] = LOST
                    self._put_states(leaf, slide, found)
                row = leaf * LEAF_SIZE + slot
                self._new.execute("INSERT INTO handle VALUES (?, ?)", (key, row))
        self._new.execute(
            "INSERT INTO box SELECT leaf, leaf.slide, leaf.slide, x0, x1, y0, y1 "
            "FROM leaf JOIN state USING (leaf) WHERE there > 0"
        )

    def _has_twin(self, key: int, name: bytes) -> bool:
        return self._new.execute(ROW_OF_ID, (key, name)).fetchone() is not None

    def _replace_lost(self) -> None:
        """Count the objects, and put stand-ins where they name what could not be read."""
        query = "SELECT slide FROM state UNION SELECT slide FROM run"
        used: dict[str, set[int]] = {"class": set(), "edit": set()}
        used["slide"] = {row[0] for row in self._new.execute(query)}
        used["author"] = {row[0] for row in self._new.execute("SELECT DISTINCT author FROM leaf")}
        for part in states.stretches(self._new):
            states.count(self._new, part.slides[part.owners], part.states[:0], part.states)
            used["class"].update(np.unique(part.states["class"]).tolist())
            used["edit"].update(np.unique(part.states["gone"]).tolist())
        used["edit"] -= {0, LOST}
        self._new.execute("CREATE TEMP TABLE used (n INTEGER PRIMARY KEY)")
        for table, statement in _STAND_INS.items():
            self._new.execute("DELETE FROM used")
            self._new.executemany("INSERT INTO used VALUES (?)", ((n,) for n in used[table]))
            found = self._new.execute(statement).rowcount
            self._lost(
                found,
                f"{table} entry was lost and got a new one with a made-up name",
                f"{table} entries were lost and got new ones with made-up names",
            )

    def _close_history(self) -> None:
        self._new.execute("UPDATE edit SET standing = ?", (Standing.DROPPED,))
        self._new.execute(
            "INSERT INTO journal (at, user, action) VALUES (?, '', 'salvage')", (now(),)
        )


def _key_of(table: str) -> str:
    return TABLES[table].split(" ", 1)[0]


def _are_states(slide: object, objects: object, size: int) -> bool:
    if not isinstance(slide, int) or not isinstance(objects, bytes):
        return False
    if len(objects) != size * STATE.itemsize:
        return False
    return bool((np.frombuffer(objects, STATE)["kind"] < len(KINDS)).all())


def _is_state_by_row(row: Sequence[Any]) -> bool:
    whole = all(isinstance(v, int) and 0 <= v < LOST for v in row[1:5])
    return whole and row[3] < len(KINDS) and (row[5] is None or 0 <= row[5] < LOST)
