"""One point on every outline: where an object is, when only a point can say it."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.ops.contours import ring_centroids


def inner_points(rings: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``float64[n, 2]``: of every outline its centre of mass, or another point on it.

    The centre of mass of a bent object may lie beside it; then the point is in the middle of the
    object's widest part halfway up, as GEOS defines a point on a surface.

    Parameters
    ----------
    rings
        ``float64[m, 2]``: the outlines one after the other, not closed.
    offsets
        ``int64[n + 1]``: outline ``i`` is ``rings[offsets[i]:offsets[i + 1]]``.
    """
    points = ring_centroids(rings, offsets)
    lengths = np.diff(offsets)
    areal = np.flatnonzero(lengths >= 3)
    index = np.repeat(np.arange(len(lengths)), lengths)
    kept = lengths[index] >= 3
    outlines = shapely.polygons(
        shapely.linearrings(rings[kept], indices=np.searchsorted(areal, index[kept]))
    )
    x, y = points[areal].T
    beside = np.flatnonzero(~shapely.intersects_xy(outlines, x, y))
    for i in beside:
        inner = shapely.point_on_surface(shapely.make_valid(outlines[i]))
        if not inner.is_empty:
            points[areal[i]] = inner.x, inner.y
    return points
