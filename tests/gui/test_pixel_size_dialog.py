"""The size of a pixel in its dialog: left as it is, said otherwise, given back to the slide."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot
from tests.engine.jobs.failing_plugins import install_faulty
from tests.gui.hand import LEFT, Hand
from tests.gui.runs_by_hand import finish, run
from tests.gui.runs_by_hand import said as panel_text
from tests.gui.sizes_by_hand import give_size
from tests.gui.slow_models import bright_squares

from tilescope.domain.scale import AtPixelSize

OWN = "0.499 µm/px (aperio.MPP)"


def answer(hand: Hand, typed: str | None, key: Qt.Key = Qt.Key.Key_Return) -> str:
    """Press on the size of a pixel and type another; return what the dialog showed first."""
    shown = give_size(typed, key)
    hand.qtbot.mouseClick(hand.window.status._pixel_size, LEFT)
    hand.wait()
    return shown[0]


def said(hand: Hand) -> str:
    return hand.window.status._pixel_size.text()


def area(hand: Hand) -> float:
    (drawn,) = hand.objects()
    return drawn.measurements["Area µm^2"]


def test_a_size_that_is_left_as_it_is_keeps_where_it_comes_from(hand: Hand) -> None:
    assert said(hand) == OWN
    assert "the slide says 0.499" in answer(hand, None)
    assert said(hand) == OWN
    answer(hand, "0.3", Qt.Key.Key_Escape)
    assert said(hand) == OWN
    assert hand.window.tab is not None
    assert hand.window.tab.um_override is None


def test_all_digits_that_are_said_hold(hand: Hand) -> None:
    answer(hand, "0.249871")
    assert said(hand) == "0.249871 µm/px (set by you)"
    assert hand.window.tab is not None
    assert hand.window.tab.um_override == 0.249871
    assert answer(hand, None).endswith(" 0.249871")
    assert said(hand) == "0.249871 µm/px (set by you)"


def test_the_size_that_the_slide_says_is_that_of_the_slide_again(
    hand: Hand, hes_slide: Path
) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((100, 100), (200, 200))
    own = area(hand)
    answer(hand, "0.998")
    assert said(hand) == "0.998 µm/px (set by you)"
    assert area(hand) == pytest.approx(4 * own)
    answer(hand, "0.499")
    assert said(hand) == OWN
    assert area(hand) == pytest.approx(own)
    hand.act("file.close")
    hand.open(hes_slide)
    assert said(hand) == OWN


def test_a_model_that_has_to_know_it_says_where_to_set_it(
    qtbot: QtBot, tmp_path: Path, site: Path
) -> None:
    install_faulty(site, sampling=AtPixelSize(0.5), model_id="wants")
    hand = Hand(qtbot, tmp_path / "data")
    hand.open(bright_squares(tmp_path / "squares.png"))
    hand.window.notices.clear()
    run(hand, "wants")
    finish(hand)
    text = hand.window.notices.text
    assert text in panel_text(hand)
    assert re.fullmatch(
        r".*squares\.png: wants works at 0\.5 um/px and the slide does not say its pixel size; "
        r"set it with View ▸ Pixel size…",
        text,
    )
    (menu,) = [one for one in hand.window.menuBar().actions() if one.text() == "&View"]
    (command,) = [one for one in menu.menu().actions() if one.objectName() == "view.pixel-size"]
    assert command.text().replace("&", "") == "Pixel size…"
    answer(hand, "0.5")
    run(hand, "wants")
    finish(hand)
    assert hand.window.notices.text == ""
    assert len(hand.objects()) == 35
    hand.close()
