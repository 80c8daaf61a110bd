"""Changing an outline corner by corner."""

from __future__ import annotations

import numpy as np
import shapely

from tilescope.domain.geometry import Point
from tilescope_desktop.model.pointer import Pointer
from tilescope_desktop.model.tools.shapes import box_of_ellipse, ellipse_in
from tilescope_desktop.model.tools.tool import (
    LOCKED,
    Line,
    Pick,
    Preview,
    Reshape,
    Scene,
    Selected,
    Tool,
    Wishes,
    points_of,
)

_REACH_PX = 7.0
#: An outline with more corners shows none of them: they would cover it.
_MOST_HANDLES = 5000


class VertexTool(Tool):
    """Drags the corners of the selected object, of an ellipse its four ends.

    A double click on a side puts a corner there, Alt and a click takes one away, a click elsewhere
    selects.
    """

    def __init__(self, scene: Scene, id: str, title: str) -> None:  # noqa: A002 - as in Tool
        super().__init__(scene, id, title)
        self._dragged: int | None = None
        self._at: Point | None = None

    @property
    def preview(self) -> Preview:
        """The corners, and the outline as it would be."""
        found = self._target()
        if found is None:
            return Preview()
        if self._dragged is not None and self._at is not None:
            return Preview(_dragged(found.geometry, self._dragged, self._at))
        corners = _handles(found.geometry)
        return Preview(handles=corners if len(corners) <= _MOST_HANDLES else None)

    @property
    def is_busy(self) -> bool:
        """Tell whether a corner is dragged."""
        return self._dragged is not None

    def refusal(self, pointer: Pointer) -> str:
        """Return that the selected object is locked, when that is why a press takes no hold."""
        selected = self.scene.selected
        if len(selected) != 1 or not selected[0].is_locked:
            return ""
        shape = selected[0].geometry
        is_meant = _nearest(shape, pointer) is not None or _is_on_side(shape, pointer)
        return LOCKED if is_meant else ""

    def press(self, pointer: Pointer) -> Wishes:
        """Take hold of a corner, take it away, or select."""
        found = self._target()
        near = None if found is None else _nearest(found.geometry, pointer)
        if found is None or near is None:
            on_it = found is not None and _is_on_side(found.geometry, pointer)
            return () if on_it else (Pick(pointer.at_l0, _REACH_PX * pointer.l0_per_px),)
        if pointer.has_alt and box_of_ellipse(found.geometry) is not None:
            return ()  # without its end it would be none
        if pointer.has_alt:
            shorter = _without_corner(found.geometry, near)
            return () if shorter is None else (Reshape(found.id, shorter),)
        self._dragged = near
        return ()

    def move(self, pointer: Pointer) -> Wishes:
        """Drag the corner."""
        if self._dragged is not None:
            self._at = pointer.at_l0
        return ()

    def release(self, pointer: Pointer) -> Wishes:
        """Leave the corner where it is now."""
        found, number, at = self._target(), self._dragged, self._at
        self.cancel()
        if found is None or number is None or at is None:
            return ()
        after = _dragged(found.geometry, number, at)
        is_flat = shapely.get_dimensions(after) == 2 and after.area == 0
        return () if is_flat else (Reshape(found.id, after),)

    def double(self, pointer: Pointer) -> Wishes:
        """Put a corner on the side that was clicked."""
        found = self._target()
        if found is None or not _is_on_side(found.geometry, pointer):
            return self.press(pointer)
        return (Reshape(found.id, _with_new_corner(found.geometry, pointer.at_l0)),)

    def cancel(self) -> None:
        """Leave the corner where it was."""
        super().cancel()
        self._dragged = self._at = None

    def _target(self) -> Selected | None:
        selected = self.scene.selected
        return selected[0] if len(selected) == 1 and not selected[0].is_locked else None


def _corners(geometry: shapely.Geometry) -> Line:
    found: Line = shapely.get_coordinates(geometry)
    return found


def _handles(geometry: shapely.Geometry) -> Line:
    """Return what can be dragged: corners, or right, lower, left and upper end of an ellipse."""
    found = box_of_ellipse(geometry)
    if found is None:
        return _corners(geometry)
    frame, (left, top, right, bottom) = found
    x, y = (left + right) / 2, (top + bottom) / 2
    return frame.to_l0(np.array([(right, y), (x, bottom), (left, y), (x, top)]))


def _dragged(geometry: shapely.Geometry, number: int, at: Point) -> shapely.Geometry:
    """Return a geometry one of whose handles is elsewhere."""
    found = box_of_ellipse(geometry)
    if found is None:
        return _with_corner(geometry, number, at)
    frame, (left, top, right, bottom) = found
    x, y = frame.of(points_of([at]))[0].tolist()
    if number % 2:
        top, bottom = sorted((y, top if number == 1 else bottom))
    else:
        left, right = sorted((x, left if number == 0 else right))
    return frame.placed(ellipse_in((left, top, right, bottom)))


def _nearest(geometry: shapely.Geometry, pointer: Pointer) -> int | None:
    away = _handles(geometry) - (pointer.at_l0.x, pointer.at_l0.y)
    distance = np.hypot(away[:, 0], away[:, 1])
    near = int(np.argmin(distance))
    return near if distance[near] <= _REACH_PX * pointer.l0_per_px else None


def _is_on_side(geometry: shapely.Geometry, pointer: Pointer) -> bool:
    at = shapely.Point(pointer.at_l0.x, pointer.at_l0.y)
    sides = shapely.boundary(geometry) if shapely.get_dimensions(geometry) == 2 else geometry
    return bool(shapely.distance(sides, at) <= _REACH_PX * pointer.l0_per_px)


def _ring_spans(geometry: shapely.Geometry) -> list[tuple[int, int, bool]]:
    """Return first, end and closedness of every line of corners, as in ``get_coordinates``."""
    parts = shapely.get_parts(geometry)
    lines = [
        line
        for part in parts
        for line in (shapely.get_rings(part) if shapely.get_dimensions(part) == 2 else [part])
    ]
    ends = np.cumsum([shapely.get_num_coordinates(line) for line in lines])
    closed = [shapely.get_type_id(line) == shapely.GeometryType.LINEARRING for line in lines]
    starts = [0, *ends[:-1].tolist()]
    return list(zip(starts, ends.tolist(), closed, strict=True))


def _with_corner(geometry: shapely.Geometry, number: int, at: Point) -> shapely.Geometry:
    points = _corners(geometry).copy()
    points[number] = (at.x, at.y)
    for start, end, is_closed in _ring_spans(geometry):
        if is_closed and number in (start, end - 1):
            points[[start, end - 1]] = (at.x, at.y)
    return shapely.set_coordinates(shapely.from_wkb(shapely.to_wkb(geometry)), points)


def _without_corner(geometry: shapely.Geometry, number: int) -> shapely.Geometry | None:
    """Return the geometry without a corner; None when it would lose its last ones."""
    lines = []
    for start, end, is_closed in _ring_spans(geometry):
        points = _corners(geometry)[start : end - 1 if is_closed else end]
        if start <= number < end:
            points = np.delete(points, (number - start) % len(points), axis=0)
            if len(points) < (3 if is_closed else 2):
                return None
        lines.append(points)
    return _rebuilt(geometry, lines)


def _with_new_corner(geometry: shapely.Geometry, at: Point) -> shapely.Geometry:
    place = shapely.Point(at.x, at.y)
    lines, best = [], (np.inf, 0, 0)
    for index, (start, end, is_closed) in enumerate(_ring_spans(geometry)):
        points = _corners(geometry)[start:end]
        sides = shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1))
        distance = shapely.distance(sides, place) if len(sides) else np.array([np.inf])
        side = int(np.argmin(distance))
        best = min(best, (float(distance[side]), index, side + 1))
        lines.append(points[:-1] if is_closed else points)
    _, index, before = best
    lines[index] = np.insert(lines[index], before, (at.x, at.y), axis=0)
    return _rebuilt(geometry, lines)


def _rebuilt(geometry: shapely.Geometry, lines: list[Line]) -> shapely.Geometry:
    """Return a geometry of the same parts and holes from other corners."""
    left = iter(lines)
    parts = []
    for part in shapely.get_parts(geometry):
        if shapely.get_dimensions(part) == 2:
            rings = [next(left) for _ in range(1 + int(shapely.get_num_interior_rings(part)))]
            parts.append(shapely.Polygon(rings[0], rings[1:]))
        elif shapely.get_dimensions(part) == 1:
            parts.append(shapely.LineString(next(left)))
        else:
            parts.append(shapely.Point(next(left)[0]))
    if len(parts) == 1:
        return parts[0]
    if shapely.get_dimensions(parts[0]) == 2:
        return shapely.MultiPolygon(parts)
    return (
        shapely.MultiLineString(parts)
        if shapely.get_dimensions(parts[0])
        else shapely.MultiPoint(parts)
    )
