"""Slides that are closed while a model runs over them, and opened again: what it finds is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gui.hand import Hand
from tests.gui.map_models import filled_store
from tests.gui.runs_by_hand import bench_of, click, finish, run, tiles
from tests.gui.slow_models import SlowModels, bright_squares

from tilescope.plugins.model_store import FOLDER_VARIABLE
from tilescope_desktop.model.run_settings import Extent, RunChoice
from tilescope_desktop.view.run_bench import RunBench

pytestmark = pytest.mark.usefixtures("_pace", "_no_run_left")

CHOICE = RunChoice("brightness", Extent.SLIDE, 3 << 30, provider="cpu")


@pytest.fixture
def slide_in_hand(tmp_path: Path) -> Path:
    return bright_squares(tmp_path / "squares.png")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled_store(tmp_path_factory.mktemp("brightness"))


@pytest.fixture
def bench(hand: Hand, store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunBench]:
    """Runs of a model that gives a map."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(store))
    made = bench_of(hand)
    made.refresh_models()
    yield made
    for one in made.runs.active:
        one.cancel()
    hand.qtbot.waitUntil(lambda: not made.runs.active, timeout=60_000)


def close_slide(hand: Hand) -> Path:
    tab = hand.window.tab
    assert tab is not None
    hand.window.close_tab(tab)
    return tab.path


def begin_map(hand: Hand, bench: RunBench) -> None:
    """Start a run and wait until some of its map is there."""
    bench.start(CHOICE)
    (overlay,) = bench.maps.shown
    hand.qtbot.waitUntil(lambda: overlay.map is not None, timeout=60_000)


def wait_for_map(hand: Hand, bench: RunBench, name: str) -> None:
    def is_there() -> bool:
        maps = [one.map for one in bench.maps.shown]
        return len(maps) == 1 and maps[0] is not None and maps[0].path.name == name

    hand.qtbot.waitUntil(is_there, timeout=60_000)


def test_a_map_is_shown_over_a_slide_that_is_opened_again_during_the_run(
    hand: Hand, bench: RunBench
) -> None:
    begin_map(hand, bench)
    slide = close_slide(hand)
    hand.open(slide)
    finish(hand)
    wait_for_map(hand, bench, "labels.ome.zarr")
    assert not bench.maps.shown[0].is_growing
    assert "made a map" not in hand.parts.notices.text


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_map_whose_slide_is_closed_in_the_end_is_told_of_and_shown_when_it_is_open(
    hand: Hand, bench: RunBench, *, is_asked: bool
) -> None:
    begin_map(hand, bench)
    slide = close_slide(hand)
    finish(hand)
    assert "made a map of squares.png; it is shown when the slide is open." in (
        hand.parts.notices.text
    )
    if is_asked:
        click(hand, "Open the slide")
    else:
        hand.open(slide)
    wait_for_map(hand, bench, "labels.ome.zarr")
    assert "made a map" not in hand.parts.notices.text
    close_slide(hand)
    hand.open(slide)
    assert bench.maps.shown == ()


def test_objects_are_seen_over_a_slide_that_is_opened_again_and_go_into_the_project(
    hand: Hand, slow: SlowModels
) -> None:
    run(hand, "Slow parts")
    hand.qtbot.waitUntil(lambda: tiles(hand)[0] >= 2, timeout=30_000)
    slow.set_pace(0.5)
    hand.window.open_slide(close_slide(hand))
    hand.qtbot.waitUntil(lambda: hand.window.tab is not None, timeout=20_000)
    hand.qtbot.waitUntil(lambda: hand.overlay.picture is not None, timeout=20_000)
    assert bench_of(hand).runs.active
    assert hand.annotations.project is None
    slow.set_pace(0.0)
    finish(hand)
    assert len(hand.objects()) == 35
    assert bench_of(hand).objects_so_far == 0
    front = hand.parts.bench.front_slide
    assert front is not None
    assert sum(hand.annotations.counts[front].values()) == 35
