"""Progress of a job: a bar on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tilescope.cli.exits import say
from tilescope.domain.counts import counted
from tilescope.jobs.request import RunProgress
from tilescope.runtime.closing import Closing

Report = TypeVar("Report")

_LINE_EVERY_S = 5.0
_WORDS = {
    "survey": "looking at the slide",
    "scale": "measuring the size of the objects",
    "patches": "a tile does not fit under the memory cap at once: running the network in patches",
    "tiles": "tiles",
    "seams": "joining objects across tiles",
}


@dataclass(frozen=True, slots=True)
class Step:
    """What is shown of one report.

    Attributes
    ----------
    stage
        Where there are only lines, a new stage is said at once.
    done, total
        How far the bar is; a total of 0 is not known yet.
    detail
        All of it in words.
    """

    stage: str
    done: int
    total: int
    detail: str


class ProgressLine(Closing, Generic[Report]):
    """Shows on stderr how far a job is; call it with each of the job's reports.

    Parameters
    ----------
    title
        What the job works on.
    step
        Returns what to show of a report.
    """

    def __init__(self, title: str, step: Callable[[Report], Step]) -> None:
        self._title = title
        self._step = step
        self._stage = ""
        self._last_line = 0.0
        self._bar: Any = None
        self._task: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[detail]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(title, total=None, detail="")
            self._bar.start()

    def __call__(self, report: Report) -> None:
        """Show one report."""
        step = self._step(report)
        if self._bar is not None:
            total = step.total or None
            self._bar.update(self._task, completed=step.done, total=total, detail=step.detail)
            return
        now = time.monotonic()
        if step.stage != self._stage or now - self._last_line >= _LINE_EVERY_S:
            self._stage, self._last_line = step.stage, now
            say(f"{self._title}: {step.detail}")

    def close(self) -> None:
        """Take the bar away; twice is fine."""
        if self._bar is not None:
            self._bar.stop()


def run_step(progress: RunProgress) -> Step:
    """Return what to show of a run."""
    if progress.stage == "tiles":
        tiles = f"tile {progress.tiles_done} of {progress.tiles_total}"
        objects = "" if progress.objects is None else f", {counted(progress.objects, 'object')}"
        detail = f"{tiles}{objects}{_rate(progress.tiles_per_s)}{time_left(progress.seconds_left)}"
    else:
        detail = _WORDS.get(progress.stage, f"writing {progress.stage}")
    return Step(progress.stage, progress.tiles_done, progress.tiles_total, detail)


def _rate(tiles_per_s: float | None) -> str:
    if tiles_per_s is None:
        return ""
    if tiles_per_s < 1:
        return f", {1 / tiles_per_s:.1f} s per tile"
    return f", {tiles_per_s:.1f} tiles/s"


def time_left(seconds: float | None) -> str:
    """Return the end of a detail that says for how long, nothing when that is not known."""
    return "" if seconds is None else f", {_duration(seconds)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
