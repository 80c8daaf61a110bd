"""Rectangles of any size and scale, put together from cached tiles.

Nothing here reads more than the tiles a rectangle touches, and scaled reads go through the source
in blocks, so memory is the result plus a bounded window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.slide import Level, SlideInfo
from tilescope.domain.tiles import TileKey, tile_rect, tiles_in
from tilescope.errors import UsageError
from tilescope.io.cache import TileCache
from tilescope.io.source import SlideSource
from tilescope.ops.resample import Scale, resample, scaled_size, source_rect

Pixels = NDArray[Any]

#: A level a thousandth coarser than asked for still serves: vendors round their sizes.
_LEVEL_TOLERANCE = 1e-3

#: What microscopists mean by 40x is 0.25 um/px, by 20x 0.5 um/px: ten divided by it.
UM_PER_PX_AT_1X = 10.0

#: An edge this close to that of a pixel, in output pixels, is meant to be there.
_SNAP = 1e-6

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
    scale = Scale(factor, factor)
    grid = Rect.of_size(working_size(source.info, factor))
    return _read_scaled(source, cache, scale, rect_work, rect_work.intersect(grid), plane)


def read_at(
    source: SlideSource,
    cache: TileCache,
    rect_l0: tuple[float, float, float, float],
    *,
    factor: float | None = None,
    um_per_px: float | None = None,
    magnification: float | None = None,
    plane: int = 0,
) -> Pixels:
    """Return any rectangle at any scale, of which exactly one of three is given.

    The coarsest level that is at least as fine is read; shrinking averages over the exact area of
    each pixel, enlarging interpolates. Pixels that touch the slide show what they cover of it, the
    others background.

    Parameters
    ----------
    source, cache
        The slide and where its tiles are kept.
    rect_l0
        Left, top, right and bottom edge in level-0 pixels, between pixels as well and outside the
        slide.
    factor
        Level-0 pixels per pixel of the result.
    um_per_px
        Micrometres per pixel of the result.
    magnification
        That of the objective under which pixels would be so large; see :func:`scale_at`.
    plane
        Index of the plane.

    Returns
    -------
    numpy.ndarray
        ``[height, width, bands]`` in the slide's dtype. The top left corner of its first pixel is
        that of ``rect_l0``; the last pixels reach up to a pixel beyond the other corner.

    Raises
    ------
    UsageError
        When the rectangle is empty, the scale is given twice or not at all, or the slide does not
        say how large its pixels are.
    TileReadError
        When a tile cannot be read.
    """
    asked = scale_at(source.info, factor=factor, um_per_px=um_per_px, magnification=magnification)
    x0, y0, x1, y1 = rect_l0
    if not (math.isfinite(x1 - x0) and math.isfinite(y1 - y0) and x0 < x1 and y0 < y1):
        raise UsageError(f"the rectangle {x0}, {y0}, {x1}, {y1} is empty or has no end")
    scale = Scale(asked.x, asked.y, x0, y0)
    rect = Rect(0, 0, _pixels_over(x1 - x0, scale.x), _pixels_over(y1 - y0, scale.y))
    return _read_scaled(source, cache, scale, rect, _inside(rect, scale, source.info.size), plane)


def scale_at(
    info: SlideInfo,
    *,
    factor: float | None = None,
    um_per_px: float | None = None,
    magnification: float | None = None,
) -> Scale:
    """Return the level-0 pixels per pixel that one of three ways of saying it stands for.

    A magnification is compared with the power of the objective that the file names; when it names
    none, with the size of the pixels, by the convention that 40x is 0.25 um/px.

    Raises
    ------
    UsageError
        When not exactly one is given, it is not positive, or the slide does not say what it needs.
    """
    given = [v for v in (factor, um_per_px, magnification) if v is not None]
    if len(given) != 1:
        raise UsageError("say one of factor, um_per_px and magnification")
    if not 0 < given[0] < math.inf:
        raise UsageError(f"{given[0]} is no scale: it has to be positive and finite")
    if factor is not None:
        return Scale(factor, factor)
    if magnification is not None:
        if info.objective_power is not None:
            power = info.objective_power / magnification
            return Scale(power, power)
        um_per_px = UM_PER_PX_AT_1X / magnification
    assert um_per_px is not None
    if info.pixel_size is None:
        objective = "" if magnification is None else "which objective it was scanned with or "
        reason = f"does not say {objective}how large its pixels are; state um/px when opening it"
        raise UsageError(f"{info.path} {reason}")
    return Scale(um_per_px / info.pixel_size.um_x, um_per_px / info.pixel_size.um_y)


def working_size(info: SlideInfo, factor: float) -> Size:
    """Return how many working pixels touch the slide when each is ``factor`` level-0 pixels."""
    return scaled_size(info.size, Scale(factor, factor))


def level_for(info: SlideInfo, factor: float) -> Level:
    """Return the coarsest level that is no coarser than ``factor`` level-0 pixels per pixel."""
    return _level_for(info, Scale(factor, factor))


def _level_for(info: SlideInfo, scale: Scale) -> Level:
    x, y = scale.x * (1 + _LEVEL_TOLERANCE), scale.y * (1 + _LEVEL_TOLERANCE)
    fine = [v for v in info.levels if v.downsample_x <= x and v.downsample_y <= y]
    return max(fine or info.levels[:1], key=lambda v: v.downsample_x)


def _pixels_over(length: float, factor: float) -> int:
    return max(1, math.ceil(length / factor - _SNAP))


def _inside(rect: Rect, scale: Scale, size: Size) -> Rect | None:
    """Return the pixels of ``rect`` that touch a slide of ``size`` level-0 pixels."""
    x0, y0 = (math.floor(-a / f + _SNAP) for a, f in ((scale.x0, scale.x), (scale.y0, scale.y)))
    x1 = math.ceil((size.width - scale.x0) / scale.x - _SNAP)
    y1 = math.ceil((size.height - scale.y0) / scale.y - _SNAP)
    return rect.intersect(Rect(x0, y0, x1, y1)) if x0 < x1 and y0 < y1 else None


def _read_scaled(
    source: SlideSource,
    cache: TileCache,
    scale_l0: Scale,
    rect: Rect,
    inside: Rect | None,
    plane: int,
) -> Pixels:
    """Return the pixels of ``rect``, background but for those that lie ``inside`` the slide."""
    info = source.info
    out = np.empty((rect.height, rect.width, len(info.bands)), info.dtype)
    if inside != rect:
        out[:] = np.asarray(info.background, info.dtype)
    if inside is None:
        return out
    level = _level_for(info, scale_l0)
    scale = Scale(
        scale_l0.x / level.downsample_x,
        scale_l0.y / level.downsample_y,
        scale_l0.x0 / level.downsample_x,
        scale_l0.y0 / level.downsample_y,
    )
    for block in _blocks(inside, scale, len(info.bands)):
        _window(out, rect, block)[:] = _read_block(source, cache, level, scale, block, plane)
    return out


def _read_block(
    source: SlideSource, cache: TileCache, level: Level, scale: Scale, block: Rect, plane: int
) -> Pixels:
    rect = source_rect(block, scale, level.size)
    pixels = read_region(source, cache, level.index, rect, plane=plane)
    if scale == Scale(1, 1) and rect == block:
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
