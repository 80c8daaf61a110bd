"""What can be wrong with a project file, each said in one line with its remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tilescope.errors import TilescopeError

_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full; make room, nothing that was saved before is lost",
    sqlite3.SQLITE_READONLY: "it cannot be written; open it read-only or copy it elsewhere",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the folder and your permission to it",
    sqlite3.SQLITE_PERM: "it cannot be opened; check your permission to it",
    sqlite3.SQLITE_IOERR: "the disk or network reported an error; check it, then open it again",
}


class ProjectError(TilescopeError):
    """A project file cannot be used as asked; names the file and the remedy.

    Attributes
    ----------
    path
        The project file.
    reason
        One sentence without the path.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


class ProjectBusy(ProjectError):
    """Another process is writing to the project."""


class ProjectDamaged(ProjectError):
    """The bytes of the file contradict themselves."""

    def __init__(self, path: str | Path, found: str) -> None:
        super().__init__(
            path,
            f"the file is damaged ({found}); it was left as it is: salvage what can be read into "
            "a new file, or open one of its backups",
        )


class ProjectReadOnly(ProjectError):
    """The project was opened for reading only."""


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors of the block into errors that name the project and the remedy."""
    try:
        yield
    except sqlite3.DatabaseError as exc:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise ProjectDamaged(path, str(exc)) from exc
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise ProjectBusy(
                path, "another program is writing to it; close it there and try again"
            ) from exc
        raise ProjectError(path, _REMEDIES.get(code, f"the database said: {exc}")) from exc
