"""What lies under a project file: a local disk, a network drive, or a medium that is read-only."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tilescope.errors import ProjectDamaged, ProjectError
from tilescope.store import schema
from tilescope.store.faults import database_errors
from tilescope.store.place import check_place

_NETWORKS = frozenset(
    {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "afpfs", "ncpfs", "davfs", "webdav"}
    | {"ceph", "glusterfs", "lustre", "beegfs", "gpfs", "ocfs2", "gfs2", "orangefs", "pvfs2"}
    | {"9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs", "osxfuse", "macfuse"}
    | {f"fuse.{name}" for name in ("sshfs", "rclone", "davfs2", "glusterfs", "ceph", "juicefs")}
    | {f"fuse.{name}" for name in ("s3fs", "gcsfuse", "goofys", "mount-s3", "vmhgfs-fuse")}
)
_NOT_SHARED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL)
"""What SQLite says where the memory of a log cannot be shared."""
_HEAD_BYTES = 100
_CACHE_KIB = 16_384
#: Who only reads leaves it to the system to keep pages: many are read once, as for a picture.
_READER_CACHE_KIB = 4096
_BUSY_S = 5.0
_BUSY_ALONE_S = 0.5  # who has the whole file will not give it back in a moment
_WAL_LIMIT_BYTES = 2**26


class Access(Enum):
    """How a project file is opened."""

    WRITE = "write"
    WRITE_ALONE = "write alone"
    READ = "read"
    READ_ALONE = "read alone"
    READ_FROZEN = "read frozen"

    @property
    def writes(self) -> bool:
        """Whether it can be changed."""
        return self in (Access.WRITE, Access.WRITE_ALONE)

    @property
    def is_alone(self) -> bool:
        """Whether nobody else can have it open: there is no memory shared with others."""
        return self in (Access.WRITE_ALONE, Access.READ_ALONE)

    @property
    def locks(self) -> bool:
        """Whether the right to write has to be held."""
        return self.writes or self.is_alone


_STATEMENTS = {
    Access.WRITE: "Every change is saved at once. Others can read while you work.",
    Access.WRITE_ALONE: (
        "The project lies on a network drive: every change is saved at once, but nobody else can "
        "open it while you work, and it is slower than on a local disk."
    ),
    Access.READ_ALONE: (
        "The project lies on a network drive: opened read-only, and nobody else can open it "
        "meanwhile."
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
        alone = is_on_network(path) if on_network is None else on_network
        if writable:
            return cls(path, Access.WRITE_ALONE if alone else Access.WRITE)
        return cls(path, Access.READ_ALONE if alone else Access.READ)

    def connected(self) -> tuple[Storage, sqlite3.Connection]:
        """Return an open connection, and how it was opened.

        A drive that nobody recognised as one of a network may yet refuse the memory that several
        processes share; then the project is opened without it, for one process alone.

        Raises
        ------
        ProjectError
            When the file is not a project; it is as it was.
        """
        try:
            return self, self.connect()
        except sqlite3.OperationalError as exc:
            if self.access is not Access.WRITE or exc.sqlite_errorcode & 0xFF not in _NOT_SHARED:
                raise
        alone = Storage(self.path, Access.WRITE_ALONE)
        return alone, alone.connect()

    def connect(self) -> sqlite3.Connection:
        """Return an open connection, which the caller closes; inside ``database_errors``.

        Raises
        ------
        ProjectError
            When the file is not a project; it is as it was.
        """
        # A reader may write the log's companions, so that the last who closes can clear them away.
        mode = "mode=ro&immutable=1" if self.access is Access.READ_FROZEN else "mode=rw"
        uri = f"{self.path.absolute().as_uri()}?{mode}"
        wait_s = _BUSY_ALONE_S if self.access.is_alone else _BUSY_S
        db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=wait_s)
        try:
            self._set_up(db)
        except BaseException:
            db.close()
            raise
        return db

    def _set_up(self, db: sqlite3.Connection) -> None:
        if self.access.is_alone:
            # Before anything that reads: a log over a network needs memory shared by hosts.
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
        cache_kib = _CACHE_KIB if self.access.writes else _READER_CACHE_KIB
        db.execute(f"PRAGMA cache_size = -{cache_kib}")
        db.execute("PRAGMA temp_store = FILE")
        if db.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:
            raise ProjectError(self.path, "this is an SQLite file but not a Tilescope project")
        if self.access.is_alone:
            db.execute("PRAGMA journal_mode = DELETE")
        elif self.access.writes:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
        if not self.access.writes:
            db.execute("PRAGMA query_only = ON")
            return
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
            db.execute(f"PRAGMA page_size = {schema.PAGE_BYTES}")
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
        When it is missing, or in the place of one that this process writes to.
    ProjectDamaged
        When it is cut off at its very beginning.
    """
    check_place(path)
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
        if sys.platform == "darwin":
            table = subprocess.run(["/sbin/mount"], capture_output=True, check=True, timeout=10)
            mounts = mounts_of_mac(table.stdout.decode(errors="replace"))
        else:
            mounts = mounts_of_linux(Path("/proc/self/mounts").read_text(errors="replace"))
    except (OSError, subprocess.SubprocessError):
        return False
    return filesystem_of(path.resolve(), mounts) in _NETWORKS


Mounts = Sequence[tuple[Path, str]]
"""Mount points and types of file systems; a later one hides an earlier one."""


def mounts_of_linux(text: str) -> Mounts:
    """Return the mount points in ``/proc/self/mounts``."""
    fields = [line.split(" ") for line in text.splitlines()]
    return [
        (Path(line[1].replace("\\040", " ").replace("\\134", "\\")), line[2])
        for line in fields
        if len(line) > 2
    ]


def mounts_of_mac(text: str) -> Mounts:
    """Return the mount points that ``/sbin/mount`` prints on macOS."""
    found = re.findall(r"^.* on (/.*) \((\w+)", text, re.MULTILINE)
    return [(Path(point), kind) for point, kind in found]


def filesystem_of(path: Path, mounts: Mounts) -> str | None:
    """Return the type of the file system that holds an absolute path."""
    best, found = -1, None
    for point, kind in mounts:
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), kind
    return found


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
