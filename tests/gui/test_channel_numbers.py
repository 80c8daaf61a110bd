"""The numbers of a channel, typed digit by digit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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


@pytest.fixture
def faint(hand: Hand, tmp_path: Path, rng: np.random.Generator) -> Hand:
    """The hand with a second slide in front, whose values are some millionths."""
    path = tmp_path / "faint.ome.tif"
    pixels = rng.uniform(1e-6, 5e-6, (96, 96)).astype(np.float32)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": "YX"})
    hand.open(path)
    hand.qtbot.waitUntil(lambda: bool(hand.window.channels._histograms), timeout=20_000)
    return hand


def test_the_window_of_a_faint_band_is_shown_and_typed(faint: Hand) -> None:
    first = shown(faint)
    assert 0.9e-6 < first.low < first.high < 5.1e-6
    for name, value in (("Black", first.low), ("White", first.high)):
        assert float(box(faint, name).text()) == pytest.approx(value, rel=1e-2)
    write(faint, "Black", "0.0000015")
    write(faint, "White", "4.25e-6", Qt.Key.Key_Tab)
    assert (shown(faint).low, shown(faint).high) == (1.5e-6, 4.25e-6)
    assert box(faint, "White").text() == "0.000004250"


def test_a_comma_is_a_point_in_a_faint_band(faint: Hand) -> None:
    write(faint, "Black", "1,5e-6")
    write(faint, "White", "0,00000425", Qt.Key.Key_Tab)
    assert (shown(faint).low, shown(faint).high) == (1.5e-6, 4.25e-6)
    assert box(faint, "Black").text() == "0.000001500"


def test_what_is_smaller_than_the_digits_shown_is_shown_all_the_same(hand: Hand) -> None:
    write(hand, "White", "200")
    write(hand, "Black", "1e-6")
    assert shown(hand).low == 1e-6
    assert box(hand, "Black").text() == "1e-06"
    write(hand, "Gamma", "0,123")
    assert (shown(hand).gamma, box(hand, "Gamma").text()) == (0.123, "0.123")
    assert box(hand, "Black").text() == "1e-06"


def test_a_step_is_a_small_part_of_what_the_values_span(faint: Hand) -> None:
    write(faint, "Black", "0.000002")
    faint.qtbot.keyClick(box(faint, "Black"), Qt.Key.Key_Up)
    assert shown(faint).low == pytest.approx(2.01e-6)
    faint.window.tabs.setCurrentIndex(0)
    write(faint, "White", "200")
    write(faint, "Black", "150")
    faint.qtbot.keyClick(box(faint, "Black"), Qt.Key.Key_Up)
    assert shown(faint).low == 151  # whole numbers are gone through one by one
    assert box(faint, "Black").text() == "151"
    write(faint, "Black", "150.25")
    assert box(faint, "Black").text() == "150.25"


@pytest.mark.parametrize("text", ["x", "e", "1e", "1e-", "1e99", "-1e999"])
def test_what_is_no_number_changes_nothing(hand: Hand, text: str) -> None:
    write(hand, "White", "200")
    before = shown(hand)
    write(hand, "White", text)
    assert shown(hand) == before
    assert box(hand, "White").text() == "200"


def test_a_half_typed_number_stays_when_values_are_counted(hand: Hand) -> None:
    channels = hand.window.channels
    field = box(hand, "White")
    field.setFocus()
    field.selectAll()
    hand.qtbot.keyClicks(field, "12")
    counted = [replace(one, low=0.0, high=1e-3) for one in channels._histograms]
    channels.show_histograms(counted, is_final=True)
    assert field.text() == "12"
    hand.qtbot.keyClicks(field, "3")
    hand.qtbot.keyClick(field, Qt.Key.Key_Return)
    assert shown(hand).high == 123
