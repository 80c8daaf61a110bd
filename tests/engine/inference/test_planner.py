"""Blocks partition the region, and each sees enough around its core."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.geometry import Rect, Size
from tilescope.errors import BudgetTooSmall
from tilescope.inference.grid import WorkingGrid
from tilescope.inference.planner import (
    Margins,
    plan_blocks,
    quickest_tile_within,
    smallest_tile,
)


@st.composite
def plans(draw):
    step = draw(st.sampled_from([1, 2, 8, 16]))
    margins = Margins(draw(st.integers(0, 40)), draw(st.integers(0, 30)))
    size = Size(draw(st.integers(1, 700)), draw(st.integers(1, 700)))
    grid = WorkingGrid.over(size, draw(st.sampled_from([1.0, 0.66, 1.7])), step)
    x0 = draw(st.integers(0, grid.size.width - 1))
    y0 = draw(st.integers(0, grid.size.height - 1))
    region = Rect(
        x0,
        y0,
        draw(st.integers(x0 + 1, grid.size.width)),
        draw(st.integers(y0 + 1, grid.size.height)),
    )
    if draw(st.booleans()):
        region = Rect.of_size(grid.size)
    tile = smallest_tile(margins, step) + step * draw(st.integers(1, 30)) + 40 // step * step
    return grid, region, margins, tile


@given(plans())
def test_cores_partition_the_region(arguments) -> None:
    plan = plan_blocks(*arguments)
    seen = np.zeros((plan.region.y1, plan.region.x1), np.uint8)
    for block in plan.blocks:
        seen[block.core.y0 : block.core.y1, block.core.x0 : block.core.x1] += 1
    assert (seen[plan.region.y0 :, plan.region.x0 :] == 1).all()
    assert seen.sum() == plan.region.area


@given(plans())
def test_blocks_fit_the_tile_and_keep_the_phase(arguments) -> None:
    plan, tile = plan_blocks(*arguments), arguments[-1]
    step, canvas = plan.grid.multiple_of, plan.grid.canvas
    for block in plan.blocks:
        assert max(block.outer.width, block.outer.height) <= tile
        assert block.outer.width % step == block.outer.height % step == 0
        assert block.outer.x0 % step == block.outer.y0 % step == 0
        assert canvas.encloses(block.outer)
        assert block.valid.encloses(block.core)
        wanted = block.valid.expanded(plan.margins.halo_px).intersect(canvas)
        assert block.outer.encloses(wanted)


@given(plans(), st.floats(0, 1), st.floats(0, 1))
def test_every_point_has_the_owner_whose_core_holds_it(arguments, u, v) -> None:
    plan = plan_blocks(*arguments)
    x = plan.region.x0 + u * plan.region.width * 0.999
    y = plan.region.y0 + v * plan.region.height * 0.999
    owner = plan.owner_of(x, y)
    assert [b.index for b in plan.blocks if b.core.contains(x, y)] == [owner.index]


def test_the_quickest_tile_is_the_smallest_of_those_that_lose_little_to_their_halo() -> None:
    sides = range(128, 4096, 128)
    margins = Margins(44, 0)
    side = quickest_tile_within(10**12, lambda px: px, margins, sides_px=sides, step=8)
    cores = {px: px - 2 * 44 - 16 for px in (side, side - 128, 4096 - 128)}
    costs = {px: (px / core) ** 2 for px, core in cores.items()}
    assert costs[side] <= 1.06 * costs[4096 - 128]
    assert costs[side - 128] > 1.04 * costs[4096 - 128]


def test_the_quickest_tile_keeps_to_the_cap() -> None:
    sides = range(128, 4096, 128)
    margins = Margins(44, 0)
    side = quickest_tile_within(640**2, lambda px: px**2, margins, sides_px=sides, step=8)
    assert side == 640
    with pytest.raises(BudgetTooSmall) as caught:
        quickest_tile_within(1000, lambda px: px**2, margins, sides_px=sides, step=8)
    assert caught.value.needed_bytes == 128**2


def test_a_tile_without_room_for_a_core_is_not_taken() -> None:
    margins = Margins(100, 20)
    side = quickest_tile_within(10**9, lambda px: px, margins, sides_px=[128, 256, 384], step=8)
    assert side == 384
