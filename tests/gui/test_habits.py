"""The keys that hands know from QuPath do what they do there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication
from tests.gui.hand import ALT, LEFT, NONE, SHIFT, Hand

from tilescope.domain.geometry import Point
from tilescope_desktop.model.tools.brush import BrushTool
from tilescope_desktop.model.tools.tool import Draw
from tilescope_desktop.view.name_overlay import NameOverlay

_KEY = Qt.Key
CONTROL = Qt.KeyboardModifier.ControlModifier


def draw(hand: Hand, x: int = 60) -> str:
    """Draw a rectangle, which is selected then; return its id."""
    hand.key(_KEY.Key_R)
    hand.drag((x, 60), (x + 40, 80), (x + 80, 120))
    (made,) = hand.annotations.selected_ids
    return made


def wheel(hand: Hand, angle: QPoint, keys: Qt.KeyboardModifier) -> None:
    at = QPointF(300, 300)
    event = QWheelEvent(
        at, hand.view.mapToGlobal(at), QPoint(), angle, Qt.MouseButton.NoButton, keys,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(hand.view, event)


@pytest.mark.parametrize(
    ("key", "keys", "is_larger"),
    [
        (_KEY.Key_Up, SHIFT, True),
        (_KEY.Key_Down, SHIFT, False),
        (_KEY.Key_Equal, NONE, True),
        (_KEY.Key_Plus, NONE, True),
        (_KEY.Key_Minus, NONE, False),
    ],
)
def test_keys_zoom(active: Hand, key: Qt.Key, keys: Qt.KeyboardModifier, is_larger: bool) -> None:
    before = active.view.viewport
    active.key(key, keys)
    after = active.view.viewport
    assert after.centre_l0 == before.centre_l0
    assert (after.l0_per_px < before.l0_per_px) == is_larger
    assert after.l0_per_px != before.l0_per_px


def test_digits_show_and_hide_channels(active: Hand) -> None:
    draw(active)
    before = active.window.channels.styles
    for digit, row in ((_KEY.Key_1, 0), (_KEY.Key_3, 2)):
        active.key(digit)
        assert not active.window.channels.styles[row].visible
        assert active.window._actions["view.channel-2"].isChecked()
    # Nothing but green is left.
    active.qtbot.waitUntil(
        lambda: not active.pixels()[200:500, 100:500][..., [0, 2]].any(), timeout=5000
    )
    assert active.pixels()[200:500, 100:500, 1].any()
    assert active.objects()[0].class_name is None
    for digit in (_KEY.Key_1, _KEY.Key_3):
        active.key(digit)
    assert active.window.channels.styles == before
    # There is no fourth.
    active.key(_KEY.Key_4)
    assert active.window.channels.styles == before
    active.key(_KEY.Key_2, ALT)
    assert active.objects()[0].class_name == "Stroma"


def test_control_r_and_shift_s_turn_nothing_and_hide_no_scale_bar(active: Hand) -> None:
    before, looks = active.view.viewport, active.pixels()
    active.key(_KEY.Key_R, CONTROL)
    active.key(_KEY.Key_R, CONTROL | SHIFT)
    active.key(_KEY.Key_S, SHIFT)
    assert active.view.viewport == before
    assert (active.pixels() == looks).all()
    assert active.parts.bench.tool.id == "select"


def test_s_held_selects_and_gives_the_tool_back(active: Hand) -> None:
    made = draw(active)
    active.deselect()
    active.key(_KEY.Key_B)
    active.qtbot.keyPress(active.view, _KEY.Key_S)
    active.click(100, 90)
    active.wait()
    assert active.annotations.selected_ids == (made,)
    active.qtbot.keyRelease(active.view, _KEY.Key_S)
    assert active.parts.bench.tool.id == "brush"
    active.key(_KEY.Key_S)
    assert active.parts.bench.tool.id == "select"
    active.click(100, 90)
    assert active.parts.bench.tool.id == "select"
    assert len(active.objects()) == 1


def test_copies_lie_on_what_they_are_copied_from_and_are_selected(active: Hand) -> None:
    first = draw(active)
    active.key(_KEY.Key_1, ALT)
    active.wait()
    active.key(_KEY.Key_D, SHIFT)
    one, other = active.objects()
    assert one.geometry == other.geometry
    assert one.class_name == other.class_name == "Tumor"
    (copy,) = {one.id, other.id} - {first}
    assert active.annotations.selected_ids == (copy,)
    active.key(_KEY.Key_Z, CONTROL)
    assert [found.id for found in active.objects()] == [first]


def test_the_last_outline_is_drawn_again_on_another_slide_that_it_meets(
    active: Hand, dapi_image: Path
) -> None:
    whole = active.window.tab
    assert whole is not None
    active.open(dapi_image)
    active.window.activateWindow()
    active.key(_KEY.Key_A, CONTROL | SHIFT)
    active.wait()
    (drawn,) = active.shapes()
    active.window.tabs.show_slide(whole)
    active.view.setFocus()
    active.key(_KEY.Key_E, SHIFT)
    active.wait()
    assert len(active.objects()) == 2
    assert all(shapely.equals(shape, drawn) for shape in active.shapes())
    assert active.annotations.selected_slide is active.parts.bench.front_slide


def test_the_whole_slide_is_outlined(active: Hand) -> None:
    active.key(_KEY.Key_A, CONTROL | SHIFT)
    (shape,) = active.shapes()
    size = active.window.tab.source.info.size
    assert shape.bounds == (0, 0, size.width, size.height)
    assert shape.area == size.width * size.height


def test_locks_are_turned(active: Hand) -> None:
    draw(active)
    for is_locked in (True, False):
        active.key(_KEY.Key_K, CONTROL)
        assert active.objects()[0].locked is is_locked


def test_annotations_and_detections_are_selected_each_by_a_key(active: Hand) -> None:
    drawn = {draw(active, 60), draw(active, 200)}
    slide = active.parts.bench.front_slide
    active.annotations.fulfil(slide, [Draw(shapely.box(900, 900, 930, 930), kind="detection")])
    active.wait()
    (found,) = {one.id for one in active.objects()} - drawn
    active.key(_KEY.Key_A, CONTROL | ALT)
    active.wait()
    assert set(active.annotations.selected_ids) == drawn
    active.key(_KEY.Key_D, CONTROL | ALT)
    active.wait()
    assert active.annotations.selected_ids == (found,)


def test_saving_says_that_everything_is_saved(active: Hand) -> None:
    active.key(_KEY.Key_S, CONTROL)
    assert "saved when it is made" in active.window.status.currentMessage()
    draw(active)
    active.key(_KEY.Key_S, CONTROL)
    active.wait()
    assert active.annotations.project.path.name in active.window.status.currentMessage()


def test_names_are_written_over_annotations(active: Hand) -> None:
    draw(active, 200)
    active.key(_KEY.Key_2, ALT)
    active.wait()
    active.deselect()
    active.key(_KEY.Key_M)
    active.wait()
    before = active.pixels()
    active.key(_KEY.Key_N)
    (names,) = (one for one in active.view.overlays if isinstance(one, NameOverlay))
    active.qtbot.waitUntil(lambda: names.names == ["Stroma"], timeout=10_000)
    changed = np.argwhere((active.pixels() != before).any(axis=2))
    top, left = changed.min(axis=0)
    bottom, right = changed.max(axis=0)
    # In the middle above the upper edge, from 200 to 280 at 60.
    assert 30 < top < bottom < 60
    assert abs((left + right) / 2 - 240) < 3
    active.key(_KEY.Key_3, ALT)
    assert names.names == ["Stroma"]
    active.key(_KEY.Key_A, CONTROL)
    active.wait()
    active.key(_KEY.Key_3, ALT)
    active.qtbot.waitUntil(lambda: names.names == ["Immune cells"], timeout=10_000)
    active.key(_KEY.Key_A)
    active.qtbot.waitUntil(lambda: names.names == [], timeout=10_000)
    active.key(_KEY.Key_A)
    active.key(_KEY.Key_N)
    active.deselect()
    active.wait()
    assert not any(isinstance(one, NameOverlay) for one in active.view.overlays)
    # Only its class is another.
    active.key(_KEY.Key_Z, CONTROL)
    active.wait()
    assert (active.pixels() == before).all()


@pytest.mark.parametrize("angle", [QPoint(0, 120), QPoint(120, 0)], ids=["down", "sideways"])
def test_alt_and_the_wheel_change_the_brush_and_zoom_without_one(
    active: Hand, angle: QPoint
) -> None:
    active.key(_KEY.Key_B)
    brush = active.parts.bench.tool
    assert isinstance(brush, BrushTool)
    active.move((300, 300))
    before, radius, looks = active.view.viewport, brush.radius_px, active.pixels()
    wheel(active, angle, ALT)
    assert brush.radius_px > radius
    assert active.view.viewport == before
    changed = np.argwhere((active.pixels() != looks).any(axis=2))
    assert (np.abs(np.hypot(*(changed - 300).T) - brush.radius_px) < 4).any()
    wheel(active, -angle, ALT)
    assert brush.radius_px == pytest.approx(radius)
    active.key(_KEY.Key_M)
    wheel(active, angle, ALT)
    assert active.view.viewport.l0_per_px < before.l0_per_px
    assert brush.radius_px == pytest.approx(radius)


def test_space_shows_a_hand(active: Hand) -> None:
    active.key(_KEY.Key_B)
    active.qtbot.keyPress(active.view, _KEY.Key_Space)
    assert active.view.cursor().shape() == Qt.CursorShape.OpenHandCursor
    active.qtbot.mousePress(active.view, LEFT, NONE, QPoint(300, 300))
    assert active.view.cursor().shape() == Qt.CursorShape.ClosedHandCursor
    active.qtbot.mouseRelease(active.view, LEFT, NONE, QPoint(300, 300))
    active.qtbot.keyRelease(active.view, _KEY.Key_Space)
    assert active.view.cursor().shape() == Qt.CursorShape.CrossCursor


@pytest.mark.parametrize("turned_deg", [0.0, 30.0])
def test_shapes_are_drawn_without_a_mouse(active: Hand, turned_deg: float) -> None:
    viewport = replace(active.view.viewport, rotation_deg=turned_deg)
    active.view.move_to(viewport)
    keys = Qt.KeyboardModifier.ControlModifier | SHIFT
    for key in (_KEY.Key_B, _KEY.Key_E, _KEY.Key_D):
        active.key(key, keys)
        active.wait()
    rectangle, ellipse, point = sorted(active.shapes(), key=lambda one: -one.area)
    across, down = viewport.width / 2, viewport.height / 2
    seen = [viewport.to_screen(Point(*place)) for place in rectangle.exterior.coords]
    assert {(round(one.x * 2), round(one.y * 2)) for one in seen} == {
        (round(x * 2), round(y * 2))
        for x in (across / 2, 1.5 * across)
        for y in (down / 2, 1.5 * down)
    }
    assert ellipse.area == pytest.approx(np.pi / 4 * across * down, rel=0.01)
    assert ellipse.centroid.distance(point) < 0.5
    assert (point.x, point.y) == (viewport.centre_l0.x, viewport.centre_l0.y)
    assert len(active.annotations.selected_ids) == 1
    active.key(_KEY.Key_Delete)
    active.wait()
    assert len(active.shapes()) == 2
