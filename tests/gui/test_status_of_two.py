"""The line at the bottom speaks of one slide at a time, also when two are side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt, QTimer
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QDialog, QLineEdit
from tests.gui.hand import LEFT, NONE, Hand

from tilescope_desktop.view.side_by_side import SideBySide
from tilescope_desktop.view.slide_tab import SlideTab


@pytest.fixture
def pair(hand: Hand, tmp_path: Path, rng: np.random.Generator) -> SideBySide:
    """The H&E slide, in front, beside one of 2 µm a pixel that says so in its own way."""
    path, left = tmp_path / "coarse.tif", hand.window.tab
    assert left is not None
    tifffile.imwrite(
        path,
        rng.integers(0, 255, (600, 800, 3), np.uint8),
        tile=(128, 128),
        resolution=(5000, 5000),
        resolutionunit="CENTIMETER",
    )
    hand.open(path)
    assert hand.window.tab is not None
    hand.window.tabs.put_beside(left, hand.window.tab)
    hand.wait()
    found = hand.window.tabs.pair
    assert found is not None
    hand.window.activateWindow()
    hand.qtbot.waitUntil(hand.window.isActiveWindow, timeout=20_000)
    return found


def hover(tab: SlideTab, x: int = 100, y: int = 80) -> None:
    at, none = QPointF(x, y), Qt.MouseButton.NoButton
    event = QMouseEvent(QEvent.Type.MouseMove, at, tab.view.mapToGlobal(at), none, none, NONE)
    QApplication.sendEvent(tab.view, event)


def leave(tab: SlideTab) -> None:
    QApplication.sendEvent(tab.view, QEvent(QEvent.Type.Leave))


def said(hand: Hand) -> tuple[str, str, str]:
    """Return place, magnification and size of a pixel as they can be read."""
    status = hand.window.status
    return status._place.text(), status._magnification.text(), status._pixel_size.text()


def answer(hand: Hand, um_per_px: float) -> Callable[[], None]:
    """Return what is to be done for a dialog to be answered as soon as it is there."""

    def type_in() -> None:
        box = QApplication.activeModalWidget()
        assert isinstance(box, QDialog)
        line = box.findChild(QLineEdit)
        assert isinstance(line, QLineEdit)
        line.selectAll()
        hand.qtbot.keyClicks(line, f"{um_per_px:g}")
        hand.qtbot.keyClick(line, Qt.Key.Key_Return)

    return lambda: QTimer.singleShot(0, type_in)


def test_all_that_is_said_is_of_the_slide_under_the_mouse(hand: Hand, pair: SideBySide) -> None:
    left, right = pair.slides
    hover(left)
    place, left_shown, left_size = said(hand)
    assert left_size == "0.499 µm/px (aperio.MPP)"
    assert "µm" in place or "mm" in place
    hover(right)
    place, right_shown, right_size = said(hand)
    assert right_size.startswith("2 µm/px (")
    assert right_shown.endswith("x")
    x, y = (float(part) for part in place.partition(" px")[0].split(","))
    at = place.split("px", 1)[1].replace("µm", "").replace("mm", "").split(",")
    unit = 1000 if "mm" in place else 1
    assert (float(at[0]) * unit, float(at[1]) * unit) == pytest.approx((2 * x, 2 * y), abs=1.5)
    hover(left)
    assert said(hand)[1:] == (left_shown, left_size)
    hover(right)
    leave(right)
    assert said(hand) == ("", left_shown, left_size)
    assert pair.front is left


def test_a_press_keeps_what_is_said_of_the_slide_under_the_mouse(
    hand: Hand, pair: SideBySide
) -> None:
    _, right = pair.slides
    hover(right)
    before = said(hand)
    hand.act("tool.move")
    hand.qtbot.mouseClick(right.view, LEFT, NONE, QPoint(100, 80))
    assert pair.front is right
    assert said(hand) == before
    leave(right)
    assert said(hand) == before


def test_the_size_that_is_named_is_the_one_that_is_changed(hand: Hand, pair: SideBySide) -> None:
    left, right = pair.slides
    button = hand.window.status._pixel_size
    hover(right)
    button.setFocus()
    answer(hand, 1.5)()
    hand.qtbot.keyClick(button, Qt.Key.Key_Space)
    hand.wait()
    assert (left.um_override, right.um_override) == (None, 1.5)
    assert said(hand)[2] == "1.5 µm/px (set by you)"
    leave(right)
    assert said(hand)[2] == "0.499 µm/px (aperio.MPP)"
    answer(hand, 0.75)()
    hand.qtbot.mouseClick(button, LEFT)
    hand.wait()
    assert (left.um_override, right.um_override) == (0.75, 1.5)


def test_a_slide_that_is_closed_under_the_mouse_is_spoken_of_no_longer(
    hand: Hand, pair: SideBySide
) -> None:
    left, right = pair.slides
    hover(left)
    before = said(hand)[1:]
    hover(right)
    hand.window.close_tab(right)
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert hand.window.tab is left
    assert said(hand)[0] == ""
    assert said(hand)[2] == before[1]
    hover(left)
    assert said(hand)[0] != ""
