"""The pointer that keys move among mouse, menus, tabs and panels: who has it, where it is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import (
    QAction,
    QColor,
    QContextMenuEvent,
    QImage,
    QMouseEvent,
    QPainter,
)
from PySide6.QtWidgets import QAbstractItemView, QApplication
from tests.gui.hand import LEFT, NONE, SHIFT, Hand
from tests.gui.key_hand import click, go, place, pointing, rectangle

from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.comparing import compare_with_itself

_KEY = Qt.Key
CONTROL = Qt.KeyboardModifier.ControlModifier


def mouse(hand: Hand, kind: QEvent.Type, x: int, y: int, held: Qt.MouseButton) -> None:
    at = QPointF(x, y)
    button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else LEFT
    event = QMouseEvent(kind, at, hand.view.mapToGlobal(at), button, held, NONE)
    QApplication.sendEvent(hand.view, event)


@pytest.mark.parametrize("off", [_KEY.Key_F8, _KEY.Key_Escape, None])
def test_without_it_arrows_pan_and_space_shows_a_hand(active: Hand, off: Qt.Key | None) -> None:
    if off is not None:
        active.key(_KEY.Key_F8)
        go(active, "right", 2)
        active.key(off)
    assert active.view.accessibleDescription() == ""
    before = active.view.viewport
    go(active, "right")
    assert active.view.viewport.centre_l0.x == before.centre_l0.x + 120
    go(active, "up", held=SHIFT)
    assert active.view.viewport.l0_per_px < before.l0_per_px
    active.key(_KEY.Key_B)
    active.qtbot.keyPress(active.view, _KEY.Key_Space)
    assert active.view.cursor().shape() == Qt.CursorShape.OpenHandCursor
    active.qtbot.keyRelease(active.view, _KEY.Key_Space)
    assert active.view.cursor().shape() == Qt.CursorShape.CrossCursor


def test_what_is_around_the_pointer_stays_until_it_is_gone(keys: Hand) -> None:
    keys.key(_KEY.Key_B)
    go(keys, "right")
    QApplication.sendEvent(keys.view, QEvent(QEvent.Type.Leave))
    assert keys.view.cursor_at == pointing(keys).at
    keys.key(_KEY.Key_F8)
    assert keys.view.cursor_at is None


def test_it_says_what_to_do_and_gives_the_keys_to_the_slide(active: Hand) -> None:
    status = active.window.status
    active.parts.classes.findChild(QAbstractItemView).setFocus()
    active.act("tool.by-keys")
    assert active.view.hasFocus()
    assert "Ins holds" in status.currentMessage()
    for key, is_kept in ((_KEY.Key_Insert, True), (_KEY.Key_Space, False)):
        active.key(key)
        assert active.window.findChild(QAction, "tool.hold-button").isChecked() is is_kept
    active.key(_KEY.Key_F8)
    assert status.currentMessage() == ""
    active.key(_KEY.Key_F8)
    status.showMessage("Something else")
    active.key(_KEY.Key_F8)
    assert status.currentMessage() == "Something else"


def test_a_hand_that_space_gave_before_goes_with_it(active: Hand) -> None:
    active.key(_KEY.Key_R)
    active.qtbot.keyPress(active.view, _KEY.Key_Space)
    active.act("tool.by-keys")
    active.qtbot.keyRelease(active.view, _KEY.Key_Space)
    rectangle(active)
    assert len(active.shapes()) == 1


def test_the_mouse_takes_the_pointer_along(keys: Hand) -> None:
    mouse(keys, QEvent.Type.MouseMove, 200, 180, Qt.MouseButton.NoButton)
    assert pointing(keys).at == QPointF(200, 180)
    start, end = rectangle(keys)
    assert (start.x, start.y) == (keys.l0(200, 180).x, keys.l0(200, 180).y)
    # One that is touched spoils no drag, and one that lies still takes nothing along.
    keys.qtbot.keyPress(keys.view, _KEY.Key_Space)
    mouse(keys, QEvent.Type.MouseMove, 500, 300, Qt.MouseButton.NoButton)
    assert (place(keys).x, place(keys).y) == (end.x, end.y)
    keys.key(_KEY.Key_Escape)
    keys.qtbot.keyRelease(keys.view, _KEY.Key_Space)
    for x in (500, 501, 499):
        mouse(keys, QEvent.Type.MouseMove, x, 300, Qt.MouseButton.NoButton)
        assert (place(keys).x, place(keys).y) == (end.x, end.y)
    for x in range(502, 506):
        mouse(keys, QEvent.Type.MouseMove, x, 300, Qt.MouseButton.NoButton)
    assert 502 < pointing(keys).at.x() <= 505


def test_a_button_of_the_mouse_ends_pointing_and_does_what_it_does(keys: Hand) -> None:
    keys.key(_KEY.Key_R)
    keys.key(_KEY.Key_Insert)
    go(keys, "right", 1, SHIFT)
    go(keys, "down", 1, SHIFT)
    mouse(keys, QEvent.Type.MouseButtonPress, 100, 100, LEFT)
    assert not pointing(keys).is_on
    keys.move((150, 170))
    mouse(keys, QEvent.Type.MouseButtonRelease, 150, 170, Qt.MouseButton.NoButton)
    assert sorted(one.area for one in keys.shapes()) == [50 * 70, 60 * 60]


def test_the_menu_key_opens_the_menu_of_what_is_pointed_at(keys: Hand) -> None:
    go(keys, "left", 5, SHIFT)
    go(keys, "up", 3, SHIFT)
    rectangle(keys)
    (made,) = keys.annotations.selected_ids
    keys.deselect()
    go(keys, "left", 3)
    go(keys, "up", 3)
    at = pointing(keys).at.toPoint()
    reason = QContextMenuEvent.Reason.Keyboard
    QApplication.sendEvent(keys.view, QContextMenuEvent(reason, QPoint(), QPoint()))
    keys.wait()
    menu = keys.parts.menus.menu
    assert menu is not None
    assert keys.annotations.selected_ids == (made,)
    assert menu.pos() == keys.view.mapToGlobal(at)
    assert "Centre here" in [one.text() for one in menu.actions()]
    menu.close()


def test_a_drag_ends_where_the_view_loses_the_keys(keys: Hand) -> None:
    keys.key(_KEY.Key_R)
    keys.qtbot.keyPress(keys.view, _KEY.Key_Space)
    go(keys, "right", 1, SHIFT)
    go(keys, "down", 1, SHIFT)
    keys.parts.classes.findChild(QAbstractItemView).setFocus()
    (shape,) = keys.shapes()
    assert shape.area == 60 * 60
    assert pointing(keys).is_on
    keys.view.setFocus()
    go(keys, "right", 3)
    assert not keys.parts.bench.tool.is_busy


def test_it_goes_with_the_slide_in_front_and_waits_for_one(keys: Hand, dapi_image: Path) -> None:
    first = keys.view
    keys.open(dapi_image)
    keys.window.activateWindow()
    keys.view.setFocus()
    assert first.accessibleDescription() == ""
    assert (pointing(keys).at - QPointF(keys.view.rect().center())).manhattanLength() <= 4
    keys.key(_KEY.Key_Period)
    go(keys, "left", 1, SHIFT)
    go(keys, "up", 1, SHIFT)
    click(keys)
    (point,) = keys.shapes()
    assert (point.x, point.y) == (place(keys).x, place(keys).y)
    keys.act("file.close")
    assert keys.view is first
    assert first.accessibleDescription().startswith("Pointing by keys")
    keys.act("file.close")
    assert not keys.window.findChild(QAction, "tool.by-keys").isEnabled()
    keys.open(dapi_image)
    assert keys.view.accessibleDescription().startswith("Pointing by keys")


def test_it_goes_to_the_view_beside_and_ends_by_a_press_there(keys: Hand) -> None:
    compare_with_itself(keys.window, keys.window.tab)
    keys.qtbot.waitUntil(lambda: keys.window.tabs.pair is not None, timeout=20_000)
    keys.window.activateWindow()
    left, right = keys.window.tabs.pair.slides
    assert keys.window.tab is left
    assert left.view.accessibleDescription().startswith("Pointing by keys")
    keys.key(_KEY.Key_F6)
    assert keys.window.tab is right
    assert left.view.accessibleDescription() == ""
    before = pointing(keys).at
    go(keys, "right")
    assert pointing(keys).at == before + QPointF(10, 0)
    keys.qtbot.mouseClick(left.view, LEFT, NONE, QPoint(50, 50))
    assert not pointing(keys).is_on
    assert keys.window.tab is left
    keys.key(_KEY.Key_F8)
    keys.window.close_tab(left)
    assert right.view.accessibleDescription().startswith("Pointing by keys")


@pytest.mark.parametrize("level", [0, 128, 255])
def test_the_cross_is_seen_on_whatever_lies_below(active: Hand, level: int) -> None:
    active.view.overlays[:] = [Cover(level)]
    bare = looks(active)
    active.key(_KEY.Key_F8)
    at = pointing(active).at.toPoint()
    crossed = looks(active)
    changed = np.argwhere((crossed != bare).any(axis=2)) - (at.y(), at.x())
    assert 14 < np.abs(changed).max() < 22
    assert np.abs(crossed - level).max() >= 125
    active.key(_KEY.Key_Insert)
    assert (looks(active) != crossed).any()
    active.key(_KEY.Key_F8)
    assert (looks(active) == bare).all()


def test_the_cross_is_seen_over_the_overview(keys: Hand) -> None:
    bare = looks(keys)
    overview = keys.window.tab.map.geometry()
    x, y = overview.center().toTuple()
    mouse(keys, QEvent.Type.MouseMove, x, y, Qt.MouseButton.NoButton)
    changed = np.argwhere((looks(keys) != bare).any(axis=2))
    assert any(overview.contains(QPoint(*place[::-1])) for place in changed.tolist())


def looks(hand: Hand) -> np.ndarray:
    """Return the pixels of the slide and of what lies on it."""
    image = hand.window.tab.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
    return rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).astype(int)


class Cover:
    """One grey over the slide."""

    def __init__(self, level: int) -> None:
        self._color = QColor(level, level, level)

    def paint(self, painter: QPainter, viewport: Viewport) -> None:
        painter.fillRect(0, 0, viewport.width, viewport.height, self._color)
