"""Whatever the mouse does over a slide is done by keys: every tool, clicks and drags."""

from __future__ import annotations

from dataclasses import replace

import pytest
import shapely
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QApplication, QLabel
from tests.gui.hand import NONE, SHIFT, Hand
from tests.gui.key_hand import click, drag, go, place, pointing, rectangle

from tilescope.domain.geometry import Point

_KEY = Qt.Key
CONTROL = Qt.KeyboardModifier.ControlModifier


def test_arrows_point_and_the_view_stays(keys: Hand) -> None:
    middle, before = pointing(keys).at, keys.view.viewport
    assert (middle - QPointF(keys.view.rect().center())).manhattanLength() <= 2
    go(keys, "right")
    go(keys, "up", held=SHIFT)
    go(keys, "left", held=CONTROL)
    assert pointing(keys).at == middle + QPointF(9, -60)
    go(keys, "right", held=Qt.KeyboardModifier.KeypadModifier)
    assert pointing(keys).at == middle + QPointF(19, -60)
    assert keys.view.viewport == before
    at = place(keys)
    read = keys.window.status.findChildren(QLabel)
    assert any(one.text().startswith(f"{at.x:.0f}, {at.y:.0f} px") for one in read)
    assert f"at {at.x:.0f}, {at.y:.0f} px" in keys.view.accessibleDescription()


def test_a_rectangle_is_dragged(keys: Hand) -> None:
    start, end = rectangle(keys)
    (shape,) = keys.shapes()
    assert shape.bounds == (start.x, start.y, end.x, end.y)
    assert (end.x - start.x, end.y - start.y) == (120, 60)
    assert keys.view.accessibleDescription().endswith("µm")


def test_a_button_that_is_kept_down_needs_one_key_at_a_time(keys: Hand) -> None:
    keys.key(_KEY.Key_R)
    start = place(keys)
    keys.key(_KEY.Key_Insert)
    assert keys.view.accessibleDescription().endswith("button held")
    go(keys, "right", 2, SHIFT)
    go(keys, "down", 3)
    keys.key(_KEY.Key_Insert)
    go(keys, "down", 3)
    (shape,) = keys.shapes()
    assert shape.bounds == (start.x, start.y, start.x + 120, start.y + 30)
    # What is held by the space bar is kept as well, and the space bar lets go.
    keys.qtbot.keyPress(keys.view, _KEY.Key_Space)
    keys.act("tool.hold-button")
    keys.qtbot.keyRelease(keys.view, _KEY.Key_Space)
    go(keys, "right", 1, SHIFT)
    assert len(keys.shapes()) == 1
    assert keys.window.findChild(QAction, "tool.hold-button").isChecked()
    go(keys, "down", 1, SHIFT)
    click(keys)
    assert sorted(one.area for one in keys.shapes()) == [60 * 60, 120 * 30]
    assert not keys.window.findChild(QAction, "tool.hold-button").isChecked()


def test_a_key_that_is_held_long_is_one_press(keys: Hand) -> None:
    keys.key(_KEY.Key_R)
    keys.qtbot.keyPress(keys.view, _KEY.Key_Space)
    go(keys, "right", 1, SHIFT)
    for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease, QEvent.Type.KeyPress):
        again = QKeyEvent(kind, _KEY.Key_Space, NONE, " ", True)
        QApplication.sendEvent(keys.view, again)
        assert keys.parts.bench.tool.is_busy
    go(keys, "down", 1, SHIFT)
    keys.qtbot.keyRelease(keys.view, _KEY.Key_Space)
    (shape,) = keys.shapes()
    assert shape.area == 60 * 60


def test_shift_with_the_space_bar_makes_a_square(keys: Hand) -> None:
    keys.key(_KEY.Key_R)
    drag(keys, "right", "down", "right", held=SHIFT)
    (shape,) = keys.shapes()
    left, top, right, bottom = shape.bounds
    assert right - left == bottom - top > 0


@pytest.mark.parametrize("tool", [_KEY.Key_L, _KEY.Key_O])
def test_lines_and_ellipses_are_dragged(keys: Hand, tool: Qt.Key) -> None:
    keys.key(tool)
    drag(keys, "right", "down")
    (shape,) = keys.shapes()
    left, top, right, bottom = shape.bounds
    assert (right - left, bottom - top) == pytest.approx((60, 60), abs=1)


@pytest.mark.parametrize("ends_by", ["enter", "double"])
def test_a_polygon_is_clicked_and_ended(keys: Hand, ends_by: str) -> None:
    keys.key(_KEY.Key_P)
    corners = [place(keys)]
    keys.key(_KEY.Key_Space)
    for way in ("right", "down", "left"):
        go(keys, way, 1, SHIFT)
        keys.key(_KEY.Key_Space)
        corners.append(place(keys))
    assert keys.parts.bench.tool.is_busy
    keys.key(_KEY.Key_Return if ends_by == "enter" else _KEY.Key_Space)
    (shape,) = keys.shapes()
    assert shapely.equals(shape, shapely.Polygon([(one.x, one.y) for one in corners]))


def test_freehand_and_polyline_follow_the_pointer(keys: Hand) -> None:
    keys.key(_KEY.Key_P, SHIFT)
    drag(keys, "right", "down", "left")
    (outline,) = keys.shapes()
    assert outline.area == pytest.approx(60 * 60, rel=0.02)
    keys.key(_KEY.Key_V)
    for _ in range(3):
        keys.key(_KEY.Key_Space)
        go(keys, "right", 1, SHIFT)
    keys.key(_KEY.Key_Return)
    (line,) = (one for one in keys.shapes() if one.geom_type == "LineString")
    assert line.length == 120


def test_a_brush_stroke_is_painted_and_cut_away(keys: Hand) -> None:
    keys.key(_KEY.Key_B)
    drag(keys, "right", "right")
    (painted,) = keys.shapes()
    left, top, right, bottom = painted.bounds
    assert (right - left) - (bottom - top) == pytest.approx(120, abs=2)
    go(keys, "left", 1, SHIFT)
    assert painted.covers(shapely.Point(place(keys).x, place(keys).y))
    click(keys, CONTROL)
    (cut,) = keys.shapes()
    assert not cut.covers(shapely.Point(place(keys).x, place(keys).y))
    assert 0 < cut.area < painted.area


def test_the_wand_outlines_what_looks_alike(keys: Hand) -> None:
    keys.key(_KEY.Key_W)
    go(keys, "left", 4, SHIFT)
    click(keys)
    (shape,) = keys.shapes()
    assert shape.buffer(1).covers(shapely.Point(place(keys).x, place(keys).y))


def test_objects_are_selected_by_clicks_and_by_a_box(keys: Hand) -> None:
    rectangle(keys)
    (first,) = keys.annotations.selected_ids
    go(keys, "down", 2, SHIFT)
    rectangle(keys)
    (second,) = keys.annotations.selected_ids
    keys.key(_KEY.Key_M)
    go(keys, "left", 3)
    go(keys, "up", 3)
    click(keys)
    assert keys.annotations.selected_ids == (second,)
    go(keys, "left", 2, SHIFT)
    go(keys, "up", 3, SHIFT)
    click(keys, SHIFT)
    assert set(keys.annotations.selected_ids) == {first, second}
    go(keys, "left", 3, SHIFT)
    go(keys, "up", 2, SHIFT)
    click(keys)
    assert keys.annotations.selected_ids == ()
    keys.key(_KEY.Key_S)
    drag(keys, *["right"] * 7, *["down"] * 6)
    assert set(keys.annotations.selected_ids) == {first, second}


def test_points_are_put_and_a_double_click_is_one(keys: Hand) -> None:
    keys.key(_KEY.Key_Period)
    click(keys)
    keys.key(_KEY.Key_Space)
    (point,) = keys.shapes()
    assert (point.x, point.y) == (place(keys).x, place(keys).y)


def test_corners_are_moved_and_put_in(keys: Hand) -> None:
    start, end = rectangle(keys)
    keys.key(_KEY.Key_E)
    drag(keys, "down")
    (moved,) = keys.shapes()
    assert shapely.Point(end.x, end.y + 60).distance(moved) == 0
    assert moved.bounds == (start.x, start.y, end.x, end.y + 60)
    go(keys, "up", 2, SHIFT)  # on the corner, then along the upper side
    go(keys, "left", 1, SHIFT)
    keys.key(_KEY.Key_Space)
    keys.key(_KEY.Key_Space)
    (more,) = keys.shapes()
    assert len(more.exterior.coords) == len(moved.exterior.coords) + 1
    assert (place(keys).x, place(keys).y) in more.exterior.coords


def test_the_ruler_tells_a_length(keys: Hand) -> None:
    keys.key(_KEY.Key_L, SHIFT)
    drag(keys, "right", "right")
    size = keys.window.tab.pixel_size
    assert keys.overlay.preview().text == f"{120 * size.um_x:.1f} µm"
    assert keys.objects() == []


def test_the_slide_is_dragged_and_does_not_fly_on(keys: Hand) -> None:
    keys.key(_KEY.Key_M)
    before, at = keys.view.viewport.centre_l0, place(keys)
    drag(keys, *["right"] * 12)
    after = keys.view.viewport.centre_l0
    assert before.x - after.x > keys.view.width() / 2 - 60
    assert (place(keys).x, place(keys).y) == pytest.approx((at.x, at.y))
    drag(keys, *["left"] * 3)
    keys.qtbot.wait(50)
    assert keys.view.viewport.centre_l0.x == after.x + 180


@pytest.mark.parametrize("turned_deg", [0.0, 90.0])
def test_the_slide_comes_along_at_the_edge(keys: Hand, turned_deg: float) -> None:
    keys.view.move_to(replace(keys.view.viewport, rotation_deg=turned_deg))
    before, start = keys.view.viewport, place(keys)
    keys.key(_KEY.Key_R)
    drag(keys, *["right"] * 15, *["down"] * 8)
    after, end = keys.view.viewport, place(keys)
    assert after.centre_l0 != before.centre_l0
    assert keys.view.rect().adjusted(39, 39, -39, -39).contains(pointing(keys).at.toPoint())
    assert {abs(end.x - start.x), abs(end.y - start.y)} == {900, 480}
    (shape,) = keys.shapes()
    assert shape.area == pytest.approx(900 * 480)


def test_a_step_with_the_slide_is_told_once(keys: Hand) -> None:
    told: list[Point] = []
    go(keys, "right", 10, SHIFT)
    keys.view.pointed.connect(told.append)
    go(keys, "right")
    assert told == [place(keys)]


def test_where_the_slide_ends_the_pointer_goes_to_the_edge_of_the_view(keys: Hand) -> None:
    keys.view.move_to(replace(keys.view.viewport, centre_l0=Point(30, 900)))
    go(keys, "left", 15, SHIFT)
    assert pointing(keys).at.x() == 0
    assert keys.view.viewport.centre_l0.x == 0
    go(keys, "right")
    assert pointing(keys).at.x() == 10


def test_zooming_by_keys_keeps_what_is_pointed_at(keys: Hand) -> None:
    go(keys, "right", 3, SHIFT)
    at, before = place(keys), keys.view.viewport.l0_per_px
    keys.key(_KEY.Key_Plus)
    assert keys.view.viewport.l0_per_px < before
    assert (place(keys).x, place(keys).y) == pytest.approx((at.x, at.y))
    # Turned, something else lies below, and that is told.
    keys.act("view.turn")
    now = place(keys)
    assert f"{now.x:.0f}, {now.y:.0f} px" in keys.view.accessibleDescription()


def test_escape_ends_a_shape_before_it_ends_pointing(keys: Hand) -> None:
    keys.key(_KEY.Key_P)
    keys.key(_KEY.Key_Space)
    go(keys, "right", 3)
    keys.key(_KEY.Key_Escape)
    assert not keys.parts.bench.tool.is_busy
    assert pointing(keys).is_on
    keys.key(_KEY.Key_R)
    keys.key(_KEY.Key_Insert)
    go(keys, "right", 3)
    keys.key(_KEY.Key_Escape)
    assert pointing(keys).is_on
    assert not keys.view.accessibleDescription().endswith("held")
    keys.key(_KEY.Key_Escape)
    assert not pointing(keys).is_on
    assert keys.parts.bench.tool.id == "rectangle"
    assert keys.objects() == []
    assert not keys.window.findChild(QAction, "tool.hold-button").isEnabled()
