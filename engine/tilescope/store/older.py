"""What older versions of a project file look like, and how they are brought up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.store.schema import LEAF_SIZE, LOST, RINGS, SCHEMA_VERSION, STATE, WKB
from tilescope.store.wkb import are_rings, vertices_of

_LEAVES = 200  # read together
_ROWS = 8192


def first_to_second(db: sqlite3.Connection) -> None:
    """Let states be one row per leaf, and leaves of plain polygons nothing but vertices."""
    db.execute("ALTER TABLE leaf ADD COLUMN coding INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE state RENAME TO state_by_row")
    db.execute(
        "CREATE TABLE state (leaf INTEGER PRIMARY KEY, slide INTEGER NOT NULL, "
        "there INTEGER NOT NULL, objects BLOB NOT NULL)"
    )

    def size_of(leaf: int) -> int:
        query = "SELECT length(ids) / 16 FROM leaf WHERE leaf = ?"
        found = db.execute(query, (leaf,)).fetchone()
        return int(found[0]) if found else 0

    missing = np.array((0, LOST, 0, 0), STATE)  # what a salvage could not read has no state
    db.executemany(
        "INSERT INTO state VALUES (?, ?, ?, ?)", states_by_leaf(_states(db), size_of, missing)
    )
    db.execute("DROP TABLE state_by_row")
    for leaf, ends, geometry in _leaves(db):
        *columns, coding = recoded(ends, geometry)
        if coding != WKB:
            db.execute(
                "UPDATE leaf SET ends = ?, geometry = ?, coding = ? WHERE leaf = ?",
                (*columns, coding, leaf),
            )


def _states(db: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    last = -1
    query = "SELECT * FROM state_by_row WHERE row > ? ORDER BY row LIMIT ?"
    while found := db.execute(query, (last, _ROWS)).fetchall():
        yield from found
        last = found[-1][0]


def _leaves(db: sqlite3.Connection) -> Iterator[tuple[int, bytes, bytes]]:
    last = -1
    query = "SELECT leaf, ends, geometry FROM leaf WHERE leaf > ? ORDER BY leaf LIMIT ?"
    while found := db.execute(query, (last, _LEAVES)).fetchall():
        yield from found
        last = found[-1][0]


def states_by_leaf(
    rows: Iterable[tuple[Any, ...]], size_of: Callable[[int], int], missing: NDArray[np.void]
) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield rows of table ``state`` from those of the first version, one per object, ascending.

    Parameters
    ----------
    size_of
        Returns the number of objects of a leaf, 0 when there is no such leaf.
    missing
        The state of objects that have none.
    """
    for leaf, members in groupby(rows, lambda row: int(row[0]) // LEAF_SIZE):
        states = np.full(size_of(leaf), missing, STATE)
        slide = 0
        for row, slide, *columns, gone in members:  # noqa: B007 - all members lie on one slide
            number, kind, locked = columns
            reason = 0 if gone is None else gone or LOST
            if row % LEAF_SIZE < len(states):
                states[row % LEAF_SIZE] = (number, reason, kind, locked)
        if len(states):
            there = int(np.count_nonzero(states["gone"] == 0))
            yield leaf, slide, there, states.tobytes()


def recoded(ends: bytes, geometry: bytes) -> tuple[bytes, bytes, int]:
    """Return ends, geometry and coding of a leaf of the first version, which is all WKB."""
    bounds = [0, *np.frombuffer(ends, "<u4").tolist()]
    blobs = [geometry[a:b] for a, b in pairwise(bounds)]
    if not are_rings(blobs).all():
        return ends, geometry, WKB
    rings = [vertices_of(blob) for blob in blobs]
    return np.cumsum([len(ring) for ring in rings], dtype="<u4").tobytes(), b"".join(rings), RINGS


MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: first_to_second}
"""What turns version n into n + 1, by n; each runs in the transaction that raises the version."""


def migrate(
    db: sqlite3.Connection,
    version: int,
    migrations: Mapping[int, Callable[[sqlite3.Connection], None]] = MIGRATIONS,
    target: int = SCHEMA_VERSION,
) -> None:
    """Bring an older file up to date, one version per transaction.

    A process that is killed in between leaves the file at the last whole version.
    """
    for step in range(version, target):
        db.execute("BEGIN IMMEDIATE")
        try:
            migrations[step](db)
            db.execute(f"PRAGMA user_version = {step + 1}")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
