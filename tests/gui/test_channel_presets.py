"""Presets of channels: kept, given to slides of the same channels, and only when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QInputDialog, QPushButton
from pytestqt.qtbot import QtBot

from tilescope.io.cache import shared_cache
from tilescope_desktop.app import make_window
from tilescope_desktop.model.channel_presets import ChannelPresets
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.preset_bar import PresetBar

NAMES = ["DAPI", "CD3"]


def stained(path: Path, rng: np.random.Generator, brightness: int) -> Path:
    pixels = rng.integers(0, brightness, (2, 64, 64)).astype(np.uint16)
    pixels[:, :2, :2] = 60_000
    metadata = {"axes": "CYX", "Channel": {"Name": NAMES}}
    tifffile.imwrite(path, pixels, metadata=metadata, ome=True, photometric="minisblack")
    return path


@pytest.fixture
def window(qtbot: QtBot, tmp_path: Path, rng: np.random.Generator) -> Iterator[MainWindow]:
    before = shared_cache().use.max_bytes
    made = make_window(folder=tmp_path / "data")
    qtbot.addWidget(made)
    made.show()
    open_slide(qtbot, made, stained(tmp_path / "one.ome.tiff", rng, 1000))
    yield made
    made.close()
    shared_cache().resize(before)


def open_slide(qtbot: QtBot, window: MainWindow, path: Path) -> None:
    count = len(window.all_tabs)
    window.open_slide(path)
    qtbot.waitUntil(lambda: len(window.all_tabs) > count, timeout=20_000)
    settle(qtbot, window)


def settle(qtbot: QtBot, window: MainWindow) -> None:
    panel = window.channels
    qtbot.waitUntil(lambda: not window.work.jobs and not panel._later.isActive(), timeout=20_000)
    QApplication.processEvents()


def bar(window: MainWindow) -> PresetBar:
    found = window.findChild(PresetBar)
    assert isinstance(found, PresetBar)
    return found


def press(qtbot: QtBot, window: MainWindow, text: str) -> None:
    buttons = window.channels.findChildren(QPushButton)
    button = next(one for one in buttons if one.text() == text)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(qtbot, window)


def save(qtbot: QtBot, window: MainWindow, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QInputDialog, "getText", lambda *_args, **_kinds: (name, True))
    press(qtbot, window, "Save…")


def choose_first(qtbot: QtBot, window: MainWindow) -> None:
    box = bar(window).findChild(QComboBox)
    assert isinstance(box, QComboBox)
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton)
    qtbot.keyClick(box.view(), Qt.Key.Key_Return)
    settle(qtbot, window)


def test_a_preset_is_kept_and_given_to_the_next_slide_by_its_name(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert window.tab is not None
    mine = tuple(replace(s, low=10, high=500, gamma=0.5) for s in window.tab.styles)
    window.channels.restyle(mine)
    settle(qtbot, window)
    assert window.tab.styles == mine
    save(qtbot, window, "faint", monkeypatch)
    open_slide(qtbot, window, stained(tmp_path / "two.ome.tiff", rng, 9000))
    assert window.tab.styles != mine
    choose_first(qtbot, window)
    assert window.tab.styles == mine
    assert ChannelPresets(tmp_path / "data").fitting(["DAPI"])[0].name == "faint"


def test_a_slide_opens_with_the_last_preset_only_when_that_was_asked_for(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch, hes_slide: Path,
) -> None:  # fmt: skip
    assert window.tab is not None
    mine = tuple(replace(s, low=10, high=500, gamma=2.0) for s in window.tab.styles)
    window.channels.restyle(mine)
    settle(qtbot, window)
    save(qtbot, window, "strong", monkeypatch)
    two = stained(tmp_path / "two.ome.tiff", rng, 9000)
    open_slide(qtbot, window, two)
    assert window.tab.styles != mine
    box = bar(window).findChild(QCheckBox)
    assert isinstance(box, QCheckBox)
    box.setFocus()
    qtbot.keyClick(box, Qt.Key.Key_Space)
    open_slide(qtbot, window, two)
    assert window.tab.styles == mine
    open_slide(qtbot, window, hes_slide)
    assert window.tab.styles[0].gamma == 1.0
    assert ChannelPresets(tmp_path / "data").is_followed


def test_auto_sets_the_windows_to_what_is_there_and_reset_takes_it_back(
    qtbot: QtBot, window: MainWindow
) -> None:
    assert window.tab is not None
    first = window.tab.styles
    window.channels.restyle(
        [replace(first[0], low=0, high=65_535), replace(first[1], visible=False)]
    )
    settle(qtbot, window)
    press(qtbot, window, "Auto")
    shown, hidden = window.tab.styles
    assert 0 <= shown.low < 20
    assert 980 < shown.high <= 60_000
    assert (hidden.low, hidden.high) == (first[1].low, first[1].high)
    press(qtbot, window, "Reset")
    assert window.tab.styles == first


def test_a_preset_can_be_deleted(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(qtbot, window, "mine", monkeypatch)
    press(qtbot, window, "Delete")
    assert ChannelPresets(tmp_path / "data").fitting(NAMES) == []
    save(qtbot, window, "   ", monkeypatch)
    assert "needs a name" in window.notices.text
