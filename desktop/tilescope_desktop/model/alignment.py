"""How two slides that are seen side by side lie on each other: a value.

Level-0 offsets and screen offsets are complex numbers here, x + iy: a turn and a change of scale
are one product, and swapping left and right is minus the conjugate.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass, replace
from typing import Self

from tilescope.domain.geometry import Point, Size
from tilescope_desktop.model.viewport import Viewport


@dataclass(frozen=True, slots=True)
class Measured:
    """What has to be known of a slide to lay another one on it.

    Attributes
    ----------
    size
        In level-0 pixels.
    um_per_px
        Micrometres per level-0 pixel, None when nobody knows.
    """

    size: Size
    um_per_px: float | None

    @property
    def middle_l0(self) -> Point:
        """The middle of the slide."""
        return Point(self.size.width / 2, self.size.height / 2)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where the places of one slide are on another.

    Attributes
    ----------
    here_l0, there_l0
        A place of the one slide and what lies on it of the other, each in its own level-0 pixels.
    scale
        Level-0 pixels of the other slide per level-0 pixel of the one.
    turn_deg
        The one slide has to be turned clockwise by it, after it was mirrored, to lie on the other.
    is_mirrored
        Whether left and right are swapped between them.
    """

    here_l0: Point
    there_l0: Point
    scale: float = 1.0
    turn_deg: float = 0.0
    is_mirrored: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            msg = f"scale = {self.scale} is no scale"
            raise ValueError(msg)

    @classmethod
    def at_same_size(cls, here: Measured, there: Measured) -> Self:
        """Return middle on middle, a micrometre as long on both.

        Where a pixel size is not known a level-0 pixel is as long on both.
        """
        scale = 1.0
        if here.um_per_px is not None and there.um_per_px is not None:
            scale = here.um_per_px / there.um_per_px
        return cls(here.middle_l0, there.middle_l0, scale)

    @classmethod
    def as_seen(cls, here: Viewport, there: Viewport) -> Self:
        """Return what holds when two views show the same, as they stand."""
        factor = _polar(there.l0_per_px / here.l0_per_px, here.rotation_deg - there.rotation_deg)
        if there.is_flipped:
            factor = factor.conjugate()
        return cls(
            here.centre_l0,
            there.centre_l0,
            abs(factor),
            math.degrees(cmath.phase(factor)),
            here.is_flipped != there.is_flipped,
        )

    @property
    def inverse(self) -> Self:
        """The other slide on the one."""
        turn_deg = self.turn_deg if self.is_mirrored else -self.turn_deg
        return replace(
            self,
            here_l0=self.there_l0,
            there_l0=self.here_l0,
            scale=1 / self.scale,
            turn_deg=turn_deg,
        )

    def place(self, point_l0: Point) -> Point:
        """Return where a place of the one slide is on the other."""
        offset = complex(point_l0.x - self.here_l0.x, point_l0.y - self.here_l0.y)
        if self.is_mirrored:
            offset = -offset.conjugate()
        moved = _polar(self.scale, self.turn_deg) * offset
        return Point(self.there_l0.x + moved.real, self.there_l0.y + moved.imag)

    def view(self, here: Viewport, there: Viewport) -> Viewport:
        """Return the view ``there`` moved so that it shows what ``here`` shows; its size stays."""
        is_flipped = here.is_flipped != self.is_mirrored
        turn_deg = self.turn_deg if is_flipped else -self.turn_deg
        return replace(
            there,
            centre_l0=self.place(here.centre_l0),
            l0_per_px=here.l0_per_px * self.scale,
            rotation_deg=(here.rotation_deg + turn_deg) % 360.0,
            is_flipped=is_flipped,
        )


def _polar(length: float, angle_deg: float) -> complex:
    return cmath.rect(length, math.radians(angle_deg))
