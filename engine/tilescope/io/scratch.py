"""Memory for intermediate pixels that is used again instead of asked for anew.

Fresh memory of the size of a chunk comes from the system page by page, which takes about as long
as decoding into it.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

#: Enough for a few threads with chunks of usual sizes.
_MOST_KEPT_BYTES = 8 << 20


class Scratch:
    """A few buffers that are lent to whoever needs one; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[NDArray[np.uint8]] = []
        self._idle_bytes = 0

    def take(self, size_bytes: int) -> NDArray[np.uint8]:
        """Return ``uint8[n]`` of at least ``size_bytes``, full of rubbish; give it back."""
        with self._lock:
            for index, buffer in enumerate(self._idle):
                if buffer.size >= size_bytes:
                    self._idle_bytes -= buffer.size
                    return self._idle.pop(index)
        return np.empty(size_bytes, np.uint8)

    def give(self, buffer: NDArray[np.uint8]) -> None:
        """Take back what :meth:`take` returned; nobody may use it any more."""
        with self._lock:
            if self._idle_bytes + buffer.size <= _MOST_KEPT_BYTES:
                self._idle.append(buffer)
                self._idle_bytes += buffer.size

    def clear(self) -> None:
        """Forget the idle buffers."""
        with self._lock:
            self._idle.clear()
            self._idle_bytes = 0
