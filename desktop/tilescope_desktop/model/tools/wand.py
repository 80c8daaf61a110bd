"""A wand: it takes what has the colour under the cursor."""

from __future__ import annotations

import numpy as np
import shapely

from tilescope.domain.geometry import Point
from tilescope.ops.contours import outlines
from tilescope_desktop.model.flood import like_pixel
from tilescope_desktop.model.pointer import Pointer
from tilescope_desktop.model.tools.brush import PaintTool

#: How far from the cursor the wand reaches, in pixels of the view.
_REACH_PX = 64


class WandTool(PaintTool):
    """Paints the connected pixels of the view that look like the one under the cursor."""

    def _ring(self, pointer: Pointer) -> tuple[Point, float]:
        return pointer.at_l0, _REACH_PX * pointer.l0_per_px

    def _area(self, pointer: Pointer) -> shapely.Geometry | None:
        shown = self.scene.pixels()
        if shown is None:
            return None
        column, row = shown.place_of(pointer.at_l0)
        height, width = shown.colors.shape[:2]
        if not (0 <= column < width and 0 <= row < height):
            return None
        left, top = max(0, column - _REACH_PX), max(0, row - _REACH_PX)
        patch = shown.colors[top : row + _REACH_PX + 1, left : column + _REACH_PX + 1]
        mask = like_pixel(patch, column - left, row - top)
        rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
        away = np.hypot(columns - (column - left), rows - (row - top))
        mask &= away <= _REACH_PX
        found = outlines(mask.astype(np.int32), tolerance_px=0.3)
        if not len(found) or len(found.rings) < 3:
            return None
        ring = shown.outline_l0(found.rings + np.array([left, top]))
        polygon = shapely.Polygon(ring)
        return polygon if polygon.is_valid and polygon.area > 0 else None
