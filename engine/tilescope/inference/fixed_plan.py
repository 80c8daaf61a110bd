"""Blocks whose outer rectangles all have one size, and blocks that are looked at as a whole.

Some networks take one size of input only. A block that would reach beyond the canvas is moved
inwards, where there are pixels; only a slide smaller than the tile is padded, to the right and
below. So every pixel is seen with as much context as there is, and the edge of the canvas is the
edge of a tile, as in one big run. Networks without padding lose a border of every tile: their
blocks do reach beyond the canvas, into background.
"""

from __future__ import annotations

from tilescope.domain.geometry import Rect, Size
from tilescope.inference.grid import WorkingGrid
from tilescope.inference.planner import Block, Margins, Plan


def plan_fixed_blocks(
    grid: WorkingGrid, region: Rect, margins: Margins, tile: Size, *, overhanging: bool
) -> Plan:
    """Return blocks whose outer rectangles are all ``tile``, cores of equal size.

    The outer rectangles begin at multiples of the grid's ``multiple_of``, when that divides the
    sides of the tile.

    Parameters
    ----------
    overhanging
        Give blocks at the edge of the canvas their margin beyond it.

    Raises
    ------
    ValueError
        When the tile leaves no room for a core.
    """
    canvas, step = grid.canvas, grid.multiple_of
    across = _Axis(region.x0, region.x1, canvas.x1, tile.width, step, overhanging)
    down = _Axis(region.y0, region.y1, canvas.y1, tile.height, step, overhanging)
    cores = _cells(region, Size(across.core_side(margins), down.core_side(margins)))
    blocks = []
    for index, core in enumerate(cores):
        x0, y0 = across.begin(core.x0, margins), down.begin(core.y0, margins)
        outer = Rect(x0, y0, x0 + tile.width, y0 + tile.height)
        valid = core.expanded(margins.decode_px).intersect(canvas)
        assert valid is not None
        seen = valid.intersect(outer)
        assert seen is not None
        blocks.append(Block(index, core, seen, outer))
    return Plan(grid, region, margins, -(-region.width // cores[0].width), tuple(blocks))


def room_for_core(margins: Margins, tile_px: int, step: int) -> int:
    """Return the side of a core inside a tile with all its margins; not positive without room."""
    # The outer rectangle begins up to a step before the margin does.
    room = tile_px - 2 * margins.total_px - 2 * (step - 1)
    return room - room % step


class _Axis:
    """How tiles lie along x or y."""

    def __init__(
        self, begin: int, end: int, canvas_end: int, tile_px: int, step: int, overhanging: bool
    ) -> None:
        self._length = end - begin
        self._canvas_end = canvas_end
        self._tile_px = tile_px
        self._step = step
        self._overhanging = overhanging

    def core_side(self, margins: Margins) -> int:
        if not self._overhanging and self._canvas_end <= self._tile_px:
            return self._length
        room = room_for_core(margins, self._tile_px, self._step)
        if room <= 0:
            msg = f"a tile of {self._tile_px} px has no room for a margin of {margins.total_px} px"
            raise ValueError(msg)
        return min(room, self._length)

    def begin(self, core_begin: int, margins: Margins) -> int:
        step = self._step
        wanted = (core_begin - margins.total_px) // step * step
        if self._overhanging:
            return wanted
        return max(0, min(wanted, (self._canvas_end - self._tile_px) // step * step))


def _cells(region: Rect, size: Size) -> list[Rect]:
    return [
        Rect(x, y, min(x + size.width, region.x1), min(y + size.height, region.y1))
        for y in range(region.y0, region.y1, size.height)
        for x in range(region.x0, region.x1, size.width)
    ]


def plan_cells(grid: WorkingGrid, region: Rect, tile: Size) -> Plan:
    """Return blocks that lie side by side, for networks that judge a tile as a whole.

    Cores are the parts of the tiles inside the region; what a tile has beyond the slide is
    background.
    """
    blocks = []
    for index, core in enumerate(_cells(region, tile)):
        outer = Rect(core.x0, core.y0, core.x0 + tile.width, core.y0 + tile.height)
        blocks.append(Block(index, core, outer, outer))
    columns = -(-region.width // tile.width)
    return Plan(grid, region, Margins(0, 0), columns, tuple(blocks))


def plan_whole(grid: WorkingGrid, region: Rect, margins: Margins, *, overhanging: bool) -> Plan:
    """Return one block over the whole region, with what surrounds it as far as there is any."""
    canvas, step = grid.canvas, grid.multiple_of
    wide = region.expanded(margins.total_px)
    outer: Rect | None = Rect(
        wide.x0 // step * step,
        wide.y0 // step * step,
        -(-wide.x1 // step) * step,
        -(-wide.y1 // step) * step,
    )
    assert outer is not None
    if not overhanging:
        outer = outer.intersect(canvas)
    valid = region.expanded(margins.decode_px).intersect(canvas)
    assert outer is not None
    assert valid is not None
    return Plan(grid, region, margins, 1, (Block(0, region, valid, outer),))
