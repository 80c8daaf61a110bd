"""Slides put side by side, and a wheel turned over either of them."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QLineEdit
from tests.gui.hand import NONE, Hand

from tilescope_desktop.view.command_palette import CommandPalette
from tilescope_desktop.view.side_by_side import SideBySide
from tilescope_desktop.view.slide_tab import SlideTab


def beside(hand: Hand, typed: str) -> SideBySide:
    """Choose what is seen beside the slide in front, by typing its name."""
    hand.act("compare.beside")
    palette = next(p for p in hand.window.findChildren(CommandPalette) if p.isVisible())
    line = palette.findChild(QLineEdit)
    assert isinstance(line, QLineEdit)
    hand.qtbot.keyClicks(line, typed)
    hand.qtbot.keyPress(line, Qt.Key.Key_Return)
    hand.qtbot.waitUntil(lambda: hand.window.tabs.pair is not None, timeout=20_000)
    hand.wait()
    pair = hand.window.tabs.pair
    assert pair is not None
    return pair


def wheel(tab: SlideTab, notches: int, at: tuple[int, int] = (100, 80)) -> None:
    where = QPointF(*at)
    event = QWheelEvent(
        where,
        tab.view.mapToGlobal(where),
        QPoint(0, 0),
        QPoint(0, 120 * notches),
        Qt.MouseButton.NoButton,
        NONE,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(tab.view, event)
