"""Objects that a model found by itself, as clicks."""

from __future__ import annotations

import numpy as np
import shapely

from tilescope.domain.clicks import Prompt
from tilescope.domain.results import Detections
from tilescope.ops.contours import ring_areas


def propose(detections: Detections) -> list[Prompt]:
    """Return one prompt per object: a point well inside it, and how large it is.

    An object without area gives none.
    """
    areas = ring_areas(detections.rings, detections.offsets)
    kept = np.flatnonzero(areas > 0)
    shapes = np.array([shapely.Polygon(detections.ring(int(i))) for i in kept], object)
    places = shapely.get_coordinates(shapely.point_on_surface(shapes))
    diameters = 2.0 * np.sqrt(areas[kept] / np.pi)
    return [
        Prompt.at(float(x), float(y), diameter_px=float(diameter))
        for (x, y), diameter in zip(places, diameters, strict=True)
    ]
