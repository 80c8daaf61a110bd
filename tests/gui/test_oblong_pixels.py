"""A slide whose pixels are longer than wide: lengths are right in every direction."""

from __future__ import annotations

import xml.etree.ElementTree as Tree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QFileDialog
from tests.gui.hand import LEFT, NONE, SHIFT, Hand
from tests.gui.sizes_by_hand import give_size

ACROSS, DOWN = ((100, 100), (150, 100), (200, 100)), ((100, 100), (100, 150), (100, 200))
BOTH, SOURCE = "0.5 \N{MULTIPLICATION SIGN} 0.8", "ome.PhysicalSizeX"


@pytest.fixture
def slide_in_hand(tmp_path: Path) -> Path:
    """A grey slide whose pixels are 0.5 µm wide and 0.8 µm high."""
    path = tmp_path / "oblong.ome.tif"
    pixels = np.full((1800, 2000, 3), 120, np.uint8)
    tags = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.8}
    tifffile.imwrite(path, pixels, ome=True, photometric="rgb", tile=(256, 256), metadata=tags)
    return path


def shown(hand: Hand) -> str:
    return hand.overlay.preview().text


def size(hand: Hand) -> str:
    return hand.window.status._pixel_size.text()


def test_a_ruler_measures_both_ways(hand: Hand) -> None:
    hand.key(Qt.Key.Key_L, SHIFT)
    for way, text in (
        (ACROSS, "50.0 µm"),
        (DOWN, "80.0 µm"),
        (((100, 100), (180, 150)), "56.6 µm"),
    ):
        hand.drag(*way)
        assert shown(hand) == text


@pytest.mark.parametrize("angle", [0.0, 90.0, 30.0])
def test_what_is_shown_while_a_line_is_drawn_is_what_is_kept(hand: Hand, angle: float) -> None:
    assert hand.view.viewport is not None
    hand.view.move_to(replace(hand.view.viewport, rotation_deg=angle))
    hand.wait()
    hand.act("tool.line")
    said = []
    for way in (ACROSS, DOWN):
        hand.qtbot.mousePress(hand.view, LEFT, NONE, QPointF(*way[0]).toPoint())
        hand.move(way[1])
        hand.move(way[2])
        said.append(float(shown(hand).removesuffix(" µm")))
        hand.qtbot.mouseRelease(hand.view, LEFT, NONE, QPointF(*way[2]).toPoint())
        hand.wait()
    kept = [one.measurements["Length µm"] for one in hand.objects()]
    assert sorted(kept) == pytest.approx(sorted(said), abs=0.06)
    hand.act("tool.rectangle")
    hand.qtbot.mousePress(hand.view, LEFT, NONE, QPointF(100, 100).toPoint())
    hand.move((200, 200))
    assert shown(hand) == " x ".join(f"{one:.1f} µm" for one in said)
    hand.key(Qt.Key.Key_Escape)


def test_a_line_of_several_parts_tells_the_length_of_all(hand: Hand) -> None:
    hand.act("tool.polyline")
    hand.click(100, 100)
    hand.click(200, 100)
    hand.move((200, 200))
    assert shown(hand) == "130.0 µm"
    hand.key(Qt.Key.Key_Escape)


def test_the_read_outs_say_both_sizes(hand: Hand) -> None:
    assert size(hand) == f"{BOTH} µm/px ({SOURCE})"
    at, none = QPointF(100, 80), Qt.MouseButton.NoButton
    move = QMouseEvent(QEvent.Type.MouseMove, at, hand.view.mapToGlobal(at), none, none, NONE)
    QApplication.sendEvent(hand.view, move)
    there = hand.l0(100, 80)
    place = hand.window.status._place.text()
    assert place.endswith(f"   {there.x * 0.5:.1f}, {there.y * 0.8:.1f} µm")


def test_the_bar_is_right_from_left_to_right(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "view.svg"
    kind = "SVG: picture, with outlines as lines (*.svg)"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), kind))
    for angle, text, length_px in ((0.0, "50 µm", 100), (90.0, "100 µm", 125)):
        assert hand.view.viewport is not None
        hand.view.move_to(replace(hand.view.viewport, rotation_deg=angle))
        hand.wait()
        row = hand.pixels()[hand.view.height() - 16]
        white = np.flatnonzero((row > 250).all(axis=1))
        assert (white[0], white[-1]) == pytest.approx((16, 16 + length_px), abs=2)
        hand.act("project.save-picture")
        hand.wait()
        assert (
            next(Tree.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")).text == text
        )
        path.unlink()


def test_a_single_size_makes_pixels_square_and_none_gives_them_back(hand: Hand) -> None:
    hand.key(Qt.Key.Key_L, SHIFT)
    hand.drag(*DOWN)
    shown_first = give_size("0.5")
    hand.qtbot.mouseClick(hand.window.status._pixel_size, LEFT)
    hand.wait()
    assert shown_first[0] == f"Micrometres per pixel (the slide says {BOTH}): "
    assert size(hand) == "0.5 µm/px (set by you)"
    assert shown(hand) == "50.0 µm"
    give_size("")
    hand.qtbot.mouseClick(hand.window.status._pixel_size, LEFT)
    hand.wait()
    assert size(hand) == f"{BOTH} µm/px ({SOURCE})"
    assert shown(hand) == "80.0 µm"
