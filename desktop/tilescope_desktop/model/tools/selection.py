"""Choosing objects, and moving one that is chosen."""

from __future__ import annotations

import math

import shapely
from shapely.affinity import translate

from tilescope.domain.geometry import Point
from tilescope_desktop.model.pointer import Pointer
from tilescope_desktop.model.tools.tool import (
    REACH_PX,
    Pick,
    PickBox,
    Preview,
    Reshape,
    Scene,
    Selected,
    Tool,
    Wishes,
)

_CLICK_PX = 4.0


class SelectionTool(Tool):
    """A click selects, Shift adds to it, a drag selects what lies in a box.

    A drag that begins on the one selected object moves it.
    """

    def __init__(self, scene: Scene, id: str, title: str) -> None:  # noqa: A002 - as in Tool
        super().__init__(scene, id, title)
        self._from: Point | None = None
        self._moved: Selected | None = None

    @property
    def is_busy(self) -> bool:
        """Tell whether a drag is on its way."""
        return self._from is not None

    def press(self, pointer: Pointer) -> Wishes:
        """Begin a click, a box or a move."""
        self._from = pointer.at_l0
        at = shapely.Point(pointer.at_l0.x, pointer.at_l0.y)
        reach = REACH_PX * pointer.l0_per_px
        movable = [
            found
            for found in self.scene.selected
            if not found.is_locked and found.geometry.distance(at) <= reach
        ]
        is_alone = len(self.scene.selected) == 1 and not pointer.has_shift
        self._moved = movable[0] if movable and is_alone else None
        return ()

    def move(self, pointer: Pointer) -> Wishes:
        """Show the box, or the object where it would be."""
        start = self._from
        if start is None or not self._is_drag(start, pointer):
            return ()
        if self._moved is not None:
            self._preview = Preview(_carried(self._moved, start, pointer.at_l0))
        else:
            frame = pointer.frame
            box = shapely.box(*frame.box(start, pointer.at_l0))
            self._preview = Preview(frame.placed(box))
        return ()

    def release(self, pointer: Pointer) -> Wishes:
        """Select or move."""
        start, moved = self._from, self._moved
        self.cancel()
        if start is None:
            return ()
        if not self._is_drag(start, pointer):
            reach = REACH_PX * pointer.l0_per_px
            return (Pick(pointer.at_l0, reach, pointer.has_shift or pointer.has_control),)
        if moved is not None:
            return (Reshape(moved.id, _carried(moved, start, pointer.at_l0)),)
        box = pointer.frame.box(start, pointer.at_l0)
        return (PickBox(box, pointer.has_shift or pointer.has_control, pointer.frame),)

    def cancel(self) -> None:
        """Forget the drag."""
        super().cancel()
        self._from = self._moved = None

    def _is_drag(self, start: Point, pointer: Pointer) -> bool:
        distance = math.hypot(pointer.at_l0.x - start.x, pointer.at_l0.y - start.y)
        return distance >= _CLICK_PX * pointer.l0_per_px


def _carried(found: Selected, start: Point, end: Point) -> shapely.Geometry:
    return translate(found.geometry, end.x - start.x, end.y - start.y)
