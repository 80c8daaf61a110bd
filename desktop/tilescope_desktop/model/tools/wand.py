"""A wand: it takes what has the colour under the cursor."""

from __future__ import annotations

import numpy as np
import shapely

from tilescope.ops.contours import outlines
from tilescope_desktop.model.flood import like_pixel
from tilescope_desktop.model.pointer import Pointer
from tilescope_desktop.model.tools.brush import PaintTool

#: How far from the cursor the wand reaches, in screen pixels.
_REACH_PX = 64


class WandTool(PaintTool):
    """Paints the connected pixels of the view that look like the one under the cursor."""

    def _ring(self) -> float:
        return _REACH_PX

    def _area(self, pointer: Pointer) -> shapely.Geometry | None:
        shown = self.scene.pixels()
        if shown is None:
            return None
        column, row = shown.place_of(pointer.at_l0)
        height, width = shown.colors.shape[:2]
        reach = round(_REACH_PX * pointer.l0_per_px / shown.l0_per_px)
        if not (0 <= column < width and 0 <= row < height):
            return None
        left, top = max(0, column - reach), max(0, row - reach)
        patch = shown.colors[top : row + reach + 1, left : column + reach + 1]
        mask = like_pixel(patch, column - left, row - top)
        rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
        away = np.hypot(columns - (column - left), rows - (row - top))
        mask &= away <= reach
        found = outlines(mask.astype(np.int32), tolerance_px=0.3)
        if not len(found) or len(found.rings) < 3:
            return None
        ring = shown.outline_l0(found.rings + np.array([left, top]))
        polygon = shapely.Polygon(ring)
        return polygon if polygon.is_valid and polygon.area > 0 else None
