"""What a tool shows belongs to one slide, to the cursor, and to the hand that moves it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QAction, QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from tests.gui.hand import ALT, LEFT, NONE, SHIFT, Hand
from tests.gui.sizes_by_hand import give_size

from tilescope.domain.geometry import Point
from tilescope_desktop.model.tools.brush import RADIUS_PX
from tilescope_desktop.model.tools.tool import LOCKED
from tilescope_desktop.view.slide_tab import SlideTab

_KEY = Qt.Key
NO_BUTTON = Qt.MouseButton.NoButton
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def plain(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A slide that says nothing of the size of its pixels."""
    path = tmp_path / "plain.tif"
    pixels = rng.integers(0, 255, (600, 800, 3), np.uint8)
    tifffile.imwrite(path, pixels, tile=(128, 128), photometric="rgb")
    return path


def shown(hand: Hand, tab: SlideTab) -> str:
    """Return the word that the tool shows on a slide."""
    return hand.parts.bench.overlays[tab].preview().text


def drag(hand: Hand, tab: SlideTab, *places: tuple[float, float]) -> None:
    """Press, move and let go at these places, which may lie between pixels."""
    hand.qtbot.mousePress(tab.view, LEFT, NONE, QPointF(*places[0]).toPoint())
    for place in places[1:]:
        go(tab, *place, buttons=LEFT)
    hand.qtbot.mouseRelease(tab.view, LEFT, NONE, QPointF(*places[-1]).toPoint())


def go(tab: SlideTab, x: float, y: float, buttons: Qt.MouseButton = NO_BUTTON) -> None:
    at = QPointF(x, y)
    kind = QEvent.Type.MouseMove
    event = QMouseEvent(kind, at, tab.view.mapToGlobal(at), NO_BUTTON, buttons, NONE)
    QApplication.sendEvent(tab.view, event)


def beside(hand: Hand, left: SlideTab, right: SlideTab) -> None:
    hand.window.tabs.put_beside(left, right)
    hand.qtbot.waitUntil(lambda: left.view.isVisible() and right.view.isVisible())


def front(hand: Hand) -> SlideTab:
    assert hand.window.tab is not None
    return hand.window.tab


# -- a measured length ----------------------------------------------------------------------------


def test_what_is_measured_is_not_shown_on_another_slide(hand: Hand, plain: Path) -> None:
    first = front(hand)
    hand.key(_KEY.Key_L, SHIFT)
    drag(hand, first, (300, 300), (350, 300), (400, 300))
    assert shown(hand, first) == "49.9 µm"
    assert "µm" in shown(hand, first)
    hand.open(plain)
    second = front(hand)
    assert shown(hand, second) == ""
    drag(hand, second, (300, 300), (350, 300), (400, 300))
    assert shown(hand, second) == "100 px"
    hand.window.tabs.show_slide(first)
    assert shown(hand, first) == ""
    assert shown(hand, second) == ""


def test_what_is_measured_on_one_side_is_not_shown_on_the_other(hand: Hand, plain: Path) -> None:
    left = front(hand)
    hand.open(plain)
    right = front(hand)
    beside(hand, left, right)
    hand.key(_KEY.Key_L, SHIFT)
    drag(hand, right, (100, 100), (150, 100), (200, 100))
    scale = right.view.viewport.l0_per_px
    assert shown(hand, right) == f"{100 * scale:.0f} px"
    assert shown(hand, left) == ""
    go(right, 60, 60)
    assert shown(hand, right) != ""
    go(left, 100, 100)
    assert (shown(hand, left), shown(hand, right)) == ("", "")


def test_what_is_measured_is_told_by_the_pixel_size_that_is_entered_then(
    hand: Hand, plain: Path
) -> None:
    hand.open(plain)
    tab = front(hand)
    hand.window.notices.clear()  # the view grows when the question is answered
    hand.wait()
    hand.key(_KEY.Key_L, SHIFT)
    drag(hand, tab, (300, 300), (350, 300), (400, 300))
    assert shown(hand, tab) == "100 px"
    before = hand.pixels()
    for um_per_px, text in (("0.25", "25.0 µm"), ("20", "2.000 mm")):
        give_size(um_per_px)
        hand.window.ask_pixel_size()
        assert shown(hand, tab) == text
        # Beside the line, which is where it was.
        after = hand.pixels()
        assert (after[305:340, 320:420] != before[305:340, 320:420]).any()
        assert (after[297:303, 300:400] == before[297:303, 300:400]).all()
        before = after


def test_a_shape_begun_on_one_slide_is_kept_and_told_of_on_another(hand: Hand, plain: Path) -> None:
    first = front(hand)
    hand.open(plain)
    second = front(hand)
    hand.window.tabs.show_slide(first)
    hand.key(_KEY.Key_P)
    corners = [hand.l0(*place) for place in ((100, 300), (200, 300), (200, 400))]
    for place in ((100, 300), (200, 300), (200, 400)):
        hand.click(*place)
    hand.window.tabs.show_slide(second)
    hand.window.status.clearMessage()
    hand.qtbot.mouseClick(second.view, Qt.MouseButton.MiddleButton, NONE, QPoint(300, 300))
    assert hand.window.status.currentMessage() == ""
    hand.click(300, 300)
    said = hand.window.status.currentMessage()
    assert first.path.name in said
    assert "Enter finishes it, Escape drops it" in said
    hand.key(_KEY.Key_Return)
    (drawn,) = hand.shapes()
    assert set(drawn.exterior.coords) == {(p.x, p.y) for p in corners}
    hand.window.status.clearMessage()
    hand.click(300, 300)
    assert hand.window.status.currentMessage() == ""
    assert hand.parts.bench.tool.is_busy
    hand.window.tabs.show_slide(first)
    hand.click(200, 200)
    assert second.path.name in hand.window.status.currentMessage()
    hand.key(_KEY.Key_Escape)
    assert not hand.parts.bench.tool.is_busy
    assert len(hand.objects()) == 1


# -- moving the slide -----------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.4, 0.6, -0.3, 1.5])
def test_a_drag_stays_under_the_cursor(hand: Hand, step: float) -> None:
    tab = front(hand)
    held = hand.l0(400, 400)
    hand.qtbot.mousePress(tab.view, LEFT, NONE, QPoint(400, 400))
    for number in range(1, 101):
        x, y = 400 + step * number, 400 - step * number / 2
        go(tab, x, y, buttons=LEFT)
        there = tab.view.viewport.to_screen(held)
        assert (there.x, there.y) == pytest.approx((x, y), abs=0.501)
    hand.qtbot.mouseRelease(tab.view, LEFT, NONE, QPointF(x, y).toPoint())


def scroll(tab: SlideTab, dx: int, dy: int) -> None:
    at = QPointF(300, 300)
    event = QWheelEvent(
        at, tab.view.mapToGlobal(at), QPoint(dx, dy), QPoint(8 * dx, 8 * dy), NO_BUTTON, NONE,
        Qt.ScrollPhase.ScrollUpdate, False,
    )  # fmt: skip
    QApplication.sendEvent(tab.view, event)


@pytest.mark.parametrize("ratio", [1.0, 1.25, 1.5, 2.0])
def test_two_fingers_lose_nothing_of_their_way(
    hand: Hand, ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = front(hand)
    monkeypatch.setattr(tab.view, "devicePixelRatioF", lambda: ratio)
    before = tab.view.viewport.centre_l0
    for _ in range(40):
        scroll(tab, 1, -3)
    after = tab.view.viewport.centre_l0
    assert (before.x - after.x, before.y - after.y) == pytest.approx((40, -120), abs=0.501 / ratio)
    # It went by whole pixels of the screen.
    assert (before.x - after.x) * ratio == pytest.approx(round((before.x - after.x) * ratio))


def test_a_flung_slide_goes_on_as_the_hand_went(hand: Hand) -> None:
    tab = front(hand)
    hand.act("tool.move")
    before = tab.view.viewport.centre_l0
    pace = QPointF(20.5, 1.3)
    places = [(400 + pace.x() * n, 300 + pace.y() * n) for n in range(13)]
    drag(hand, tab, *places)
    moved = [before]
    tab.view.viewport_changed.connect(lambda viewport: moved.append(viewport.centre_l0))
    hand.qtbot.waitUntil(lambda: not tab.view._glide.is_on, timeout=10_000)
    assert len(moved) > 20
    speeds = [pace * 0.92**frame for frame in range(1, 100)]
    speeds = list(itertools.takewhile(lambda one: np.hypot(one.x(), one.y()) >= 0.5, speeds))
    way_x = places[-1][0] - 400 + sum(one.x() for one in speeds)
    way_y = places[-1][1] - 300 + sum(one.y() for one in speeds)
    after = tab.view.viewport.centre_l0
    assert (before.x - after.x, before.y - after.y) == pytest.approx((way_x, way_y), abs=1.1)


def test_a_move_of_less_than_a_pixel_changes_nothing(hand: Hand) -> None:
    tab = front(hand)
    # A view that follows another one may show what lies beside the slide.
    far = replace(tab.view.viewport, centre_l0=Point(-300, -200))
    tab.view.move_to(far, stays_on_slide=False)
    hand.qtbot.mousePress(tab.view, LEFT, NONE, QPoint(400, 400))
    go(tab, 400.3, 400.3, buttons=LEFT)
    assert tab.view.viewport == far
    go(tab, 399, 400, buttons=LEFT)
    assert tab.view.viewport.centre_l0 == Point(0, 0)
    hand.qtbot.mouseRelease(tab.view, LEFT, NONE, QPoint(399, 400))
    hand.act("view.fit")
    hand.qtbot.mousePress(tab.view, LEFT, NONE, QPoint(400, 400))
    go(tab, 400.3, 400.3, buttons=LEFT)
    hand.qtbot.mouseRelease(tab.view, LEFT, NONE, QPoint(400, 400))
    hand.window.resize(1000, 700)
    QApplication.processEvents()
    size = tab.source.info.size
    corner = tab.view.viewport.to_screen(Point(size.width, size.height))
    assert corner.x <= tab.view.width()
    assert corner.y <= tab.view.height()


# -- the ring of the brush ------------------------------------------------------------------------


def ring(hand: Hand) -> tuple[float, float, float] | None:
    """Return middle and radius of what the tool paints, None for nothing."""
    hand.wait()
    seen, overlay = hand.pixels(), hand.overlay
    hand.view.overlays.remove(overlay)
    changed = np.argwhere((hand.pixels() != seen).any(axis=2))
    hand.view.overlays.insert(0, overlay)
    if not len(changed):
        return None
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    return (left + right) / 2, (top + bottom) / 2, (right - left + bottom - top) / 4


def test_the_ring_stays_around_the_cursor_and_as_large_as_it_is(hand: Hand) -> None:
    tab = front(hand)
    hand.key(_KEY.Key_B)
    go(tab, 300, 250)
    expected = pytest.approx((300, 250, RADIUS_PX), abs=2)
    assert ring(hand) == expected
    for key in (_KEY.Key_Plus, _KEY.Key_Plus, _KEY.Key_Left, _KEY.Key_Up, _KEY.Key_Minus):
        before = tab.view.viewport
        hand.key(key)
        assert tab.view.viewport != before
        assert ring(hand) == expected
    wheel(hand, QPoint(0, 240), NONE)
    assert ring(hand) == expected
    QApplication.sendEvent(tab.view, QEvent(QEvent.Type.Leave))
    assert ring(hand) is None
    hand.key(_KEY.Key_Left)
    assert ring(hand) is None
    go(tab, 320, 250)
    assert ring(hand) == pytest.approx((320, 250, RADIUS_PX), abs=2)


def test_the_wand_reaches_as_far_as_its_ring(hand: Hand, tmp_path: Path) -> None:
    path = tmp_path / "even.tif"
    pixels = np.full((1800, 2000, 3), 200, np.uint8)
    tifffile.imwrite(path, pixels, tile=(128, 128), photometric="rgb")
    hand.open(path)
    hand.key(_KEY.Key_W)
    for zoom in (1.0, 2.0):
        hand.view.move_to(replace(hand.view.viewport, l0_per_px=zoom))
        hand.wait()
        hand.click(300, 300)
        (shape,) = hand.shapes()
        ring_px = hand.parts.bench.tool.preview.ring
        assert np.sqrt(shape.area / np.pi) == pytest.approx(ring_px * zoom, rel=0.03)
        hand.key(_KEY.Key_Delete)
        hand.wait()


# -- keys with the mouse --------------------------------------------------------------------------


def wheel(hand: Hand, angle: QPoint, keys: Qt.KeyboardModifier) -> None:
    at = QPointF(300, 250)
    event = QWheelEvent(
        at, hand.view.mapToGlobal(at), QPoint(), angle, NO_BUTTON, keys,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(hand.view, event)


def test_alt_and_the_wheel_leave_the_keys_to_the_slide(hand: Hand) -> None:
    window, menus = hand.window, hand.window.menuBar()
    window.activateWindow()
    hand.qtbot.waitUntil(lambda: QApplication.activeWindow() is window, timeout=5000)
    hand.view.setFocus()
    hand.key(_KEY.Key_B)
    before = hand.parts.bench.tool.radius_px
    QTest.keyPress(window.windowHandle(), _KEY.Key_Alt)
    wheel(hand, QPoint(120, 0), ALT)
    QTest.keyRelease(window.windowHandle(), _KEY.Key_Alt, NONE)
    assert hand.parts.bench.tool.radius_px > before
    assert QApplication.focusWidget() is hand.view
    assert menus.activeAction() is None
    # Alt alone opens the menus as ever.
    QTest.keyPress(window.windowHandle(), _KEY.Key_Alt)
    QTest.keyRelease(window.windowHandle(), _KEY.Key_Alt, NONE)
    assert QApplication.focusWidget() is menus


def test_a_double_click_is_one_point(hand: Hand) -> None:
    hand.key(_KEY.Key_Period)
    hand.click(300, 300)
    hand.qtbot.mouseDClick(hand.view, LEFT, NONE, QPoint(300, 300))
    (point,) = hand.shapes()
    place = hand.l0(300, 300)
    assert point.equals(shapely.Point(place.x, place.y))
    hand.click(340, 300)
    assert len(hand.objects()) == 2


@pytest.mark.parametrize("key", [_KEY.Key_B, _KEY.Key_W])
def test_a_brush_that_changes_nothing_says_why(hand: Hand, key: Qt.Key) -> None:
    said: list[str] = []
    hand.annotations.said.connect(said.append)
    hand.key(key)
    hand.drag((300, 300), (350, 300), keys=ALT)
    assert hand.objects() == []
    assert said == ["Select an area to cut away from it"]
    assert hand.window.status.currentMessage() == said[0]
    hand.key(_KEY.Key_R)
    hand.drag((300, 300), (350, 330), (400, 400))
    drawn = hand.objects()
    hand.act("edit.lock")
    hand.key(key)
    for place, keys in (((350, 350), ALT), ((350, 350), SHIFT), ((500, 500), SHIFT)):
        said.clear()
        hand.drag(place, (place[0] + 10, place[1]), keys=keys)
        assert said == [LOCKED]
        assert hand.window.status.currentMessage() == LOCKED
    assert [one.geometry for one in hand.objects()] == [one.geometry for one in drawn]
    action = hand.window.findChild(QAction, "edit.unlock")
    assert action is not None
    action.trigger()
    hand.wait()
    said.clear()
    hand.drag((500, 500), (520, 500), keys=SHIFT)
    (changed,) = hand.shapes()
    assert changed.area > 100 * 100
    assert said == []
