"""Overviews for slides that have none, made on demand from the level below."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.slide import Level, SlideInfo
from tilescope.domain.tiles import tile_rect
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.source import SlideSource
from tilescope.ops.resample import halve
from tilescope.runtime.closing import Closing

Pixels = NDArray[Any]

#: A slide whose coarsest level is no longer than this needs no further overview.
SMALL_ENOUGH_PX = 2048

_TILE = Size(512, 512)


def with_overviews(source: SlideSource, cache: TileCache) -> SlideSource:
    """Return ``source`` itself, or wrapped so that its coarsest level is small."""
    if _is_small(source.info.levels[-1].size):
        return source
    return WithOverviews(source, cache)


class WithOverviews(Closing):
    """A slide with levels added on top, each the 2 x 2 means of the one below.

    A virtual tile needs four tiles of the finer level, which come through the cache, so the
    finest level is never held as a whole. Closing it closes the slide underneath.
    """

    def __init__(self, source: SlideSource, cache: TileCache) -> None:
        self._source = source
        self._cache = cache
        self._real = len(source.info.levels)
        self._info = replace(source.info, levels=_extended(source.info.levels))

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide, virtual levels included."""
        return self._info

    def read_tile(self, level: int, col: int, row: int, plane: int = 0) -> Pixels:
        """Return one tile; see :class:`~tilescope.io.source.SlideSource`."""
        if level < self._real:
            return self._source.read_tile(level, col, row, plane)
        tile = tile_rect(self._info.levels[level], col, row)
        finer = Rect(2 * tile.x0, 2 * tile.y0, 2 * tile.x1, 2 * tile.y1)
        inside = finer.intersect(Rect.of_size(self._info.levels[level - 1].size))
        if inside is None:
            msg = f"level {level} has no tile ({col}, {row})"
            raise IndexError(msg)
        return halve(read_region(self, self._cache, level - 1, inside, plane=plane))

    def close(self) -> None:
        """Close the slide underneath."""
        self._source.close()


def _is_small(size: Size) -> bool:
    return max(size.width, size.height) <= SMALL_ENOUGH_PX


def _extended(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    extended = list(levels)
    while not _is_small(extended[-1].size):
        finer = extended[-1]
        size = Size(-(-finer.size.width // 2), -(-finer.size.height // 2))
        extended.append(
            Level(finer.index + 1, size, _TILE, finer.downsample_x * 2, finer.downsample_y * 2)
        )
    return tuple(extended)
