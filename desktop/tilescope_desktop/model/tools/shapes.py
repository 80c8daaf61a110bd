"""Shapes between two corners or ends: rectangle, ellipse, line, ruler; and single points."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import shapely

from tilescope.domain.geometry import Point
from tilescope_desktop.model.pointer import Pointer
from tilescope_desktop.model.tools.tool import (
    Draw,
    Preview,
    Scene,
    Tool,
    Wishes,
    length_text,
)

#: A drag shorter than this, in screen pixels, is a click and draws nothing.
_SHORTEST_PX = 3.0
_ELLIPSE_CORNERS = 96
#: An ellipse may be off by so much of its radius.
_ROUNDED = 2e-3


class PointTool(Tool):
    """A press is a point."""

    def press(self, pointer: Pointer) -> Wishes:
        """Draw it."""
        return (Draw(shapely.Point(pointer.at_l0.x, pointer.at_l0.y)),)


class DragTool(Tool, ABC):
    """A shape from where the button goes down to where it goes up."""

    def __init__(self, scene: Scene, id: str, title: str) -> None:  # noqa: A002 - as in Tool
        super().__init__(scene, id, title)
        self._from: Point | None = None

    @property
    def is_busy(self) -> bool:
        """Tell whether a drag is on its way."""
        return self._from is not None

    def press(self, pointer: Pointer) -> Wishes:
        """Remember the first corner."""
        self._from = pointer.at_l0
        return ()

    def move(self, pointer: Pointer) -> Wishes:
        """Show the shape."""
        if self._from is not None:
            self._preview = self._shown(self._from, pointer)
        return ()

    def release(self, pointer: Pointer) -> Wishes:
        """Draw the shape, unless it was a click."""
        start, end = self._from, pointer.at_l0
        self.cancel()
        if start is None:
            return ()
        if math.hypot(end.x - start.x, end.y - start.y) < _SHORTEST_PX * pointer.l0_per_px:
            return ()
        return self._drawn(start, pointer)

    def cancel(self) -> None:
        """Forget the first corner."""
        super().cancel()
        self._from = None

    def _shown(self, start: Point, pointer: Pointer) -> Preview:
        return Preview(self._shape(start, pointer), text=self._text(start, pointer))

    def _drawn(self, start: Point, pointer: Pointer) -> Wishes:
        shape = self._shape(start, pointer)
        return () if shape.is_empty else (Draw(shape),)

    def _text(self, start: Point, pointer: Pointer) -> str:
        end = _corner(start, pointer)
        sides = [abs(end.x - start.x), abs(end.y - start.y)]
        return " x ".join(length_text(side, self.scene.um_per_px) for side in sides)

    @abstractmethod
    def _shape(self, start: Point, pointer: Pointer) -> shapely.Geometry:
        """Return what a drag from ``start`` to the pointer makes, empty for nothing."""


class RectangleTool(DragTool):
    """A rectangle between two corners; with Shift a square."""

    def _shape(self, start: Point, pointer: Pointer) -> shapely.Geometry:
        end = _corner(start, pointer)
        return _solid(
            shapely.box(
                *(min(start.x, end.x), min(start.y, end.y)),
                *(max(start.x, end.x), max(start.y, end.y)),
            )
        )


class EllipseTool(DragTool):
    """An ellipse in the box between two corners; with Shift a circle."""

    def _shape(self, start: Point, pointer: Pointer) -> shapely.Geometry:
        end = _corner(start, pointer)
        return _solid(ellipse_in((start.x, start.y, end.x, end.y)))


class LineTool(DragTool):
    """A straight line, its length beside the cursor; with Shift in steps of 45 degrees."""

    def _shape(self, start: Point, pointer: Pointer) -> shapely.Geometry:
        end = _snapped(start, pointer)
        return shapely.LineString([(start.x, start.y), (end.x, end.y)])

    def _text(self, start: Point, pointer: Pointer) -> str:
        end = _snapped(start, pointer)
        length = math.hypot(end.x - start.x, end.y - start.y)
        return length_text(length, self.scene.um_per_px)


class RulerTool(LineTool):
    """Measures a length and draws nothing; the line stays until the next press."""

    def _drawn(self, start: Point, pointer: Pointer) -> Wishes:
        self._preview = self._shown(start, pointer)
        return ()


def ellipse_in(box: tuple[float, float, float, float]) -> shapely.Geometry:
    """Return the ellipse between two opposite corners, x and y of each."""
    x0, y0, x1, y1 = box
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)
    x = (x0 + x1) / 2 + (x1 - x0) / 2 * np.cos(angle)
    y = (y0 + y1) / 2 + (y1 - y0) / 2 * np.sin(angle)
    return shapely.Polygon(np.stack([x, y], axis=1))


def box_of_ellipse(geometry: shapely.Geometry) -> tuple[float, float, float, float] | None:
    """Return left, top, right, bottom of an outline that is an ellipse as drawn; None for others.

    Files keep coordinates rounded, so nearly an ellipse is one.
    """
    if shapely.get_type_id(geometry) != shapely.GeometryType.POLYGON:
        return None
    corners = shapely.get_coordinates(geometry)[:-1]
    left, top, right, bottom = geometry.bounds
    if len(corners) != _ELLIPSE_CORNERS or right <= left or bottom <= top:
        return None
    radii = (right - left) / 2, (bottom - top) / 2
    unit = (corners - ((left + right) / 2, (top + bottom) / 2)) / radii
    turns = np.sort(np.arctan2(unit[:, 1], unit[:, 0]))
    steps = np.diff(turns, append=turns[0] + 2 * np.pi) * _ELLIPSE_CORNERS / (2 * np.pi)
    is_round = np.allclose(np.hypot(unit[:, 0], unit[:, 1]), 1.0, rtol=0.0, atol=_ROUNDED)
    is_even = np.allclose(steps, 1.0, rtol=0.0, atol=_ROUNDED * _ELLIPSE_CORNERS)
    return (left, top, right, bottom) if is_round and is_even else None


def _corner(start: Point, pointer: Pointer) -> Point:
    end = pointer.at_l0
    if not pointer.has_shift:
        return end
    side = max(abs(end.x - start.x), abs(end.y - start.y))
    return Point(
        start.x + math.copysign(side, end.x - start.x),
        start.y + math.copysign(side, end.y - start.y),
    )


def _snapped(start: Point, pointer: Pointer) -> Point:
    dx, dy = pointer.at_l0.x - start.x, pointer.at_l0.y - start.y
    if not pointer.has_shift:
        return pointer.at_l0
    angle = round(math.atan2(dy, dx) / (math.pi / 4)) * math.pi / 4
    length = dx * math.cos(angle) + dy * math.sin(angle)
    return Point(start.x + length * math.cos(angle), start.y + length * math.sin(angle))


def _solid(shape: shapely.Geometry) -> shapely.Geometry:
    """Return the shape, empty where it encloses nothing."""
    return shape if shape.area > 0 else shapely.Polygon()
