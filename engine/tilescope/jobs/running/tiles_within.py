"""Which blocks of a plan a run needs that leaves out some."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.manifest import ModelSpec
from tilescope.errors import UsageError
from tilescope.inference.planner import Plan
from tilescope.inference.seams import TWIN_PX
from tilescope.jobs.running.planning import Cut
from tilescope.ops.area_cells import Lattice, touched
from tilescope.ops.areas import Areas, Polygons
from tilescope.store.run_ledger import Item, Kind

_LEAST_VERTICES = 3


def tiles_within(areas: Areas, cut: Cut, spec: ModelSpec) -> NDArray[np.bool_]:
    """Return ``bool[n]``: which blocks have to be run, by index.

    These are all whose objects may have their point in an area, as long as they are whole in what
    the block sees, and all that a pixel of the map is blended from; of tiles that are judged as a
    whole those whose centre lies in an area.

    Raises
    ------
    UsageError
        When no such tile has its centre in an area.
    """
    plan = cut.plan
    f, core = plan.grid.factor, plan.blocks[0].core
    lattice = Lattice(
        core.x0 * f,
        core.y0 * f,
        core.width * f,
        core.height * f,
        plan.columns,
        len(plan.blocks) // plan.columns,
    )
    if spec.task == "semantic":
        reach_px: float = cut.blend_px + 2 * plan.grid.multiple_of
    else:
        reach_px = plan.margins.decode_px + TWIN_PX
    near = touched(areas, lattice, reach_px * f).ravel()
    if spec.task != "classification":
        return near
    index = np.flatnonzero(near)
    centres = np.array([_centre(plan.blocks[i].core) for i in index], np.float64).reshape(-1, 2)
    near[index] = areas.contain(centres * f)
    if not near.any():
        raise UsageError(
            f"{spec.id} judges tiles of {core.width * f:.0f} x {core.height * f:.0f} pixels, and "
            "none has its centre in the areas: give larger ones"
        )
    return near


def _centre(core: Rect) -> tuple[float, float]:
    return (core.x0 + core.x1) / 2, (core.y0 + core.y1) / 2


def tiles_reached(
    plan: Plan,
    items: Sequence[Item],
    may_hold: Callable[[Polygons], NDArray[np.bool_]],
    known: Collection[int],
) -> set[int]:
    """Return the blocks besides the known ones that objects that may count reach into.

    An object that is larger than what a block sees is joined of what all blocks saw of it. Followed
    is what may hold its point, from fragment to fragment that overlap.

    Parameters
    ----------
    items
        Candidates and fragments of the blocks that were run.
    may_hold
        Tells of outlines in level-0 pixels whether the point of an object in them would count.
    known
        Blocks that were run.
    """
    items = [item for item in items if len(item.ring) >= _LEAST_VERTICES]
    unknown = [_around(plan, item).difference(known) for item in items]
    if not any(unknown):
        return set()
    rings = [item.ring for item in items]
    index = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    drawn = shapely.linearrings(np.concatenate(rings) * plan.grid.factor, indices=index)
    outlines = shapely.make_valid(shapely.polygons(drawn))
    followed = may_hold(outlines)
    i, j = _overlapping(outlines, np.array([item.tile for item in items]))
    while (more := j[followed[i] & ~followed[j]]).size:
        followed[more] = True
    return set().union(*(unknown[k] for k in np.flatnonzero(followed)))


def _overlapping(
    outlines: NDArray[Any], tiles: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of outlines of different blocks that have an area in common, both ways."""
    i, j = shapely.STRtree(outlines).query(outlines, "intersects")
    other = tiles[i] != tiles[j]
    i, j = i[other], j[other]
    common = shapely.area(shapely.intersection(outlines[i], outlines[j])) > 0
    return i[common], j[common]


def _around(plan: Plan, item: Item) -> set[int]:
    """Return the blocks that may see a part of an object as theirs."""
    # What is cut ends within a pixel of the next core; blocks near it may see all of it.
    margin = 1 + (plan.margins.decode_px if item.kind == Kind.FRAGMENT else 0)
    first, region = plan.blocks[0].core, plan.region
    (x0, y0), (x1, y1) = item.ring.min(axis=0) - margin, item.ring.max(axis=0) + margin
    columns = _span(x0 - region.x0, x1 - region.x0, first.width, plan.columns)
    rows = _span(y0 - region.y0, y1 - region.y0, first.height, len(plan.blocks) // plan.columns)
    return {row * plan.columns + column for row in rows for column in columns}


def _span(low: float, high: float, side: int, count: int) -> range:
    return range(max(0, int(low // side)), min(count - 1, int(high // side)) + 1)
