"""One writer per project: a lock beside the file that the system drops when its holder dies."""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from tilescope.errors import ProjectBusy, ProjectError
from tilescope.runtime.closing import Closing
from tilescope.store.catalogue import now
from tilescope.store.place import Place

_LIMIT_BYTES = 4096


def login_name() -> str:
    """Return who is logged in, nothing where the system does not know."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may have no user of that number
        return ""


class WriterLock(Closing):
    """The right to write to a project, held until closed or until the process ends.

    Only the lock counts, not that the file is there, so what a killed process left behind stops
    nobody. The file is removed when the lock is given back; a lock on a file that was removed
    meanwhile is none, and the next one is tried.

    Raises
    ------
    ProjectBusy
        Naming who writes, when another process (or this one) holds it.
    ProjectError
        When the lock file cannot be written.
    """

    def __init__(self, project: Path, user: str) -> None:
        self._project = project
        self._path = project.with_name(f"{project.name}-lock")
        self._file: IO[bytes] | None = None
        self._place: Place | None = None
        while self._file is None:
            file = self._opened()
            try:
                self._take(file)
                if self._is_current(file):
                    self._sign(file, user)
                    self._file = file
            finally:
                if self._file is None:
                    file.close()
        self._place = Place(project)

    def _opened(self) -> IO[bytes]:
        try:
            return self._path.open("a+b")
        except OSError as exc:
            raise ProjectError(
                self._project, f"cannot lock it for writing ({exc.strerror}); open it read-only"
            ) from exc

    def _take(self, file: IO[bytes]) -> None:
        try:
            _lock(file)
        except OSError as exc:
            raise ProjectBusy(
                self._project,
                f"{_holder(file)} is working on it; close it there, or open it read-only here",
            ) from exc

    def _is_current(self, file: IO[bytes]) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def _sign(self, file: IO[bytes], user: str) -> None:
        text = {"process": os.getpid(), "host": socket.gethostname(), "user": user, "since": now()}
        file.truncate(0)
        file.write(json.dumps(text).encode())
        file.flush()

    def close(self) -> None:
        """Let others write; the project is closed."""
        if self._place is not None:
            self._place.close()
        if self._file is not None:
            if sys.platform != "win32":  # first, so that nobody takes the lock of a file that goes
                with suppress(OSError):  # where the folder is gone
                    if self._is_current(self._file):  # else it is the lock of somebody else
                        self._path.unlink()
            self._file.close()
            self._file = None
            if sys.platform == "win32":
                with suppress(OSError):  # where a file that others opened cannot go
                    self._path.unlink()


def _holder(file: IO[bytes]) -> str:
    """Return who signed the lock file; what cannot be read is 'another program'."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        file.seek(0)
        text = json.loads(file.read(_LIMIT_BYTES))
        user = f"{text['user']} " if text["user"] else "another program "
        return f"{user}(process {int(text['process'])} on {text['host']}, since {text['since']})"
    return "another program"


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        # A byte far behind the text, so that others can still read who holds the lock.
        file.seek(_LIMIT_BYTES)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
