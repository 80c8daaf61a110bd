"""An edit that the disk did not take is said to be lost, until one is saved."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot
from tests.gui.hand import Hand

from tilescope.domain.geometry import Point

SAVED = r"saved \d\d:\d\d:\d\d"
LOST = "what you just did was not kept"
PLACES = [(x, y) for y in (60, 140, 220, 300) for x in range(60, 700, 40)]


def saved_text(hand: Hand) -> str:
    return hand.window.status._saved.text()


def draw(hand: Hand, place: tuple[int, int]) -> None:
    x, y = place
    hand.drag((x, y), (x + 10, y + 20), (x + 25, y + 30))


@contextmanager
def full_disk(hand: Hand) -> Iterator[None]:
    """Let the project grow no further, as a disk without room does."""

    def limit(project: object) -> None:
        db = project._db  # type: ignore[attr-defined]
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")

    def lift(project: object) -> None:
        project._db.execute(f"PRAGMA max_page_count = {2**30}")  # type: ignore[attr-defined]

    hand.annotations.desk.ask(limit, lambda _none: None, pytest.fail)
    hand.wait()
    yield
    hand.annotations.desk.ask(lift, lambda _none: None, pytest.fail)
    hand.wait()


@contextmanager
def broken_disk(hand: Hand) -> Iterator[None]:
    """Let no file of this process grow, as far as the project needs."""
    resource = pytest.importorskip("resource", reason="needs POSIX limits")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 15, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    hand.wait()


def is_seen(hand: Hand, at: Point) -> bool:
    """Tell whether the outline is painted that was drawn last, from a level-0 point on."""
    assert hand.view.viewport is not None
    corner = hand.view.viewport.to_screen(at)
    x, y = round(corner.x), round(corner.y)
    red, green, blue = np.moveaxis(hand.pixels()[y, x + 2 : x + 24], 1, 0)
    return bool(((red > 170) & (green > 150) & (blue < 90)).mean() > 0.9)


@pytest.mark.parametrize(
    ("trouble", "remedy"),
    [(full_disk, "the disk is full; make room"), (broken_disk, "check it, then try again")],
)
def test_what_the_disk_does_not_take_is_said_to_be_lost(
    hand: Hand, trouble: Callable[[Hand], AbstractContextManager[None]], remedy: str
) -> None:
    hand.key(Qt.Key.Key_R)
    corners = [hand.l0(*place) for place in PLACES]
    draw(hand, PLACES[0])
    assert is_seen(hand, corners[0])
    assert re.fullmatch(SAVED, saved_text(hand))
    with trouble(hand):
        number = 0
        while LOST not in hand.window.notices.text:
            number += 1
            draw(hand, PLACES[number])
        assert remedy in hand.window.notices.text
        assert saved_text(hand) == "not saved"
        assert hand.window.notices.isVisible()
        assert not is_seen(hand, corners[number])
    kept = len(hand.objects())
    assert kept == number  # all but the last
    hand.deselect()
    draw(hand, PLACES[0])
    assert len(hand.objects()) == kept + 1
    assert hand.window.notices.text == ""
    assert re.fullmatch(SAVED, saved_text(hand))


def test_a_home_that_cannot_be_written_is_told_of_once(
    qtbot: QtBot, tmp_path: Path, hes_slide: Path
) -> None:
    blocked = tmp_path / "home"
    blocked.write_bytes(b"a file where a folder has to be")
    hand = Hand(qtbot, blocked / "data")
    hand.open(hes_slide)
    hand.key(Qt.Key.Key_R)
    for place in PLACES[:3]:
        draw(hand, place)
        hand.qtbot.wait(1100)  # the project that is tried next has a name of its own
    assert "its folder cannot be made" in hand.window.notices.text
    assert "\n" not in hand.window.notices.text
    assert "things went wrong" not in hand.window.notices.text
    assert saved_text(hand) == "not saved"
    hand.close()
