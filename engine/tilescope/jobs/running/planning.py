"""Which blocks a run consists of: by task, by how the model samples, by what fits in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, gcd, lcm

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.manifest import ModelSpec, Task
from tilescope.domain.scale import FitWithin
from tilescope.errors import BudgetTooSmall, GraphMismatch
from tilescope.inference.fixed_plan import (
    plan_cells,
    plan_fixed_blocks,
    plan_whole,
    room_for_core,
)
from tilescope.inference.grid import WorkingGrid
from tilescope.inference.planner import (
    Margins,
    Plan,
    plan_blocks,
    quickest_tile_within,
    smallest_tile,
)
from tilescope.inference.receptive import Halo
from tilescope.inference.schedule import Schedule
from tilescope.jobs.running.footprint import Footprint

#: Tile sides are tried in steps of it, so that a few megabytes more or less of base memory do not
#: change the plan of the same run on the same machine.
_TILE_STEP_PX = 128
#: A halo is worth its price while the cores are at least this share of the tiles' sides.
_LEAST_CORE_SHARE = 1 / 3
#: Tiles of a fixed size begin at multiples of it, when nothing else is known of the network: the
#: strides of most networks.
_USUAL_STRIDE = 32


@dataclass(frozen=True, slots=True)
class Network:
    """What cutting into blocks needs to know of a model.

    Attributes
    ----------
    spec
        The model as its manifest says.
    halo
        What its graph says of its reach.
    """

    spec: ModelSpec
    halo: Halo

    @property
    def fixed(self) -> Size | None:
        """The only input size that it takes, None when it takes any."""
        size, (height, width) = self.spec.tile.size, self.halo.fixed_size
        if height is None and width is None:
            return size if self.spec.tile.fixed else None
        return Size(width or size.width, height or size.height)

    @property
    def lack_px(self) -> int:
        """Border of a tile that its outputs lack, as those of networks without padding do."""
        offsets = [offset for output in self.halo.outputs for offset in output.offset or ()]
        return max(0, *map(ceil, offsets)) if offsets else 0

    @property
    def task(self) -> Task:
        """What kind of result it gives."""
        return self.spec.task

    @property
    def step(self) -> int:
        """Blocks begin at multiples of it, so that every stride stays in phase."""
        if self.fixed is None:
            return lcm(self.halo.multiple_of, self.spec.tile.multiple_of)
        known = self.halo.multiple_of if self.halo.is_exact else _USUAL_STRIDE
        return gcd(known, self.fixed.width, self.fixed.height)

    @property
    def tile(self) -> Size:
        """The size of tile it prefers."""
        return self.fixed or self.spec.tile.size


@dataclass(frozen=True, slots=True)
class Cut:
    """How a run is cut into blocks.

    Attributes
    ----------
    plan
        The blocks.
    tile
        The largest tile, which memory was planned for.
    is_exact
        Whether the blocks give what one run over everything would.
    blend_px
        Pixels beyond its core on which a block is blended with its neighbours; 0 for not at all.
    schedule
        How the network is run patch by patch; None where it is run at once.
    """

    plan: Plan
    tile: Size
    is_exact: bool
    blend_px: int = 0
    schedule: Schedule | None = None


@dataclass(frozen=True, slots=True)
class EarlierTile:
    """The tile of an interrupted run, and the cap and the kind of halo it was chosen for."""

    tile: Size
    memory_bytes: int
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be cut into blocks.

    Attributes
    ----------
    region
        Working pixels inside the slide.
    cap_bytes
        Cap on the memory of the process.
    earlier
        What an interrupted run chose.
    """

    network: Network
    grid: WorkingGrid
    region: Rect
    cap_bytes: int
    earlier: EarlierTile | None


def cut_region(wanted: Wanted, footprint: Footprint) -> Cut:
    """Return the blocks that cover a region of the working grid.

    Raises
    ------
    BudgetTooSmall
        When one tile does not fit under the cap.
    GraphMismatch
        When the network's fixed size leaves no room for the halo in its manifest, or it cannot be
        run patch by patch as the footprint wants it.
    """
    cut = _cut(wanted, footprint)
    schedule = footprint.schedule(cut.tile, wanted.cap_bytes)
    if schedule is None:
        return cut
    sides = {side for b in cut.plan.blocks for side in (b.outer.width, b.outer.height)}
    if not schedule.is_cut or any(side % schedule.period for side in sides):
        raise GraphMismatch(f"{wanted.network.spec.id}: its tiles cannot be run patch by patch")
    return replace(cut, schedule=schedule)


def _cut(wanted: Wanted, footprint: Footprint) -> Cut:
    network, grid, region = wanted.network, wanted.grid, wanted.region
    whole_image = isinstance(network.spec.sampling, FitWithin)
    if network.task == "semantic":
        region = _aligned(region, grid)
    if network.task == "classification":
        tile = network.tile
        if whole_image and network.fixed is None:
            tile = Size(_up(region.width, grid.multiple_of), _up(region.height, grid.multiple_of))
        _check_fits(footprint, tile, wanted)
        return Cut(plan_cells(grid, region, tile), tile, is_exact=True)
    if network.fixed is not None:
        return _fixed(wanted, region, network.fixed, footprint)
    if whole_image:
        margins = _margins(network, exact=network.halo.is_exact)
        plan = plan_whole(grid, region, margins, overhanging=network.lack_px > 0)
        tile = Size(plan.blocks[0].outer.width, plan.blocks[0].outer.height)
        _check_fits(footprint, tile, wanted)
        return Cut(plan, tile, is_exact=True)
    return _free(wanted, region, footprint)


def _up(length: int, step: int) -> int:
    return -(-length // step) * step


def _aligned(region: Rect, grid: WorkingGrid) -> Rect:
    """Return the region grown to whole steps, so that coarser outputs are cut between pixels."""
    step = grid.multiple_of
    grown = Rect(
        region.x0 // step * step,
        region.y0 // step * step,
        _up(region.x1, step),
        _up(region.y1, step),
    ).intersect(Rect.of_size(grid.size))
    assert grown is not None
    return grown


def _margins(network: Network, *, exact: bool) -> Margins:
    tile = network.spec.tile
    halo_px = network.halo.pixels if exact and network.halo.pixels is not None else tile.halo_px
    return Margins(halo_px, tile.decode_margin_px)


def _check_fits(footprint: Footprint, tile: Size, wanted: Wanted) -> None:
    earlier, cap_bytes = wanted.earlier, wanted.cap_bytes
    # Under the cap it was planned for it fits, although a process's base differs by a megabyte
    # from one start to the next.
    if earlier is not None and cap_bytes >= earlier.memory_bytes:
        return
    if footprint.bytes_at(tile) > cap_bytes:
        raise BudgetTooSmall(footprint.least_cap(tile), cap_bytes)


def _fixed(wanted: Wanted, region: Rect, tile: Size, footprint: Footprint) -> Cut:
    network, grid = wanted.network, wanted.grid
    _check_fits(footprint, tile, wanted)
    shorter = min(tile.width, tile.height)
    exact = network.halo.is_exact
    if exact:
        room = room_for_core(_margins(network, exact=True), shorter, grid.multiple_of)
        declared = room_for_core(_margins(network, exact=False), shorter, grid.multiple_of)
        exact = room > 0 and (room >= _LEAST_CORE_SHARE * shorter or declared <= room)
    margins = _margins(network, exact=exact)
    try:
        plan = plan_fixed_blocks(grid, region, margins, tile, overhanging=network.lack_px > 0)
    except ValueError as exc:
        raise GraphMismatch(f"{network.spec.id}: {exc}; declare a smaller halo for it") from exc
    exact = exact or len(plan.blocks) == 1
    return Cut(plan, tile, exact, _blend_px(network, margins, exact=exact))


def _blend_px(network: Network, margins: Margins, *, exact: bool) -> int:
    if network.task != "semantic" or exact:
        return 0
    return max(0, margins.halo_px - network.lack_px)


def _free(wanted: Wanted, region: Rect, footprint: Footprint) -> Cut:
    network, grid, earlier = wanted.network, wanted.grid, wanted.earlier
    if earlier is not None:
        _check_fits(footprint, earlier.tile, wanted)
        tile_px, exact = earlier.tile.width, earlier.is_exact
    else:
        tile_px, exact = _tile(network, footprint, wanted.cap_bytes)
    tile = Size(tile_px, tile_px)
    margins = _margins(network, exact=exact)
    if network.lack_px > 0:
        plan = plan_fixed_blocks(grid, region, margins, tile, overhanging=True)
    else:
        plan = plan_blocks(grid, region, margins, tile_px)
    return Cut(plan, tile, exact, _blend_px(network, margins, exact=exact))


def _tile(network: Network, footprint: Footprint, cap_bytes: int) -> tuple[int, bool]:
    """Return the side of the tiles and whether their halo is the exact one."""
    halo_px, declared_px = network.halo.pixels, network.spec.tile.halo_px
    if halo_px is None:
        return _largest(network, footprint, cap_bytes, exact=False), False
    # Objects need an exact halo to be the same in neighbouring blocks; maps can be blended.
    if network.task != "semantic" or declared_px >= halo_px:
        return _largest(network, footprint, cap_bytes, exact=True), True
    margins = _margins(network, exact=True)
    try:
        side = _largest(network, footprint, cap_bytes, exact=True)
    except BudgetTooSmall:
        return _largest(network, footprint, cap_bytes, exact=False), False
    if room_for_core(margins, side, network.step) >= _LEAST_CORE_SHARE * side:
        return side, True
    return _largest(network, footprint, cap_bytes, exact=False), False


def _largest(network: Network, footprint: Footprint, cap_bytes: int, *, exact: bool) -> int:
    step = network.step
    grain = lcm(step, _TILE_STEP_PX)
    margins = _margins(network, exact=exact)
    least_px = _up(smallest_tile(margins, step), grain)
    sides = range(least_px, max(least_px, network.spec.tile.size.width) + 1, grain)
    try:
        return quickest_tile_within(
            cap_bytes,
            lambda side: footprint.bytes_at(Size(side, side)),
            margins,
            sides_px=sides,
            step=step,
            effort=lambda side: footprint.effort(Size(side, side), cap_bytes),
        )
    except BudgetTooSmall:
        raise BudgetTooSmall(footprint.least_cap(Size(least_px, least_px)), cap_bytes) from None
