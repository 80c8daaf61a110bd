"""Whether the file of an open project is still the one at its path."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from tilescope.errors import ProjectError
from tilescope.runtime.closing import Closing

#: A handle that reads nothing: closing it leaves the locks alone that others of this process hold
#: on the file. Where there is none, the numbers that the file had have to do.
_HANDLE = getattr(os, "O_PATH", None)
_LOGS = ("-wal", "-shm")

_known: dict[Path, Place] = {}
_changing = threading.Lock()


class Place(Closing):
    """Remembers which file lies at the path of a project that this process writes to.

    Parameters
    ----------
    path
        The file, which is open and stays so until this is closed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        self._first: os.stat_result | None = None
        self._logs: dict[Path, os.stat_result] = {}
        with suppress(OSError):  # gone already: it is not kept
            if _HANDLE is not None:
                self._handle = os.open(path, _HANDLE | os.O_CLOEXEC)
            self._first = path.stat()
        with _changing:
            _known[path] = self

    @property
    def is_kept(self) -> bool:
        """Whether the file is there; deleted, and another one in its place, are both no.

        A drive that does not answer for the moment says nothing.
        """
        first = self._first if self._handle is None else os.fstat(self._handle)
        if first is None:
            return False
        try:
            if not os.path.samestat(first, self._path.stat()):
                return False
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        self._logs = {}
        for log in self._all_logs():
            with suppress(OSError):  # they come and go with whoever reads the project
                self._logs[log] = log.stat()
        return True

    def close(self) -> None:
        """Let go of the file, whose database is closed; calling it twice is fine."""
        with _changing:
            if _known.get(self._path) is self:
                if not self.is_kept:
                    self._clear_logs()
                del _known[self._path]
        if self._handle is not None:
            os.close(self._handle)
            self._handle = self._first = None

    def _clear_logs(self) -> None:
        """Delete the log of a file that is gone, lest it is taken for that of another one there."""
        for log, first in self._logs.items():
            with suppress(OSError):
                if os.path.samestat(first, log.stat()):
                    log.unlink()

    def _all_logs(self) -> list[Path]:
        return [self._path.with_name(self._path.name + end) for end in _LOGS]


def is_displaced(path: Path) -> bool:
    """Tell whether a project that this process writes to is no longer the file at its path."""
    with _changing:
        known = _known.get(path)
        return known is not None and not known.is_kept


def check_place(path: Path) -> None:
    """Make sure that a file is not in the place of a project that this process writes to.

    Its log, which is still there, would be taken for that of the file.

    Raises
    ------
    ProjectError
        When it is.
    """
    if is_displaced(path):
        raise ProjectError(
            path, "another program deleted or replaced it while it was open; try again in a moment"
        )
