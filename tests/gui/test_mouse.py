"""What hands do with mouse, trackpad and keys beside plain drags: nothing is lost by it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import shapely
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QAction, QMouseEvent, QNativeGestureEvent, QPointingDevice, QWheelEvent
from PySide6.QtWidgets import QApplication
from tests.gui.hand import LEFT, NONE, Hand

from tilescope.domain.geometry import Point

MIDDLE, RIGHT = Qt.MouseButton.MiddleButton, Qt.MouseButton.RightButton
NO_BUTTON = Qt.MouseButton.NoButton
CONTROL = Qt.KeyboardModifier.ControlModifier
PRESS, MOVE = QEvent.Type.MouseButtonPress, QEvent.Type.MouseMove
RELEASE, AGAIN = QEvent.Type.MouseButtonRelease, QEvent.Type.MouseButtonDblClick


def send(
    hand: Hand,
    kind: QEvent.Type,
    x: int,
    y: int,
    button: Qt.MouseButton = LEFT,
    held: Qt.MouseButton = LEFT,
) -> None:
    """Send what Qt sends, with all buttons that are held."""
    at = QPointF(x, y)
    event = QMouseEvent(kind, at, hand.view.mapToGlobal(at), button, held, NONE)
    QApplication.sendEvent(hand.view, event)


def centre(hand: Hand) -> tuple[float, float]:
    assert hand.view.viewport is not None
    return hand.view.viewport.centre_l0.x, hand.view.viewport.centre_l0.y


# -- buttons --------------------------------------------------------------------------------------


@pytest.mark.parametrize("button", [LEFT, MIDDLE])
def test_the_second_press_of_a_double_click_pans_too(hand: Hand, button: Qt.MouseButton) -> None:
    hand.act("tool.move")
    x, y = centre(hand)
    send(hand, PRESS, 300, 300, button, button)
    send(hand, RELEASE, 300, 300, button, NO_BUTTON)
    send(hand, AGAIN, 300, 300, button, button)
    send(hand, MOVE, 330, 310, NO_BUTTON, button)
    assert centre(hand) == (x - 30, y - 10)
    assert hand.view.cursor().shape() == Qt.CursorShape.ClosedHandCursor
    hand.qtbot.wait(120)
    send(hand, RELEASE, 330, 310, button, NO_BUTTON)
    send(hand, MOVE, 400, 400, NO_BUTTON, NO_BUTTON)
    assert centre(hand) == (x - 30, y - 10)


def test_a_middle_double_click_pans_and_ends_no_polygon(hand: Hand) -> None:
    hand.key(Qt.Key.Key_P)
    for place in ((100, 100), (200, 100), (200, 200)):
        hand.click(*place)
    x, y = centre(hand)
    send(hand, AGAIN, 300, 300, MIDDLE, MIDDLE)
    send(hand, MOVE, 310, 300, NO_BUTTON, MIDDLE)
    send(hand, RELEASE, 310, 300, MIDDLE, NO_BUTTON)
    assert hand.parts.bench.tool.is_busy
    assert centre(hand) == (x - 10, y)
    assert hand.objects() == []


def test_a_tap_of_another_button_does_not_end_a_pan(hand: Hand) -> None:
    hand.act("tool.move")
    x, y = centre(hand)
    send(hand, PRESS, 300, 300)
    send(hand, MOVE, 310, 300, NO_BUTTON)
    send(hand, PRESS, 310, 300, MIDDLE, LEFT | MIDDLE)
    send(hand, RELEASE, 310, 300, MIDDLE, LEFT)
    send(hand, MOVE, 350, 300, NO_BUTTON)
    assert centre(hand) == (x - 50, y)
    hand.qtbot.wait(120)
    send(hand, RELEASE, 350, 300, LEFT, NO_BUTTON)
    send(hand, MOVE, 390, 300, NO_BUTTON, NO_BUTTON)
    assert centre(hand) == (x - 50, y)


@pytest.mark.parametrize("other", [MIDDLE, RIGHT])
def test_a_tap_of_another_button_does_not_end_a_drawing(hand: Hand, other: Qt.MouseButton) -> None:
    hand.key(Qt.Key.Key_R)
    before = centre(hand)
    send(hand, PRESS, 100, 100)
    send(hand, MOVE, 150, 150, NO_BUTTON)
    send(hand, PRESS, 150, 150, other, LEFT | other)
    send(hand, MOVE, 180, 180, NO_BUTTON, LEFT | other)
    send(hand, RELEASE, 180, 180, other, LEFT)
    send(hand, MOVE, 220, 240, NO_BUTTON)
    send(hand, RELEASE, 220, 240, LEFT, NO_BUTTON)
    start, end = hand.l0(100, 100), hand.l0(220, 240)
    (shape,) = hand.shapes()
    assert shape.bounds == (start.x, start.y, end.x, end.y)
    assert centre(hand) == before
    assert hand.parts.menus.menu is None


def test_a_button_that_is_let_go_elsewhere_does_not_hold_the_slide(hand: Hand) -> None:
    hand.act("tool.move")
    send(hand, PRESS, 300, 300)
    send(hand, MOVE, 310, 300, NO_BUTTON)
    before = centre(hand)
    send(hand, MOVE, 350, 350, NO_BUTTON, NO_BUTTON)
    assert centre(hand) == before
    send(hand, PRESS, 300, 300)
    send(hand, MOVE, 320, 300, NO_BUTTON)
    assert centre(hand) == (before[0] - 20, before[1])
    send(hand, RELEASE, 320, 300, LEFT, NO_BUTTON)


def test_space_shows_the_hand_that_it_gives(hand: Hand) -> None:
    hand.key(Qt.Key.Key_B)
    own = hand.view.cursor().shape()
    hand.qtbot.keyPress(hand.view, Qt.Key.Key_Space)
    assert hand.view.cursor().shape() == Qt.CursorShape.OpenHandCursor
    send(hand, PRESS, 300, 300)
    assert hand.view.cursor().shape() == Qt.CursorShape.ClosedHandCursor
    send(hand, RELEASE, 300, 300, LEFT, NO_BUTTON)
    assert hand.view.cursor().shape() == Qt.CursorShape.OpenHandCursor
    hand.qtbot.keyRelease(hand.view, Qt.Key.Key_Space)
    assert hand.view.cursor().shape() == own


# -- two fingers ----------------------------------------------------------------------------------


def gesture(hand: Hand, kind: Qt.NativeGestureType, value: float, x: int, y: int) -> None:
    at = QPointF(x, y)
    place = hand.view.mapToGlobal(at)
    device = QPointingDevice.primaryPointingDevice()
    event = QNativeGestureEvent(kind, device, 2, at, at, place, value, QPointF())
    QApplication.sendEvent(hand.view, event)


def test_a_pinch_zooms_where_the_fingers_are(hand: Hand) -> None:
    assert hand.view.viewport is not None
    scale, before = hand.view.viewport.l0_per_px, hand.l0(200, 150)
    for _ in range(3):
        gesture(hand, Qt.NativeGestureType.ZoomNativeGesture, 0.1, 200, 150)
    after = hand.l0(200, 150)
    assert hand.view.viewport.l0_per_px == pytest.approx(scale / 1.1**3)
    assert (after.x, after.y) == pytest.approx((before.x, before.y))
    gesture(hand, Qt.NativeGestureType.ZoomNativeGesture, -5.0, 200, 150)
    assert 0 < hand.view.viewport.l0_per_px < 100


def test_the_wheel_over_the_map_zooms_the_slide_at_that_place(hand: Hand) -> None:
    hand.act("view.fit")
    assert hand.window.tab is not None
    overview, before = hand.window.tab.map, hand.view.viewport
    assert before is not None
    at = QPointF(overview.width() / 4, overview.height() / 3)
    size = hand.window.tab.source.info.size
    place = Point(size.width / 4, size.height / 3)
    for notches, factor in ((2, 1.25**2), (-1, 1.25)):
        delta, none = QPoint(0, 120 * notches), QPoint()
        where, phase = overview.mapToGlobal(at), Qt.ScrollPhase.NoScrollPhase
        event = QWheelEvent(at, where, none, delta, NO_BUTTON, NONE, phase, False)
        QApplication.sendEvent(overview, event)
        now = hand.view.viewport
        assert now is not None
        assert now.l0_per_px == pytest.approx(before.l0_per_px / factor)
        there, was = now.to_screen(place), before.to_screen(place)
        assert (there.x, there.y) == pytest.approx((was.x, was.y), abs=3)


def test_two_fingers_turn_the_slide_when_they_mean_it(hand: Hand) -> None:
    assert hand.view.viewport is not None
    turn = Qt.NativeGestureType.RotateNativeGesture
    gesture(hand, Qt.NativeGestureType.BeginNativeGesture, 0, 200, 150)
    gesture(hand, turn, 8.0, 200, 150)
    assert hand.view.viewport.rotation_deg == 0
    before = hand.l0(200, 150)
    gesture(hand, turn, 8.0, 200, 150)
    gesture(hand, turn, 8.0, 200, 150)
    assert hand.view.viewport.rotation_deg == pytest.approx(12.0)
    after = hand.l0(200, 150)
    assert (after.x, after.y) == pytest.approx((before.x, before.y))
    gesture(hand, Qt.NativeGestureType.EndNativeGesture, 0, 200, 150)
    gesture(hand, turn, -8.0, 200, 150)
    assert hand.view.viewport.rotation_deg == pytest.approx(12.0)


# -- undo in the middle of something --------------------------------------------------------------


def undo(hand: Hand) -> None:
    hand.key(Qt.Key.Key_Z, CONTROL)


@pytest.mark.parametrize(
    ("key", "places"),
    [
        (Qt.Key.Key_B, [(100, 400), (160, 400), (200, 430)]),
        (Qt.Key.Key_W, [(100, 400), (110, 400)]),
        (Qt.Key.Key_R, [(100, 400), (160, 420), (200, 430)]),
        (Qt.Key.Key_O, [(100, 400), (160, 420), (200, 430)]),
        (Qt.Key.Key_P, [(100, 400), (160, 420), (200, 430), (150, 450)]),
        (Qt.Key.Key_L, [(100, 400), (160, 420)]),
    ],
)
def test_undo_during_a_stroke_takes_the_stroke_back(
    hand: Hand, key: Qt.Key, places: list[tuple[int, int]]
) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    hand.deselect()
    before = hand.objects()
    plain = hand.pixels()
    hand.key(key)
    send(hand, PRESS, *places[0])
    for place in places[1:]:
        send(hand, MOVE, *place, NO_BUTTON)
    undo(hand)
    assert hand.objects() == before
    send(hand, MOVE, 250, 450, NO_BUTTON)
    send(hand, RELEASE, 250, 450, LEFT, NO_BUTTON)
    assert hand.objects() == before
    hand.key(Qt.Key.Key_M)
    hand.wait()
    assert (hand.pixels() == plain).all()
    undo(hand)
    assert hand.objects() == []


def test_undo_takes_corners_back_one_by_one_then_edits(hand: Hand) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    hand.key(Qt.Key.Key_P)
    for place in ((300, 300), (400, 300), (400, 400)):
        hand.click(*place)
    undo(hand)
    assert len(hand.objects()) == 1
    hand.click(300, 400)
    hand.key(Qt.Key.Key_Return)
    hand.wait()
    drawn = hand.shapes()
    corners = {(p.x, p.y) for p in (hand.l0(300, 300), hand.l0(400, 300), hand.l0(300, 400))}
    assert corners in [set(shape.exterior.coords) for shape in drawn]
    for place in ((500, 300), (520, 300)):
        hand.click(*place)
    undo(hand)
    undo(hand)
    assert not hand.parts.bench.tool.is_busy
    assert len(hand.objects()) == 2
    undo(hand)
    assert len(hand.objects()) == 1


def test_the_first_shape_can_be_taken_back_before_there_is_any_edit(hand: Hand) -> None:
    action = hand.window.findChild(QAction, "edit.undo")
    assert isinstance(action, QAction)
    assert not action.isEnabled()
    hand.key(Qt.Key.Key_P)
    hand.click(300, 300)
    assert action.isEnabled()
    undo(hand)
    assert not hand.parts.bench.tool.is_busy
    assert not action.isEnabled()


def test_redo_waits_until_a_stroke_is_over(hand: Hand) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    undo(hand)
    hand.wait()
    hand.key(Qt.Key.Key_B)
    send(hand, PRESS, 300, 300)
    hand.key(Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    assert hand.objects() == []
    send(hand, RELEASE, 300, 300, LEFT, NO_BUTTON)
    assert len(hand.objects()) == 1


@pytest.mark.parametrize("key", [Qt.Key.Key_Delete, Qt.Key.Key_Backspace])
def test_keys_that_delete_leave_what_a_brush_works_on(hand: Hand, key: Qt.Key) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    before = hand.objects()
    hand.key(Qt.Key.Key_B)
    send(hand, PRESS, 100, 100)
    send(hand, MOVE, 200, 100, NO_BUTTON)
    hand.key(key)
    send(hand, RELEASE, 200, 100, LEFT, NO_BUTTON)
    assert hand.objects() == before
    hand.key(key)
    assert hand.objects() == []


# -- an ellipse -----------------------------------------------------------------------------------


def test_an_ellipse_is_changed_by_its_four_ends(hand: Hand) -> None:
    hand.key(Qt.Key.Key_O)
    hand.drag((100, 100), (200, 150), (300, 200))
    hand.key(Qt.Key.Key_E)
    handles = hand.parts.bench.tool.preview.handles
    assert handles is not None
    ends = [hand.l0(*place) for place in ((300, 150), (200, 200), (100, 150), (200, 100))]
    assert handles == pytest.approx(
        shapely.get_coordinates([shapely.Point(p.x, p.y) for p in ends])
    )
    hand.drag((300, 150), (350, 170), (400, 180))
    (shape,) = hand.shapes()
    low, high = hand.l0(100, 100), hand.l0(400, 200)
    assert shape.bounds == pytest.approx((low.x, low.y, high.x, high.y))
    assert shape.area == pytest.approx(3.1416 * 150 * 50, rel=0.002)
    assert hand.parts.bench.tool.preview.handles is not None
    assert len(hand.parts.bench.tool.preview.handles) == 4


def test_from_afar_a_click_in_a_crowd_finds_what_is_under_it(hand: Hand) -> None:
    from tilescope.domain.annotation import Annotation

    slide = hand.parts.bench.front_slide
    assert slide is not None
    made = []
    for number in range(3000):
        x, y = 700 + 10 * (number % 60), 700 + 10 * (number // 60)
        shape = shapely.to_wkb(shapely.box(x, y, x + 6, y + 6), byte_order=1)
        made.append(Annotation(f"{number + 1:032x}", shape))
    hand.annotations.add(slide, made, "add")
    hand.deselect()
    hand.wait()
    assert hand.view.viewport is not None
    # 200 level-0 pixels to one of the screen: all objects lie within reach.
    hand.view.move_to(replace(hand.view.viewport, centre_l0=Point(1273, 1173), l0_per_px=200.0))
    hand.key(Qt.Key.Key_M)
    middle = QPoint(hand.view.width() // 2, hand.view.height() // 2)
    at = hand.l0(middle.x(), middle.y())
    hand.qtbot.mouseClick(hand.view, LEFT, NONE, middle)
    hand.wait()
    (chosen,) = hand.annotations.selected
    assert chosen.geometry.distance(shapely.Point(at.x, at.y)) < 8
