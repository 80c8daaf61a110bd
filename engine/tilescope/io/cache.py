"""Decoded tiles in memory: bounded in bytes, each tile decoded once however many threads ask."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.slide import SlideId
from tilescope.domain.tiles import TileKey

Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What a cache has done and holds."""

    hits: int
    misses: int
    entries: int
    size_bytes: int
    max_bytes: int


class TileCache:
    """Byte-bounded store of tiles, least recently used out first; for any number of threads.

    Arrays in the cache are read-only: whoever gets one shares it.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            msg = f"a cache cannot hold {max_bytes} bytes"
            raise ValueError(msg)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[TileKey, Pixels] = OrderedDict()
        self._flights: dict[TileKey, Future[Pixels]] = {}
        self._size_bytes = 0
        self._hits = 0
        self._misses = 0

    @property
    def use(self) -> CacheUse:
        """Counters and fill, consistent with each other."""
        with self._lock:
            return CacheUse(
                self._hits, self._misses, len(self._entries), self._size_bytes, self._max_bytes
            )

    def get(self, key: TileKey, load: Callable[[], Pixels]) -> Pixels:
        """Return the tile of ``key``, calling ``load`` when nobody has it or is loading it.

        ``load`` runs in the calling thread and without a lock; threads that ask for the same
        tile meanwhile wait for it. What it raises is raised in all of them and not remembered.
        """
        with self._lock:
            held = self._entries.get(key)
            if held is not None:
                self._entries.move_to_end(key)
                self._hits += 1
                return held
            flight = self._flights.get(key)
            if flight is None:
                mine = self._flights[key] = Future()
                self._misses += 1
            else:
                self._hits += 1
        if flight is not None:
            return flight.result()
        return self._load(key, mine, load)

    def peek(self, key: TileKey) -> Pixels | None:
        """Return the tile when it is there; loads and counts nothing."""
        with self._lock:
            return self._entries.get(key)

    def put(self, key: TileKey, pixels: Pixels) -> None:
        """Store a tile, in place of the one that was there; one above the cap is not kept."""
        with self._lock:
            self._store(key, _shareable(pixels))

    def drop_slide(self, slide: SlideId) -> None:
        """Forget the tiles of one slide, those being loaded included."""
        with self._lock:
            for key in [k for k in self._entries if k.slide == slide]:
                self._remove(key)
            for key in [k for k in self._flights if k.slide == slide]:
                del self._flights[key]

    def clear(self) -> None:
        """Forget all tiles, those being loaded included."""
        with self._lock:
            self._entries.clear()
            self._flights.clear()
            self._size_bytes = 0

    def _load(self, key: TileKey, mine: Future[Pixels], load: Callable[[], Pixels]) -> Pixels:
        try:
            pixels = _shareable(load())
        except BaseException as error:
            with self._lock:
                self._land(key, mine)
            mine.set_exception(error)
            raise
        with self._lock:
            # a flight that was dropped meanwhile belongs to a slide nobody wants any more
            if self._land(key, mine):
                self._store(key, pixels)
        mine.set_result(pixels)
        return pixels

    def _land(self, key: TileKey, mine: Future[Pixels]) -> bool:
        if self._flights.get(key) is not mine:
            return False
        del self._flights[key]
        return True

    def _store(self, key: TileKey, pixels: Pixels) -> None:
        if key in self._entries:
            self._remove(key)
        if pixels.nbytes > self._max_bytes:
            return
        self._entries[key] = pixels
        self._size_bytes += pixels.nbytes
        while self._size_bytes > self._max_bytes:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: TileKey) -> None:
        self._size_bytes -= self._entries.pop(key).nbytes


def _shareable(pixels: Pixels) -> Pixels:
    """Return the array read-only and owning its memory, so that nbytes is what it costs."""
    owned = pixels if pixels.base is None else np.array(pixels, order="C")
    owned.flags.writeable = False
    return owned
