"""Objects as label images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tilescope._native import _shapes
from tilescope.domain.geometry import Rect
from tilescope.domain.results import Detections


def fill(
    detections: Detections,
    ids: NDArray[np.uint32],
    rect_l0: Rect,
    factor: float = 1.0,
) -> NDArray[np.uint32]:
    """Return a label block: every pixel has the id of the object that its centre lies in.

    An object owns its left and upper edges and not its right and lower ones, so neighbours with a
    common edge leave no gap and share no pixel. Where objects overlap the last one wins.

    Parameters
    ----------
    detections
        Objects in level-0 pixels; those outside ``rect_l0`` cost little.
    ids
        ``uint32[n]``: value of each object.
    rect_l0
        The level-0 pixels that the block covers.
    factor
        Level-0 pixels per pixel of the block.

    Returns
    -------
    NDArray
        ``uint32[ceil(height / factor), ceil(width / factor)]``, 0 where no object is.

    Raises
    ------
    ValueError
        When there is not one id per object.
    """
    shape = (math.ceil(rect_l0.height / factor), math.ceil(rect_l0.width / factor))
    block = np.zeros(shape, np.uint32)
    rings = (detections.rings - np.array([rect_l0.x0, rect_l0.y0], np.float64)) / factor
    _shapes.fill(
        np.ascontiguousarray(rings),
        np.ascontiguousarray(detections.offsets),
        np.ascontiguousarray(ids, np.uint32),
        np.zeros(shape, np.uint8),
        block,
    )
    return block
