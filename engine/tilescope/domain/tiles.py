"""Names of tiles: what a cache and a loader are keyed by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tilescope.domain.geometry import Rect
from tilescope.domain.slide import Level, SlideId


@dataclass(frozen=True, slots=True, order=True)
class TileKey:
    """One tile of one level of one plane of one slide.

    Integers only: a float downsample would make two names for one tile.
    """

    slide: SlideId
    level: int
    col: int
    row: int
    plane: int = 0


def tile_rect(level: Level, col: int, row: int) -> Rect:
    """Return the pixels of tile ``(col, row)`` in its own level, cut at the level's edge.

    Raises
    ------
    IndexError
        When the level has no such tile.
    """
    if not (0 <= col < level.columns and 0 <= row < level.rows):
        msg = f"level {level.index} has {level.columns} x {level.rows} tiles, no ({col}, {row})"
        raise IndexError(msg)
    x0, y0 = col * level.tile.width, row * level.tile.height
    return Rect(
        x0,
        y0,
        min(x0 + level.tile.width, level.size.width),
        min(y0 + level.tile.height, level.size.height),
    )


def tiles_in(level: Level, rect_level: Rect) -> Iterator[tuple[int, int]]:
    """Yield ``(col, row)`` of every tile that ``rect_level`` touches, row by row."""
    inside = rect_level.intersect(Rect.of_size(level.size))
    if inside is None:
        return
    for row in range(inside.y0 // level.tile.height, -(-inside.y1 // level.tile.height)):
        for col in range(inside.x0 // level.tile.width, -(-inside.x1 // level.tile.width)):
            yield col, row
