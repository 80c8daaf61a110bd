"""Names of files and news on tabs, in menus and in the status bar: whole, or cut short in sight."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint
from PySide6.QtGui import QHelpEvent, QImage
from PySide6.QtWidgets import QApplication, QLabel, QMenu, QToolTip, QWidget
from tests.gui.hand import LEFT, Hand

from tilescope_desktop.view.comparing import compare_with_itself

AND = "R&D && B.png"


def copied(image: Path, folder: Path, name: str) -> Path:
    path = folder / name
    shutil.copy(image, path)
    return path


def pixels(widget: QWidget) -> np.ndarray:
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def written(text: str) -> str:
    """Return what Qt writes for the text of a tab or a menu."""
    return text.replace("&&", "\0").replace("&", "").replace("\0", "&")


def test_an_ampersand_stays_in_a_name(hand: Hand, dapi_image: Path, tmp_path: Path) -> None:
    path = copied(dapi_image, tmp_path, AND)
    hand.open(path)
    bar = hand.window.tabs.tabBar()
    assert written(bar.tabText(1)) == AND
    menu = next(menu for menu in hand.window.findChildren(QMenu) if menu.title() == "Recent")
    menu.aboutToShow.emit()
    assert AND in [written(action.text()) for action in menu.actions()]
    menu.aboutToShow.emit()
    recent = [action for action in menu.actions() if written(action.text()) == AND]
    assert len(recent) == 1
    assert hand.window.tab is not None
    hand.window.close_tab(hand.window.tab)
    recent[0].trigger()
    hand.qtbot.waitUntil(lambda: hand.window.tabs.count() == 2, timeout=20_000)
    compare_with_itself(hand.window, hand.window.all_tabs[1])
    hand.qtbot.waitUntil(lambda: hand.window.tabs.pair is not None, timeout=20_000)
    assert written(bar.tabText(bar.currentIndex())) == f"{AND} | {AND}"


def test_a_long_name_leaves_room_for_other_tabs(
    hand: Hand, dapi_image: Path, tmp_path: Path
) -> None:
    bar = hand.window.tabs.tabBar()
    height = bar.tabRect(0).height()
    long = copied(dapi_image, tmp_path, f"begin{'x' * 190}end.png")
    hand.open(long)
    hand.open(copied(dapi_image, tmp_path, "two\nlines.png"))
    wide, lines = bar.tabRect(1), bar.tabRect(2)
    assert wide.width() <= 40 * bar.fontMetrics().averageCharWidth()
    assert wide.right() < lines.left() < lines.right() <= bar.width()
    assert wide.height() == lines.height() == height
    assert "\n" not in bar.tabText(2)
    assert bar.tabToolTip(1) == str(long)
    # The middle of the name is left out: what begins or ends otherwise looks otherwise.
    seen = pixels(bar)
    for name, is_same in (
        (f"begin{'x' * 90}other{'x' * 95}end.png", True),
        (f"again{'x' * 190}end.png", False),
        (f"begin{'x' * 190}not.png", False),
    ):
        bar.setTabText(1, name)
        assert (pixels(bar) == seen).all() == is_same
    hand.qtbot.mouseClick(bar, LEFT, pos=lines.center())
    assert hand.window.tab is hand.window.all_tabs[2]


@pytest.mark.parametrize("width", [700, 1000])
def test_news_that_has_no_room_ends_in_dots_and_is_whole_in_its_tool_tip(
    hand: Hand, width: int
) -> None:
    status = hand.window.status
    words = "Clicks are answered by a model: " + "for research and non-commercial use only, " * 6
    hand.window.resize(width, 600)
    hand.move((200, 200))
    status.showMessage(words)
    QApplication.processEvents()
    assert status.currentMessage() == words
    label = next(w for w in status.findChildren(QLabel) if w.accessibleName() == "What goes on")
    assert label.text().endswith("…")
    assert words.startswith(label.text()[:-1])
    assert label.fontMetrics().horizontalAdvance(label.text()) <= label.width()
    first = min(
        w.geometry().left() for w in status.findChildren(QWidget)
        if w.parent() is status and w is not label and w.isVisible() and w.geometry().left() > 8
    )  # fmt: skip
    assert label.geometry().right() < first
    QApplication.sendEvent(
        label, QHelpEvent(QEvent.Type.ToolTip, QPoint(20, 5), label.mapToGlobal(QPoint(20, 5)))
    )
    assert words.split(",")[0] in QToolTip.text()
    QToolTip.hideText()
    before = label.text()
    hand.window.resize(width + 200, 600)
    QApplication.processEvents()
    assert len(label.text()) > len(before)
    status.clearMessage()
    assert label.text() == ""
    assert label.toolTip() == ""
    assert (pixels(label).reshape(-1, 3) == pixels(label)[0, 0]).all()


def test_news_passes_and_what_goes_on_is_seen_again(hand: Hand) -> None:
    status = hand.window.status
    label = next(w for w in status.findChildren(QLabel) if w.accessibleName() == "What goes on")
    going = status.begin("Opening a.svs…")
    status.showMessage("Saved", 50)
    assert label.text() == "Saved"
    hand.qtbot.waitUntil(lambda: label.text() == "Opening a.svs…", timeout=5000)
    assert status.currentMessage() == ""
    status.showMessage("Stays")
    status.end(going)
    assert label.text() == "Stays"
    # A menu that one passes over takes nothing away.
    hand.qtbot.mouseMove(hand.window.menuBar(), QPoint(10, 10))
    hand.window.menu("Edit").popup(hand.window.mapToGlobal(QPoint(100, 100)))
    hand.qtbot.mouseMove(hand.window.menu("Edit"), QPoint(30, 30))
    QApplication.processEvents()
    hand.window.menu("Edit").close()
    assert label.text() == "Stays"
