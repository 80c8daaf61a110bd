"""From what is to be seen to which tiles are wanted and painted: pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tilescope.domain.geometry import Point, Rect
from tilescope.domain.slide import Level, SlideId, SlideInfo
from tilescope.domain.tiles import TileKey, tile_rect, tiles_in
from tilescope_desktop.model.viewport import Viewport

#: A level this much coarser than the screen still counts as sharp; finer ones cost four times.
_SHARP_ENOUGH = 1.15


@dataclass(frozen=True, slots=True)
class Placed:
    """A tile, and the level-0 rectangle (left, top, right, bottom) that it covers."""

    key: TileKey
    box_l0: tuple[float, float, float, float]


def level_shown(info: SlideInfo, viewport: Viewport, pixel_ratio: float = 1.0) -> Level:
    """Return the coarsest level that is sharp on the screen.

    Parameters
    ----------
    pixel_ratio
        Physical pixels of the screen per logical pixel.
    """
    wanted = viewport.l0_per_px / pixel_ratio * _SHARP_ENOUGH
    fine = [level for level in info.levels if level.downsample_x <= wanted]
    return max(fine or info.levels[:1], key=lambda level: level.downsample_x)


def placed(info: SlideInfo, key: TileKey) -> Placed:
    """Return where a tile lies on the slide."""
    level = info.levels[key.level]
    rect = tile_rect(level, key.col, key.row)
    return Placed(
        key,
        (
            rect.x0 * level.downsample_x,
            rect.y0 * level.downsample_y,
            rect.x1 * level.downsample_x,
            rect.y1 * level.downsample_y,
        ),
    )


def tiles_over(
    level: Level, bounds_l0: Rect, slide: SlideId, plane: int = 0, *, rim: int = 0
) -> list[TileKey]:
    """Return the tiles of a level that touch a level-0 rectangle, and ``rim`` tiles around it."""
    dx, dy = rim * level.tile.width, rim * level.tile.height
    x0 = math.floor(bounds_l0.x0 / level.downsample_x) - dx
    y0 = math.floor(bounds_l0.y0 / level.downsample_y) - dy
    x1 = math.ceil(bounds_l0.x1 / level.downsample_x) + dx
    y1 = math.ceil(bounds_l0.y1 / level.downsample_y) + dy
    rect = Rect(x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))
    return [TileKey(slide, level.index, col, row, plane) for col, row in tiles_in(level, rect)]


def wanted(
    info: SlideInfo,
    slide: SlideId,
    viewport: Viewport,
    *,
    plane: int = 0,
    cursor_l0: Point | None = None,
    pixel_ratio: float = 1.0,
) -> list[TileKey]:
    """Return the tiles a view should have, best first.

    First the coarsest level, which is what is painted while all else is missing; then the visible
    tiles by distance from the cursor; then the next coarser level and a rim of one tile around.

    Parameters
    ----------
    slide
        Name of the painted slide in the cache, which may differ from ``info.id``.
    cursor_l0
        Where the user looks; the middle of the view when unknown.
    """
    level, last = level_shown(info, viewport, pixel_ratio), info.levels[-1]
    bounds, focus = viewport.bounds_l0, cursor_l0 or viewport.centre_l0

    def keys(of: Level, places: Sequence[tuple[int, int]]) -> list[TileKey]:
        return [TileKey(slide, of.index, col, row, plane) for col, row in places]

    visible = _nearest_first(level, bounds, focus)
    order = keys(last, _nearest_first(last, bounds, focus)) if level is not last else []
    order += keys(level, visible)
    if level.index + 1 < last.index:
        coarser = info.levels[level.index + 1]
        order += keys(coarser, _nearest_first(coarser, bounds, focus))
    seen = set(visible)
    rim = [at for at in _nearest_first(level, bounds, focus, rim=1) if at not in seen]
    return order + keys(level, rim)


def paint_order(
    info: SlideInfo,
    keys: Sequence[TileKey],
    has: Callable[[TileKey], bool],
) -> list[Placed]:
    """Return what to paint so that ``keys`` look as sharp as what is there allows, coarse first.

    A tile that is missing is covered by its finest ancestor that is there; tiles on top of it
    follow later in the list.
    """
    chosen: dict[TileKey, None] = {}
    for key in keys:
        if has(key):
            chosen[key] = None
        else:
            chosen.update(dict.fromkeys(_covering(info, key, has)))
    return [placed(info, key) for key in sorted(chosen, key=lambda k: (-k.level, k.row, k.col))]


def _covering(info: SlideInfo, key: TileKey, has: Callable[[TileKey], bool]) -> Iterator[TileKey]:
    """Yield what covers a tile: the next coarser level, and coarser ones where that has gaps."""
    x0, y0, x1, y1 = placed(info, key).box_l0
    bounds = Rect(math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1))
    for level in info.levels[key.level + 1 :]:
        over = tiles_over(level, bounds, key.slide, key.plane)
        there = [k for k in over if has(k)]
        yield from there
        if len(there) == len(over):
            return


def _nearest_first(
    level: Level, bounds_l0: Rect, focus: Point, *, rim: int = 0
) -> list[tuple[int, int]]:
    """Return ``(col, row)`` of the tiles over a rectangle and ``rim`` around it, by distance."""
    size, tile, bounds = level.size, level.tile, bounds_l0
    x = _away(size.width, tile.width, level.downsample_x, bounds.x0, bounds.x1, focus.x, rim)
    y = _away(size.height, tile.height, level.downsample_y, bounds.y0, bounds.y1, focus.y, rim)
    order = sorted((dx + dy, row, col) for row, dy in y for col, dx in x)
    return [(col, row) for _, row, col in order]


def _away(
    size: int, tile: int, downsample: float, low: float, high: float, focus: float, rim: int
) -> list[tuple[int, float]]:
    """Return the tiles of one axis over an interval, and their squared distances from the focus."""
    first = max(0, math.floor(low / downsample) // tile - rim)
    last = min(-(-size // tile), -(-math.ceil(high / downsample) // tile) + rim)
    found = []
    for index in range(first, last):
        x0, x1 = index * tile * downsample, min((index + 1) * tile, size) * downsample
        found.append((index, ((x0 + x1) / 2 - focus) ** 2))
    return found
