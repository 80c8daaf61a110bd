"""Sets of rows that leave, come back or change, each as a handful of statements.

A set is first written to the temporary table ``touched``; what follows are statements over it, so
that a million objects cost no Python object each, and memory does not grow with their number.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.store.schema import LEAF_SIZE

CHUNK = 65_536
"""Rows per record of a delta."""

_LEAVES = f"SELECT DISTINCT row / {LEAF_SIZE} FROM touched"  # noqa: S608 - a constant
_SPAN = f"row BETWEEN leaf * {LEAF_SIZE} AND leaf * {LEAF_SIZE} + {LEAF_SIZE - 1}"


def prepare(db: sqlite3.Connection) -> None:
    """Make the temporary table; once per connection that writes."""
    db.execute("CREATE TEMP TABLE touched (row INTEGER PRIMARY KEY)")


def touch(db: sqlite3.Connection, rows: Iterable[int]) -> None:
    """Make the set consist of ``rows``."""
    db.execute("DELETE FROM touched")
    db.executemany("INSERT OR IGNORE INTO touched VALUES (?)", ((row,) for row in rows))


def touch_where(db: sqlite3.Connection, condition: str, values: Sequence[Any]) -> None:
    """Make the set consist of the rows of ``state`` that meet a condition."""
    db.execute("DELETE FROM touched")
    db.execute(
        f"INSERT INTO touched SELECT row FROM state WHERE {condition} ORDER BY row",  # noqa: S608
        values,
    )


def touched(db: sqlite3.Connection) -> int:
    """Return how many rows are in the set."""
    return int(db.execute("SELECT count(*) FROM touched").fetchone()[0])


def touched_chunks(db: sqlite3.Connection) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of the set, ascending, a bounded number at a time."""
    last = -1
    while True:
        found = db.execute(
            "SELECT row FROM touched WHERE row > ? ORDER BY row LIMIT ?", (last, CHUNK)
        )
        rows = np.fromiter((row[0] for row in found), np.int64)
        if not len(rows):
            return
        yield rows
        last = int(rows[-1])


def count(db: sqlite3.Connection, sign: int) -> None:
    """Add the objects of the set to the tally, or take them away."""
    db.execute(
        "INSERT INTO tally (slide, class, kind, n) "
        "SELECT slide, class, kind, ? * count(*) FROM touched CROSS JOIN state USING (row) "
        "GROUP BY slide, class, kind "
        "ON CONFLICT (slide, class, kind) DO UPDATE SET n = n + excluded.n",
        (sign,),
    )


def remove(db: sqlite3.Connection, edit: int) -> None:
    """Let the objects of the set be gone because of ``edit``."""
    count(db, -1)
    db.execute("UPDATE state SET gone = ? WHERE row IN touched", (edit,))
    db.execute(
        f"DELETE FROM box WHERE leaf IN (SELECT leaf FROM leaf WHERE leaf IN ({_LEAVES}) "  # noqa: S608
        f"AND NOT EXISTS (SELECT 1 FROM state WHERE {_SPAN} AND gone IS NULL))"
    )


def restore(db: sqlite3.Connection) -> None:
    """Let the objects of the set be there again."""
    count(db, 1)
    db.execute("UPDATE state SET gone = NULL WHERE row IN touched")
    db.execute(
        "INSERT INTO box SELECT leaf, slide, slide, x0, x1, y0, y1 FROM leaf "  # noqa: S608
        f"WHERE leaf IN ({_LEAVES}) AND leaf NOT IN (SELECT leaf FROM box) ORDER BY leaf"
    )


def pack_numbers(numbers: NDArray[np.int64]) -> bytes:
    """Return numbers as bytes: their differences, compressed; a range takes next to nothing."""
    return zlib.compress(np.diff(numbers, prepend=0).astype("<i8").tobytes(), 1)


def unpack_numbers(data: bytes) -> NDArray[np.int64]:
    """Return the numbers of ``pack_numbers``.

    Raises
    ------
    sqlite3.DatabaseError
        When the bytes are damaged.
    """
    return np.cumsum(np.frombuffer(inflate(data, 8 * CHUNK), "<i8"))


def inflate(data: bytes, limit_bytes: int) -> bytes:
    """Return compressed bytes as they were, if they are no more than ``limit_bytes``.

    Raises
    ------
    sqlite3.DatabaseError
        When the bytes are damaged.
    """
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, limit_bytes)
    except zlib.error as exc:
        raise damaged("a record of the history") from exc
    if not stream.eof or len(plain) % 8:
        raise damaged("a record of the history")
    return plain


def damaged(what: str) -> sqlite3.DatabaseError:
    """Return an error as SQLite raises it for a damaged file."""
    error = sqlite3.DatabaseError(f"{what} is damaged")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
