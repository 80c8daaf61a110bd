"""Outlines that cross themselves, and outlines that enclose nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from tests.gui.hand import Hand

NOTHING = "Nothing was drawn: the outline encloses nothing"
EIGHT = [(100, 100), (300, 300), (300, 100), (100, 300)]
LINE = [(100, 100), (200, 150), (300, 200)]


def put_corners(hand: Hand, corners: list[tuple[int, int]]) -> None:
    hand.act("tool.polygon")
    for place in corners:
        hand.click(*place)


def said(hand: Hand) -> str:
    text: str = hand.window.status.currentMessage()
    return text


def test_an_eight_is_its_two_lobes(hand: Hand) -> None:
    put_corners(hand, EIGHT)
    hand.key(Qt.Key.Key_Return)
    (shape,) = hand.shapes()
    assert shape.is_valid
    assert shape.geom_type == "MultiPolygon"
    assert shape.area == pytest.approx(2 * 200 * 100 / 2)


@pytest.mark.parametrize("rotation_deg", [0.0, 33.0])
def test_an_outline_without_area_is_told_of(hand: Hand, rotation_deg: float) -> None:
    assert hand.view.viewport is not None
    hand.view.move_to(replace(hand.view.viewport, rotation_deg=rotation_deg))
    hand.wait()
    put_corners(hand, LINE)
    hand.key(Qt.Key.Key_Return)
    assert hand.objects() == []
    assert said(hand) == NOTHING
    assert hand.window.notices.text == ""
    assert not hand.parts.bench.tool.is_busy


def test_a_line_there_and_back_by_hand_is_told_of(hand: Hand) -> None:
    hand.act("tool.freehand")
    hand.drag(*LINE, *reversed(LINE))
    assert hand.objects() == []
    assert said(hand) == NOTHING


def test_it_is_not_called_finished_when_its_slide_is_closed(hand: Hand) -> None:
    put_corners(hand, LINE)
    hand.act("file.close")
    assert said(hand) == NOTHING
    assert hand.annotations.project is None
