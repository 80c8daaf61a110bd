"""Where the benchmarks read, and how we do: tiles, regions, viewports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pairs import Batch, Side, Timing, in_threads
from report import Settings
from slides import TILE

from tilescope.domain.geometry import Rect, Size
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.source import SlideSource

Pixels = NDArray[Any]
Place = tuple[int, int]

REGION = 512

#: Of every side that may remember tiles while a viewport moves.
CACHE_BYTES = 64 << 20


def square(x: int, y: int) -> Rect:
    """Return the region whose top left is ``(x, y)``."""
    return Rect(x, y, x + REGION, y + REGION)


class Places:
    """An open slide and random places in it, new ones in every batch."""

    def __init__(self, settings: Settings, source: SlideSource) -> None:
        self.source = source
        self.viewport = Size(settings.scaled(1920, 640), settings.scaled(1080, 360))
        self._settings = settings
        self._rng = np.random.default_rng(settings.seed)

    def tiles(self, items: int) -> Iterator[Batch]:
        """Yield batches of ``(column, row)`` of level 0."""
        level = self.source.info.levels[0]
        for _ in range(self._settings.pairs + 1):
            picked = self._rng.choice(
                level.columns * level.rows,
                self._settings.scaled(items, 4),
                replace=level.columns * level.rows < items,
            )
            yield [divmod(int(index), level.columns)[::-1] for index in picked]

    def regions(self, items: int) -> Iterator[Batch]:
        """Yield batches of level-0 rectangles that cross tile borders both ways."""
        level = self.source.info.levels[0]
        for _ in range(self._settings.pairs + 1):
            corners = self._rng.integers(
                0,
                (level.size.width - REGION, level.size.height - REGION),
                (self._settings.scaled(items, 2), 2),
            )
            # a corner on a border is moved off it
            yield [square(int(x) | 1, int(y) | 1) for x, y in corners]

    def sweeps(self, level: int, frames: int) -> Iterator[Batch]:
        """Yield sweeps of a viewport to and fro over a level, in steps of one tile."""
        width, height = self.viewport.width, self.viewport.height
        size = self.source.info.levels[level].size
        columns = max(1, (size.width - width) // TILE)
        for _ in range(self._settings.pairs + 1):
            start = int(self._rng.integers(0, columns))
            top = int(self._rng.integers(0, max(1, size.height - height - 2 * TILE)))
            path = []
            for step in range(self._settings.scaled(frames, 3)):
                turn, at = divmod(start + step, columns)
                x = (at if turn % 2 == 0 else columns - 1 - at) * TILE
                path.append(Rect(x, top + turn * TILE, x + width, top + turn * TILE + height))
            yield path

    def read_tile(self, place: Place) -> Pixels:
        """Return a tile, our way."""
        return self.source.read_tile(0, place[0], place[1])

    def read_region(self, rect: Rect) -> Pixels:
        """Return a region, our way, remembering nothing."""
        return read_region(self.source, TileCache(0), 0, rect)

    def sweep(self, level: int, threads: int) -> Side:
        """Return a side that starts every sweep with an empty cache."""

        def run(batch: Batch) -> Timing:
            cache = TileCache(CACHE_BYTES)
            return in_threads(lambda rect: read_region(self.source, cache, level, rect), threads)(
                batch
            )

        return run
