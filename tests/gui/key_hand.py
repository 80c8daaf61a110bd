"""What a hand does with a pointer that keys move."""

from __future__ import annotations

from PySide6.QtCore import Qt
from tests.gui.hand import NONE, SHIFT, Hand

from tilescope.domain.geometry import Point
from tilescope_desktop.view.key_pointing import KeyPointing

_KEY = Qt.Key
_ARROWS = {
    "left": _KEY.Key_Left, "right": _KEY.Key_Right, "up": _KEY.Key_Up, "down": _KEY.Key_Down,
}  # fmt: skip


def pointing(hand: Hand) -> KeyPointing:
    found = hand.window.findChild(KeyPointing)
    assert isinstance(found, KeyPointing)
    return found


def place(hand: Hand) -> Point:
    """Return the level-0 place under the pointer."""
    at = pointing(hand).at
    assert hand.view.viewport is not None
    return hand.view.viewport.to_l0(Point(at.x(), at.y()))


def go(hand: Hand, way: str, times: int = 1, held: Qt.KeyboardModifier = NONE) -> None:
    for _ in range(times):
        hand.key(_ARROWS[way], held)


def click(hand: Hand, held: Qt.KeyboardModifier = NONE) -> None:
    hand.key(_KEY.Key_Space, held)
    hand.wait()


def drag(hand: Hand, *ways: str, held: Qt.KeyboardModifier = NONE) -> None:
    """Move while the space bar is down, 60 px at a time."""
    hand.qtbot.keyPress(hand.view, _KEY.Key_Space, held)
    for way in ways:
        go(hand, way, held=SHIFT)
    hand.qtbot.keyRelease(hand.view, _KEY.Key_Space, held)
    hand.wait()


def rectangle(hand: Hand) -> tuple[Point, Point]:
    """Draw a rectangle of 120 x 60 px; return where it begins and ends."""
    hand.key(_KEY.Key_R)
    start = place(hand)
    drag(hand, "right", "down", "right")
    return start, place(hand)
