"""What runs found, on its way into the project that each run was started for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from tilescope.domain.counts import counted
from tilescope.jobs.project_slides import known_slide
from tilescope.jobs.report import RunReport
from tilescope.runtime.cancel import CancellationToken
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.lending import Lender
from tilescope_desktop.bridge.model_runs import ModelRun, store_apart, store_objects
from tilescope_desktop.bridge.work import Job, Report
from tilescope_desktop.model.notices import Choice, Notice, words_of
from tilescope_desktop.model.project_tasks import OpenSlide
from tilescope_desktop.model.run_settings import report_text
from tilescope_desktop.view.main_window import MainWindow


@dataclass(eq=False, slots=True)
class _Errand:
    """The objects of one run; ``home`` is the project it was started for, None when none was open.

    ``job`` puts them there.
    """

    run: ModelRun
    slide: OpenSlide
    home: Path | None
    found: RunReport | None = None
    job: Job | None = None

    @property
    def title(self) -> str:
        """The model, as the user knows it."""
        return self.run.request.model.spec.title

    @property
    def count_text(self) -> str:
        """What was found where, in words."""
        objects = 0 if self.found is None else self.found.objects
        return f"{self.title} found {counted(objects, 'object')} on {self.slide.path.name}"

    @property
    def key(self) -> tuple[str, str]:
        """What notices about it are known by."""
        return "kept", self.run.request.out_dir.name


class ResultKeeping(QObject):
    """Puts objects into projects, and offers again what could not be put there.

    ``begun`` tells that a `ModelRun` has its objects put in. ``stored`` gives one and a
    `RunReport`: that of the run, or why its objects were not put in. ``left`` gives one and why its
    objects are in no project yet. ``declined`` gives one whose objects are not to be put in, and
    ``again`` one that is to be run again instead.
    """

    begun = Signal(object)
    stored = Signal(object, object)
    left = Signal(object, str)
    declined = Signal(object)
    again = Signal(object)

    def __init__(self, window: MainWindow, annotations: Annotations) -> None:
        super().__init__(window)
        self._window = window
        self._annotations = annotations
        self._errands: dict[ModelRun, _Errand] = {}
        self._storing: list[_Errand] = []
        annotations.went_on.connect(self._follow)

    @property
    def is_busy(self) -> bool:
        """Whether objects are being put into a project."""
        return bool(self._storing)

    def begin(self, run: ModelRun, slide: OpenSlide) -> None:
        """Note what a run that begins is for: its slide, and the project that is open."""
        errand = self._errands[run] = _Errand(run, slide, self._open_path)
        self._window.notices.take(errand.key)

    def forget(self, run: ModelRun) -> None:
        """Note that nothing of a run goes into a project."""
        self._errands.pop(run, None)

    def keep(self, run: ModelRun, found: RunReport) -> None:
        """Put the objects of a run into its project, one step to undo."""
        errand = self._errands[run]
        errand.found = found
        if errand.slide.identity is None:
            self._tell_files(errand)
        else:
            self._try(errand)

    def offer_partial(self, run: ModelRun, found: RunReport) -> None:
        """Ask what to do with the objects of a run some of whose tiles failed."""
        errand = self._errands[run]
        errand.found = found
        choices: list[Choice] = []
        if errand.slide.identity is not None and found.objects:
            choices.append(("Put them into the project", lambda: self._try(errand)))
        choices.append(("Try again", lambda: self.again.emit(run)))
        choices.append(("Not now", lambda: self._decline(errand)))
        self._window.notices.put(Notice(errand.key, f"{report_text(found)}.", tuple(choices)))

    def offer_again(self, run: ModelRun) -> None:
        """Ask once more: it could not be run again now."""
        found = self._errands[run].found
        assert found is not None
        self.offer_partial(run, found)

    def cancel(self) -> None:
        """Stop; the projects are as they were."""
        for errand in self._storing:
            if errand.job is not None:
                errand.job.cancel()

    def _tell_files(self, errand: _Errand) -> None:
        """Say where the objects are of a slide that no project can hold."""
        self._errands.pop(errand.run)
        text = (
            f"{errand.count_text}; they are in {errand.run.request.folder}, as a project holds "
            "slides on a disk only."
        )
        self.left.emit(errand.run, text)
        self._window.notices.put(Notice(errand.key, text))

    # -- where to ---------------------------------------------------------------------------------

    def _follow(self, before: Path | None, now: Path) -> None:
        """Go with the work into another file, or into the first project there is."""
        for errand in self._errands.values():
            if errand.home == (None if before is None else before.resolve()):
                errand.home = now.resolve()

    @property
    def _open_path(self) -> Path | None:
        project = self._annotations.project
        return None if project is None else project.path.resolve()

    def _try(self, errand: _Errand) -> None:
        if self._annotations.is_lent:
            self._offer(errand)
            return
        self._window.notices.take(errand.key)
        self._storing.append(errand)
        self.begun.emit(errand.run)
        if errand.home is None and self._open_path is not None:
            self._adopt(errand)
        elif errand.home == self._open_path:
            self._lend(errand)
        else:
            self._store_apart(errand)

    def _adopt(self, errand: _Errand) -> None:
        """Take the project that was opened meanwhile if it has the slide, else ask."""
        identity, path = errand.slide.identity, self._open_path
        assert identity is not None

        def answered(has_slide: bool) -> None:
            self._storing.remove(errand)
            if has_slide:
                errand.home = path
                self._try(errand)
            else:
                self._offer(errand)

        self._annotations.desk.ask(
            lambda project: known_slide(project, identity) is not None,
            answered,
            lambda _error: answered(False),
        )

    # -- into it ----------------------------------------------------------------------------------

    def _lend(self, errand: _Errand) -> None:
        request, home = errand.run.request, errand.home

        def run(path: Path, token: CancellationToken, _report: Report) -> RunReport | None:
            # What the window opens just now is not the project that it had.
            if home not in (None, path.resolve()):
                return None
            return store_objects(request, errand.slide, path, token)

        def done(stored: RunReport | None) -> None:
            self._storing.remove(errand)
            if stored is None:
                self._try(errand)
            else:
                self._end(errand, stored)

        is_new = self._annotations.project is None

        def stop() -> None:
            if is_new and self._open_path is None:  # what was made for it goes away again
                errand.home = None
            self._stop(errand)

        lender = Lender(self._annotations, self._window.work, errand.slide)
        errand.job = lender.lend("store-run", run, done, on_stopped=stop)
        if errand.job is None:
            self._storing.remove(errand)
            self._offer(errand)

    def _store_apart(self, errand: _Errand) -> None:
        request, home = errand.run.request, errand.home
        assert home is not None

        def done(stored: RunReport) -> None:
            self._storing.remove(errand)
            self._end(errand, stored)

        def fail(error: BaseException) -> None:
            self._stop(errand, words_of(error))

        errand.job = self._window.work.start(
            "store-run",
            lambda token, _report: store_apart(request, errand.slide, home, token),
            done,
            fail,
            on_cancelled=lambda _result: self._stop(errand),
        )

    def _stop(self, errand: _Errand, why: str = "") -> None:
        self._storing.remove(errand)
        if errand.job is None or not errand.job.token.is_cancelled:
            self._offer(errand, why)
            return
        self._errands.pop(errand.run)
        folder = errand.run.request.folder
        self.left.emit(
            errand.run,
            "The objects are not in the project. Run it again: that puts them in, and nothing "
            f"is computed anew. The results are in {folder}",
        )

    def _end(self, errand: _Errand, stored: RunReport) -> None:
        if stored.project is None:
            self.stored.emit(errand.run, stored)
            self._offer(errand, is_told=True)
            return
        assert errand.found is not None
        self.stored.emit(errand.run, replace(errand.found, project=stored.project))
        self._errands.pop(errand.run)
        self._tell_place(errand)

    def _tell_place(self, errand: _Errand) -> None:
        """Say where the objects are when that is not seen."""
        home, path = errand.home, errand.slide.path
        is_open = home in (None, self._open_path)
        is_seen = any(tab.identity == errand.slide.identity for tab in self._window.all_tabs)
        if is_open and is_seen:
            return
        home = home or self._open_path
        assert home is not None
        choices: list[Choice] = []
        if not is_open:
            choices.append(("Open the project", lambda: self._window.dropped.emit([home])))
        elif not is_seen:
            choices.append(("Open the slide", lambda: self._window.open_slide(path)))
        where = home.name if is_open else f"{home.name}, which is not the open project"
        text = f"{errand.count_text}; they are kept in {where}."
        self._window.notices.put(Notice(errand.key, text, (*choices, ("Close", lambda: None))))

    def _offer(self, errand: _Errand, why: str = "", *, is_told: bool = False) -> None:
        """Ask what to do with objects that are in no project."""
        home = errand.home if errand.home is not None and errand.home.is_file() else None
        where = "a project" if home is None else home.name
        text = f"{errand.count_text}; they are not in {where} yet{why and f': {why}'}"
        if not is_told:
            self.left.emit(errand.run, text)

        def put_into(target: Path | None) -> None:
            errand.home = target
            self._try(errand)

        choice: Choice = ("Try again", lambda: self._try(errand))
        if home is None:
            target = self._open_path
            name = "a new project" if target is None else target.name
            choice = (f"Put them into {name}", lambda: put_into(target))
        not_now: Choice = ("Not now", lambda: self._decline(errand))
        self._window.notices.put(Notice(errand.key, text, (choice, not_now)))

    def _decline(self, errand: _Errand) -> None:
        self.forget(errand.run)
        self.declined.emit(errand.run)
