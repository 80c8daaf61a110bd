"""Outlines with fewer vertices."""

from __future__ import annotations

import math

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.ops.validity import Geometries

_AREA = 2
_ROUNDING = 1e-9
_MOST_COMPARED = 1000


def simplify(geometries: Geometries, tolerance: float) -> Geometries:
    """Return the geometries with those vertices left out that hardly matter.

    Holes and parts stay and none is moved into another: a geometry that would not be valid or
    would move further than the tolerance stays as it was.

    Parameters
    ----------
    geometries
        ``object[n]`` of valid shapely geometries, in any unit.
    tolerance
        How far the old and the new outline may lie apart, in the same unit; at 0
        only vertices go that lie on a straight line.

    Raises
    ------
    ValueError
        When the tolerance is negative or not finite.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"a tolerance is a finite number from 0, not {tolerance}")
    simple: Geometries = shapely.simplify(geometries, tolerance, preserve_topology=True)
    kept = shapely.get_num_coordinates(simple) < shapely.get_num_coordinates(geometries)
    kept &= shapely.is_valid(simple) & ~shapely.is_empty(simple)
    kept &= shapely.get_type_id(simple) == shapely.get_type_id(geometries)
    # What keeps rings apart may move a small one further than it was allowed to.
    chosen = np.flatnonzero(kept)
    kept[chosen] = _farthest(geometries[chosen], simple[chosen]) <= tolerance + _ROUNDING * (
        1 + tolerance
    )
    return np.where(kept, simple, geometries)


def _farthest(before: Geometries, after: Geometries) -> NDArray[np.float64]:
    """Return how far the outlines of geometries are from each other at most, ``float64[n]``."""
    old, new = _outlines(before), _outlines(after)
    small = shapely.get_num_coordinates(old) <= _MOST_COMPARED
    far = np.empty(len(old))
    far[small] = shapely.hausdorff_distance(old[small], new[small])
    for index in np.flatnonzero(~small):
        # All pairs of vertices of a large outline would take for ever.
        shapely.prepare(new[index])
        points = shapely.points(shapely.get_coordinates(old[index]))
        far[index] = shapely.distance(points, new[index]).max()
    return far


def _outlines(geometries: Geometries) -> Geometries:
    found: Geometries = geometries.copy()
    areas = shapely.get_dimensions(geometries) == _AREA
    found[areas] = shapely.boundary(geometries[areas])
    return found
