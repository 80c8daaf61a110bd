"""The tabs of slides: what is written on them, and the keys that go from one to the next."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QStyleOptionTab
from tests.gui.hand import Hand

from tilescope_desktop.view.comparing import compare_with_itself

CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
NAMES = [f"TCGA-study_2024_case-{i:02d}_HE_block-A_scan40x.png" for i in range(6)]


@pytest.fixture
def many(hand: Hand, tmp_path: Path, dapi_image: Path) -> Hand:
    """A small window with slides whose names differ in the middle."""
    for name in NAMES:
        shutil.copy(dapi_image, tmp_path / name)
        hand.open(tmp_path / name)
    hand.window.resize(900, 600)
    hand.window.activateWindow()
    hand.qtbot.waitUntil(lambda: QApplication.activeWindow() is hand.window, timeout=5000)
    hand.view.setFocus()
    return hand


def written(hand: Hand) -> list[str]:
    """Return what is painted on the tabs."""
    bar, texts = hand.window.tabs.tabBar(), []
    for index in range(bar.count()):
        option = QStyleOptionTab()
        bar.initStyleOption(option, index)
        texts.append(option.text)
        room = bar.style().subElementRect(bar.style().SubElement.SE_TabBarTabText, option, bar)
        shown = option.text.replace("&&", "&")
        assert bar.fontMetrics().horizontalAdvance(shown) <= room.width()
    return texts


def test_long_names_are_told_apart_on_narrow_tabs(many: Hand) -> None:
    tabs = many.window.tabs
    texts = written(many)[1:]
    assert len({*texts}) == len(NAMES)
    assert all(14 <= len(text) <= 18 for text in texts)
    for number, text in enumerate(texts):
        assert f"{number:02d}" in text
    assert tabs.tabToolTip(1).endswith(NAMES[0])
    assert Path(tabs.tabToolTip(1)).is_file()


def test_two_slides_on_a_tab_have_each_their_name(many: Hand) -> None:
    tab = many.window.tab
    assert tab is not None
    compare_with_itself(many.window, tab)
    many.qtbot.waitUntil(lambda: many.window.tabs.pair is not None, timeout=20_000)
    many.wait()
    left, right = written(many)[-1].split(" | ")
    assert left == right
    assert "05" in left
    assert len(left) >= 12


def test_a_name_with_an_ampersand_keeps_it(hand: Hand, tmp_path: Path, dapi_image: Path) -> None:
    shutil.copy(dapi_image, tmp_path / "H&E.png")
    hand.open(tmp_path / "H&E.png")
    assert written(hand)[1] == "H&&E.png"


def test_keys_go_from_tab_to_tab_round_and_round(many: Hand) -> None:
    tabs = many.window.tabs
    seen = []
    for _ in range(len(NAMES) + 1):
        many.key(Qt.Key.Key_Tab, CONTROL)
        seen.append(tabs.currentIndex())
        assert many.window.focusWidget() is many.view
    assert seen == [*range(len(NAMES) + 1)]
    many.key(Qt.Key.Key_Backtab, CONTROL | SHIFT)
    assert tabs.currentIndex() == len(NAMES) - 1
    many.act("view.next-slide")
    many.act("view.next-slide")
    assert tabs.currentIndex() == 0
    many.act("view.previous-slide")
    assert tabs.currentIndex() == len(NAMES)


def test_there_is_no_next_slide_where_there_is_one(hand: Hand) -> None:
    action = hand.window.findChild(QAction, "view.next-slide")
    assert isinstance(action, QAction)
    assert not action.isEnabled()
    assert hand.window.keys["view.next-slide"] == "Ctrl+Tab"
    assert hand.window.keys["view.previous-slide"] == "Ctrl+Shift+Tab"
