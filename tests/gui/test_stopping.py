"""Runs that are stopped: by cancelling, by closing the window, or not at all; and gone on with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ROOT
from tests.gui.hand import Hand, objects_of
from tests.gui.runs_by_hand import (
    NO,
    YES,
    again,
    answer,
    bench_of,
    click,
    draw_now,
    finish,
    first_tiles,
    rectangle,
    run,
    said,
    shapes,
    stop_by_closing,
    tiles,
)
from tests.gui.slow_models import SlowModels, bright_squares

from tilescope.jobs import apart
from tilescope.jobs.running.project_results import ProjectResults
from tilescope_desktop.model.stopped_runs import StoppedRuns

pytestmark = pytest.mark.usefixtures("_pace", "_no_run_left")

#: Runs the hanging model in the window of the command line, and closes it.
_HANG = """
import sys
from pathlib import Path
from PySide6.QtCore import QTimer, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QComboBox, QMessageBox, QPushButton
from tilescope_desktop import app
from tilescope.jobs import apart

apart.PATIENCE_S = 1.0

def step():
    window = next((w for w in QApplication.topLevelWidgets() if hasattr(w, "all_tabs")), None)
    if window is None or window.tab is None or not window.tab.view.is_sharp:
        return
    bench = app.run_bench(window)
    box = QApplication.activeModalWidget()
    if isinstance(box, QMessageBox):
        timer.stop()
        print("asked", flush=True)
        box.button(QMessageBox.StandardButton.Yes).click()
    elif not bench.runs.active:
        for combo in bench.panel.findChildren(QComboBox):
            if combo.accessibleName() == "Model":
                combo.setCurrentText("Hanging parts")
        run = next(b for b in bench.panel.findChildren(QPushButton) if b.text() == "Run")
        QTest.mouseClick(run, Qt.MouseButton.LeftButton)
    elif "tile" in bench.panel._text.text():
        QTimer.singleShot(0, window.close)

application = QApplication([])
timer = QTimer(interval=50)
timer.timeout.connect(step)
timer.start()
code = app.run([Path(sys.argv[1])])
print("ended", flush=True)
sys.exit(code)
"""

#: Closes a window in which a job never ends.
_STUCK = """
import sys, threading
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from tilescope_desktop import app
from tilescope_desktop.bridge import work

work.STOP_S = 1.0

def close():
    window = next(w for w in QApplication.topLevelWidgets() if hasattr(w, "all_tabs"))
    window.work.start("stuck", lambda *_: threading.Event().wait(), print, print)
    print("closing", flush=True)
    window.close()

application = QApplication([])
QTimer.singleShot(500, close)
app.run([])
print("not ended", flush=True)
sys.exit(1)
"""


@pytest.fixture
def slide_in_hand(tmp_path: Path) -> Path:
    return bright_squares(tmp_path / "squares.png")


def undisturbed(hand: Hand, tmp_path: Path, slow: SlowModels, *, zooms: int = 0) -> list[str]:
    """Return what a run finds that nobody stops, in a place of its own."""
    slow.set_pace(0.0)
    assert hand.window.tab is not None
    other = Hand(hand.qtbot, tmp_path / "other")
    other.open(hand.window.tab.path)
    for _ in range(zooms):
        other.act("view.zoom-in")
    run(other, "Slow parts", "What is in view" if zooms else "Whole slide")
    finish(other)
    found = shapes(other)
    other.close()
    slow.set_pace(0.05)
    return found


# -- closing, and going on ------------------------------------------------------------------------


def test_a_run_goes_on_after_the_window_was_closed_and_finds_the_same(
    hand: Hand, tmp_path: Path, slow: SlowModels
) -> None:
    wanted = undisturbed(hand, tmp_path, slow)
    rectangle(hand)
    (drawn,) = shapes(hand)
    run(hand, "Slow parts")
    done, total = stop_by_closing(hand)
    second = again(hand, tmp_path)
    click(second, "Continue")
    second.qtbot.waitUntil(lambda: second.window.tab is not None, timeout=20_000)
    second.wait()
    assert shapes(second) == [drawn]
    slow.set_pace(0.0)
    first = first_tiles(second, lambda: run(second, "Slow parts"))
    assert first[0] >= done
    assert first[1] == total
    finish(second)
    assert shapes(second) == sorted([*wanted, drawn])
    assert len(wanted) == 35
    second.close()


@pytest.mark.parametrize("zooms", [0, 1])
def test_a_slide_says_that_a_run_over_it_or_a_part_of_it_stopped(
    hand: Hand, tmp_path: Path, slow: SlowModels, zooms: int
) -> None:
    wanted = undisturbed(hand, tmp_path, slow, zooms=zooms)
    for _ in range(zooms):
        hand.act("view.zoom-in")
    run(hand, "Slow parts", "What is in view" if zooms else "Whole slide")
    assert hand.window.tab is not None
    slide = hand.window.tab.path
    done, total = stop_by_closing(hand)
    second = again(hand, tmp_path, offers_last=False)
    second.open(slide)  # it is shown otherwise than before
    second.qtbot.waitUntil(lambda: "stopped at" in second.parts.notices.text, timeout=20_000)
    text = second.parts.notices.text
    assert f"of {total} tiles" in text
    assert ("a part of" in text) == bool(zooms)
    slow.set_pace(0.0)
    first = first_tiles(second, lambda: click(second, "Go on"))
    assert first[0] >= done
    assert first[1] == total
    finish(second)
    assert shapes(second) == wanted
    assert "stopped at" not in second.parts.notices.text
    second.close()
    third = again(hand, tmp_path, offers_last=False)
    third.open(slide)
    third.qtbot.waitUntil(lambda: not bench_of(third)._stopped._opened, timeout=20_000)
    assert "stopped at" not in third.parts.notices.text
    third.close()


def test_a_cancelled_run_in_view_goes_on_where_it_was_after_a_pan(
    hand: Hand, tmp_path: Path, slow: SlowModels
) -> None:
    wanted = undisturbed(hand, tmp_path, slow, zooms=1)
    hand.act("view.zoom-in")
    run(hand, "Slow parts", "What is in view")
    hand.qtbot.waitUntil(lambda: tiles(hand)[0] >= 2, timeout=30_000)
    done = tiles(hand)[0]
    click(hand, "Cancel")
    finish(hand)
    hand.act("view.zoom-in")
    slow.set_pace(0.0)
    assert first_tiles(hand, lambda: click(hand, "Go on"))[0] >= done
    finish(hand)
    assert shapes(hand) == wanted


def test_what_nobody_wants_or_can_go_on_with_is_not_offered(
    hand: Hand, tmp_path: Path, slow: SlowModels
) -> None:
    hand.act("view.zoom-in")
    run(hand, "Slow parts", "What is in view")
    hand.qtbot.waitUntil(lambda: tiles(hand)[0] >= 2, timeout=30_000)
    click(hand, "Cancel")
    finish(hand)
    tab = hand.window.tab
    assert tab is not None
    assert tab.identity is not None
    kept = StoppedRuns(tmp_path / "data")
    (stopped,) = kept.of(tab.identity)
    assert bench_of(hand)._may_go_on(tab, stopped)
    for ledger in (tmp_path / "data" / "runs" / stopped.name).rglob("run.ledger"):
        ledger.unlink()
    assert not bench_of(hand)._may_go_on(tab, stopped)
    click(hand, "Forget it")
    assert kept.of(tab.identity) == []


# -- while objects are put into the project -------------------------------------------------------


@pytest.fixture
def slow_storing(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have the project take its time for what a run found, until it is cancelled."""
    add, seconds = ProjectResults.add, [20.0]

    def slowly(self: ProjectResults, frame: object, parameters: object, token: object) -> object:
        for _ in range(int(seconds[0] / 0.01)):
            token.raise_if_cancelled()  # type: ignore[attr-defined]
            token._event.wait(0.01)  # type: ignore[attr-defined]
        return add(self, frame, parameters, token)  # type: ignore[arg-type]

    monkeypatch.setattr(ProjectResults, "add", slowly)
    return seconds


def wait_for_storing(hand: Hand) -> None:
    hand.qtbot.waitUntil(lambda: "Putting the objects" in said(hand), timeout=60_000)


def test_closing_while_objects_are_put_into_the_project_asks_and_they_come_by_a_second_run(
    hand: Hand, tmp_path: Path, slow: SlowModels, slow_storing: list[float]
) -> None:
    slow.set_pace(0.0)
    rectangle(hand)
    run(hand, "Slow parts")
    wait_for_storing(hand)
    assert hand.annotations.project is not None
    path = hand.annotations.project.path
    asked = answer(NO)
    hand.close()
    assert hand.window.isVisible()
    assert "running the model again" in asked[0]
    answer(YES)
    hand.close()
    assert not hand.window.isVisible()
    assert len(objects_of(path)) == 1
    slow_storing[0] = 0.0
    second = again(hand, tmp_path)
    click(second, "Continue")
    second.qtbot.waitUntil(lambda: second.window.tab is not None, timeout=20_000)
    second.wait()
    run(second, "Slow parts")
    finish(second)
    assert len(second.objects()) == 36
    second.close()


def test_cancelling_while_objects_are_put_into_the_project_says_how_to_get_them(
    hand: Hand, slow: SlowModels, slow_storing: list[float]
) -> None:
    slow.set_pace(0.0)
    run(hand, "Slow parts")
    wait_for_storing(hand)
    click(hand, "Cancel")
    finish(hand)
    assert "Run it again" in said(hand)
    assert hand.objects() == []
    slow_storing[0] = 0.0
    click(hand, "Run")
    finish(hand)
    assert len(hand.objects()) == 35


# -- what does not stop ---------------------------------------------------------------------------


def test_a_model_that_hangs_is_told_of_and_stopped_and_another_can_run(
    hand: Hand, slow: SlowModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "PATIENCE_S", 2.0)
    bench_of(hand)._patience.setInterval(300)
    run(hand, "Hanging parts")
    # Before that, a run that is cancelled ends by itself.
    hand.qtbot.waitUntil(lambda: slow.hangs and "tile" in said(hand), timeout=30_000)
    click(hand, "Cancel")
    assert "Cancelling" in said(hand)
    hand.qtbot.waitUntil(lambda: "does not answer" in said(hand), timeout=20_000)
    bench_of(hand).panel._run.clicked.emit()
    assert "has not stopped yet" in hand.parts.notices.text
    draw_now(hand)
    finish(hand)
    assert len(hand.objects()) == 1
    run(hand, "Slow parts")
    finish(hand)
    assert len(hand.objects()) == 36


def ended(script: str, slow: SlowModels, data: Path, *arguments: str) -> str:
    """Return what a window of a process of its own has said when it has ended well."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(slow.site), "TILESCOPE_DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_window_closes_though_a_model_never_answers(
    hand: Hand, tmp_path: Path, slow: SlowModels, slide_in_hand: Path
) -> None:
    hand.close()
    assert ended(_HANG, slow, tmp_path / "data", str(slide_in_hand)) == "asked\nended\n"


def test_the_process_ends_though_a_job_never_does(
    hand: Hand, tmp_path: Path, slow: SlowModels
) -> None:
    hand.close()
    assert ended(_STUCK, slow, tmp_path / "data") == "closing\n"
