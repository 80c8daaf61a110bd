"""Areas put together, cut from each other and into each other, with their holes and parts.

Areas are valid Polygons and MultiPolygons in one unit and frame, as ``validity.clean`` gives them.
So is every result: outer rings have positive orientation in a y-down frame, what is one polygon is
a Polygon, and where no area is left it is None.
"""

from __future__ import annotations

from collections.abc import Sequence

import shapely

_POLYGON = shapely.GeometryType.POLYGON


def union(areas: Sequence[shapely.Geometry]) -> shapely.Geometry | None:
    """Return all that lies in any of the areas."""
    return _area(shapely.union_all(areas))


def intersection(areas: Sequence[shapely.Geometry]) -> shapely.Geometry | None:
    """Return what lies in every one of the areas; nothing is in all of none."""
    return _area(shapely.intersection_all(areas))


def difference(
    area: shapely.Geometry, others: Sequence[shapely.Geometry]
) -> shapely.Geometry | None:
    """Return what of an area lies in none of the others."""
    return _area(shapely.difference(area, shapely.union_all(others)))


def _area(found: shapely.Geometry) -> shapely.Geometry | None:
    """Return the polygons in what was found, without the lines and points where areas touch."""
    parts = shapely.get_parts(shapely.get_parts(found))
    parts = parts[(shapely.get_type_id(parts) == _POLYGON) & (shapely.area(parts) > 0)]
    if not len(parts):
        return None
    return shapely.orient_polygons(parts[0] if len(parts) == 1 else shapely.multipolygons(parts))
