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
    level = level_shown(info, viewport, pixel_ratio)
    bounds = viewport.bounds_l0
    focus = cursor_l0 or viewport.centre_l0
    order: dict[TileKey, None] = {}

    def add(shown: Level, rim: int = 0) -> None:
        keys = tiles_over(shown, bounds, slide, plane, rim=rim)
        keys.sort(key=lambda key: _distance(info, key, focus))
        order.update(dict.fromkeys(keys))

    add(info.levels[-1])
    add(level)
    if level.index + 1 < len(info.levels):
        add(info.levels[level.index + 1])
    add(level, rim=1)
    return list(order)


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


def _distance(info: SlideInfo, key: TileKey, focus: Point) -> float:
    x0, y0, x1, y1 = placed(info, key).box_l0
    return math.hypot((x0 + x1) / 2 - focus.x, (y0 + y1) / 2 - focus.y)
