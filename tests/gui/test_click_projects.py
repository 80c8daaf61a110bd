"""A click goes into the project it was made in, also when its answer comes late."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from tests.gui.hand import Hand, objects_of
from tests.gui.test_click_faults import click, click_and_hang, settle, take
from tests.gui.test_nothing_lost import lent
from tests.touchy_clicks import TouchyClicks

from tilescope.store.project import Project
from tilescope_desktop.app import clicking

LOST = "The click on {} was not kept: its project was closed"

pytestmark = pytest.mark.usefixtures("_touchy_installed")


def wait_for_answers(hand: Hand) -> None:
    """Wait while the project may be lent, for which ``Hand.wait`` would wait, too."""
    hand.qtbot.waitUntil(lambda: clicking(hand.window).desk.is_idle, timeout=30_000)
    hand.qtbot.waitUntil(lambda: not clicking(hand.window).tool.is_pending, timeout=10_000)


@pytest.mark.parametrize("has_slide", [False, True])
def test_a_click_while_the_project_is_lent_is_seen_and_stored(hand: Hand, has_slide: bool) -> None:
    take(hand)
    if has_slide:
        hand.rectangle()
        hand.act("tool.click")
        settle(hand)
    with lent(hand) as is_over:
        click(hand)
        wait_for_answers(hand)
        assert hand.window.notices.text == ""
        assert len(hand.annotations.fresh) == 1
        click(hand)  # at the same nucleus, which is there already
        wait_for_answers(hand)
        assert len(hand.annotations.fresh) == 1
        is_over.set()
        hand.wait()
    clicked = [one for one in hand.objects() if one.author.name == "touchy"]
    assert len(clicked) == 1
    assert len(hand.objects()) == 1 + has_slide


def test_a_late_answer_goes_into_no_project_that_was_opened_meanwhile(
    hand: Hand, touchy: TouchyClicks, tmp_path: Path
) -> None:
    hand.rectangle()
    first, other = hand.project_path(), tmp_path / "other.tilescope"
    Project.create(other).close()
    click_and_hang(hand, touchy)
    hand.annotations.open_project(other)
    hand.wait()
    touchy.have("")
    settle(hand)
    assert objects_of(other) == []
    assert len(objects_of(first)) == 1
    assert hand.window.tab is not None
    assert hand.window.notices.text == LOST.format(hand.window.tab.path.name)


def test_a_late_answer_makes_no_project_for_the_one_that_was_closed(
    hand: Hand, touchy: TouchyClicks
) -> None:
    hand.rectangle()
    before = hand.project_path()
    click_and_hang(hand, touchy)
    hand.annotations.close_project()
    hand.wait()
    touchy.have("")
    settle(hand)
    assert hand.annotations.project is None
    assert len(objects_of(before)) == 1
    assert hand.window.tab is not None
    assert hand.window.notices.text == LOST.format(hand.window.tab.path.name)


def test_escape_takes_back_no_click_of_a_project_that_was_opened_since(
    hand: Hand, tmp_path: Path
) -> None:
    take(hand)
    click(hand)
    settle(hand)
    first = hand.project_path()
    hand.annotations.open_project(tmp_path / "other.tilescope", is_new=True)
    hand.wait()
    hand.annotations.open_project(first)
    hand.wait()
    hand.key(Qt.Key.Key_Escape)
    settle(hand)
    assert len(objects_of(first)) == 1


def test_a_late_answer_goes_with_its_project_into_another_file(
    hand: Hand, touchy: TouchyClicks, tmp_path: Path
) -> None:
    hand.rectangle()
    click_and_hang(hand, touchy)
    there = tmp_path / "there.tilescope"
    hand.annotations.save_as(there, lambda: None)
    hand.wait()
    touchy.have("")
    settle(hand)
    assert len(objects_of(there)) == 2
    assert hand.window.notices.text == ""


def test_a_late_answer_goes_into_the_project_that_was_made_meanwhile(
    hand: Hand, touchy: TouchyClicks
) -> None:
    click_and_hang(hand, touchy)
    hand.rectangle()
    assert len(hand.objects()) == 1
    touchy.have("")
    settle(hand)
    assert len(hand.objects()) == 2
    assert hand.window.notices.text == ""
