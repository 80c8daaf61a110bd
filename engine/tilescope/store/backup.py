"""Copies of a project, made while it is in use; the newest few are kept."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tilescope.errors import ProjectBusy, ProjectError
from tilescope.store.faults import database_errors
from tilescope.store.writer_lock import WriterLock, login_name

KEPT = 3
_COMPANIONS = ("-wal", "-shm", "-journal")


def backups(project: Path) -> list[Path]:
    """Return the backups that are there, newest first."""
    numbered = (_numbered(project, number) for number in range(1, 100))
    return [path for path in numbered if path.exists()]


def back_up(db: sqlite3.Connection, project: Path, kept: int = KEPT) -> Path:
    """Copy an open project beside itself and return the copy; older copies move up by one.

    A copy appears under its name when it is whole and on disk; a failure leaves the older ones as
    they were.

    Raises
    ------
    ProjectError
        When the copy cannot be written.
    """
    partial = project.with_name(f".{project.name}.backup-partial")
    try:
        with suppress(FileNotFoundError):
            partial.unlink()
        copy_to(db, partial, project)
        _rotate(project, kept)
        newest = _numbered(project, 1)
        partial.replace(newest)
    except OSError as exc:
        raise ProjectError(
            project, f"no backup could be made ({exc.strerror}); make room beside it"
        ) from exc
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return newest


@contextmanager
def sole_writer(target: Path, own: Path) -> Iterator[None]:
    """Let nobody else write to a file that is about to be replaced.

    Parameters
    ----------
    own
        The project that is copied, whose lock the caller has.

    Raises
    ------
    ProjectBusy
        When somebody else writes to the project at ``target``.
    """
    target = target.resolve()
    if target == own or not target.exists():
        yield
        return
    try:
        lock = WriterLock(target, login_name())
    except ProjectBusy as exc:
        raise ProjectBusy(
            target,
            "was not replaced: another window or program is working on it; choose another name",
        ) from exc
    with lock:
        yield


def whole_copy(db: sqlite3.Connection, target: Path) -> None:
    """Copy an open database to a file that appears, or is replaced, when the copy is whole.

    Raises
    ------
    ProjectError
        When the copy cannot be written.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        copy_to(db, partial, target)
        for companion in _COMPANIONS:  # of what is replaced; they would be taken for this one's
            target.with_name(target.name + companion).unlink(missing_ok=True)
        partial.replace(target)
    except OSError as exc:
        raise ProjectError(
            target, f"cannot be written ({exc.strerror}); choose another folder"
        ) from exc
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def copy_to(db: sqlite3.Connection, target: Path, named: Path) -> None:
    """Write the state of an open database to a new file and to the disk.

    Parameters
    ----------
    named
        The file that errors name: ``target`` may be one that nobody has heard of.
    """
    with database_errors(named), closing(sqlite3.connect(target)) as copy:
        copy.execute("PRAGMA synchronous = OFF")  # the whole file is synchronised below
        copy.execute("PRAGMA journal_mode = OFF")
        db.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _numbered(project: Path, number: int) -> Path:
    return project.with_name(f"{project.stem}.backup-{number}{project.suffix}")


def _rotate(project: Path, kept: int) -> None:
    for number in range(kept, 0, -1):
        older = _numbered(project, number)
        if not older.exists():
            continue
        if number == kept:
            older.unlink()
        else:
            older.replace(_numbered(project, number + 1))
