"""Decoded tiles in memory: bounded in bytes, each tile decoded once however many threads ask.

A process has one budget: slides that are opened without a cache share :func:`shared_cache`. A
program that divides its memory itself makes one :class:`TileCache` and hands it to all slides.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.slide import SlideId
from tilescope.domain.tiles import TileKey
from tilescope.runtime.memory import machine_memory_bytes

Pixels = NDArray[Any]

#: What an entry takes beside its pixels; small tiles would otherwise cost twice what is counted.
ENTRY_BYTES = 384

#: The shared cache takes this part of the machine's memory, and at most so much.
_SHARED_PART = 8
_MOST_SHARED_BYTES = 1 << 30

_MAKING_SHARED = threading.Lock()


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What a cache has done and holds.

    Attributes
    ----------
    hits, misses
        Tiles that were there or being loaded when they were asked for, and the others.
    entries, size_bytes
        Tiles that are there now, and what they take.
    max_bytes
        What they may take.
    slides
        Slides that are open on the cache.
    """

    hits: int
    misses: int
    entries: int
    size_bytes: int
    max_bytes: int
    slides: int


class TileCache:
    """Byte-bounded store of tiles, least recently used out first; for any number of threads.

    Arrays in the cache are read-only: whoever gets one shares it.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = _checked_budget(max_bytes)
        self._lock = threading.Lock()
        self._entries: OrderedDict[TileKey, Pixels] = OrderedDict()
        self._flights: dict[TileKey, Future[Pixels]] = {}
        self._holders: Counter[SlideId] = Counter()
        self._size_bytes = 0
        self._hits = 0
        self._misses = 0

    @property
    def use(self) -> CacheUse:
        """Counters and fill, consistent with each other."""
        with self._lock:
            return CacheUse(
                hits=self._hits,
                misses=self._misses,
                entries=len(self._entries),
                size_bytes=self._size_bytes,
                max_bytes=self._max_bytes,
                slides=len(self._holders),
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

    def resize(self, max_bytes: int) -> None:
        """Change the budget, at once."""
        with self._lock:
            self._max_bytes = _checked_budget(max_bytes)
            self._evict()

    def hold(self, slide: SlideId) -> None:
        """Say that a slide was opened; each call needs one of :meth:`release`."""
        with self._lock:
            self._holders[slide] += 1

    def release(self, slide: SlideId) -> None:
        """Say that a slide was closed; when nobody has it open, its tiles are forgotten."""
        with self._lock:
            self._holders[slide] -= 1
            if self._holders[slide] <= 0:
                del self._holders[slide]
                self._drop(slide)

    def drop_slide(self, slide: SlideId) -> None:
        """Forget the tiles of one slide, those being loaded included."""
        with self._lock:
            self._drop(slide)

    def drop(self, keys: Iterable[TileKey]) -> None:
        """Forget some tiles, those being loaded included: what they show has changed."""
        with self._lock:
            for key in keys:
                self._flights.pop(key, None)
                if key in self._entries:
                    self._remove(key)

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
        if _cost(pixels) > self._max_bytes:
            return
        self._entries[key] = pixels
        self._size_bytes += _cost(pixels)
        self._evict()

    def _evict(self) -> None:
        while self._size_bytes > self._max_bytes:
            self._remove(next(iter(self._entries)))

    def _drop(self, slide: SlideId) -> None:
        for key in [k for k in self._entries if k.slide == slide]:
            self._remove(key)
        for key in [k for k in self._flights if k.slide == slide]:
            del self._flights[key]

    def _remove(self, key: TileKey) -> None:
        self._size_bytes -= _cost(self._entries.pop(key))


def shared_cache() -> TileCache:
    """Return the cache of this process, made when first asked for.

    Its budget is an eighth of the machine's memory and at most 1 GiB; :meth:`TileCache.resize`
    changes it.
    """
    with _MAKING_SHARED:
        return _make_shared()


@functools.cache
def _make_shared() -> TileCache:
    return TileCache(min(_MOST_SHARED_BYTES, machine_memory_bytes() // _SHARED_PART))


def _checked_budget(max_bytes: int) -> int:
    if max_bytes < 0:
        msg = f"a cache cannot hold {max_bytes} bytes"
        raise ValueError(msg)
    return max_bytes


def _cost(pixels: Pixels) -> int:
    return pixels.nbytes + ENTRY_BYTES


def _shareable(pixels: Pixels) -> Pixels:
    """Return the array read-only and alone in its memory, so that nbytes is what it costs."""
    base: object = pixels.base
    is_alone = base is None
    if isinstance(base, np.ndarray) and base.base is None:
        # A reader may leave some bytes before a tile, to place it in memory.
        is_alone = base.nbytes <= pixels.nbytes + 64
    owned = pixels if is_alone else np.array(pixels, order="C")
    owned.flags.writeable = False
    return owned
