"""Polygon algebra on single outlines: union, clipping, overlap and repair.

A ring is ``float64[k, 2]``, x then y, not closed, positive orientation in a y-down frame; all
functions keep the unit and the frame of what they are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect

Ring = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much two outlines have in common.

    Attributes
    ----------
    area
        Of the intersection, in squared units of the rings.
    of_smaller
        That area over the area of the smaller outline, 0 to 1.
    iou
        That area over the area of the union, 0 to 1.
    """

    area: float
    of_smaller: float
    iou: float


def _polygon(ring: Ring) -> shapely.Geometry:
    """Return a valid polygon or multipolygon, empty for fewer than three vertices."""
    if len(ring) < 3 or not np.isfinite(ring).all():
        return shapely.Polygon()
    polygon = shapely.Polygon(ring)
    return polygon if polygon.is_valid else shapely.make_valid(polygon)


def largest_ring(geometry: shapely.Geometry) -> Ring | None:
    """Return the outline of the largest polygon in ``geometry``, lines and points passed over."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    parts = parts[shapely.area(parts) > 0]
    if not len(parts):
        return None
    # The outline of a valid polygon is valid without its holes too.
    largest = shapely.get_exterior_ring(parts[int(np.argmax(shapely.area(parts)))])
    ring: Ring = shapely.get_coordinates(largest)[:-1]
    return np.ascontiguousarray(ring if shapely.is_ccw(largest) else ring[::-1])


def valid(ring: Ring) -> Ring | None:
    """Return the largest valid outline in ``ring``, or None when it encloses nothing.

    Vertices that are not finite make an outline that encloses nothing.
    """
    return largest_ring(_polygon(ring))


def union_of(rings: Sequence[Ring]) -> Ring | None:
    """Return the outline of the largest part of the union, holes filled; None when empty."""
    return largest_ring(shapely.union_all([_polygon(ring) for ring in rings]))


def clip(ring: Ring, rect: Rect) -> Ring | None:
    """Return the largest part of ``ring`` inside ``rect``; None when there is none."""
    box = shapely.box(rect.x0, rect.y0, rect.x1, rect.y1)
    return largest_ring(shapely.intersection(_polygon(ring), box))


def clip_parts(ring: Ring, rect: Rect) -> list[Ring]:
    """Return the outline of every part of ``ring`` inside ``rect``, holes filled."""
    box = shapely.box(rect.x0, rect.y0, rect.x1, rect.y1)
    parts = shapely.get_parts(shapely.get_parts(shapely.intersection(_polygon(ring), box)))
    rings = [largest_ring(part) for part in parts]
    return [part for part in rings if part is not None]


def overlap(ring_a: Ring, ring_b: Ring) -> Overlap:
    """Return how much two outlines have in common; all zero when either encloses nothing."""
    a, b = _polygon(ring_a), _polygon(ring_b)
    smaller = min(a.area, b.area)
    if smaller == 0:
        return Overlap(0.0, 0.0, 0.0)
    common = float(shapely.intersection(a, b).area)
    union = a.area + b.area - common
    # Rounding may put the intersection a hair above the smaller area.
    return Overlap(common, min(1.0, common / smaller), min(1.0, common / union))
