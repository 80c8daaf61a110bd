"""Whatever a click model does, the window goes on and says so."""

from __future__ import annotations

import psutil
import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QApplication
from tests.gui.hand import Hand
from tests.gui.test_click_refusals import rest
from tests.touchy_clicks import TouchyClicks, touchy_clicks

from tilescope.domain.geometry import Point
from tilescope_desktop.app import clicking
from tilescope_desktop.bridge import click_desk

NUCLEUS_L0 = Point(1160, 960)


@pytest.fixture(scope="module")
def touchy(tmp_path_factory: pytest.TempPathFactory) -> TouchyClicks:
    return touchy_clicks(tmp_path_factory.mktemp("touchy"))


@pytest.fixture(autouse=True)
def _installed(touchy: TouchyClicks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(touchy.site)
    touchy.have("")


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
    monkeypatch.setattr(click_desk, "STOP_S", 0.3)
    take(hand)
    touchy.have("hang")
    click(hand)
    hand.qtbot.waitUntil(lambda: clicking(hand.window).desk._is_busy, timeout=10_000)
    assert hand.window.tab is not None
    hand.window.close_tab(hand.window.tab)
    settle(hand)
    assert "was stopped" in hand.window.notices.text
    assert models_running() == 0
    hand.close()
    assert not hand.window.isVisible()


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
