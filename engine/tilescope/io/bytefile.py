"""A file that many threads read at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tilescope.io.faults import closed_error


class ByteFile:
    """Reads byte ranges of one file; every method may be called from any thread.

    Where the system has positioned reads no lock is taken.
    """

    def __init__(self, path: str | Path) -> None:
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(path, flags)
        self._lock = threading.Lock()
        self._readers = 0
        self._closing = False
        self.size_bytes = os.fstat(self._descriptor).st_size

    def read_at(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from ``offset``.

        Raises
        ------
        EOFError
            When the file ends before.
        ValueError
            When the file is closed or the range makes no sense.
        """
        if offset < 0 or count < 0 or offset + count > self.size_bytes:
            msg = f"bytes {offset}..{offset + count} lie outside a file of {self.size_bytes}"
            raise EOFError(msg)
        self._enter()
        try:
            data = self._read(offset, count)
        finally:
            self._leave()
        if len(data) != count:
            msg = f"the file ends after {len(data)} of {count} bytes at {offset}"
            raise EOFError(msg)
        return data

    def close(self) -> None:
        """Close the file once the last reader is through; twice is fine."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            idle = self._readers == 0
        if idle:
            os.close(self._descriptor)

    # a descriptor closed under a reader could be reused for another file: its last reader closes it
    def _enter(self) -> None:
        with self._lock:
            if self._closing:
                raise closed_error()
            self._readers += 1

    def _leave(self) -> None:
        with self._lock:
            self._readers -= 1
            last = self._closing and self._readers == 0
        if last:
            os.close(self._descriptor)

    def _read(self, offset: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, count, offset)
        with self._lock:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, count)
