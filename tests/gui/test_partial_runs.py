"""Runs some of whose tiles cannot be read: what the others hold is said, seen and can be kept."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PySide6.QtWidgets import QPushButton
from tests.gui.hand import LEFT, Hand
from tests.gui.map_models import filled_store
from tests.gui.runs_by_hand import again, bench_of, click, finish, run, said
from tests.gui.slow_models import SlowModels, bright_squares

from tilescope.plugins.model_store import FOLDER_VARIABLE
from tilescope.store.project import Project
from tilescope_desktop.model.run_settings import Extent, RunChoice

pytestmark = pytest.mark.usefixtures("_pace", "_no_run_left")


@pytest.fixture
def slide_in_hand(tmp_path: Path) -> Path:
    """35 squares on tiles of which one cannot be read."""
    grey = imagecodecs.png_decode(bright_squares(tmp_path / "squares.png").read_bytes())
    path = tmp_path / "bad.tif"
    picture = np.stack([grey] * 3, axis=-1)
    tifffile.imwrite(path, picture, tile=(128, 128), compression="jpeg", photometric="rgb")
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        offset, count = page.dataoffsets[3], page.databytecounts[3]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    return path


def run_it(hand: Hand, slow: SlowModels) -> None:
    slow.set_pace(0.0)
    run(hand, "Slow parts")
    finish(hand)


def answer(hand: Hand, title: str) -> None:
    """Press a button of the notice about the run; others may have some of the same name."""
    (button,) = (
        one
        for one in hand.window.findChildren(QPushButton)
        if one.text() == title and "could not be analysed" in one.accessibleDescription()
    )
    hand.qtbot.mouseClick(button, LEFT)


def told(hand: Hand) -> str:
    return hand.parts.notices.text


def test_what_is_said_and_seen_and_put_into_the_project_in_one_step(
    hand: Hand, tmp_path: Path, slow: SlowModels
) -> None:
    run_it(hand, slow)
    folder = tmp_path / "data" / "runs"
    assert "6 of 35 tiles of bad.tif could not be analysed (reading tile (3, 0)" in told(hand)
    assert f"; the 29 objects of the others are in {folder}" in told(hand)
    assert "Failed" not in told(hand) + said(hand)
    assert bench_of(hand).objects_so_far == 29
    hand.qtbot.waitUntil(lambda: hand.overlay.picture is not None, timeout=20_000)
    assert hand.annotations.project is None
    answer(hand, "Put them into the project")
    hand.wait()
    assert len(hand.objects()) == 29
    assert bench_of(hand).objects_so_far == 0
    assert "; the 29 objects of the others are in the project" in said(hand)
    with Project.open(hand.project_path(), writable=False) as project:
        assert project.history()[0].label == "run slow (partial)"
    hand.act("edit.undo")
    hand.wait()
    assert hand.objects() == []


def test_trying_again_does_the_tiles_that_failed_and_keeps_the_question(
    hand: Hand, slow: SlowModels
) -> None:
    run_it(hand, slow)
    bench = bench_of(hand)
    answer(hand, "Try again")
    assert bench.runs.active
    assert bench.objects_so_far == 0
    finish(hand)
    assert "6 of 35 tiles" in told(hand)
    assert bench.objects_so_far == 29
    answer(hand, "Not now")
    assert bench.objects_so_far == 0
    assert "6 of 35 tiles" not in told(hand)


def test_trying_again_waits_for_another_run_and_opens_a_slide_that_was_closed(
    hand: Hand, tmp_path: Path, slow: SlowModels
) -> None:
    run_it(hand, slow)
    assert hand.window.tab is not None
    hand.window.close_tab(hand.window.tab)
    hand.open(bright_squares(tmp_path / "other.png"))
    slow.set_pace(0.05)
    run(hand, "Slow parts")
    answer(hand, "Try again")
    assert len(bench_of(hand).runs.active) == 1
    slow.set_pace(0.0)
    finish(hand)
    assert len(hand.objects()) == 35
    answer(hand, "Try again")
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) == 2, timeout=20_000)
    hand.qtbot.waitUntil(lambda: bool(bench_of(hand).runs.active), timeout=20_000)
    finish(hand)
    assert "6 of 35 tiles" in told(hand)
    assert bench_of(hand).objects_so_far == 29


def test_what_nobody_decided_about_is_offered_at_the_next_start(
    hand: Hand, tmp_path: Path, slow: SlowModels
) -> None:
    run_it(hand, slow)
    assert hand.window.tab is not None
    slide = hand.window.tab.path
    hand.close()
    second = again(hand, tmp_path, offers_last=False)
    second.open(slide)
    second.qtbot.waitUntil(lambda: "not in a project yet" in told(second), timeout=20_000)
    click(second, "Go on")
    finish(second)
    answer(second, "Put them into the project")
    second.wait()
    assert len(second.objects()) == 29
    second.close()


def test_of_a_map_with_gaps_nothing_waits_for_a_project(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "brightness"
    folder.mkdir()
    monkeypatch.setenv(FOLDER_VARIABLE, str(filled_store(folder)))
    bench = bench_of(hand)
    bench.refresh_models()
    bench.start(RunChoice("brightness", Extent.SLIDE, 3 << 30, provider="cpu"))
    finish(hand)
    assert "could not be analysed" in told(hand)
    hand.window.notices.clear()
    assert hand.window.tab is not None
    slide = hand.window.tab.path
    hand.act("file.close")
    hand.open(slide)
    hand.wait()
    with pytest.raises(
        hand.qtbot.TimeoutError
    ):  # it is looked for what stopped on a slide that was opened
        hand.qtbot.waitUntil(lambda: "not in a project yet" in told(hand), timeout=1000)
