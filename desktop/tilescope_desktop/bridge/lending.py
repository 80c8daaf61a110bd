"""Jobs that write to the project's file themselves, while the window lets go of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tilescope.runtime.cancel import CancellationToken
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.work import Job, Report, Work
from tilescope_desktop.model.places import now
from tilescope_desktop.model.project_tasks import OpenSlide

T = TypeVar("T")

#: Closing waits so long for a job to give the project back: what was drawn meanwhile goes in then.
_LOAN_S = 60.0


@dataclass(frozen=True, slots=True)
class Lender:
    """Lends the file of the open project.

    Attributes
    ----------
    slide
        What a project is made for when none is open; by default the slide that was opened last.
    """

    annotations: Annotations
    work: Work
    slide: OpenSlide | None = None

    def lend(
        self,
        name: str,
        run: Callable[[Path, CancellationToken, Report], T],
        on_done: Callable[[T], None],
        on_report: Report = lambda _report: None,
        on_stopped: Callable[[], None] = lambda: None,
    ) -> Job | None:
        """Let a job write to the project's file; edits are refused meanwhile.

        A project is made when none is open, and is gone again when nothing comes of the job. What
        the job did is shown when it is over, however it ended; a failure is told by ``failed``.
        None when the project takes no edits now.

        Parameters
        ----------
        on_stopped
            Told that it failed or, once it is over, that it was cancelled.
        """
        annotations = self.annotations
        is_new = annotations.project is None
        if not annotations.begin_loan(*(() if self.slide is None else (self.slide,))):
            return None

        def done(result: T) -> None:
            annotations.end_loan(discards=False)
            if not annotations.is_stranded:
                annotations.saved.emit(f"saved {now():%H:%M:%S}")
            on_done(result)

        def stop() -> None:
            annotations.end_loan(discards=is_new)
            on_stopped()

        def failed(error: BaseException) -> None:
            stop()
            annotations.failed.emit(error)

        job = self.work.start(
            name,
            lambda token, report: annotations.desk.lent(lambda path: run(path, token, report)),
            done,
            failed,
            on_report,
            on_cancelled=lambda _result: stop(),
        )
        job.stop_s = _LOAN_S
        return job
