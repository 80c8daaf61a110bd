"""The directions of the screen on a slide: boxes are drawn along them, however a view is turned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.geometry import Point

#: Left, top, right, bottom along the axes of a frame.
Box = tuple[float, float, float, float]
#: Digits of a cosine that count: with them quarter turns are exact.
_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Frame:
    """Two axes at right angles about the corner of the slide, in level-0 pixels.

    Attributes
    ----------
    cos, sin
        Of the angle by which they are turned clockwise; not turned, they are those of level 0.
    """

    cos: float = 1.0
    sin: float = 0.0

    @classmethod
    def turned(cls, angle_deg: float) -> Self:
        """Return the frame that is turned clockwise by an angle."""
        angle = math.radians(angle_deg)
        return cls(round(math.cos(angle), _DIGITS), round(math.sin(angle), _DIGITS))

    @property
    def angle(self) -> float:
        """By how much it is turned clockwise, in radians."""
        return math.atan2(self.sin, self.cos)

    def of(self, points_l0: NDArray[Any]) -> NDArray[np.float64]:
        """Return level-0 points, ``[n, 2]``, along these axes."""
        back = np.array([[self.cos, -self.sin], [self.sin, self.cos]])
        along: NDArray[np.float64] = points_l0 @ back
        return along

    def to_l0(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Return points along these axes, ``[n, 2]``, as level-0 points."""
        there = np.array([[self.cos, self.sin], [-self.sin, self.cos]])
        moved: NDArray[np.float64] = points @ there
        return moved

    def box(self, a_l0: Point, b_l0: Point) -> Box:
        """Return the box between two opposite corners."""
        (ax, ay), (bx, by) = self.of(np.array([(a_l0.x, a_l0.y), (b_l0.x, b_l0.y)])).tolist()
        return min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)

    def placed(self, shape: shapely.Geometry) -> shapely.Geometry:
        """Return a geometry along these axes as one in level-0 pixels."""
        return shapely.transform(shape, self.to_l0)


#: That of a view that is not turned.
LEVEL = Frame()
