"""Objects of a batch beside each other and beside those that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.ops.shapes import largest_ring, valid

Ring = NDArray[np.float64]

#: Two answers that share this part of their union are the same object.
SAME_IOU = 0.6
#: What is left of an object beside others must be this part of it to be one.
LEAST_LEFT = 0.3
#: So many outlines are looked through one by one before the index is made anew.
_MOST_UNINDEXED = 256


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """An outline after it was placed beside the others.

    Attributes
    ----------
    ring
        What is left of it; None when it is the same object as another, or lies under others.
    same_as
        Index of the earlier one that it is the same as, among all that are there; None if none.
    """

    ring: Ring | None
    same_as: int | None = None


class Beside:
    """Outlines that may not overlap; the ones that came first keep what they have."""

    def __init__(self, rings: Sequence[Ring] = ()) -> None:
        self._there = [shapely.Polygon(ring) for ring in map(valid, rings) if ring is not None]
        self._tree = shapely.STRtree(self._there)
        self._indexed = len(self._there)

    def __len__(self) -> int:
        return len(self._there)

    def place(self, ring: Ring, at: tuple[float, float]) -> Placed:
        """Return what is left of an outline and remember it; the part that holds ``at`` counts."""
        polygon = shapely.Polygon(ring)
        left = polygon
        for i in self._near(polygon):
            other = self._there[i]
            common = polygon.intersection(other).area
            if common >= SAME_IOU * (polygon.area + other.area - common):
                return Placed(None, i)
            if common > 0:
                left = left.difference(other)
        if left is polygon:
            self._add(polygon)
            return Placed(ring)
        part = largest_ring(_part_at(left, at))
        if part is None or shapely.Polygon(part).area < LEAST_LEFT * polygon.area:
            return Placed(None)
        self._add(shapely.Polygon(part))
        return Placed(part)

    def _add(self, polygon: shapely.Polygon) -> None:
        self._there.append(polygon)
        if len(self._there) - self._indexed > _MOST_UNINDEXED:
            self._tree = shapely.STRtree(self._there)
            self._indexed = len(self._there)

    def _near(self, geometry: shapely.Geometry) -> list[int]:
        near = {int(i) for i in self._tree.query(geometry)} if self._indexed else set()
        box = shapely.bounds(geometry)
        for i in range(self._indexed, len(self._there)):
            x0, y0, x1, y1 = self._there[i].bounds
            if x0 <= box[2] and box[0] <= x1 and y0 <= box[3] and box[1] <= y1:
                near.add(i)
        return sorted(near)


def _part_at(geometry: shapely.Geometry, at: tuple[float, float]) -> shapely.Geometry:
    """Return the part of a geometry that holds a point, else all of it."""
    point = shapely.Point(at)
    for part in shapely.get_parts(geometry):
        if part.contains(point):
            return part
    return geometry
