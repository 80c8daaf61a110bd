"""The click tool by keys alone: an object at a click, refined, in a box, and taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from tests.gui.hand import NONE, SHIFT, Hand

from tilescope.domain.geometry import Point
from tilescope_desktop.app import clicking

_KEY = Qt.Key
CONTROL = Qt.KeyboardModifier.ControlModifier
#: In the middle of a nucleus.
NUCLEUS = Point(165, 228)


@pytest.fixture
def slide_in_hand(dapi_image: Path) -> Path:
    return dapi_image


@pytest.fixture
def keys(hand: Hand) -> Hand:
    """A hand that points at a nucleus by keys, the click tool in it."""
    hand.window.activateWindow()
    hand.qtbot.waitUntil(lambda: QApplication.activeWindow() is hand.window, timeout=5000)
    hand.view.setFocus()
    hand.view.move_to(replace(hand.view.viewport, centre_l0=NUCLEUS, l0_per_px=0.5))
    hand.wait()
    hand.key(_KEY.Key_F8)
    hand.key(_KEY.Key_K)
    return hand


def press(hand: Hand, held: Qt.KeyboardModifier = NONE) -> None:
    hand.key(_KEY.Key_Space, held)
    hand.qtbot.waitUntil(lambda: clicking(hand.window).desk.is_idle, timeout=30_000)
    hand.wait()


def prompts(hand: Hand) -> list[Any]:
    return [one.author.detail["prompt"] for one in hand.objects()]


def test_a_click_is_an_object_that_shift_and_control_refine(keys: Hand) -> None:
    press(keys)
    (prompt,) = prompts(keys)
    assert prompt["inside"] == [pytest.approx([NUCLEUS.x, NUCLEUS.y], abs=1)]
    keys.key(_KEY.Key_Right)
    press(keys, SHIFT)
    for _ in range(3):
        keys.key(_KEY.Key_Right)
    press(keys, CONTROL)
    (prompt,) = prompts(keys)
    assert (len(prompt["inside"]), len(prompt["outside"])) == (2, 1)
    # Escape takes back what was clicked, and pointing goes on.
    for _ in range(3):
        keys.key(_KEY.Key_Escape)
        keys.wait()
    assert keys.objects() == []
    assert keys.view.accessibleDescription().startswith("Pointing by keys")


def test_s_held_makes_a_drag_a_scribble(keys: Hand) -> None:
    keys.qtbot.keyPress(keys.view, _KEY.Key_S)
    keys.qtbot.keyPress(keys.view, _KEY.Key_Space)
    keys.key(_KEY.Key_Right)
    keys.key(_KEY.Key_Down)
    keys.qtbot.keyRelease(keys.view, _KEY.Key_Space)
    keys.qtbot.keyRelease(keys.view, _KEY.Key_S)
    keys.qtbot.waitUntil(lambda: clicking(keys.window).desk.is_idle, timeout=30_000)
    (prompt,) = prompts(keys)
    (stroke,) = prompt["strokes"]
    assert len(stroke) >= 3
    assert keys.parts.bench.tool.id == "click"
