"""The ledger of one run: which blocks are done and what they found, in one SQLite file.

A block and its objects are written in one transaction, so that a killed run resumes at the first
block that is not wholly there. The write-ahead log survives a killed process.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.results import Detections
from tilescope.errors import OutputError, RunMismatch
from tilescope.runtime.closing import Closing

APPLICATION_ID = 0x54534C47  # "TSLG"
SCHEMA_VERSION = 1
_BATCH = 2000
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tile (
    tile INTEGER PRIMARY KEY, state INTEGER NOT NULL, error TEXT
);
CREATE TABLE item (
    item INTEGER PRIMARY KEY, tile INTEGER NOT NULL, seq INTEGER NOT NULL, kind INTEGER NOT NULL,
    class INTEGER NOT NULL, score REAL NOT NULL, ring BLOB NOT NULL
);
CREATE UNIQUE INDEX item_order ON item (tile, seq);
CREATE TABLE object (object INTEGER PRIMARY KEY, item INTEGER NOT NULL UNIQUE);
CREATE VIRTUAL TABLE place USING rtree (item, x0, x1, y0, y1);
"""


class TileState(IntEnum):
    """What became of a block."""

    DONE = 1
    BACKGROUND = 2
    FAILED = 3


class Kind(IntEnum):
    """What an item is.

    ``WHOLE`` objects are final; ``CANDIDATE`` objects are whole but may have a twin in a
    neighbouring block; a ``FRAGMENT`` is cut by the edge of what its block saw; ``SEAM`` objects
    are what became of candidates and fragments. What is ``OUTSIDE`` is whole and final, but not
    where the run looks for objects: it tells which candidates and fragments are known, and what of
    an earlier run lies outside now.
    """

    WHOLE = 0
    CANDIDATE = 1
    FRAGMENT = 2
    SEAM = 3
    OUTSIDE = 4


@dataclass(frozen=True, slots=True)
class Item:
    """One stored outline: ``ring`` is ``float64[k, 2]`` in working pixels."""

    item: int
    tile: int
    kind: Kind
    class_index: int
    score: float
    ring: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TileCounts:
    """Blocks by what became of them."""

    done: int
    background: int
    failed: int


class RunLedger(Closing):
    """An open ledger; used by one thread.

    Parameters
    ----------
    path
        The SQLite file; created when missing.
    identity
        What the run is: model, slide and parameters, as text by name. A ledger of another
        identity is refused.

    Raises
    ------
    RunMismatch
        When the file belongs to another run.
    OutputError
        When it cannot be opened or written, or is damaged.
    """

    _schema: ClassVar[str] = _SCHEMA

    def __init__(self, path: Path, identity: Mapping[str, str]) -> None:
        self.path = path
        with _disk_errors(path):
            self._db = sqlite3.connect(path, isolation_level=None)
            try:
                self._prepare(identity)
            except BaseException:
                self._db.close()
                raise

    def _prepare(self, identity: Mapping[str, str]) -> None:
        run = self._db.execute
        is_new = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not is_new:
            self._check_kind()  # before anything is changed in a file that is not ours
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        run("PRAGMA cache_size = -4096")
        run("PRAGMA temp_store = FILE")
        if is_new:
            with self._transaction():
                for statement in self._schema.strip().split(";\n"):
                    run(statement)
                rows = [(key, value) for key, value in identity.items()]
                self._db.executemany("INSERT INTO meta VALUES (?, ?)", rows)
                run(f"PRAGMA application_id = {APPLICATION_ID}")
                run(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._check(identity)

    def _check_kind(self) -> None:
        if self._db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise RunMismatch(self.path.parent, [f"{self.path.name} is not a run ledger"])
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise RunMismatch(self.path.parent, [f"its ledger has version {version}"])

    def _check(self, identity: Mapping[str, str]) -> None:
        stored = dict(self._db.execute("SELECT key, value FROM meta WHERE key NOT LIKE 'note:%'"))
        differences = [
            f"{key} was {stored.get(key, 'unset')}, now {identity.get(key, 'unset')}"
            for key in sorted({*stored, *identity})
            if stored.get(key) != identity.get(key)
        ]
        if differences:
            raise RunMismatch(self.path.parent, differences)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            # A full disk may have rolled back already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, whose failures are the disk's."""
        with _disk_errors(self.path), self._transaction():
            yield

    def note(self, key: str) -> Any:  # noqa: ANN401 - whatever JSON was remembered
        """Return a remembered value (JSON), or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (f"note:{key}",)).fetchone()
        return json.loads(row[0]) if row else None

    def remember(self, key: str, value: object) -> None:
        """Keep a value with the run, for whoever resumes it."""
        with _disk_errors(self.path):
            self._db.execute(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"note:{key}", json.dumps(value))
            )

    def finished_tiles(self) -> set[int]:
        """Return the blocks that need no second run; failed ones are tried again."""
        rows = self._db.execute("SELECT tile FROM tile WHERE state != ?", (TileState.FAILED,))
        return {row[0] for row in rows}

    def looked_at(self) -> set[int]:
        """Return the blocks that the model has seen."""
        rows = self._db.execute("SELECT tile FROM tile WHERE state = ?", (TileState.DONE,))
        return {row[0] for row in rows}

    def counts(self) -> TileCounts:
        """Return how many blocks ended in which way."""
        found = dict(self._db.execute("SELECT state, count(*) FROM tile GROUP BY state"))
        return TileCounts(*(found.get(state, 0) for state in TileState))

    def failures(self, limit: int = 100) -> list[tuple[int, str]]:
        """Return block and cause of failed blocks."""
        return self._db.execute(
            "SELECT tile, error FROM tile WHERE state = ? ORDER BY tile LIMIT ?",
            (TileState.FAILED, limit),
        ).fetchall()

    def skip(self, tiles: Sequence[int]) -> None:
        """Record blocks that hold nothing but background."""
        with self._writing():
            self._db.executemany(
                "INSERT OR REPLACE INTO tile (tile, state) VALUES (?, ?)",
                [(tile, TileState.BACKGROUND) for tile in tiles],
            )

    def fail(self, tile: int, error: str) -> None:
        """Record why a block failed."""
        with self._writing():
            self._db.execute(
                "INSERT OR REPLACE INTO tile (tile, state, error) VALUES (?, ?, ?)",
                (tile, TileState.FAILED, error),
            )

    def finish(self, tile: int, found: Detections, kinds: NDArray[np.uint8]) -> None:
        """Record a block and what it found, in one transaction.

        Parameters
        ----------
        found
            Outlines in working pixels.
        kinds
            ``uint8[n]``: the Kind of each.
        """
        rows = [
            (tile, i, int(kinds[i]), int(found.classes[i]), float(found.scores[i]), _blob(ring))
            for i, ring in enumerate(found)
        ]
        with self._writing():
            self._insert(rows)
            self._db.execute(
                "INSERT OR REPLACE INTO tile (tile, state) VALUES (?, ?)", (tile, TileState.DONE)
            )

    def _insert(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._db.executemany(
            "INSERT INTO item (tile, seq, kind, class, score, ring) VALUES (?, ?, ?, ?, ?, ?)", rows
        )

    def undecided(self) -> list[Item]:
        """Return candidates and fragments, in order of block."""
        return self._items("kind IN (1, 2) ORDER BY tile, seq", ())

    def whole_near(self, x0: float, y0: float, x1: float, y1: float) -> list[Item]:
        """Return whole objects whose box meets the rectangle (working pixels), outside ones too."""
        return self._items(
            "kind IN (0, 4) AND item IN (SELECT item FROM place "
            "WHERE x1 >= ? AND x0 <= ? AND y1 >= ? AND y0 <= ?) ORDER BY tile, seq",
            (x0, x1, y0, y1),
        )

    def _items(self, condition: str, values: Sequence[float]) -> list[Item]:
        rows = self._db.execute(
            f"SELECT item, tile, kind, class, score, ring FROM item WHERE {condition}",  # noqa: S608
            values,
        )
        return [Item(r[0], r[1], Kind(r[2]), r[3], r[4], _ring(r[5])) for r in rows]

    def place_whole(self) -> None:
        """Index the boxes of whole objects; done anew whenever a run finishes."""
        with self._writing():
            self._db.execute("DELETE FROM place")
            self._db.execute("DELETE FROM object")
            self._db.execute("DELETE FROM item WHERE seq < 0")
            self._place("kind IN (0, 4)")

    def _place(self, condition: str) -> None:
        reader = self._db.execute(f"SELECT item, ring FROM item WHERE {condition}")  # noqa: S608
        while rows := reader.fetchmany(_BATCH):
            boxes = [(item, *_box(_ring(blob))) for item, blob in rows]
            self._db.executemany("INSERT INTO place VALUES (?, ?, ?, ?, ?)", boxes)

    def settle(self, seams: Sequence[Item]) -> None:
        """Add what candidates and fragments amount to, and number all objects.

        Numbers follow the order of blocks, so that they do not depend on how often the run was
        interrupted.

        Parameters
        ----------
        seams
            ``SEAM`` objects, and ``OUTSIDE`` ones.
        """
        rows = [
            (s.tile, -1 - i, s.kind, s.class_index, s.score, _blob(s.ring))
            for i, s in enumerate(seams)
        ]
        with self._writing():
            self._insert(rows)
            self._place("seq < 0")
            self._db.execute(
                "INSERT INTO object (item) SELECT item FROM item WHERE kind IN (0, 3) "
                "ORDER BY tile, seq"
            )

    def count_objects(self) -> int:
        """Return the number of final objects."""
        return int(self._db.execute("SELECT count(*) FROM object").fetchone()[0])

    def count_found(self) -> int:
        """Return the number of objects found so far, before seams are settled."""
        return int(self._db.execute("SELECT count(*) FROM item WHERE kind < 3").fetchone()[0])

    def whole(self, class_names: tuple[str, ...]) -> Iterator[Detections]:
        """Yield batches of the whole objects found so far, in working pixels."""
        reader = self._db.execute(
            "SELECT item, class, score, ring FROM item WHERE kind = 0 ORDER BY tile, seq"
        )
        while rows := reader.fetchmany(_BATCH):
            yield _columns(rows, class_names)

    def objects(self, class_names: tuple[str, ...]) -> Iterator[tuple[Detections, int]]:
        """Yield batches of final objects in working pixels, with the number of their first.

        Objects are numbered from 1 without gaps.
        """
        reader = self._db.execute(
            "SELECT object, class, score, ring FROM object JOIN item USING (item) ORDER BY object"
        )
        while rows := reader.fetchmany(_BATCH):
            yield _columns(rows, class_names), int(rows[0][0])

    def objects_in(
        self, box: tuple[float, float, float, float], class_names: tuple[str, ...]
    ) -> tuple[Detections, NDArray[np.uint32]]:
        """Return final objects whose box meets x0, y0, x1, y1 (working pixels), and numbers."""
        x0, y0, x1, y1 = box
        rows = self._db.execute(
            "SELECT object, class, score, ring FROM place JOIN object USING (item) "
            "JOIN item USING (item) WHERE x1 >= ? AND x0 <= ? AND y1 >= ? AND y0 <= ? "
            "ORDER BY object",
            (x0, x1, y0, y1),
        ).fetchall()
        return _columns(rows, class_names), np.array([row[0] for row in rows], np.uint32)

    def outside_in(
        self, box: tuple[float, float, float, float], class_names: tuple[str, ...]
    ) -> Detections:
        """Return what lies outside and whose box meets x0, y0, x1, y1 (working pixels)."""
        x0, y0, x1, y1 = box
        rows = self._db.execute(
            "SELECT item, class, score, ring FROM place JOIN item USING (item) WHERE kind = 4 "
            "AND x1 >= ? AND x0 <= ? AND y1 >= ? AND y0 <= ? ORDER BY item",
            (x0, x1, y0, y1),
        ).fetchall()
        return _columns(rows, class_names)

    def close(self) -> None:
        """Close the file; the write-ahead log is folded into it."""
        self._db.close()


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as exc:
        raise OutputError(
            path, f"{exc}; make room or choose another folder, then run it again"
        ) from exc


def _blob(ring: NDArray[np.float64]) -> bytes:
    return ring.astype("<f4").tobytes()


def _ring(blob: bytes) -> NDArray[np.float64]:
    return np.frombuffer(blob, "<f4").reshape(-1, 2).astype(np.float64)


def _box(ring: NDArray[np.float64]) -> tuple[float, float, float, float]:
    low, high = ring.min(axis=0), ring.max(axis=0)
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def _columns(
    rows: Sequence[tuple[int, int, float, bytes]], class_names: tuple[str, ...]
) -> Detections:
    return Detections.of(
        [_ring(row[3]) for row in rows],
        np.array([row[2] for row in rows], np.float32),
        np.array([row[1] for row in rows], np.uint16),
        class_names,
    )
