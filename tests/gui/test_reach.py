"""Everything in the window and its dialogs has a name for screen readers and a way by keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QDialog,
    QDockWidget,
    QHeaderView,
    QLineEdit,
    QMainWindow,
    QScrollBar,
    QTabBar,
    QWidget,
)
from tests.gui.hand import Hand

from tilescope_desktop.app import annotating
from tilescope_desktop.view.command_palette import CommandPalette
from tilescope_desktop.view.comparing import compare_with_itself
from tilescope_desktop.view.histogram_view import HistogramView
from tilescope_desktop.view.keys_dialog import KeysDialog
from tilescope_desktop.view.overview_map import OverviewMap
from tilescope_desktop.view.pictures_dialog import PicturesDialog
from tilescope_desktop.view.slide_view import SlideView

#: What users act on. Scroll bars and headers belong to what they scroll and head.
_INTERACTIVE = (
    QAbstractButton, QAbstractItemView, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit,
    QTabBar, SlideView, OverviewMap, HistogramView,
)  # fmt: skip
_PARTS = (QScrollBar, QHeaderView)
#: What the mouse alone reaches, since keys do the same elsewhere: tools and their menu, the view
#: and its map, black and white and their numbers; buttons that Qt makes for docks and tabs.
_BY_OTHER_KEYS = (OverviewMap, HistogramView)


def interactive(root: QWidget) -> Iterator[QWidget]:
    """Yield what users act on; of a compound control only the whole."""
    for widget in root.findChildren(QWidget):
        if not isinstance(widget, _INTERACTIVE) or isinstance(widget, _PARTS):
            continue
        inside = (QComboBox, QAbstractSpinBox, QTabBar, QLineEdit)
        if isinstance(widget.parentWidget(), inside) or widget.window() is not root.window():
            continue
        if widget.isVisibleTo(root):
            yield widget


def name_of(widget: QWidget) -> str:
    """Return what a screen reader says."""
    return QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name)


def without_a_name(root: QWidget) -> list[str]:
    return [_said(widget) for widget in interactive(root) if not name_of(widget).strip()]


def out_of_reach(root: QWidget) -> list[str]:
    """Return what the Tab key does not come to although no other keys do its work."""
    found = []
    for widget in interactive(root):
        by_commands = isinstance(widget.parentWidget(), QMainWindow | QDockWidget) or (
            type(widget).__name__ == "QToolButton"
            and widget.parentWidget().objectName() == "bar-tools"
        )
        takes_tab = bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus)
        if not takes_tab and not by_commands and not isinstance(widget, _BY_OTHER_KEYS):
            found.append(_said(widget))
    return found


def _said(widget: QWidget) -> str:
    above = [type(widget).__name__]
    parent = widget.parentWidget()
    while parent is not None:
        above.append(parent.objectName() or type(parent).__name__)
        parent = parent.parentWidget()
    return " < ".join(above)


def both_sides(hand: Hand) -> QWidget:
    assert hand.window.tab is not None
    compare_with_itself(hand.window, hand.window.tab)
    hand.qtbot.waitUntil(lambda: hand.window.tabs.pair is not None, timeout=20_000)
    return hand.window


def all_panels(hand: Hand) -> QWidget:
    hand.act("tool.rectangle")
    hand.drag((100, 100), (200, 150), (320, 220))
    for dock in hand.window.findChildren(QDockWidget):
        dock.show()
    annotating(hand.window).notices.say("Something", [("Do it", lambda: None)])
    hand.wait()
    return hand.window


def dialog(command: str, kind: type[QDialog]) -> Callable[[Hand], QWidget]:
    def run(hand: Hand) -> QWidget:
        hand.act(command)
        hand.qtbot.waitUntil(lambda: hand.window.findChild(kind) is not None, timeout=20_000)
        found = hand.window.findChild(kind)
        assert isinstance(found, QWidget)
        return found

    return run


STATES = {
    "both-sides": both_sides,
    "all-panels": all_panels,
    "palette": dialog("view.palette", CommandPalette),
    "compare": dialog("compare.beside", CommandPalette),
    "keys": dialog("edit.keys", KeysDialog),
    "pictures": dialog("view.pictures", PicturesDialog),
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_everything_has_a_name_and_a_way_by_keys(
    hand: Hand, state: Callable[[Hand], QWidget]
) -> None:
    shown = state(hand)
    assert len(list(interactive(shown))) > 0
    assert without_a_name(shown) == []
    assert out_of_reach(shown) == []


def test_planes_have_names(hand: Hand, tmp_path: Path) -> None:
    import tifffile

    planes = np.zeros((3, 40, 60), np.uint8)
    tifffile.imwrite(
        tmp_path / "z.ome.tif", planes, photometric="minisblack", metadata={"axes": "ZYX"}
    )
    hand.open(tmp_path / "z.ome.tif")
    assert hand.window.tab is not None
    assert without_a_name(hand.window.tab) == []
    assert out_of_reach(hand.window.tab) == []


def test_every_action_of_the_menus_has_words_and_a_command(hand: Hand) -> None:
    for menu in hand.window.menus.all().values():
        for action in menu.actions():
            assert action.isSeparator() or action.text().strip()


def test_tab_goes_through_the_panels_and_comes_back(hand: Hand) -> None:
    window = hand.window
    window.activateWindow()
    hand.qtbot.waitUntil(lambda: QApplication.activeWindow() is window, timeout=5000)
    hand.view.setFocus()
    seen: list[QWidget] = []
    for _ in range(80):
        focused = window.focusWidget()
        if focused in seen:
            break
        seen.append(focused)
        hand.qtbot.keyClick(focused, Qt.Key.Key_Tab)
    assert window.focusWidget() is hand.view
    assert len(seen) > 8
    assert all(name_of(widget).strip() for widget in seen), [_said(w) for w in seen]


def test_boxes_of_the_same_word_have_different_names(hand: Hand) -> None:
    boxes = [one for one in hand.parts.classes.findChildren(QCheckBox) if one.text() == "filled"]
    names = {one.accessibleName() for one in boxes}
    assert names == {"Annotations filled", "Detections filled"}
