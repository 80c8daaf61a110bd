"""Whatever a click model does, the window goes on and says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QPushButton
from tests.gui.hand import Hand
from tests.gui.test_click_refusals import rest
from tests.touchy_clicks import TouchyClicks

from tilescope.domain.geometry import Point
from tilescope_desktop.app import clicking
from tilescope_desktop.bridge import click_desk

NUCLEUS_L0 = Point(1160, 960)
OVERDUE = "H&E and fluorescence: no answer to the click yet; wait for it, or stop it (Esc)"

pytestmark = pytest.mark.usefixtures("_touchy_installed")


def settle(hand: Hand) -> None:
    QApplication.processEvents()
    hand.qtbot.waitUntil(lambda: clicking(hand.window).desk.is_idle, timeout=30_000)
    hand.wait()


def take(hand: Hand) -> None:
    hand.act("click.touchy")
    settle(hand)


def place(hand: Hand) -> tuple[int, int]:
    assert hand.view.viewport is not None
    at = hand.view.viewport.to_screen(NUCLEUS_L0)
    return round(at.x), round(at.y)


def click(hand: Hand) -> None:
    hand.click(*place(hand))


def models_running() -> int:
    children = psutil.Process().children(recursive=True)
    return sum("tilescope.jobs.click_apart" in child.cmdline() for child in children)


@pytest.mark.parametrize("fault", ["crash", "leave"])
def test_a_model_that_ends_its_process_is_one_message_and_the_next_click_is_answered(
    hand: Hand, touchy: TouchyClicks, fault: str
) -> None:
    take(hand)
    touchy.have(fault)
    click(hand)
    settle(hand)
    assert hand.window.isVisible()
    (said,) = hand.window.notices.shown
    assert "click again" in said.text
    assert hand.objects() == []
    assert models_running() == 0
    touchy.have("")
    rest(hand, QPoint(*place(hand)) - QPoint(150, 0))  # no preview starts it again
    assert models_running() == 0
    click(hand)
    settle(hand)
    assert len(hand.objects()) == 1


def test_a_model_that_never_answers_keeps_no_tab_and_no_window_open(
    hand: Hand, touchy: TouchyClicks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click_desk, "PATIENCE_MS", 300)
    take(hand)
    touchy.have("hang")
    click(hand)
    hand.qtbot.waitUntil(lambda: OVERDUE in hand.window.notices.text, timeout=10_000)
    assert hand.window.tab is not None
    hand.window.close_tab(hand.window.tab)
    settle(hand)
    assert "was stopped" in hand.window.notices.text
    assert models_running() == 0
    hand.close()
    assert not hand.window.isVisible()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click_desk, "PATIENCE_MS", 300)


def click_and_hang(hand: Hand, touchy: TouchyClicks) -> None:
    """Click at a nucleus that the model does not answer for until it is told to."""
    take(hand)
    touchy.have("hang")
    click(hand)


def wait_until_told(hand: Hand) -> None:
    hand.qtbot.waitUntil(lambda: OVERDUE in hand.window.notices.text, timeout=10_000)


def seconds_of(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


@pytest.mark.usefixtures("impatient")
def test_escape_stops_a_model_that_hangs_and_the_next_click_is_answered_by_another_process(
    hand: Hand, touchy: TouchyClicks
) -> None:
    click_and_hang(hand, touchy)
    click(hand)
    wait_until_told(hand)
    hand.key(Qt.Key.Key_Escape)
    touchy.have("")
    settle(hand)
    assert OVERDUE not in hand.window.notices.text
    assert "did not answer and was stopped" in hand.window.notices.text
    assert len(hand.objects()) == 1  # of the second click: it was not given up
    assert models_running() == 1


@pytest.mark.usefixtures("impatient")
def test_a_model_that_hangs_is_stopped_also_when_its_tool_is_no_longer_in_the_hand(
    hand: Hand, touchy: TouchyClicks
) -> None:
    click_and_hang(hand, touchy)
    take_move = hand.window.findChild(QAction, "tool.move")
    assert isinstance(take_move, QAction)
    take_move.trigger()
    wait_until_told(hand)
    buttons = hand.window.notices.findChildren(QPushButton)
    (stop,) = [button for button in buttons if button.text() == "Stop it"]
    hand.qtbot.mouseClick(stop, Qt.MouseButton.LeftButton)
    settle(hand)
    assert OVERDUE not in hand.window.notices.text
    assert "did not answer and was stopped" in hand.window.notices.text
    assert models_running() == 0


@pytest.mark.usefixtures("impatient")
def test_a_model_that_is_only_slow_is_told_of_no_longer_once_it_answers(
    hand: Hand, touchy: TouchyClicks
) -> None:
    click_and_hang(hand, touchy)
    wait_until_told(hand)
    touchy.have("")
    settle(hand)
    assert hand.window.notices.text == ""
    assert len(hand.objects()) == 1


def test_closing_another_tab_neither_waits_for_a_model_that_hangs_nor_stops_it(
    hand: Hand, touchy: TouchyClicks, dapi_image: Path
) -> None:
    clicked = hand.window.tab
    hand.open(dapi_image)
    other = hand.window.tab
    hand.window.tabs.show_slide(clicked)
    click_and_hang(hand, touchy)
    assert seconds_of(lambda: hand.window.close_tab(other)) < 3
    touchy.have("")
    settle(hand)
    assert len(hand.objects()) == 1


def test_closing_a_slide_does_not_wait_for_a_model_that_is_loaded_for_it(
    hand: Hand, touchy: TouchyClicks
) -> None:
    touchy.have("load")
    choose = hand.window.findChild(QAction, "click.touchy")
    assert isinstance(choose, QAction)
    choose.trigger()
    hand.qtbot.waitUntil(lambda: models_running() == 1, timeout=10_000)
    assert seconds_of(lambda: hand.window.close_tab(hand.window.tab)) < 3
    settle(hand)
    assert models_running() == 0
    assert hand.window.notices.text == ""


def test_closing_the_window_does_not_wait_for_a_model_that_hangs(
    hand: Hand, touchy: TouchyClicks
) -> None:
    click_and_hang(hand, touchy)
    assert seconds_of(hand.close) < 5
    assert not hand.window.isVisible()
    hand.qtbot.waitUntil(lambda: models_running() == 0, timeout=10_000)


def test_the_size_of_a_pixel_that_was_entered_counts(hand: Hand) -> None:
    take(hand)
    tab = hand.window.tab
    assert tab is not None
    assert tab.um_per_px == pytest.approx(0.499)
    scales = []
    for um_per_px in (None, 0.45):
        tab.override_um_per_px(um_per_px)
        click(hand)
        settle(hand)
        (found,) = hand.objects()
        assert found.author is not None
        scales.append(found.author.detail["prompt"]["factor"])
        hand.act("edit.undo")
    assert scales[1] / scales[0] == pytest.approx(0.499 / 0.45, rel=1e-3)
