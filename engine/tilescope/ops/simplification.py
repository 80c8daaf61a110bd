"""Outlines with fewer vertices."""

from __future__ import annotations

import math

import numpy as np
import shapely

from tilescope.ops.validity import Geometries


def simplify(geometries: Geometries, tolerance: float) -> Geometries:
    """Return the geometries with those vertices left out that hardly matter.

    Holes and parts stay and none is moved into another: a geometry that would not be valid
    stays as it was.

    Parameters
    ----------
    geometries
        ``object[n]`` of valid shapely geometries, in any unit.
    tolerance
        How far a vertex that is left out may lie from the new outline, in the same unit; at 0
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
    return np.where(kept, simple, geometries)
