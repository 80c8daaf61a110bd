"""Which runs are the same: another provider or file is another run, and none is in the way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from tests.gui.hand import Hand
from tests.gui.runs_by_hand import (
    again,
    choose,
    click,
    finish,
    first_tiles,
    run,
    said,
    shapes,
    tiles,
)
from tests.gui.slow_models import SlowModels, bright_squares

from tilescope.inference.backends import provider_states

pytestmark = pytest.mark.usefixtures("_pace", "_no_run_left")


@pytest.fixture
def slide_in_hand(tmp_path: Path) -> Path:
    return bright_squares(tmp_path / "squares.png")


def run_on(hand: Hand, provider: str) -> None:
    choose(hand, "Model", "Slow parts")
    choose(hand, "On", provider)
    click(hand, "Run")


def two_squares(path: Path) -> None:
    """Put another picture in the place of one."""
    picture = np.zeros((500, 600), np.uint8)
    picture[50:80, 50:80] = picture[150:180, 50:80] = 220
    fresh = path.with_name("fresh.png")
    fresh.write_bytes(imagecodecs.png_encode(picture))
    fresh.replace(path)


def stop_early(hand: Hand) -> int:
    """Cancel a run when some tiles are done; return how many."""
    hand.qtbot.waitUntil(lambda: tiles(hand)[0] >= 2, timeout=30_000)
    done = tiles(hand)[0]
    click(hand, "Cancel")
    finish(hand)
    return done


@pytest.mark.skipif(
    not provider_states()["openvino"].is_usable, reason="the openvino extra is not installed"
)
def test_another_provider_is_another_run_and_each_goes_on_where_it_was(
    hand: Hand, slow: SlowModels
) -> None:
    run_on(hand, "cpu")
    done = stop_early(hand)
    slow.set_pace(0.0)
    assert first_tiles(hand, lambda: run_on(hand, "openvino"))[0] == 0
    finish(hand)
    assert "35 objects in" in said(hand)
    assert "on openvino" in said(hand)
    # What may be anything goes on with what there is.
    assert first_tiles(hand, lambda: run_on(hand, "auto"))[0] >= done
    finish(hand)
    assert "on cpu" in said(hand)
    first, total = first_tiles(hand, lambda: run_on(hand, "openvino"))
    assert first == total
    finish(hand)
    assert len(hand.objects()) == 35
    assert "--overwrite" not in said(hand) + hand.parts.notices.text


@pytest.mark.skipif(
    not provider_states()["openvino"].is_usable, reason="the openvino extra is not installed"
)
def test_a_stopped_run_beside_another_is_offered_and_gone_on_with(
    hand: Hand, tmp_path: Path, slow: SlowModels
) -> None:
    slow.set_pace(0.0)
    run_on(hand, "cpu")
    finish(hand)
    slow.set_pace(0.05)
    run_on(hand, "openvino")
    done = stop_early(hand)
    assert hand.window.tab is not None
    slide = hand.window.tab.path
    hand.close()
    second = again(hand, tmp_path, offers_last=False)
    second.open(slide)
    slow.set_pace(0.0)
    assert first_tiles(second, lambda: click(second, "Go on"))[0] >= done
    finish(second)
    assert "on openvino" in said(second)
    second.close()


def test_a_run_that_nobody_can_go_on_with_is_begun_anew(
    hand: Hand, tmp_path: Path, slow: SlowModels
) -> None:
    run(hand, "Slow parts")
    stop_early(hand)
    (ledger,) = (tmp_path / "data" / "runs").rglob("run.ledger")
    with sqlite3.connect(ledger) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    slow.set_pace(0.0)
    assert first_tiles(hand, lambda: run(hand, "Slow parts"))[0] == 0
    finish(hand)
    assert len(hand.objects()) == 35
    assert "holds another run" not in said(hand) + hand.parts.notices.text


def test_another_file_of_the_same_name_is_another_run_and_the_first_goes_on_when_it_is_back(
    hand: Hand, tmp_path: Path, slow: SlowModels
) -> None:
    assert hand.window.tab is not None
    slide = hand.window.tab.path
    run(hand, "Slow parts")
    done = stop_early(hand)
    hand.window.close_tab(hand.window.tab)
    first = slide.read_bytes()
    two_squares(slide)
    slow.set_pace(0.0)
    hand.open(slide)
    assert "stopped at" not in hand.parts.notices.text
    run(hand, "Slow parts")
    finish(hand)
    assert len(hand.objects()) == 2
    hand.window.close_tab(hand.window.tab)
    slide.write_bytes(first)
    hand.open(slide)
    assert first_tiles(hand, lambda: click(hand, "Go on"))[0] >= done
    finish(hand)
    assert "35 objects in" in said(hand)


def test_a_file_that_is_replaced_while_it_is_open_is_not_run_over(
    hand: Hand, slow: SlowModels
) -> None:
    tab = hand.window.tab
    assert tab is not None
    slow.set_pace(0.0)
    two_squares(tab.path)
    run(hand, "Slow parts")
    finish(hand)
    assert "squares.png: is another file now than the one that is open" in said(hand)
    hand.window.close_tab(tab)
    hand.open(tab.path)
    run(hand, "Slow parts")
    finish(hand)
    assert len(shapes(hand)) == 2


def test_a_slide_that_is_gone_is_said_to_be_and_the_run_goes_on_when_it_is_back(
    hand: Hand, slow: SlowModels
) -> None:
    tab = hand.window.tab
    assert tab is not None
    run(hand, "Slow parts")
    done = stop_early(hand)
    away = tab.path.rename(tab.path.with_name("away.png"))
    run(hand, "Slow parts")
    finish(hand)
    assert "squares.png: is no longer there; what was done is kept: put it back" in said(hand)
    assert "report it" not in hand.parts.notices.text
    away.rename(tab.path)
    slow.set_pace(0.0)
    assert first_tiles(hand, lambda: run(hand, "Slow parts"))[0] >= done
    finish(hand)
    assert len(hand.objects()) == 35


def test_what_was_found_on_a_slide_that_is_gone_at_the_end_is_put_in_when_it_is_back(
    hand: Hand, slow: SlowModels
) -> None:
    tab = hand.window.tab
    assert tab is not None
    run(hand, "Slow parts")
    hand.qtbot.waitUntil(lambda: tiles(hand)[0] >= 2, timeout=30_000)
    away = tab.path.rename(tab.path.with_name("away.png"))
    slow.set_pace(0.0)
    finish(hand)
    hand.qtbot.waitUntil(lambda: "is no longer there" in hand.parts.notices.text, timeout=20_000)
    assert "Something failed" not in said(hand) + hand.parts.notices.text
    away.rename(tab.path)
    click(hand, "Put them into a new project")
    hand.wait()
    assert len(hand.objects()) == 35
