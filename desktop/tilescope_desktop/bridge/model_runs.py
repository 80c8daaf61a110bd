"""Models that run over open slides, followed from the window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from tilescope.errors import ProjectError, RunMismatch, SlideError
from tilescope.jobs.apart import follow_apart
from tilescope.jobs.project_slides import identity_of_slide
from tilescope.jobs.report import RunReport
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import follow
from tilescope.jobs.running.events import RunEvent
from tilescope.runtime.cancel import CancellationToken
from tilescope_desktop.bridge.work import Job, Report, Work
from tilescope_desktop.model.kept_areas import keep_areas
from tilescope_desktop.model.project_tasks import OpenSlide
from tilescope_desktop.model.run_requests import places_of


@dataclass(eq=False, slots=True)
class ModelRun:
    """One run that was started; its job cancels it.

    ``request`` is what was asked for, with the folder where it really is once it tells of itself.
    """

    request: RunRequest
    job: Job | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self.job is not None and self.job.token.is_cancelled

    def cancel(self) -> None:
        """Ask it to stop; what is done is kept, and the same run goes on from there."""
        if self.job is not None:
            self.job.cancel()


class ModelRuns(QObject):
    """Starts runs and tells of them on the window's thread.

    ``told`` gives a `ModelRun` and a `RunEvent`; ``ended`` a `ModelRun` and its `RunReport`, or
    the exception that ended it, or None when it was cancelled before its first tile.
    """

    told = Signal(object, object)
    ended = Signal(object, object)

    def __init__(self, work: Work, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work = work
        self.active: list[ModelRun] = []

    def start(self, request: RunRequest, slide: OpenSlide) -> ModelRun:
        """Run a model over a slide in a process of its own; its map can be read while it grows.

        Where its folder holds another run, it goes to one beside that.
        """
        request = replace(request, streams_map=True)
        run = ModelRun(request)

        def end(outcome: object) -> None:
            self.active.remove(run)
            self.ended.emit(run, outcome)

        run.job = self._work.start(
            "run",
            lambda token, report: _run_somewhere(request, slide, token, report),
            end,
            end,
            partial(self._tell, run),
            on_cancelled=end,
        )
        self.active.append(run)
        return run

    def _tell(self, run: ModelRun, said: RunRequest | RunEvent) -> None:
        if isinstance(said, RunRequest):
            run.request = said
        else:
            self.told.emit(run, said)


def store_objects(
    request: RunRequest, slide: OpenSlide, project: Path, token: CancellationToken
) -> RunReport:
    """Put the objects of a run into a project; no tile runs again, also none that failed.

    Raises
    ------
    SlideError
        When the slide is not what it was any more.
    """
    _check_same(slide)
    again = replace(
        request,
        project=project,
        keeps_partial=True,
        stores_only=True,
        formats=(),
        overwrite=False,
    )
    return _followed(follow(again, token), lambda _event: None)


def store_apart(
    request: RunRequest, slide: OpenSlide, project: Path, token: CancellationToken
) -> RunReport:
    """Put the objects of a run into a project that is not open in the window.

    Raises
    ------
    ProjectError
        When it is no longer there; none is made in its place.
    SlideError
        As :func:`store_objects`.
    """
    if not project.is_file():
        raise ProjectError(project, "it is no longer there")
    return store_objects(request, slide, project, token)


def _run_somewhere(
    request: RunRequest, slide: OpenSlide, token: CancellationToken, report: Report
) -> RunReport:
    """Run in the first folder that does not hold another run; report which one it is."""
    _check_same(slide)
    mismatch: RunMismatch | None = None
    for place in places_of(request):
        report(place)
        try:
            return _followed(follow_apart(place, token), partial(_report_kept, place, report))
        except RunMismatch as error:
            mismatch = error
    assert mismatch is not None
    raise mismatch


def _check_same(slide: OpenSlide) -> None:
    """Make sure that a slide is the file that was opened: results are seen over that."""
    if slide.identity is None:
        return
    if slide.identity != identity_of_slide(slide.path, slide.info):
        raise SlideError(
            slide.path, "is another file now than the one that is open; close it and open it again"
        )


def _report_kept(request: RunRequest, report: Report, event: RunEvent) -> None:
    """Report what a run tells; before its first tile its areas are kept, to be gone on in."""
    if request.within is not None and event.progress.stage == "tiles":
        keep_areas(request.within, request.out_dir)
    report(event)


def _followed(events: Iterator[RunEvent], report: Report) -> RunReport:
    final: RunReport | None = None
    for event in events:
        final = event.report or final
        report(event)
    assert final is not None, "the last event has the report"
    return final
