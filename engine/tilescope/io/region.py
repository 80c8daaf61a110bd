"""Rectangles of any size and scale, put together from cached tiles.

Nothing here reads more than the tiles a rectangle touches, and scaled reads go through the source
in blocks, so memory is the result plus a bounded window.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.slide import Level, SlideInfo
from tilescope.domain.tiles import TileKey, tile_rect, tiles_in
from tilescope.io.cache import TileCache
from tilescope.io.source import SlideSource
from tilescope.ops.resample import Scale, resample, scaled_size, source_rect

Pixels = NDArray[Any]

#: A level a thousandth coarser than asked for still serves: vendors round their sizes.
_LEVEL_TOLERANCE = 1e-3

#: Source values that one step of a scaled read may hold.
_BLOCK_VALUES = 1 << 24


def read_region(
    source: SlideSource, cache: TileCache, level: int, rect_level: Rect, *, plane: int = 0
) -> Pixels:
    """Return the pixels of ``rect_level``, with background where it leaves the slide.

    Parameters
    ----------
    source
        An open slide.
    cache
        Where its tiles are kept.
    level
        Index of the level.
    rect_level
        Pixels of that level; may reach outside.
    plane
        Index of the plane, ``t * z_count + z``.

    Returns
    -------
    numpy.ndarray
        ``[height, width, bands]`` in the slide's dtype, owned by the caller.

    Raises
    ------
    TileReadError
        When a tile cannot be read.
    """
    info = source.info
    shape = info.levels[level]
    out = np.empty((rect_level.height, rect_level.width, len(info.bands)), info.dtype)
    if not Rect.of_size(shape.size).encloses(rect_level):
        out[:] = np.asarray(info.background, info.dtype)
    for col, row in tiles_in(shape, rect_level):
        _paste_tile(out, rect_level, source, cache, TileKey(info.id, level, col, row, plane))
    return out


def read_working(
    source: SlideSource, cache: TileCache, rect_work: Rect, factor: float, *, plane: int = 0
) -> Pixels:
    """Return a rectangle of the working grid, whose pixels are ``factor`` level-0 pixels wide.

    The coarsest level that is at least as fine is read and resampled; a pixel has the same value
    in every rectangle that holds it.

    Parameters
    ----------
    source, cache
        The slide and where its tiles are kept.
    rect_work
        Working pixels; outside the slide they are background.
    factor
        Level-0 pixels per working pixel.
    plane
        Index of the plane.

    Returns
    -------
    numpy.ndarray
        ``[height, width, bands]`` in the slide's dtype.

    Raises
    ------
    TileReadError
        When a tile cannot be read.
    """
    info = source.info
    level = level_for(info, factor)
    out = np.empty((rect_work.height, rect_work.width, len(info.bands)), info.dtype)
    inside = rect_work.intersect(Rect.of_size(working_size(info, factor)))
    if inside != rect_work:
        out[:] = np.asarray(info.background, info.dtype)
    if inside is None:
        return out
    scale = Scale(factor / level.downsample_x, factor / level.downsample_y)
    for block in _blocks(inside, scale, len(info.bands)):
        _window(out, rect_work, block)[:] = _read_block(source, cache, level, scale, block, plane)
    return out


def working_size(info: SlideInfo, factor: float) -> Size:
    """Return how many working pixels touch the slide when each is ``factor`` level-0 pixels."""
    return scaled_size(info.size, Scale(factor, factor))


def level_for(info: SlideInfo, factor: float) -> Level:
    """Return the coarsest level that is no coarser than ``factor`` level-0 pixels per pixel."""
    limit = factor * (1 + _LEVEL_TOLERANCE)
    fine = [v for v in info.levels if max(v.downsample_x, v.downsample_y) <= limit]
    return max(fine or info.levels[:1], key=lambda v: v.downsample_x)


def _read_block(
    source: SlideSource, cache: TileCache, level: Level, scale: Scale, block: Rect, plane: int
) -> Pixels:
    rect = source_rect(block, scale, level.size)
    pixels = read_region(source, cache, level.index, rect, plane=plane)
    if scale.x == 1 and scale.y == 1 and rect == block:
        return pixels
    return resample(pixels, rect, scale=scale, rect_dst=block, bounds=level.size)


def _blocks(rect: Rect, scale: Scale, bands: int) -> Iterator[Rect]:
    """Yield parts of ``rect`` whose source windows stay below the block limit."""
    widest = max(1, int(_BLOCK_VALUES / bands / 64 / max(scale.x, 1)))
    width = min(rect.width, widest)
    row_values = width * max(scale.x, 1) * bands * max(scale.y, 1)
    height = max(1, int(_BLOCK_VALUES / row_values))
    for y in range(rect.y0, rect.y1, height):
        for x in range(rect.x0, rect.x1, width):
            yield Rect(x, y, min(x + width, rect.x1), min(y + height, rect.y1))


def _paste_tile(
    out: Pixels, rect: Rect, source: SlideSource, cache: TileCache, key: TileKey
) -> None:
    tile = tile_rect(source.info.levels[key.level], key.col, key.row)
    common = tile.intersect(rect)
    if common is None:
        return
    pixels = cache.get(key, lambda: source.read_tile(key.level, key.col, key.row, key.plane))
    _window(out, rect, common)[:] = _window(pixels, tile, common)


def _window(pixels: Pixels, frame: Rect, part: Rect) -> Pixels:
    return pixels[part.y0 - frame.y0 : part.y1 - frame.y0, part.x0 - frame.x0 : part.x1 - frame.x0]
