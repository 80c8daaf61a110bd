"""Painting areas: a brush, and what brush and wand have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from enum import Enum

import shapely

from tilescope.domain.geometry import Point
from tilescope.ops.combination import difference, union
from tilescope_desktop.model.pointer import Pointer
from tilescope_desktop.model.tools.tool import (
    LOCKED,
    Draw,
    Preview,
    Reshape,
    Scene,
    Selected,
    Tool,
    Wishes,
)

#: Radius of the brush on the screen, and its limits, in screen pixels.
RADIUS_PX = 20.0
_RADII_PX = (2.0, 200.0)
_STEP = 1.25
#: Corners that the eye cannot see are left out: this near to the outline, in screen pixels.
_FINE_PX = 0.35
_QUADRANT = 8
_AREAS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


class _Mode(Enum):
    NEW = "new"
    ADD = "add"
    SUBTRACT = "subtract"


class PaintTool(Tool, ABC):
    """Paints an area in one stroke.

    A stroke that begins inside the selected area, or with Shift, adds to it; with Alt it cuts
    away; any other stroke is a new object.
    """

    def __init__(self, scene: Scene, id: str, title: str) -> None:  # noqa: A002 - as in Tool
        super().__init__(scene, id, title)
        self._mode = _Mode.NEW
        self._target: Selected | None = None
        self._stroke: shapely.Geometry | None = None
        self._last: Point | None = None
        self._l0_per_px = 1.0
        self._is_down = False

    @property
    def is_busy(self) -> bool:
        """Tell whether a stroke is on its way."""
        return self._is_down

    def refusal(self, pointer: Pointer) -> str:
        """Return why there is nothing to cut from, or to add to."""
        wants = pointer.has_alt or pointer.has_shift
        if not wants or self._chosen(pointer) is not None:
            return ""
        if any(_is_area(found) for found in self.scene.selected):
            return LOCKED
        return "Select an area to cut away from it" if pointer.has_alt else ""

    def press(self, pointer: Pointer) -> Wishes:
        """Begin a stroke."""
        if self.refusal(pointer):
            return ()
        self._target = self._chosen(pointer)
        self._mode = _Mode.NEW
        if self._target is not None:
            self._mode = _Mode.SUBTRACT if pointer.has_alt else _Mode.ADD
        self._is_down = True
        self._stroke, self._last = None, pointer.at_l0
        self._dab(pointer)
        return ()

    def move(self, pointer: Pointer) -> Wishes:
        """Go on with the stroke."""
        if self._is_down:
            self._dab(pointer)
            self._last = pointer.at_l0
        else:
            self._preview = Preview(ring=self._ring())
        return ()

    def release(self, pointer: Pointer) -> Wishes:
        """Draw what was painted."""
        return self.finish()

    def finish(self) -> Wishes:
        """Draw what was painted, even if the button is down."""
        if not self._is_down:
            return ()
        wishes = self._result()
        self.cancel()
        self._preview = Preview(ring=self._ring())
        return wishes

    def cancel(self) -> None:
        """Forget the stroke."""
        super().cancel()
        self._is_down = False
        self._stroke = self._target = None

    def _chosen(self, pointer: Pointer) -> Selected | None:
        areas = [found for found in self.scene.selected if not found.is_locked and _is_area(found)]
        at = shapely.Point(pointer.at_l0.x, pointer.at_l0.y)
        under = [found for found in areas if found.geometry.contains(at)]
        if under:
            return under[0]
        wants = pointer.has_shift or pointer.has_alt
        return areas[0] if wants and areas else None

    def _dab(self, pointer: Pointer) -> None:
        self._l0_per_px = pointer.l0_per_px
        found = self._area(pointer)
        if found is not None:
            parts = [found] if self._stroke is None else [self._stroke, found]
            self._stroke = union(parts)
        if self._stroke is not None:
            fine = _FINE_PX * pointer.l0_per_px
            thin = shapely.simplify(self._stroke, fine / 4)
            self._stroke = thin if thin.is_valid and thin.area > 0 else self._stroke
        self._preview = Preview(self._stroke, self._mode is _Mode.SUBTRACT, ring=self._ring())

    def _result(self) -> Wishes:
        if self._stroke is None:
            return ()
        stroke = _thinned(self._stroke, _FINE_PX * self._l0_per_px)
        if self._target is None:
            return (Draw(stroke),)
        before = self._target.geometry
        if self._mode is _Mode.SUBTRACT:
            after = difference(before, [stroke])
        else:
            after = union([before, stroke])
        if after is not None and after.equals(before):
            return ()
        return (Reshape(self._target.id, after),)

    @abstractmethod
    def _ring(self) -> float:
        """Return the radius of what is painted around the cursor, in screen pixels."""

    @abstractmethod
    def _area(self, pointer: Pointer) -> shapely.Geometry | None:
        """Return what is painted by going from the last place to this one."""


class BrushTool(PaintTool):
    """A round brush of one size on the screen, whatever the zoom."""

    def __init__(self, scene: Scene, id: str, title: str) -> None:  # noqa: A002 - as in Tool
        super().__init__(scene, id, title)
        self.radius_px = RADIUS_PX

    def resize(self, steps: float) -> None:
        """Make the brush larger, or with negative steps smaller."""
        low, high = _RADII_PX
        self.radius_px = min(max(self.radius_px * _STEP**steps, low), high)
        if self._preview.ring is not None:
            self._preview = replace(self._preview, ring=self.radius_px)

    def _ring(self) -> float:
        return self.radius_px

    def _area(self, pointer: Pointer) -> shapely.Geometry:
        radius = self.radius_px * pointer.l0_per_px
        last = self._last or pointer.at_l0
        here = pointer.at_l0
        path = (
            shapely.Point(here.x, here.y)
            if last == here
            else shapely.LineString([(last.x, last.y), (here.x, here.y)])
        )
        return shapely.buffer(path, radius, quad_segs=_QUADRANT)


def _is_area(found: Selected) -> bool:
    return shapely.get_type_id(found.geometry) in _AREAS


def _thinned(area: shapely.Geometry, tolerance: float) -> shapely.Geometry:
    thin = shapely.simplify(area, tolerance)
    return thin if thin.is_valid and thin.area > 0 else area
