"""Tiles for whoever looks at a slide: the newest wish wins.

A view says which tiles it wants, best first, and each new list replaces the one before. Workers
always take the best tile that nobody has and nobody is loading. Nothing queues up, nothing is
cancelled: a tile that scrolled out of sight is no longer wanted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

from tilescope.domain.tiles import TileKey
from tilescope.errors import TilescopeError
from tilescope.io.cache import TileCache
from tilescope.runtime.background import stand_back
from tilescope.runtime.closing import Closing

Pixels = NDArray[Any]

#: Workers that went on are left alone at least so long, however often somebody is in a hurry.
_LEAST_WORK_S = 0.004


class _Wish:
    """What one view wants, and how much of it nobody has to look at again."""

    def __init__(self, keys: Sequence[TileKey]) -> None:
        self.keys = keys
        self.settled = 0


class TileLoader(Closing):
    """Threads that keep a cache filled with what is wanted now.

    Parameters
    ----------
    cache
        Where tiles go; the same one that the views paint from.
    load
        Returns the tile of a key; runs in a worker, several at a time.
    on_ready
        Told of every tile that arrived or failed, in a worker; it has to return at once and
        must not ask the loader, which tells it before it calls itself idle.
    threads
        Number of workers.
    """

    def __init__(
        self,
        cache: TileCache,
        load: Callable[[TileKey], Pixels],
        on_ready: Callable[[TileKey], object],
        *,
        threads: int,
    ) -> None:
        self._cache = cache
        self._load = load
        self._on_ready = on_ready
        self._changed = threading.Condition()
        self._wishes: dict[Hashable, _Wish] = {}
        self._loading: set[TileKey] = set()
        self._failed: dict[TileKey, str] = {}
        self._stopped = False
        self._rests_until = 0.0
        self._went_on_at = 0.0
        self._threads = [
            threading.Thread(target=self._work, name=f"tilescope-tile-{i}", daemon=True)
            for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def want(self, view: Hashable, keys: Sequence[TileKey]) -> None:
        """Replace what a view wishes for, best first; nothing forgets the view."""
        with self._changed:
            if keys:
                self._wishes[view] = _Wish(keys)
            else:
                self._wishes.pop(view, None)
            self._changed.notify_all()

    def rest(self, seconds: float) -> None:
        """Have the workers begin no tile for so long, or until they may go on.

        Whoever has to be quick meanwhile gets the processor, and Python's lock, for itself.
        """
        now = time.monotonic()
        if now - self._went_on_at >= _LEAST_WORK_S:
            self._rests_until = now + seconds

    def go_on(self) -> None:
        """End a rest."""
        with self._changed:
            if self._rests_until:
                self._rests_until = 0.0
                self._went_on_at = time.monotonic()
                self._changed.notify_all()

    def failure(self, key: TileKey) -> str | None:
        """Return why a tile could not be loaded, None when it was not tried or is there.

        A tile that failed is not tried again until it is forgiven.
        """
        with self._changed:
            return self._failed.get(key)

    def forgive(self, keys: Iterable[TileKey] | None = None) -> None:
        """Let tiles that failed be tried again, all of them when none are named."""
        with self._changed:
            for key in list(self._failed) if keys is None else keys:
                self._failed.pop(key, None)
            for wish in self._wishes.values():
                wish.settled = 0
            self._changed.notify_all()

    @property
    def is_idle(self) -> bool:
        """Tell whether everything that is wanted is there or has failed."""
        with self._changed:
            return not self._loading and self._next() is None

    def close(self) -> None:
        """Stop the workers and wait for them; calling it twice is fine."""
        with self._changed:
            self._stopped = True
            self._wishes.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        stand_back()
        while True:
            key = self._take()
            if key is None:
                return
            failure = self._fetch(key)
            with self._changed:
                self._loading.discard(key)
                if failure is not None:
                    self._failed[key] = failure
                self._on_ready(key)

    def _take(self) -> TileKey | None:
        """Wait for a tile to load; None when there will be none any more."""
        with self._changed:
            while not self._stopped:
                rest_s = self._rests_until - time.monotonic()
                key = self._next() if rest_s <= 0 else None
                if key is not None:
                    self._loading.add(key)
                    return key
                self._changed.wait(rest_s if rest_s > 0 else None)
        return None

    def _fetch(self, key: TileKey) -> str | None:
        """Load one tile into the cache; return why that failed."""
        try:
            self._cache.get(key, lambda: self._load(key))
        except TilescopeError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - one bad tile must not end the worker
            return f"{type(error).__name__}: {error}"
        return None

    def _next(self) -> TileKey | None:
        """Return the best wanted tile that is neither there nor on its way; needs the lock."""
        best: TileKey | None = None
        best_rank = -1
        for wish in self._wishes.values():
            while wish.settled < len(wish.keys) and not self._is_open(wish.keys[wish.settled]):
                wish.settled += 1
            if wish.settled < len(wish.keys) and (best is None or wish.settled < best_rank):
                best, best_rank = wish.keys[wish.settled], wish.settled
        return best

    def _is_open(self, key: TileKey) -> bool:
        return (
            key not in self._loading and key not in self._failed and self._cache.peek(key) is None
        )
