"""How a run fits under its cap: at once or patch by patch, tile by tile or several together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tilescope.errors import BudgetTooSmall, GraphMismatch
from tilescope.inference.choice import Choice, quickest_batch
from tilescope.inference.measurements import BatchCost
from tilescope.inference.schedule import Schedule
from tilescope.jobs.running.decisions import Remembered
from tilescope.jobs.running.footprint import Footprint
from tilescope.jobs.running.patchwork import Patchwork
from tilescope.jobs.running.planning import Cut, Wanted, cut_region


def fitted(
    wanted: Wanted,
    footprint: Footprint,
    patchwork: Callable[[Schedule | None], Patchwork | None],
    earlier: Remembered | None,
) -> tuple[Cut, Footprint]:
    """Return the blocks, with the network run at once where it fits, else patch by patch.

    Raises
    ------
    BudgetTooSmall
        When a tile fits neither way, with the lesser of the two caps that would do.
    GraphMismatch
        When the network's fixed size leaves no room for its halo.
    """
    if earlier is not None:
        if earlier.schedule is not None:
            footprint = replace(footprint, patchwork=patchwork(earlier.schedule))
        return cut_region(wanted, footprint), footprint
    try:
        return cut_region(wanted, footprint), footprint
    except BudgetTooSmall as at_once:
        patched = replace(footprint, patchwork=patchwork(None))
        if patched.patchwork is None:
            raise
        try:
            return cut_region(wanted, patched), patched
        except GraphMismatch:
            raise at_once from None
        except BudgetTooSmall as in_patches:
            least = min(at_once.needed_bytes, in_patches.needed_bytes)
            raise BudgetTooSmall(least, wanted.cap_bytes) from None


def batch_within(
    choice: Choice,
    footprint: Footprint,
    cut: Cut,
    cap_bytes: int,
    earlier: Remembered | None,
) -> BatchCost | None:
    """Return how many tiles are run at once: as many as are quickest and fit."""
    if cut.schedule is not None or choice.measurement is None:
        return None
    costs = choice.measurement.batches
    if earlier is not None:
        costs = tuple(cost for cost in costs if cost.tiles == earlier.batch)
        if cap_bytes >= earlier.memory_bytes:
            return next(iter(costs), None)
    elif max(cut.tile.width, cut.tile.height) > choice.measurement.side_px:
        return None
    most = len(cut.plan.blocks)
    if len({(block.outer.width, block.outer.height) for block in cut.plan.blocks}) > 1:
        return None
    fitting = [c for c in costs if c.tiles <= most and footprint.bytes_at(cut.tile, c) <= cap_bytes]
    return quickest_batch(choice.measurement, fitting)
