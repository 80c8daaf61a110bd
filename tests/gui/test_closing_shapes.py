"""Shapes that are begun when their slide is closed, and shapes that lie beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import shapely
from PySide6.QtCore import QPoint
from tests.gui.hand import LEFT, NONE, Hand, objects_of

from tilescope.domain.geometry import Point

CORNERS = [(100, 100), (220, 100), (220, 200), (100, 200)]


def begin(hand: Hand, tool: str, count: int) -> None:
    hand.act(f"tool.{tool}")
    for place in CORNERS[:count]:
        hand.click(*place)


def begin_stroke(hand: Hand) -> None:
    hand.act("tool.brush")
    hand.qtbot.mousePress(hand.view, LEFT, NONE, QPoint(*CORNERS[0]))
    hand.move(CORNERS[1])


@pytest.mark.parametrize(("tool", "count"), [("polygon", 3), ("polygon", 4), ("polyline", 2)])
def test_what_is_a_shape_is_kept_when_its_slide_is_closed(
    hand: Hand, tool: str, count: int
) -> None:
    begin(hand, tool, count)
    name = hand.window.tab.path.name
    hand.act("file.close")
    (one,) = hand.shapes()
    corners = shapely.get_coordinates(one)
    assert len({tuple(corner) for corner in corners}) == count
    assert hand.window.status.currentMessage() == f"The shape begun on {name} was finished"
    assert hand.annotations.selected_ids == ()


def test_a_stroke_of_the_brush_is_kept_when_its_slide_is_closed(hand: Hand) -> None:
    begin_stroke(hand)
    hand.act("file.close")
    (one,) = hand.shapes()
    left, top, right, bottom = one.bounds
    assert (right - left, bottom - top) == pytest.approx((160, 40), abs=2)


def test_it_is_kept_when_the_window_is_closed(hand: Hand, tmp_path: Path) -> None:
    begin(hand, "polygon", 4)
    hand.close()
    (path,) = (tmp_path / "data" / "projects").glob("*.tilescope")
    (one,) = objects_of(path)
    assert shapely.from_wkb(one.geometry).area == 120 * 100
    assert hand.annotations.remembered.project == path


def test_what_is_no_shape_yet_is_dropped(hand: Hand) -> None:
    begin(hand, "polygon", 2)
    hand.act("file.close")
    assert hand.annotations.project is None
    assert hand.window.notices.text == ""


def look_at_corner(hand: Hand) -> None:
    """Show the upper left corner of the slide in the middle of the view."""
    hand.view.move_to(replace(hand.view.viewport, centre_l0=Point(0, 0), l0_per_px=1.0))
    hand.wait()


def test_what_lies_outside_the_slide_is_not_stored(hand: Hand) -> None:
    look_at_corner(hand)
    assert hand.l0(120, 120).x < 0
    hand.act("tool.rectangle")
    hand.drag((20, 20), (60, 60), (120, 120))
    assert hand.annotations.project is None
    name = hand.window.tab.path.name
    said = hand.window.status.currentMessage()
    assert said == f"Nothing was drawn: the shape lies wholly outside {name}"


def test_what_reaches_over_the_edge_stays_as_it_is(hand: Hand) -> None:
    look_at_corner(hand)
    start, end = hand.l0(20, 20), hand.l0(hand.view.width() - 20, hand.view.height() - 20)
    assert start.x < 0 < end.x
    hand.act("tool.rectangle")
    hand.drag((20, 20), (60, 60), (hand.view.width() - 20, hand.view.height() - 20))
    (one,) = hand.shapes()
    assert one.bounds == pytest.approx((start.x, start.y, end.x, end.y))
