"""Blocks of one size: cores partition the region, each sees what it needs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.geometry import Rect, Size
from tilescope.inference.fixed_plan import plan_cells, plan_fixed_blocks, plan_whole
from tilescope.inference.grid import WorkingGrid
from tilescope.inference.planner import Margins, Plan

SLIDES = st.builds(Size, st.integers(1, 400), st.integers(1, 400))


@st.composite
def cases(draw: st.DrawFn) -> tuple[WorkingGrid, Rect, Margins, Size]:
    step = draw(st.sampled_from([1, 2, 8]))
    grid = WorkingGrid.over(draw(SLIDES), 1.0, step)
    x0 = draw(st.integers(0, grid.size.width - 1))
    y0 = draw(st.integers(0, grid.size.height - 1))
    x1 = draw(st.integers(x0 + 1, grid.size.width))
    y1 = draw(st.integers(y0 + 1, grid.size.height))
    tile = Size(*(8 * draw(st.integers(8, 20)) for _ in range(2)))
    margins = Margins(draw(st.integers(0, 12)), draw(st.integers(0, 6)))
    return grid, Rect(x0, y0, x1, y1), margins, tile


def owners(plan: Plan, grid: WorkingGrid) -> np.ndarray:
    counts = np.zeros((grid.size.height, grid.size.width), int)
    for block in plan.blocks:
        core = block.core
        counts[core.y0 : core.y1, core.x0 : core.x1] += 1
    return counts


@given(cases(), st.booleans())
def test_fixed_blocks(case: tuple, overhanging: bool) -> None:
    grid, region, margins, tile = case
    plan = plan_fixed_blocks(grid, region, margins, tile, overhanging=overhanging)
    counts = owners(plan, grid)
    assert counts[region.y0 : region.y1, region.x0 : region.x1].all()
    assert counts.sum() == region.area
    for block in plan.blocks:
        outer = block.outer
        assert (outer.width, outer.height) == (tile.width, tile.height)
        assert outer.x0 % grid.multiple_of == outer.y0 % grid.multiple_of == 0
        assert block.valid.encloses(block.core)
        assert outer.encloses(block.valid)
        wanted = block.core.expanded(margins.total_px)
        inside = wanted if overhanging else wanted.intersect(grid.canvas)
        assert inside is not None
        assert outer.encloses(inside)
        x, y = block.core.x0 + 0.5, block.core.y1 - 0.5
        assert plan.owner_of(x, y).index == block.index
    if not overhanging:
        # No background where there are pixels.
        canvas = grid.canvas
        for block in plan.blocks:
            assert block.outer.x0 >= 0
            assert block.outer.x1 <= max(canvas.x1, tile.width)
            assert block.outer.y1 <= max(canvas.y1, tile.height)


@given(cases())
def test_cells_lie_side_by_side(case: tuple) -> None:
    grid, region, _, tile = case
    plan = plan_cells(grid, region, tile)
    assert owners(plan, grid).sum() == region.area
    for block in plan.blocks:
        assert (block.outer.width, block.outer.height) == (tile.width, tile.height)
        assert block.outer.encloses(block.core)
        assert (block.outer.x0, block.outer.y0) == (block.core.x0, block.core.y0)
    assert len(plan.blocks) % plan.columns == 0


@given(cases(), st.booleans())
def test_one_block_over_all(case: tuple, overhanging: bool) -> None:
    grid, region, margins, _ = case
    plan = plan_whole(grid, region, margins, overhanging=overhanging)
    (block,) = plan.blocks
    assert block.core == region
    assert block.outer.encloses(block.valid)
    assert plan.owner_of(-5, 1e9).index == 0


def test_a_tile_without_room_is_refused() -> None:
    grid = WorkingGrid.over(Size(500, 500), 1.0, 8)
    with pytest.raises(ValueError, match="no room"):
        plan_fixed_blocks(
            grid, Rect(0, 0, 500, 500), Margins(30, 4), Size(64, 64), overhanging=False
        )
