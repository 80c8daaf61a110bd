"""Outlines corner by corner, or drawn by hand."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import shapely

from tilescope.domain.geometry import Point
from tilescope.ops.validity import clean
from tilescope_desktop.model.pointer import Pointer
from tilescope_desktop.model.tools.tool import (
    Draw,
    Preview,
    Say,
    Scene,
    Tool,
    Wishes,
    length_text,
    points_of,
)

#: A click this near to the first corner closes the outline, in screen pixels.
_CLOSING_PX = 8.0
#: Drawn by hand, corners are this far apart, in screen pixels.
_STEP_PX = 2.0
#: A hand does not draw finer than this, in screen pixels.
_HAND_PX = 0.4
#: An outline with less area, by the square of its length, is a line but for rounding.
_FLAT = 1e-9


class PathTool(Tool, ABC):
    """Corners by clicks, or by a drag; a double click or Enter ends it, Backspace goes back."""

    def __init__(self, scene: Scene, id: str, title: str) -> None:  # noqa: A002 - as in Tool
        super().__init__(scene, id, title)
        self._corners: list[Point] = []
        self._is_down = False
        self._dragged = 0
        self._l0_per_px = 1.0

    @property
    def is_busy(self) -> bool:
        """Tell whether there are corners."""
        return bool(self._corners)

    def press(self, pointer: Pointer) -> Wishes:
        """Put a corner, or close the outline at its first."""
        self._is_down, self._dragged = True, 0
        self._l0_per_px = pointer.l0_per_px
        if self._closes(pointer):
            return self.finish()
        self._put(pointer.at_l0)
        return ()

    def move(self, pointer: Pointer) -> Wishes:
        """Show where the next corner would be; with the button down, draw by hand."""
        if self._is_down and self._corners and self._is_far(pointer, _STEP_PX):
            self._put(pointer.at_l0)
            self._dragged += 1
        self._show(pointer.at_l0)
        return ()

    def release(self, pointer: Pointer) -> Wishes:
        """End what was drawn by hand from its first corner on."""
        self._is_down = False
        if self._dragged and len(self._corners) == self._dragged + 1:
            return self.finish()
        return ()

    def double(self, pointer: Pointer) -> Wishes:
        """End the outline; the click before put its last corner."""
        return self.finish()

    def finish(self) -> Wishes:
        """Draw what there is."""
        wish = self._wish()
        self.cancel()
        return () if wish is None else (wish,)

    def step_back(self) -> bool:
        """Take the last corner back, or all that was drawn since the button went down."""
        if not self._corners:
            return False
        if self._is_down and self._dragged:
            del self._corners[-self._dragged - 1 :]
            self._is_down, self._dragged = False, 0
        else:
            self._corners.pop()
        self._show(self._corners[-1] if self._corners else None)
        return True

    def cancel(self) -> None:
        """Forget all corners."""
        super().cancel()
        self._corners = []
        self._is_down = False

    def _put(self, at_l0: Point) -> None:
        if not self._corners or self._corners[-1] != at_l0:
            self._corners.append(at_l0)
        self._show(at_l0)

    def _show(self, cursor_l0: Point | None) -> None:
        if cursor_l0 is None or not self._corners:
            self._preview = Preview()
            return
        line = points_of([*self._corners, cursor_l0])
        self._preview = Preview(line=line, handles=line[:1], text=self._text(line))

    def _is_far(self, pointer: Pointer, distance_px: float) -> bool:
        last = self._corners[-1]
        distance = math.hypot(pointer.at_l0.x - last.x, pointer.at_l0.y - last.y)
        return distance >= distance_px * pointer.l0_per_px

    def _closes(self, pointer: Pointer) -> bool:
        return False

    def _text(self, line: np.ndarray) -> str:
        return ""

    @abstractmethod
    def _wish(self) -> Draw | Say | None:
        """Return what comes of the corners, None when there are too few."""


class PolygonTool(PathTool):
    """A closed outline."""

    def _closes(self, pointer: Pointer) -> bool:
        if len(self._corners) < 3:
            return False
        first, at = self._corners[0], pointer.at_l0
        distance = math.hypot(at.x - first.x, at.y - first.y)
        return distance <= _CLOSING_PX * pointer.l0_per_px

    def _wish(self) -> Draw | Say | None:
        if len(self._corners) < 3:
            return None
        polygon = shapely.Polygon(points_of(self._corners))
        thin = shapely.simplify(polygon, _HAND_PX * self._l0_per_px)
        # Repaired before it is measured: what lobes of an eight enclose cancels out.
        found = clean(np.array([thin if thin.area > 0 and thin.is_valid else polygon], object))
        shape, why_not = found.geometries[0], found.refused.get(0, "encloses nothing")
        if shape is None or shape.area < _FLAT * shape.length**2:
            return Say(f"Nothing was drawn: the outline {why_not}")
        return Draw(shape)


class FreehandTool(PolygonTool):
    """A closed outline drawn in one drag."""

    def release(self, pointer: Pointer) -> Wishes:
        """End the outline."""
        self._is_down = False
        return self.finish()


class PolylineTool(PathTool):
    """An open line of several parts, its length beside the cursor."""

    def _text(self, line: np.ndarray) -> str:
        return length_text(line, self.scene.pixel_size)

    def _wish(self) -> Draw | Say | None:
        if len(self._corners) < 2:
            return None
        line = shapely.LineString(points_of(self._corners))
        return Draw(shapely.simplify(line, _HAND_PX * self._l0_per_px))
