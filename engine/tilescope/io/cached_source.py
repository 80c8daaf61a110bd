"""Slides whose decoded tiles leave memory when they are closed."""

from __future__ import annotations

import threading
from typing import Any

from numpy.typing import NDArray

from tilescope.domain.slide import SlideInfo
from tilescope.io.cache import TileCache
from tilescope.io.source import SlideSource
from tilescope.runtime.closing import Closing

Pixels = NDArray[Any]


class CachedSource(Closing):
    """A slide that is read through a cache and gives its memory back on closing.

    Where the same slide is open twice, the last one closed does so.
    """

    def __init__(self, source: SlideSource, cache: TileCache) -> None:
        self._source = source
        self._cache = cache
        self._lock = threading.Lock()
        self._open = True
        cache.hold(source.info.id)

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide."""
        return self._source.info

    def read_tile(self, level: int, col: int, row: int, plane: int = 0) -> Pixels:
        """Return one tile; see :class:`~tilescope.io.source.SlideSource`."""
        return self._source.read_tile(level, col, row, plane)

    def close(self) -> None:
        """Close the slide underneath and forget its tiles."""
        with self._lock:
            was_open, self._open = self._open, False
        self._source.close()
        if was_open:
            self._cache.release(self._source.info.id)
