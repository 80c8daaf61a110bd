"""Outlines without corners."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.ops.rings import Offsets, Points
from tilescope.ops.validity import Geometries

#: Every round doubles the vertices.
MOST_ROUNDS = 5
_AREAS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


def smooth(geometries: Geometries, rounds: int = 2) -> Geometries:
    """Return polygons with their corners cut, again and again, and with the area they had.

    Every round replaces a vertex by two, a quarter of the way to each neighbour (G. Chaikin, An
    algorithm for high-speed curve generation, 1974); each polygon is then enlarged about its
    centroid, holes and all, to the area it had. A geometry that would not be valid is smoothed
    in fewer rounds, or stays as it was; so do points and lines.

    Parameters
    ----------
    geometries
        ``object[n]`` of valid shapely geometries, in any unit.
    rounds
        1 to ``MOST_ROUNDS``; nothing changes much after three.

    Raises
    ------
    ValueError
        For any other number of rounds.
    """
    if not 1 <= rounds <= MOST_ROUNDS:
        raise ValueError(f"outlines are smoothed in 1 to {MOST_ROUNDS} rounds, not {rounds}")
    smoothed = np.array(geometries, object)
    left = np.flatnonzero(np.isin(shapely.get_type_id(smoothed), _AREAS))
    for fewer in range(rounds, 0, -1):
        tried = _smoothed(smoothed[left], fewer)
        whole = shapely.is_valid(tried)
        smoothed[left[whole]] = tried[whole]
        left = left[~whole]
        if not len(left):
            break
    return smoothed


def _smoothed(areas: Geometries, rounds: int) -> Geometries:
    """Return the areas smoothed, valid or not."""
    parts, owners = shapely.get_parts(areas, return_index=True)
    if not len(parts):
        return areas
    _, points, (rings, polygons) = shapely.to_ragged_array(parts)
    rings, polygons = rings.astype(np.int64), polygons.astype(np.int64)
    for _ in range(rounds):
        points, rings = _cut(points, rings)
    cut = shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (rings, polygons))
    cut = _enlarged(cut, shapely.area(parts))
    bounds = np.searchsorted(owners, np.arange(len(areas) + 1))
    multi = shapely.get_type_id(areas) == shapely.GeometryType.MULTIPOLYGON
    result = np.empty(len(areas), object)
    for i, (a, b) in enumerate(pairwise(bounds.tolist())):
        result[i] = shapely.multipolygons(cut[a:b]) if multi[i] else cut[a]
    return result


def _cut(points: Points, offsets: Offsets) -> tuple[Points, Offsets]:
    """Return closed rings with every corner replaced by two."""
    sides = np.ones(len(points), bool)
    sides[offsets[1:] - 1] = False  # from the last vertex, the first again, there is no side
    start, end = points[sides], points[1:][sides[:-1]]
    n = len(offsets) - 1
    cut = np.stack([0.75 * start + 0.25 * end, 0.25 * start + 0.75 * end], axis=1).reshape(-1, 2)
    ends = 2 * (offsets - np.arange(n + 1))
    closed = np.insert(cut, ends[1:], cut[ends[:-1]], axis=0)
    return closed, ends + np.arange(n + 1)


def _enlarged(polygons: Geometries, areas: NDArray[np.float64]) -> Geometries:
    """Return polygons of the given areas; a similarity leaves what is valid valid."""
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.sqrt(areas / shapely.area(polygons))
    factors = np.where(np.isfinite(factors), factors, 1.0)
    centres = shapely.get_coordinates(shapely.centroid(polygons))
    points, owners = shapely.get_coordinates(polygons, return_index=True)
    about = centres[owners]
    enlarged: Geometries = shapely.set_coordinates(
        polygons, about + (points - about) * factors[owners, None]
    )
    return enlarged
