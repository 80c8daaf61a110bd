"""The numbers of a channel, typed digit by digit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox, QLabel, QListWidget
from tests.gui.hand import Hand

from tilescope.ops.compose import ChannelStyle


@pytest.fixture
def slide_in_hand(tmp_path: Path, rng: np.random.Generator) -> Path:
    path = tmp_path / "two.ome.tif"
    pixels = rng.integers(0, 255, (2, 96, 96), np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": "CYX"})
    return path


def box(hand: Hand, name: str) -> QDoubleSpinBox:
    """Return the box beside a word."""
    for label in hand.window.channels.findChildren(QLabel):
        if label.text() == name and isinstance(label.buddy(), QDoubleSpinBox):
            return label.buddy()
    raise AssertionError(name)


def write(hand: Hand, name: str, text: str, end: Qt.Key = Qt.Key.Key_Return) -> None:
    """Type a number in the place of what a box says."""
    field = box(hand, name)
    field.setFocus()
    field.selectAll()
    hand.qtbot.keyClicks(field, text)
    hand.qtbot.keyClick(field, end)


def said(hand: Hand) -> Sequence[float]:
    return [box(hand, name).value() for name in ("Black", "White", "Gamma")]


def shown(hand: Hand) -> ChannelStyle:
    """Return how the first channel is shown once that is told."""
    panel = hand.window.channels
    hand.qtbot.waitUntil(lambda: not panel._later.isActive(), timeout=20_000)
    assert hand.window.tab is not None
    return hand.window.tab.styles[0]


def test_typed_numbers_are_taken_when_they_are_whole(hand: Hand) -> None:
    write(hand, "Black", "50")
    write(hand, "White", "200")
    write(hand, "Gamma", "0.5", Qt.Key.Key_Tab)
    assert said(hand) == [50, 200, 0.5]
    style = shown(hand)
    assert (style.low, style.high, style.gamma) == (50, 200, 0.5)


def test_what_is_half_typed_changes_nothing(hand: Hand) -> None:
    write(hand, "Black", "50")
    before = shown(hand)
    field = box(hand, "White")
    field.setFocus()
    field.selectAll()
    hand.qtbot.keyClicks(field, "20")
    assert shown(hand) == before
    hand.qtbot.keyClick(field, Qt.Key.Key_0)
    hand.view.setFocus()
    assert (shown(hand).low, shown(hand).high) == (50, 200)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [("Black", "300", (300, 450)), ("Black", "200", (200, 350)), ("White", "20", (-130, 20))],
)
def test_a_black_above_white_takes_the_other_along(
    hand: Hand, name: str, text: str, expected: tuple[float, float]
) -> None:
    write(hand, "White", "200")
    write(hand, "Black", "50")
    write(hand, name, text)
    assert tuple(said(hand)[:2]) == expected
    assert (shown(hand).low, shown(hand).high) == expected


def test_what_leaves_no_room_is_put_back(hand: Hand) -> None:
    write(hand, "White", "200")
    write(hand, "Black", "50")
    write(hand, "Black", "1000000000")
    assert said(hand)[:2] == [50, 200]
    assert (shown(hand).low, shown(hand).high) == (50, 200)


def test_gamma_leaves_the_window_as_exact_as_it_is(hand: Hand) -> None:
    window = hand.window
    channels = window.channels
    fine = [ChannelStyle(0.00012, 0.00034), *channels.styles[1:]]
    channels.restyle(fine)
    shown(hand)
    write(hand, "Gamma", "2")
    style = shown(hand)
    assert (style.low, style.high, style.gamma) == (0.00012, 0.00034, 2)


def test_a_number_is_taken_by_the_channel_that_it_was_typed_for(hand: Hand) -> None:
    write(hand, "White", "200")
    field = box(hand, "White")
    field.setFocus()
    field.selectAll()
    hand.qtbot.keyClicks(field, "120")
    channels = hand.window.channels.findChild(QListWidget)
    assert isinstance(channels, QListWidget)
    at = channels.visualItemRect(channels.item(1)).center()
    second = hand.window.channels.styles[1]
    hand.qtbot.mouseClick(channels.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert shown(hand).high == 120
    assert hand.window.channels.styles[1] == second
    assert said(hand)[1] == pytest.approx(second.high, abs=1e-3)
