"""What is measured on geometries, whole columns at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.scale import PixelSize

Column = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ShapeMeasures:
    """Measurements of ``n`` geometries, ``float64[n]`` each; NaN where one has none.

    Attributes
    ----------
    unit
        ``µm`` or ``px``; areas are in its square.
    centroid_x, centroid_y
        From the top left of the slide.
    area
        Without holes; of polygons.
    perimeter
        Of all rings of polygons.
    length
        Of lines.
    circularity
        ``4 π area / perimeter²``: 1 for a circle.
    major_axis, minor_axis
        Full axes of the ellipse with the same second moments; of polygons.
    """

    unit: str
    centroid_x: Column
    centroid_y: Column
    area: Column
    perimeter: Column
    length: Column
    circularity: Column
    major_axis: Column
    minor_axis: Column

    def named(self) -> dict[str, Column]:
        """Return the columns by the names that QuPath gives them, as far as it has them."""
        u = self.unit
        return {
            f"Centroid X {u}": self.centroid_x,
            f"Centroid Y {u}": self.centroid_y,
            f"Area {u}^2": self.area,
            f"Perimeter {u}": self.perimeter,
            f"Length {u}": self.length,
            "Circularity": self.circularity,
            f"Major axis {u}": self.major_axis,
            f"Minor axis {u}": self.minor_axis,
        }


def measure(geometries: NDArray[Any], pixel_size: PixelSize | None) -> ShapeMeasures:
    """Return the measurements of every geometry, in micrometres when the slide is calibrated.

    Parameters
    ----------
    geometries
        ``object[n]`` of valid shapely geometries in level-0 pixels.
    pixel_size
        Of a level-0 pixel, which may be oblong; None for measurements in pixels.
    """
    if pixel_size is not None:
        scale = np.array([pixel_size.um_x, pixel_size.um_y])
        points = shapely.get_coordinates(geometries) * scale
        geometries = shapely.set_coordinates(geometries.copy(), points)
    dimensions = shapely.get_dimensions(geometries)
    areal, linear = dimensions == 2, dimensions == 1
    centroids = shapely.centroid(geometries)
    area = np.where(areal, shapely.area(geometries), np.nan)
    length = shapely.length(geometries)
    perimeter = np.where(areal, length, np.nan)
    major, minor = _axes(geometries, areal, centroids)
    return ShapeMeasures(
        "px" if pixel_size is None else "µm",
        shapely.get_x(centroids),
        shapely.get_y(centroids),
        area,
        perimeter,
        np.where(linear, length, np.nan),
        4 * np.pi * area / perimeter**2,
        major,
        minor,
    )


def _axes(
    geometries: NDArray[Any], areal: NDArray[np.bool_], centroids: NDArray[Any]
) -> tuple[Column, Column]:
    """Return the axes from the second moments about the centroid.

    Each side of a ring and the centroid span a triangle whose moments are polynomials of its
    corners; signed by orientation their sum is that of the area (Green's theorem).
    """
    n = len(geometries)
    parts, owner = shapely.get_parts(
        shapely.orient_polygons(_only(geometries, areal)), return_index=True
    )
    rings, part = shapely.get_rings(parts, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    row = owner[part[ring]] if len(points) else np.zeros(0, np.intp)
    points = points - shapely.get_coordinates(centroids)[row] if len(points) else points
    p, q = points[:-1], points[1:]
    cross = (p[:, 0] * q[:, 1] - q[:, 0] * p[:, 1]) * (ring[1:] == ring[:-1])
    row = row[:-1]

    def total(values: Column) -> Column:
        return np.bincount(row, cross * values, minlength=n).astype(np.float64)

    xx = total(p[:, 0] ** 2 + p[:, 0] * q[:, 0] + q[:, 0] ** 2) / 12
    yy = total(p[:, 1] ** 2 + p[:, 1] * q[:, 1] + q[:, 1] ** 2) / 12
    xy = total(2 * (p[:, 0] * p[:, 1] + q[:, 0] * q[:, 1]) + p[:, 0] * q[:, 1] + q[:, 0] * p[:, 1])
    xy = xy / 24
    area = np.where(areal, np.bincount(row, cross, minlength=n) / 2, np.nan)
    mean = (xx + yy) / 2
    spread = np.hypot((xx - yy) / 2, xy)
    # An ellipse with half axes a, b has the moments area a² / 4 and area b² / 4.
    major = 4 * np.sqrt(np.maximum(mean + spread, 0) / area)
    minor = 4 * np.sqrt(np.maximum(mean - spread, 0) / area)
    return major, minor


def _only(geometries: NDArray[Any], which: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the geometries of ``which``, None in place of the others."""
    only = np.full(len(geometries), None, object)
    only[which] = geometries[which]
    return only
