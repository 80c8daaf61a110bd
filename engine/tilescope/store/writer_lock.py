"""One writer per project: a lock beside the file that the system drops when its holder dies."""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from tilescope.runtime.closing import Closing
from tilescope.store.catalogue import now
from tilescope.store.faults import ProjectBusy, ProjectError

_LIMIT_BYTES = 4096


class WriterLock(Closing):
    """The right to write to a project, held until closed or until the process ends.

    The lock file stays when the lock is given back: removing it would let two processes hold locks
    on two files of one name. Only the lock counts, not that the file is there, so what a killed
    process left behind stops nobody.

    Raises
    ------
    ProjectBusy
        Naming who writes, when another process (or this one) holds it.
    ProjectError
        When the lock file cannot be written.
    """

    def __init__(self, project: Path, user: str) -> None:
        self._project = project
        path = project.with_name(f"{project.name}-lock")
        try:
            self._file: IO[bytes] | None = path.open("a+b")
        except OSError as exc:
            raise ProjectError(
                project, f"cannot lock it for writing ({exc.strerror}); open it read-only"
            ) from exc
        try:
            self._take(self._file)
            self._sign(self._file, user)
        except BaseException:
            self._file.close()
            self._file = None
            raise

    def _take(self, file: IO[bytes]) -> None:
        try:
            _lock(file)
        except OSError as exc:
            raise ProjectBusy(
                self._project,
                f"{_holder(file)} is working on it; close it there, or open it read-only here",
            ) from exc

    def _sign(self, file: IO[bytes], user: str) -> None:
        text = {"process": os.getpid(), "host": socket.gethostname(), "user": user, "since": now()}
        file.truncate(0)
        file.write(json.dumps(text).encode())
        file.flush()

    def close(self) -> None:
        """Let others write."""
        if self._file is not None:
            self._file.close()
            self._file = None


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
