"""What lies under a project file: a local disk, a network drive, or a medium that is read-only."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tilescope.store import schema
from tilescope.store.faults import ProjectDamaged, ProjectError, database_errors

_NETWORKS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "9p", "fuse.sshfs"}
    | {"fuse.glusterfs", "fuse.rclone", "davfs", "fuse.davfs2", "ncpfs", "lustre", "beegfs"}
)
_HEAD_BYTES = 100
_CACHE_KIB = 16_384
_BUSY_S = 5.0
_WAL_LIMIT_BYTES = 2**26


class Access(Enum):
    """How a project file is opened."""

    WRITE = "write"
    WRITE_ALONE = "write alone"
    READ = "read"
    READ_FROZEN = "read frozen"

    @property
    def writes(self) -> bool:
        """Whether it can be changed."""
        return self in (Access.WRITE, Access.WRITE_ALONE)


_STATEMENTS = {
    Access.WRITE: "Every change is saved at once. Others can read while you work.",
    Access.WRITE_ALONE: (
        "The project lies on a network drive: every change is saved at once, but nobody else can "
        "open it while you work, and it is slower than on a local disk."
    ),
    Access.READ: (
        "Opened read-only: you see the changes of whoever works on it, and can change nothing."
    ),
    Access.READ_FROZEN: (
        "The project lies where it cannot be written: opened read-only. Copy it to a writable "
        "folder to change it."
    ),
}


@dataclass(frozen=True, slots=True)
class Storage:
    """How a project file can be opened where it lies.

    Attributes
    ----------
    statement
        What works there, in words for the user.
    """

    path: Path
    access: Access

    @property
    def statement(self) -> str:
        """What works there, in words for the user."""
        return _STATEMENTS[self.access]

    @classmethod
    def of(cls, path: Path, *, writable: bool, on_network: bool | None) -> Storage:
        """Return how to open an existing file.

        Parameters
        ----------
        writable
            Whether changes are wanted.
        on_network
            Whether the file lies on a network drive; None finds out where the system tells.

        Raises
        ------
        ProjectError
            When the newest changes lie in a log that cannot be used where it is.
        """
        log = path.with_name(f"{path.name}-wal")
        if not (_may_write(path) and _may_write(path.parent)):
            if log.exists() and log.stat().st_size > 0:
                raise ProjectError(
                    path,
                    f"its newest changes are still in {log.name}, which cannot be used on a "
                    "read-only medium; copy both files to a writable folder and open that copy",
                )
            return cls(path, Access.READ_FROZEN)
        if not writable:
            return cls(path, Access.READ)
        alone = is_on_network(path) if on_network is None else on_network
        return cls(path, Access.WRITE_ALONE if alone else Access.WRITE)

    def connect(self) -> sqlite3.Connection:
        """Return an open connection, which the caller closes; inside ``database_errors``.

        Raises
        ------
        ProjectError
            When the file is not a project; it is as it was.
        """
        modes = {Access.READ: "mode=ro", Access.READ_FROZEN: "mode=ro&immutable=1"}
        uri = f"{self.path.absolute().as_uri()}?{modes.get(self.access, 'mode=rw')}"
        db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_S)
        try:
            self._set_up(db)
        except BaseException:
            db.close()
            raise
        return db

    def _set_up(self, db: sqlite3.Connection) -> None:
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        db.execute("PRAGMA temp_store = FILE")
        if self.access is Access.WRITE_ALONE:
            # Exclusive before the first access: a log over a network needs memory shared by hosts.
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
        if db.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:
            raise ProjectError(self.path, "this is an SQLite file but not a Tilescope project")
        if not self.access.writes:
            db.execute("PRAGMA query_only = ON")
            return
        if self.access is Access.WRITE_ALONE:
            db.execute("PRAGMA journal_mode = DELETE")
        else:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = OFF")


def new_file(path: Path) -> None:
    """Make a project without anything in it; it appears when it is whole.

    Raises
    ------
    ProjectError
        When something is there, the folder cannot be written, or this Python's SQLite lacks R*Tree.
    """
    if path.exists():
        raise ProjectError(path, "something of that name is already there; open it instead")
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        with database_errors(path), closing(sqlite3.connect(partial, isolation_level=None)) as db:
            options = {row[0] for row in db.execute("PRAGMA compile_options")}
            if "ENABLE_RTREE" not in options:
                raise ProjectError(
                    path, "this Python's SQLite has no R*Tree; use a Python from python.org"
                )
            db.execute("BEGIN IMMEDIATE")
            schema.create(db)
            db.execute("COMMIT")
        partial.replace(path)
    except OSError as exc:
        raise ProjectError(
            path, f"cannot be created ({exc.strerror}); choose a folder you may write to"
        ) from exc
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def check_file(path: Path) -> None:
    """Make sure that a file is there and long enough to be a project.

    It is not opened: closing a file drops every lock that this process holds on it, and another
    connection of this process may rely on one.

    Raises
    ------
    ProjectError
        When it is missing.
    ProjectDamaged
        When it is cut off at its very beginning.
    """
    try:
        found = path.stat()
    except OSError as exc:
        raise ProjectError(path, f"cannot be opened ({exc.strerror}); check the name") from exc
    if not stat.S_ISREG(found.st_mode):
        raise ProjectError(path, "is not a file; name the project file itself")
    if found.st_size < _HEAD_BYTES:
        raise ProjectDamaged(path, f"it has only {found.st_size} bytes")


def is_on_network(path: Path) -> bool:
    """Tell whether a path lies on a network drive, as far as the system says."""
    if sys.platform == "win32":
        import ctypes

        root = path.absolute().anchor
        return root.startswith("\\\\") or ctypes.windll.kernel32.GetDriveTypeW(root) == 4
    try:
        table = Path("/proc/self/mounts").read_text(errors="replace")
    except OSError:
        return False
    return filesystem_of(path.resolve(), table) in _NETWORKS


def filesystem_of(path: Path, mounts: str) -> str | None:
    """Return the type of the file system that holds an absolute path.

    Parameters
    ----------
    mounts
        Text in the form of ``/proc/self/mounts``; a later line hides an earlier one.
    """
    best, found = -1, None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " ").replace("\\134", "\\"))
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), fields[2]
    return found


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
