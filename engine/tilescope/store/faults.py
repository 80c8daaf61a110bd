"""What SQLite says about a project file, in one line with its remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tilescope.errors import ProjectBusy, ProjectDamaged, ProjectError

_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full; make room, nothing that was saved before is lost",
    sqlite3.SQLITE_READONLY: "it cannot be written; open it read-only or copy it elsewhere",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the folder and your permission to it",
    sqlite3.SQLITE_PERM: "it cannot be opened; check your permission to it",
    sqlite3.SQLITE_IOERR: "the disk or network reported an error; check it, then try again",
}


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors of the block into errors that name the project and the remedy."""
    try:
        yield
    except sqlite3.DatabaseError as exc:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            raise ProjectDamaged(path, "it does not begin as a project does") from exc
        if code == sqlite3.SQLITE_CORRUPT:
            raise ProjectDamaged(path, str(exc)) from exc
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise ProjectBusy(
                path, "another program is writing to it; close it there and try again"
            ) from exc
        raise ProjectError(path, _REMEDIES.get(code, f"the database said: {exc}")) from exc
