"""A picture of one value everywhere is shown as bright as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PySide6.QtWidgets import QDoubleSpinBox, QPushButton
from tests.gui.hand import LEFT, Hand

from tilescope.domain.geometry import Point


def opened(hand: Hand, folder: Path, pixels: np.ndarray) -> None:
    path = folder / f"plain-{len(hand.window.all_tabs)}.tif"
    kind = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(path, pixels, photometric=kind, metadata=None)
    count = len(hand.window.all_tabs)
    hand.window.dropped.emit([path])
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) > count, timeout=20_000)
    hand.wait()


def middle(hand: Hand) -> tuple[int, ...]:
    tab, viewport = hand.window.tab, hand.view.viewport
    assert tab is not None
    assert viewport is not None
    size = tab.source.info.size
    at = viewport.to_screen(Point(size.width / 2, size.height / 2))
    return tuple(hand.pixels()[int(at.y), int(at.x)].tolist())


def window_of(hand: Hand) -> tuple[float, float]:
    """Return what Black and White say."""
    low, high, _gamma = hand.window.channels.findChildren(QDoubleSpinBox)
    return low.value(), high.value()


def press_auto(hand: Hand) -> None:
    (auto,) = (b for b in hand.window.channels.findChildren(QPushButton) if b.text() == "Auto")
    dock = hand.window.channels.parentWidget()
    assert dock is not None
    dock.raise_()  # type: ignore[attr-defined]
    hand.qtbot.waitUntil(auto.isEnabled, timeout=5000)
    hand.qtbot.mouseClick(auto, LEFT)
    hand.qtbot.waitUntil(lambda: not hand.window.channels._later.isActive(), timeout=5000)
    hand.wait()


@pytest.mark.parametrize("value", [0, 120, 255])
def test_bytes_are_shown_as_they_are(hand: Hand, tmp_path: Path, value: int) -> None:
    opened(hand, tmp_path, np.full((300, 300), value, np.uint8))
    for _ in range(2):
        assert window_of(hand) == (0, 255)
        assert middle(hand) == (value, value, value)
        press_auto(hand)


@pytest.mark.parametrize(
    ("dtype", "value", "shown"),
    [(np.uint16, 900, 255), (np.uint16, 0, 0), (np.float32, 0.25, 255), (np.float32, -3.0, 0)],
)
def test_what_is_more_than_nothing_is_not_black(
    hand: Hand, tmp_path: Path, dtype: type, value: float, shown: int
) -> None:
    opened(hand, tmp_path, np.full((300, 300), value, dtype))
    for _ in range(2):
        low, high = window_of(hand)
        assert low == min(0, value)
        assert high >= max(0, value)
        assert middle(hand) == (shown, shown, shown)
        press_auto(hand)


@pytest.mark.parametrize("side", [1, 300])
def test_auto_leaves_one_colour_what_it_is(hand: Hand, tmp_path: Path, side: int) -> None:
    color = (216, 120, 30)
    opened(hand, tmp_path, np.full((side, side, 3), color, np.uint8))
    assert middle(hand) == color
    press_auto(hand)
    assert middle(hand) == color


def test_a_few_bright_pixels_on_nothing_are_told_apart(hand: Hand, tmp_path: Path) -> None:
    pixels = np.zeros((300, 300), np.uint16)
    pixels[150, 150], pixels[10, 10] = 500, 1000
    opened(hand, tmp_path, pixels)
    assert window_of(hand) == (0, 1000)
    hand.view.setFocus()
    assert hand.view.viewport is not None
    hand.view.move_to(hand.view.viewport.centred(Point(150.5, 150.5)))
    hand.view.zoom(8)
    hand.wait()
    at = hand.view.viewport.to_screen(Point(150.5, 150.5))
    assert hand.pixels()[int(at.y), int(at.x)].tolist() == pytest.approx([127] * 3, abs=2)
