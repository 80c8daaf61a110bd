"""What moves a view that was flung: the hand that flung it, and nothing after another wish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QInputDevice, QPointingDevice, QPointingDeviceUniqueId, QWheelEvent
from PySide6.QtWidgets import QApplication
from tests.gui.hand import LEFT, NONE, SHIFT, Hand

from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.comparing import compare_with_itself
from tilescope_desktop.view.flying import fly_to
from tilescope_desktop.view.slide_view import SlideView

CONTROL = Qt.KeyboardModifier.ControlModifier
FRAMES_MS = 80


def fling(hand: Hand) -> None:
    """Drag the slide and let it go while it moves."""
    hand.qtbot.mousePress(hand.view, LEFT, NONE, QPoint(300, 300))
    for step in range(1, 5):
        hand.move((300 + 20 * step, 300 + 10 * step))
    hand.qtbot.mouseRelease(hand.view, LEFT, NONE, QPoint(380, 340))


def place_of(view: SlideView) -> Viewport:
    assert view.viewport is not None
    return view.viewport


def fit(hand: Hand) -> None:
    hand.key(Qt.Key.Key_0, CONTROL)


def enlarge(hand: Hand) -> None:
    hand.key(Qt.Key.Key_Plus)


def nudge(hand: Hand) -> None:
    hand.key(Qt.Key.Key_Left)


def turn(hand: Hand) -> None:
    hand.key(Qt.Key.Key_Right, CONTROL)


def fly(hand: Hand) -> None:
    assert hand.window.tab is not None
    fly_to(hand.window.tab, (400.0, 400.0, 440.0, 430.0), (0, 0))


def go_by_the_map(hand: Hand) -> None:
    assert hand.window.tab is not None
    hand.qtbot.mouseClick(hand.window.tab.map, LEFT, NONE, QPoint(40, 40))


@pytest.mark.parametrize("act", [fit, enlarge, nudge, turn, fly, go_by_the_map])
def test_a_flung_slide_stays_where_it_is_brought(hand: Hand, act: Callable[[Hand], None]) -> None:
    hand.act("tool.move")
    fling(hand)
    flung = place_of(hand.view)
    hand.qtbot.waitUntil(lambda: hand.view.viewport != flung, timeout=5000)
    act(hand)
    there = place_of(hand.view)
    assert there != flung
    hand.qtbot.wait(FRAMES_MS)
    assert hand.view.viewport == there


def test_a_view_that_follows_a_flung_one_goes_with_it(hand: Hand) -> None:
    tab = hand.window.tab
    assert tab is not None
    compare_with_itself(hand.window, tab)
    hand.qtbot.waitUntil(lambda: hand.window.tabs.pair is not None, timeout=20_000)
    hand.wait()
    left, right = (one.view for one in hand.window.all_tabs)
    hand.click_on(tab)
    fling(hand)
    before = place_of(left)
    hand.qtbot.waitUntil(
        lambda: abs(place_of(left).centre_l0.x - before.centre_l0.x) > 40, timeout=5000
    )
    assert place_of(right).centre_l0 == place_of(left).centre_l0
    # Whatever moves either of them stops both.
    right.fit()
    there = place_of(left), place_of(right)
    hand.qtbot.wait(FRAMES_MS)
    assert (place_of(left), place_of(right)) == there


# -- the wheel of a mouse, and two fingers --------------------------------------------------------


def device(kind: QInputDevice.DeviceType) -> QPointingDevice:
    pointer = QPointingDevice.PointerType
    is_pad = kind == QInputDevice.DeviceType.TouchPad
    return QPointingDevice(
        "wheel",
        7,
        kind,
        pointer.Finger if is_pad else pointer.Generic,
        QInputDevice.Capability.PixelScroll | QInputDevice.Capability.Scroll,
        2 if is_pad else 1,
        3,
        "",
        QPointingDeviceUniqueId(),
    )


def scroll(
    hand: Hand,
    kind: QInputDevice.DeviceType,
    phase: Qt.ScrollPhase,
    keys: Qt.KeyboardModifier = NONE,
) -> None:
    """Turn the wheel, or stroke the pad, as systems tell it that count its pixels."""
    at, turned_by = QPointF(200, 150), device(kind)
    QApplication.sendEvent(
        hand.view,
        QWheelEvent(
            *(at, hand.view.mapToGlobal(at), QPoint(0, 120), QPoint(0, 120)),
            *(Qt.MouseButton.NoButton, keys, phase, False),
            Qt.MouseEventSource.MouseEventNotSynthesized,
            turned_by,
        ),
    )


def test_the_wheel_of_a_mouse_zooms_even_if_its_pixels_are_counted(hand: Hand) -> None:
    before, under = place_of(hand.view), hand.l0(200, 150)
    scroll(hand, QInputDevice.DeviceType.Mouse, Qt.ScrollPhase.NoScrollPhase)
    now, there = place_of(hand.view), hand.l0(200, 150)
    assert now.l0_per_px == pytest.approx(before.l0_per_px / 1.25)
    assert (there.x, there.y) == pytest.approx((under.x, under.y))


@pytest.mark.parametrize(
    ("kind", "phase"),
    [
        (QInputDevice.DeviceType.TouchPad, Qt.ScrollPhase.NoScrollPhase),
        (QInputDevice.DeviceType.Mouse, Qt.ScrollPhase.ScrollUpdate),
        (QInputDevice.DeviceType.Mouse, Qt.ScrollPhase.ScrollMomentum),
    ],
)
def test_two_fingers_pan_and_with_control_they_zoom(
    hand: Hand, kind: QInputDevice.DeviceType, phase: Qt.ScrollPhase
) -> None:
    before = place_of(hand.view)
    scroll(hand, kind, phase)
    now = place_of(hand.view)
    assert now == replace(before, centre_l0=now.centre_l0)
    assert now.centre_l0.y == pytest.approx(before.centre_l0.y - 120 * before.l0_per_px)
    scroll(hand, kind, phase, CONTROL)
    assert place_of(hand.view).l0_per_px == pytest.approx(before.l0_per_px / 1.25)


# -- the map --------------------------------------------------------------------------------------


def test_a_hidden_map_comes_back_when_it_is_asked_for_and_not_before(
    hand: Hand, tmp_path: Path
) -> None:
    path = tmp_path / "stack.ome.tif"
    planes = np.full((3, 64, 80), 90, np.uint8)
    tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": "ZYX"})
    hand.open(path)
    tab = hand.window.tab
    assert tab is not None
    assert tab.map.isVisible()
    hand.key(Qt.Key.Key_M, SHIFT)
    hand.act("view.next-focus")
    assert tab.planes.plane != 0
    hand.window.channels.toggle(0)
    hand.qtbot.waitUntil(lambda: not tab.styles[0].visible, timeout=5000)
    assert not tab.map.isVisible()
    hand.key(Qt.Key.Key_M, SHIFT)
    assert tab.map.isVisible()
