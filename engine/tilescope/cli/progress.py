"""Progress of a run: a bar on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from tilescope.cli.exits import say
from tilescope.jobs.request import RunProgress

_LINE_EVERY_S = 5.0
_WORDS = {
    "survey": "looking at the slide",
    "scale": "measuring the size of the objects",
    "tiles": "tiles",
    "seams": "joining objects across tiles",
}


class ProgressLine:
    """Shows what :class:`RunProgress` says on stderr; call it with each one."""

    def __init__(self, title: str) -> None:
        self._title = title
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

    def __call__(self, progress: RunProgress) -> None:
        """Show one report."""
        detail = _detail(progress)
        if self._bar is not None:
            total = progress.tiles_total or None
            self._bar.update(self._task, completed=progress.tiles_done, total=total, detail=detail)
            return
        now = time.monotonic()
        if progress.stage != self._stage or now - self._last_line >= _LINE_EVERY_S:
            self._stage, self._last_line = progress.stage, now
            say(f"{self._title}: {detail}")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _detail(progress: RunProgress) -> str:
    if progress.stage != "tiles":
        return _WORDS.get(progress.stage, f"writing {progress.stage}")
    text = f"tile {progress.tiles_done} of {progress.tiles_total}, {progress.objects:,} objects"
    if progress.seconds_left is not None:
        text += f", {_duration(progress.seconds_left)} left"
    return text


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
