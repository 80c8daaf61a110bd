"""What a mouse or a pen does, in level-0 pixels: the only thing that tools know of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tilescope.domain.geometry import Point
from tilescope_desktop.model.frame import LEVEL, Frame


class PointerKind(StrEnum):
    """What happened."""

    PRESS = "press"
    MOVE = "move"
    RELEASE = "release"
    DOUBLE = "double"
    CLICK = "click"
    """Down and up at one place, where the tool had left the press to the view."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """One event.

    Attributes
    ----------
    at_l0
        Where it happened, in level-0 pixels; may lie outside the slide.
    l0_per_px
        Level-0 pixels per screen pixel: sizes that are meant for the eye follow it.
    frame
        How the sides of the screen lie on the slide: boxes that are meant for the eye follow it.
    is_primary, is_secondary
        Whether it is the left or the right button that is down, or was just released.
    """

    kind: PointerKind
    at_l0: Point
    l0_per_px: float = 1.0
    is_primary: bool = False
    is_secondary: bool = False
    has_shift: bool = False
    has_alt: bool = False
    has_control: bool = False
    frame: Frame = LEVEL
