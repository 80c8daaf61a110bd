"""Shapes between two corners or ends: rectangle, ellipse, line, ruler; and single points."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np
import shapely

from tilescope.domain.geometry import Point
from tilescope_desktop.model.frame import LEVEL, Box, Frame
from tilescope_desktop.model.pointer import Pointer
from tilescope_desktop.model.tools.tool import (
    Draw,
    Line,
    Preview,
    Scene,
    Tool,
    Wishes,
    length_text,
    points_of,
)

#: A drag shorter than this, in screen pixels, is a click and draws nothing.
_SHORTEST_PX = 3.0
_ELLIPSE_CORNERS = 96
#: An ellipse may be off by so much of its radius.
_ROUNDED = 2e-3


class PointTool(Tool):
    """A press is a point, and so is a double click."""

    def press(self, pointer: Pointer) -> Wishes:
        """Draw it."""
        return (Draw(shapely.Point(pointer.at_l0.x, pointer.at_l0.y)),)

    def double(self, pointer: Pointer) -> Wishes:
        """Draw nothing: the click before was the point."""
        return ()


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
        left, top, right, bottom = _box(start, pointer)
        sides = [[(left, top), (right, top)], [(left, top), (left, bottom)]]
        ways = [pointer.frame.to_l0(np.array(side)) for side in sides]
        return " x ".join(length_text(way, self.scene.pixel_size) for way in ways)

    @abstractmethod
    def _shape(self, start: Point, pointer: Pointer) -> shapely.Geometry:
        """Return what a drag from ``start`` to the pointer makes, empty for nothing."""


class RectangleTool(DragTool):
    """A rectangle between two corners, upright on the screen; with Shift a square."""

    def _shape(self, start: Point, pointer: Pointer) -> shapely.Geometry:
        return _solid(pointer.frame.placed(shapely.box(*_box(start, pointer))))


class EllipseTool(DragTool):
    """An ellipse in the box between two corners; with Shift a circle."""

    def _shape(self, start: Point, pointer: Pointer) -> shapely.Geometry:
        return _solid(pointer.frame.placed(ellipse_in(_box(start, pointer))))


class LineTool(DragTool):
    """A straight line, its length beside the cursor; with Shift in steps of 45 degrees."""

    def _shape(self, start: Point, pointer: Pointer) -> shapely.Geometry:
        end = _snapped(start, pointer)
        return shapely.LineString([(start.x, start.y), (end.x, end.y)])

    def _text(self, start: Point, pointer: Pointer) -> str:
        return length_text(points_of([start, _snapped(start, pointer)]), self.scene.pixel_size)


class RulerTool(LineTool):
    """Measures a length and draws nothing; the line stays until the next press.

    What stays is told by the pixel size of now: one may be entered after it was measured.
    """

    @property
    def preview(self) -> Preview:
        """The line and its length."""
        shown = self._preview
        if shown.shape is None:
            return shown
        text = length_text(shapely.get_coordinates(shown.shape), self.scene.pixel_size)
        return shown if text == shown.text else replace(shown, text=text)

    def _drawn(self, start: Point, pointer: Pointer) -> Wishes:
        self._preview = self._shown(start, pointer)
        return ()


def ellipse_in(box: Box) -> shapely.Geometry:
    """Return the ellipse that fills a box, along the same axes."""
    x0, y0, x1, y1 = box
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)
    x = (x0 + x1) / 2 + (x1 - x0) / 2 * np.cos(angle)
    y = (y0 + y1) / 2 + (y1 - y0) / 2 * np.sin(angle)
    return shapely.Polygon(np.stack([x, y], axis=1))


def box_of_ellipse(geometry: shapely.Geometry) -> tuple[Frame, Box] | None:
    """Return the box of an outline that is an ellipse as drawn, and its axes; None for others.

    Files keep coordinates rounded, so nearly an ellipse is one.
    """
    if shapely.get_type_id(geometry) != shapely.GeometryType.POLYGON:
        return None
    corners = shapely.get_coordinates(geometry)[:-1]
    if len(corners) != _ELLIPSE_CORNERS:
        return None
    for frame in (LEVEL, _axes_of(corners)):
        box = _box_of_upright(frame.of(corners))
        if box is not None:
            return frame, box
    return None


def _axes_of(corners: Line) -> Frame:
    """Return the axes of an ellipse, the first of them the one that is nearer to level."""
    long_x, long_y = np.linalg.eigh(np.cov(corners.T))[1][:, 1]
    angle = math.atan2(long_y, long_x)
    return Frame.turned(math.degrees(angle - round(angle / (math.pi / 2)) * math.pi / 2))


def _box_of_upright(corners: Line) -> Box | None:
    left, top = corners.min(axis=0).tolist()
    right, bottom = corners.max(axis=0).tolist()
    if right <= left or bottom <= top:
        return None
    radii = (right - left) / 2, (bottom - top) / 2
    unit = (corners - ((left + right) / 2, (top + bottom) / 2)) / radii
    turns = np.sort(np.arctan2(unit[:, 1], unit[:, 0]))
    steps = np.diff(turns, append=turns[0] + 2 * np.pi) * _ELLIPSE_CORNERS / (2 * np.pi)
    is_round = np.allclose(np.hypot(unit[:, 0], unit[:, 1]), 1.0, rtol=0.0, atol=_ROUNDED)
    is_even = np.allclose(steps, 1.0, rtol=0.0, atol=_ROUNDED * _ELLIPSE_CORNERS)
    return (left, top, right, bottom) if is_round and is_even else None


def _box(start: Point, pointer: Pointer) -> Box:
    """Return the box from a corner to the pointer in its frame; with Shift a square."""
    left, top, right, bottom = pointer.frame.box(start, pointer.at_l0)
    if not pointer.has_shift:
        return left, top, right, bottom
    side = max(right - left, bottom - top)
    x, y = pointer.frame.of(points_of([start]))[0].tolist()
    x0, y0 = (x - side if left < x else x), (y - side if top < y else y)
    return x0, y0, x0 + side, y0 + side


def _snapped(start: Point, pointer: Pointer) -> Point:
    dx, dy = pointer.at_l0.x - start.x, pointer.at_l0.y - start.y
    if not pointer.has_shift:
        return pointer.at_l0
    level = pointer.frame.angle
    angle = level + round((math.atan2(dy, dx) - level) / (math.pi / 4)) * math.pi / 4
    length = dx * math.cos(angle) + dy * math.sin(angle)
    return Point(start.x + length * math.cos(angle), start.y + length * math.sin(angle))


def _solid(shape: shapely.Geometry) -> shapely.Geometry:
    """Return the shape, empty where it encloses nothing."""
    return shape if shape.area > 0 else shapely.Polygon()
