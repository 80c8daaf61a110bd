"""Which part of a slide a widget shows, and how large: a value.

Screen coordinates are logical pixels of the widget, x to the right and y down from its top left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

from tilescope.domain.geometry import Point, Rect, Size

#: How far one may zoom in: screen pixels per level-0 pixel.
MOST_ENLARGED = 64.0


@dataclass(frozen=True, slots=True)
class Viewport:
    """A window onto a slide.

    Attributes
    ----------
    width, height
        Size of the widget in logical pixels, at least 1.
    centre_l0
        The level-0 point in the middle of the widget.
    l0_per_px
        Level-0 pixels per logical pixel: above one is smaller than the slide, below one larger.
    rotation_deg
        The slide is turned clockwise by it, about the centre.
    is_flipped
        Whether left and right of the slide are swapped, before it is turned.
    """

    width: int
    height: int
    centre_l0: Point
    l0_per_px: float
    rotation_deg: float = 0.0
    is_flipped: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            msg = f"a viewport of {self.width} x {self.height} px shows nothing"
            raise ValueError(msg)
        if not 0 < self.l0_per_px < math.inf:
            msg = f"l0_per_px = {self.l0_per_px} is no scale"
            raise ValueError(msg)

    @classmethod
    def fitted(cls, slide: Size, width: int, height: int, *, margin: float = 1.04) -> Self:
        """Return the whole slide in the middle of a widget."""
        l0_per_px = max(slide.width / width, slide.height / height) * margin
        return cls(width, height, Point(slide.width / 2, slide.height / 2), l0_per_px)

    @property
    def matrix(self) -> tuple[float, float, float, float]:
        """``m11, m12, m21, m22``: from level-0 offsets to screen offsets, row vectors as in Qt."""
        turn = math.radians(self.rotation_deg)
        cos, sin = math.cos(turn) / self.l0_per_px, math.sin(turn) / self.l0_per_px
        mirror = -1.0 if self.is_flipped else 1.0
        return mirror * cos, mirror * sin, -sin, cos

    @property
    def slant_deg(self) -> float:
        """How far, clockwise on level 0, a line is turned that is level on the widget."""
        return self.rotation_deg if self.is_flipped else -self.rotation_deg

    def to_screen(self, point_l0: Point) -> Point:
        """Return where a level-0 point is on the widget."""
        m11, m12, m21, m22 = self.matrix
        dx, dy = point_l0.x - self.centre_l0.x, point_l0.y - self.centre_l0.y
        return Point(
            dx * m11 + dy * m21 + self.width / 2,
            dx * m12 + dy * m22 + self.height / 2,
        )

    def to_l0(self, point: Point) -> Point:
        """Return which level-0 point lies under a point of the widget."""
        m11, m12, m21, m22 = self.matrix
        determinant = m11 * m22 - m12 * m21
        dx, dy = point.x - self.width / 2, point.y - self.height / 2
        return Point(
            self.centre_l0.x + (dx * m22 - dy * m21) / determinant,
            self.centre_l0.y + (dy * m11 - dx * m12) / determinant,
        )

    @property
    def corners_l0(self) -> tuple[Point, Point, Point, Point]:
        """The level-0 points under the corners of the widget, all around it."""
        wide, high = float(self.width), float(self.height)
        ring = ((0.0, 0.0), (wide, 0.0), (wide, high), (0.0, high))
        top_left, top_right, bottom_right, bottom_left = (self.to_l0(Point(*at)) for at in ring)
        return top_left, top_right, bottom_right, bottom_left

    @property
    def bounds_l0(self) -> Rect:
        """Smallest level-0 rectangle that encloses everything visible; may leave the slide."""
        corners = self.corners_l0
        x0, x1 = min(c.x for c in corners), max(c.x for c in corners)
        y0, y1 = min(c.y for c in corners), max(c.y for c in corners)
        left, top = math.floor(x0), math.floor(y0)
        return Rect(left, top, max(left + 1, math.ceil(x1)), max(top + 1, math.ceil(y1)))

    def resized(self, width: int, height: int) -> Self:
        """Return the same centre and scale in a widget of another size."""
        return replace(self, width=max(1, width), height=max(1, height))

    def panned(self, dx: float, dy: float) -> Self:
        """Return the view after the slide was dragged by logical pixels."""
        centre = self.to_l0(Point(self.width / 2 - dx, self.height / 2 - dy))
        return replace(self, centre_l0=centre)

    def centred(self, point_l0: Point) -> Self:
        """Return the view with a level-0 point in the middle."""
        return replace(self, centre_l0=point_l0)

    def zoomed(self, factor: float, at: Point | None = None, *, slide: Size) -> Self:
        """Return the view enlarged by ``factor``, the slide staying where ``at`` is.

        The scale stays between a slide of a few screen pixels and ``MOST_ENLARGED``.
        """
        smallest = 8 * max(slide.width / self.width, slide.height / self.height)
        wanted = self.l0_per_px / factor
        l0_per_px = min(max(wanted, 1 / MOST_ENLARGED), max(smallest, 1 / MOST_ENLARGED))
        anchor = at or Point(self.width / 2, self.height / 2)
        before = self.to_l0(anchor)
        scaled = replace(self, l0_per_px=l0_per_px)
        after = scaled.to_l0(anchor)
        centre = Point(
            scaled.centre_l0.x + before.x - after.x, scaled.centre_l0.y + before.y - after.y
        )
        return replace(scaled, centre_l0=centre)

    def rotated(self, rotation_deg: float, at: Point | None = None) -> Self:
        """Return the view turned to an angle, about its centre or another point of the widget."""
        turned = replace(self, rotation_deg=rotation_deg % 360.0)
        if at is None:
            return turned
        before, after = self.to_l0(at), turned.to_l0(at)
        centre = Point(
            turned.centre_l0.x + before.x - after.x, turned.centre_l0.y + before.y - after.y
        )
        return replace(turned, centre_l0=centre)

    def flipped(self) -> Self:
        """Return the view with left and right swapped."""
        return replace(self, is_flipped=not self.is_flipped)

    def kept_on(self, slide: Size) -> Self:
        """Return the view moved so that its centre lies on the slide."""
        x = min(max(self.centre_l0.x, 0.0), float(slide.width))
        y = min(max(self.centre_l0.y, 0.0), float(slide.height))
        return replace(self, centre_l0=Point(x, y))

    def magnification(self, um_per_px_l0: float) -> float:
        """Return the objective that would show it so large, by 40x = 0.25 um/px."""
        return 10.0 / (um_per_px_l0 * self.l0_per_px)
