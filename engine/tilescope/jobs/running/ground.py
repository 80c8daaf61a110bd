"""Where a run looks for objects: near tissue, whatever its tiles are.

Blocks far from tissue are left out, and which these are depends on their size; what is found must
not. So an object counts when its centre of mass and, if that lies beside it, a point on it are near
tissue; blocks where they may be are run. The block with the centre is the one that an object
belongs to; the one with the point sees something of it even when it is larger than what a block
sees.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.results import Detections
from tilescope.inference.planner import Block, Plan
from tilescope.jobs.running.survey import Survey
from tilescope.ops.contours import ring_centroids
from tilescope.ops.inner_points import inner_points
from tilescope.ops.tissue_cells import TissueCells

#: Working pixels from the tissue mask that are near it. The mask is made at low resolution and
#: misses pale strands and single cells; on H&E what it missed of nuclei lay within 100 pixels.
NEAR_PX = 128


def ground_of(survey: Survey, factor: float) -> TissueCells:
    """Return where objects are looked for.

    Parameters
    ----------
    factor
        Level-0 pixels per working pixel.
    """
    return TissueCells.near(survey.mask, survey.mask_factor, NEAR_PX * factor)


def is_on(ground: TissueCells, plan: Plan, block: Block) -> bool:
    """Tell whether a block may be the one that an object near tissue belongs to."""
    core, region, decode_px = block.core, plan.region, plan.margins.decode_px
    # What is beyond the region belongs to the block next to it.
    box = (
        core.x0 - (decode_px if core.x0 == region.x0 else 0),
        core.y0 - (decode_px if core.y0 == region.y0 else 0),
        core.x1 + (decode_px if core.x1 == region.x1 else 0),
        core.y1 + (decode_px if core.y1 == region.y1 else 0),
    )
    return bool(ground.meet(np.array([box]) * plan.grid.factor)[0])


def lie_on(ground: TissueCells, found: Detections) -> NDArray[np.bool_]:
    """Return ``bool[n]``: which objects, in level-0 pixels, lie near tissue."""
    boxes = found.boxes()
    near = ground.meet(boxes)
    unsure = np.flatnonzero(near & ~ground.enclose(boxes))
    if len(unsure):
        part = found.select(unsure)
        near[unsure] = ground.hold(ring_centroids(part.rings, part.offsets))
        near[unsure] &= ground.hold(inner_points(part.rings, part.offsets))
    return near
