"""What is shown of a job while it runs: a bar on a terminal, lines anywhere else."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

import pytest

from tilescope.cli.progress import ProgressLine, run_step
from tilescope.jobs.request import RunProgress


def test_a_new_stage_is_said_at_once_and_the_rest_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ProgressLine("a.tif", run_step) as progress:
        progress(RunProgress("survey"))
        for done in range(4):
            progress(RunProgress("tiles", done, 4, 1000 * done, 3725.0))
        progress(RunProgress("objects.csv"))
        progress(RunProgress("tiles", 4, 9, None, 9.0, 4.25))
        progress(RunProgress("areas.csv"))
        progress(RunProgress("tiles", 5, 9, 7, 9.0, 0.4))
    assert capsys.readouterr().err.splitlines() == [
        "a.tif: looking at the slide",
        "a.tif: tile 0 of 4, 0 objects, 1 h 02 min left",
        "a.tif: writing objects.csv",
        "a.tif: tile 4 of 9, 4.2 tiles/s, 9 s left",
        "a.tif: writing areas.csv",
        "a.tif: tile 5 of 9, 7 objects, 2.5 s per tile, 9 s left",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")
def test_on_a_terminal_it_is_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(threading.enumerate())
    controller, terminal = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with os.fdopen(terminal, "w", encoding="utf-8") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        with ProgressLine("a.tif", run_step) as progress:
            progress(RunProgress("tiles", 3, 4, 1000, 65.0))
        progress.close()
        # rich tells the thread that draws to end, and does not wait for it
        for thread in set(threading.enumerate()) - before:
            thread.join(timeout=10)
    shown = _read_all(controller)
    assert "tile 3 of 4, 1,000 objects, 1 min 05 s left" in shown
    assert shown.rstrip().endswith("\x1b[2K")


def _read_all(controller: int) -> str:
    """Return everything that was written to the terminal, which is closed."""
    data = b""
    # its end is an error on Linux and no bytes elsewhere
    with suppress(OSError):
        while piece := os.read(controller, 4096):
            data += piece
    os.close(controller)
    return data.decode()
