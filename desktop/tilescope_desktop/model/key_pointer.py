"""A pointer that keys move over a view: where it is and whether its button is down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

#: The slide comes along from this far before the edge of the view on.
_EDGE_PX = 40.0


class Hold(StrEnum):
    """How the button is down."""

    UP = "up"
    BY_KEY = "by key"
    """For as long as a key is."""
    KEPT = "kept"
    """Until a key is pressed again."""


@dataclass(frozen=True, slots=True)
class Room:
    """Size of the view, in logical pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Press:
    """The button going down.

    Attributes
    ----------
    at_s
        When, on any clock that goes on.
    has_shift, has_alt
        What is held with the button until it is let go: the tools' variants.
    is_second
        Whether it is the second press of a double click.
    """

    x_px: float
    y_px: float
    at_s: float
    has_shift: bool = False
    has_alt: bool = False
    is_second: bool = False


@dataclass(frozen=True, slots=True)
class KeyPointer:
    """A pointer in logical pixels of the view.

    Attributes
    ----------
    hold
        How its button is down, or that it is up.
    press
        When it went down last; None before.
    """

    x_px: float
    y_px: float
    hold: Hold = Hold.UP
    press: Press | None = None

    @classmethod
    def in_middle(cls, room: Room) -> Self:
        """Return a pointer in the middle of a view."""
        return cls(float(room.width // 2), float(room.height // 2))

    @property
    def is_down(self) -> bool:
        """Tell whether the button is down."""
        return self.hold is not Hold.UP

    def at(self, x_px: float, y_px: float, room: Room) -> Self:
        """Return the pointer at another place, which is in the view in any case."""
        return replace(self, x_px=_within(x_px, room.width), y_px=_within(y_px, room.height))

    def resized(self, before: Room, after: Room) -> Self:
        """Return the pointer over the same part of a view that may have another size now."""
        if before == after:
            return self
        across, down = after.width / before.width, after.height / before.height
        return self.at(round(self.x_px * across), round(self.y_px * down), after)

    def stepped(self, right_px: float, down_px: float, room: Room) -> tuple[Self, float, float]:
        """Return the pointer after a step, and by how much it would have gone too near an edge."""
        x, too_far_right = _step(self.x_px, right_px, room.width)
        y, too_far_down = _step(self.y_px, down_px, room.height)
        return replace(self, x_px=x, y_px=y), too_far_right, too_far_down

    def pressed(
        self,
        at_s: float,
        double_s: float,
        *,
        has_shift: bool = False,
        has_alt: bool = False,
        is_kept: bool = False,
    ) -> Self:
        """Return the pointer with its button down; soon after a press here it is a double click."""
        last = self.press
        is_second = (
            last is not None
            and not last.is_second
            and (last.x_px, last.y_px) == (self.x_px, self.y_px)
            and at_s - last.at_s <= double_s
        )
        press = Press(self.x_px, self.y_px, at_s, has_shift, has_alt, is_second)
        return replace(self, hold=Hold.KEPT if is_kept else Hold.BY_KEY, press=press)

    def kept(self) -> Self:
        """Return the pointer with the button staying down that is down now."""
        return replace(self, hold=Hold.KEPT) if self.is_down else self

    def let_go(self) -> Self:
        """Return the pointer with its button up."""
        return replace(self, hold=Hold.UP)

    def words(self, place: str) -> str:
        """Return what is told to those who do not see it."""
        said = f"Pointing by keys at {', '.join(place.split('   '))}"
        return f"{said}, button held" if self.is_down else said


def _within(at_px: float, length_px: int) -> float:
    return min(max(at_px, 0.0), length_px - 1.0)


def _step(at_px: float, step_px: float, length_px: int) -> tuple[float, float]:
    """Return where a step along one side ends, and what is left of it.

    A pointer that is nearer to an edge already, where a mouse has put it, is not drawn away.
    """
    edge = min(_EDGE_PX, (length_px - 1) / 2)
    low, high = min(at_px, edge), max(at_px, length_px - 1 - edge)
    end = min(max(at_px + step_px, low), high)
    return end, at_px + step_px - end
