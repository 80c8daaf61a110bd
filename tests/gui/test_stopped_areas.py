"""Runs inside outlines that are stopped, and gone on with when the slide is open again."""

from __future__ import annotations

from pathlib import Path

import pytest
import shapely
from tests.gui.hand import Hand
from tests.gui.runs_by_hand import (
    again,
    bench_of,
    choose,
    click,
    finish,
    first_tiles,
    run,
    stop_by_closing,
    tiles,
)
from tests.gui.slow_models import SlowModels, bright_squares

from tilescope.domain.geometry import Point
from tilescope_desktop.model.stopped_runs import StoppedRuns

pytestmark = pytest.mark.usefixtures("_pace", "_no_run_left")

SELECTION, CLASS = "Inside the selection", "Inside a class"
#: Level-0 pixels; neither holds all of the squares it touches.
OUTLINES = ((12, 9, 301, 391), (345, 103, 547, 305))


@pytest.fixture
def slide_in_hand(tmp_path: Path) -> Path:
    return bright_squares(tmp_path / "squares.png")


def draw(hand: Hand) -> None:
    """Draw two rectangles of a class and select them."""
    hand.act("view.fit")
    hand.annotations.active_class = "Tumor"
    for x0, y0, x1, y1 in OUTLINES:
        hand.deselect()
        hand.act("tool.rectangle")
        middle = Point((x0 + x1) / 2, (y0 + y1) / 2)
        hand.drag(*(on_screen(hand, at) for at in (Point(x0, y0), middle, Point(x1, y1))))
    hand.act("edit.all")


def on_screen(hand: Hand, at: Point) -> tuple[int, int]:
    assert hand.view.viewport is not None
    found = hand.view.viewport.to_screen(at)
    return round(found.x), round(found.y)


def run_inside(hand: Hand, extent: str) -> None:
    draw(hand)
    if extent == CLASS:
        choose(hand, "Over", extent)
        choose(hand, "Class of the areas", "Tumor")
    run(hand, "Slow parts", extent)


def found(hand: Hand) -> list[str]:
    """Return where the objects are that the model has found."""
    ones = [one for one in hand.objects() if one.kind == "detection"]
    return sorted(shapely.from_wkb(one.geometry).normalize().wkt for one in ones)


def undisturbed(hand: Hand, tmp_path: Path, slow: SlowModels, extent: str) -> list[str]:
    """Return what a run finds that nobody stops, in a place of its own."""
    slow.set_pace(0.0)
    other = Hand(hand.qtbot, tmp_path / "other")
    other.open(slide_of(hand))
    run_inside(other, extent)
    finish(other)
    wanted = found(other)
    other.close()
    slow.set_pace(0.05)
    return wanted


def slide_of(hand: Hand) -> Path:
    assert hand.window.tab is not None
    return hand.window.tab.path


def reopened(hand: Hand, tmp_path: Path, slide: Path) -> Hand:
    """Return a new window in which a slide is asked about, without what was drawn on it."""
    second = again(hand, tmp_path, offers_last=False)
    second.open(slide)
    second.qtbot.waitUntil(lambda: "stopped at" in second.parts.notices.text, timeout=20_000)
    return second


@pytest.mark.parametrize("extent", [SELECTION, CLASS])
def test_a_run_inside_outlines_goes_on_in_them_though_they_are_no_longer_there(
    hand: Hand, tmp_path: Path, slow: SlowModels, extent: str
) -> None:
    wanted = undisturbed(hand, tmp_path, slow, extent)
    assert 10 < len(wanted) < 35
    run_inside(hand, extent)
    slide = slide_of(hand)
    done, total = stop_by_closing(hand)
    second = reopened(hand, tmp_path, slide)
    assert second.objects() == []
    text = second.parts.notices.text
    assert "Slow parts inside 2 areas of squares.png stopped at" in text
    assert f"of {total} tiles" in text
    slow.set_pace(0.0)
    first = first_tiles(second, lambda: click(second, "Go on"))
    assert first[0] >= done
    assert first[1] == total
    finish(second)
    assert found(second) == wanted
    assert "stopped at" not in second.parts.notices.text
    second.close()


def test_a_cancelled_run_inside_the_selection_is_offered_at_once(
    hand: Hand, tmp_path: Path, slow: SlowModels
) -> None:
    wanted = undisturbed(hand, tmp_path, slow, SELECTION)
    run_inside(hand, SELECTION)
    hand.qtbot.waitUntil(lambda: tiles(hand)[0] >= 2, timeout=30_000)
    done = tiles(hand)[0]
    click(hand, "Cancel")
    finish(hand)
    hand.deselect()
    slow.set_pace(0.0)
    assert first_tiles(hand, lambda: click(hand, "Go on"))[0] >= done
    finish(hand)
    assert found(hand) == wanted


def test_without_its_areas_a_run_is_not_gone_on_with(hand: Hand, tmp_path: Path) -> None:
    run_inside(hand, SELECTION)
    hand.qtbot.waitUntil(lambda: tiles(hand)[0] >= 2, timeout=30_000)
    click(hand, "Cancel")
    finish(hand)
    tab = hand.window.tab
    assert tab is not None
    assert tab.identity is not None
    (stopped,) = StoppedRuns(tmp_path / "data").of(tab.identity)
    (kept,) = (tmp_path / "data" / "runs" / stopped.name).glob("areas.*")
    kept.write_bytes(shapely.to_wkb(shapely.box(0, 0, 50, 50)))
    click(hand, "Go on")
    hand.qtbot.waitUntil(lambda: "can no longer be read" in hand.parts.notices.text, timeout=20_000)
    assert not bench_of(hand).runs.active
    kept.unlink()
    assert not bench_of(hand)._may_go_on(tab, stopped)
