"""Numbers in the records of the history, as a few compressed bytes."""

from __future__ import annotations

import sqlite3
import zlib

import numpy as np
from numpy.typing import NDArray

CHUNK = 65_536
"""Rows per record of a delta."""


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
