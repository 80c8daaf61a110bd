"""Blocks: which part of the working grid is read, trusted and owned by one inference.

::

    outer ┌──────────────────────────┐  what the network is given
          │  valid ┌──────────────┐  │  halo: inside, outputs equal a whole-image run
          │        │ core ┌─────┐ │  │  margin: inside, the decoder sees all it looks at
          │        │      └─────┘ │  │  cores partition the region: each pixel has one owner
          │        └──────────────┘  │
          └──────────────────────────┘

At the canvas edge all three are cut there, so the network's own zero padding falls exactly where
it would fall in one run over everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tilescope.domain.geometry import Rect
from tilescope.errors import BudgetTooSmall
from tilescope.inference.grid import WorkingGrid

LAYOUT_VERSION = 6
"""Of the rules for blocks, for what they cut and for what of it counts; runs begun under another
cannot be continued."""

#: What a tile costs beside its pixels, in pixels: calls, a transaction, outlines at its seams.
_PX_PER_TILE = 1 << 13
#: Sides that cost at most this much more than the best are as good.
_NEAR_BEST = 1.05


@dataclass(frozen=True, slots=True)
class Block:
    """One unit of work, in working pixels."""

    index: int
    core: Rect
    valid: Rect
    outer: Rect


@dataclass(frozen=True, slots=True)
class Margins:
    """Pixels around a core: ``halo`` for the network, ``decode`` for the decoder."""

    halo_px: int
    decode_px: int

    @property
    def total_px(self) -> int:
        """Both together."""
        return self.halo_px + self.decode_px


@dataclass(frozen=True, slots=True)
class Plan:
    """All blocks of one run, row by row.

    ``columns`` is the number of blocks per row, so that block ``i`` has the neighbours ``i ± 1``
    and ``i ± columns``.
    """

    grid: WorkingGrid
    region: Rect
    margins: Margins
    columns: int
    blocks: tuple[Block, ...]

    def owner_of(self, x: float, y: float) -> Block:
        """Return the block whose core contains the point; points outside go to the nearest."""
        first, last = self.blocks[0].core, self.blocks[-1].core
        width, height = first.width, first.height
        column = int(min(max(x - self.region.x0, 0), last.x1 - self.region.x0 - 1) // width)
        row = int(min(max(y - self.region.y0, 0), last.y1 - self.region.y0 - 1) // height)
        return self.blocks[row * self.columns + column]


def plan_blocks(grid: WorkingGrid, region: Rect, margins: Margins, tile_px: int) -> Plan:
    """Return blocks whose outer sides do not exceed ``tile_px``, cores of equal size.

    A region a little larger than one tile becomes two halves, not one tile and a sliver. Where more
    are needed each is as large as ``tile_px`` allows, so that a slide of any size takes the same
    memory; the network sees as many pixels either way.

    Raises
    ------
    ValueError
        When ``tile_px`` leaves no room for a core.
    """
    step, canvas = grid.multiple_of, grid.canvas
    width = height = 0
    if canvas.width <= tile_px and region.width == grid.size.width:
        width = region.width
    if canvas.height <= tile_px and region.height == grid.size.height:
        height = region.height
    width = width or _core_side(region.width, margins, tile_px, step)
    height = height or _core_side(region.height, margins, tile_px, step)
    columns, rows = -(-region.width // width), -(-region.height // height)
    blocks = []
    for index in range(columns * rows):
        row, column = divmod(index, columns)
        x0, y0 = region.x0 + column * width, region.y0 + row * height
        core = Rect(x0, y0, min(x0 + width, region.x1), min(y0 + height, region.y1))
        blocks.append(_block(index, core, grid, margins))
    return Plan(grid, region, margins, columns, tuple(blocks))


def _room(margins: Margins, tile_px: int, step: int) -> int:
    """Return the side of the core in a tile, not positive when there is none."""
    # Aligning the outer rectangle outwards may add up to one step on each side.
    room = tile_px - 2 * margins.total_px - 2 * step
    return room - room % step


def _core_side(length: int, margins: Margins, tile_px: int, step: int) -> int:
    room = _room(margins, tile_px, step)
    if room <= 0:
        msg = f"a tile of {tile_px} px has no room for a margin of {margins.total_px} px"
        raise ValueError(msg)
    count = -(-length // room)
    if count == 1:
        return length
    return room if count > 2 else -(-length // (2 * step)) * step


def _block(index: int, core: Rect, grid: WorkingGrid, margins: Margins) -> Block:
    canvas, step = grid.canvas, grid.multiple_of
    valid = core.expanded(margins.decode_px).intersect(canvas)
    wide = core.expanded(margins.total_px)
    aligned = Rect(
        wide.x0 // step * step,
        wide.y0 // step * step,
        -(-wide.x1 // step) * step,
        -(-wide.y1 // step) * step,
    ).intersect(canvas)
    assert valid is not None
    assert aligned is not None
    return Block(index, core, valid, aligned)


def smallest_tile(margins: Margins, step: int) -> int:
    """Return the least tile side that leaves a core of one step."""
    return -(-2 * margins.total_px // step) * step + 3 * step


def quickest_tile_within(
    cap_bytes: int,
    needed_bytes: Callable[[int], int],
    margins: Margins,
    *,
    sides_px: Sequence[int],
    step: int,
    effort: Callable[[int], float] = lambda _side: 1.0,
) -> int:
    """Return the tile side with which a run is over soonest, among those that fit in ``cap_bytes``.

    A network takes about as long for a pixel in a large tile as in a small one, but of a small one
    more is halo, and every tile costs something of its own. Of sides that come within a few percent
    of the quickest the smallest is taken: it leaves memory to others and a cancel waits less.

    Parameters
    ----------
    needed_bytes
        Peak resident memory of the whole process for a tile side.
    sides_px
        What to choose from.
    step
        Blocks begin at multiples of it.
    effort
        Work per pixel of a tile side, in any unit; asked of sides that fit only.

    Raises
    ------
    BudgetTooSmall
        When not even the smallest fits; it carries the least cap that would do.
    """
    costs = {
        side: (side**2 * effort(side) + _PX_PER_TILE) / room**2
        for side in sorted(sides_px)
        if (room := _room(margins, side, step)) > 0 and needed_bytes(side) <= cap_bytes
    }
    if not costs:
        raise BudgetTooSmall(needed_bytes(min(sides_px)), cap_bytes)
    best = min(costs.values())
    return next(side for side, cost in costs.items() if cost <= _NEAR_BEST * best)
