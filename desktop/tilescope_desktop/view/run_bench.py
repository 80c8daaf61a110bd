"""Models and what they find, in the window: choosing, running, watching, keeping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QDockWidget, QFileDialog, QMessageBox

from tilescope.errors import TilescopeError, UsageError
from tilescope.inference.backends import provider_states
from tilescope.jobs.report import RunReport
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import LEDGER_NAME
from tilescope.jobs.running.events import RunEvent
from tilescope.ops.areas import Areas
from tilescope.plugins.registry import FoundPlugin, discover, installed_models
from tilescope.runtime.memory import machine_memory_bytes
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.model_runs import ModelRun, ModelRuns
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.kept_areas import are_kept
from tilescope_desktop.model.model_files import package_of
from tilescope_desktop.model.notices import words_of
from tilescope_desktop.model.run_requests import request_again, request_of
from tilescope_desktop.model.run_settings import (
    Extent,
    RunChoice,
    failure_of,
    is_partial,
    region_of,
    report_text,
)
from tilescope_desktop.model.stopped_runs import StoppedRun
from tilescope_desktop.view.broken_plugins import tell_broken
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.map_bench import MapBench
from tilescope_desktop.view.model_adding import ModelAdding
from tilescope_desktop.view.result_keeping import ResultKeeping
from tilescope_desktop.view.run_areas import RunAreas
from tilescope_desktop.view.run_panel import RunPanel
from tilescope_desktop.view.run_sights import RunSights
from tilescope_desktop.view.run_words import RunWords
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.stopped_offers import StoppedOffers
from tilescope_desktop.view.tool_bench import ToolBench

_CLICK = "click"
#: What failures of runs are known by; the next run settles them.
_RUN = "run"
_MOST_CAP_BYTES = 4 << 30
#: From then on it is said that a run that was cancelled does not stop.
PATIENCE_MS = 5000


class RunBench(QObject):
    """Connects the panel, the runs, the slides they run over and the project they go to."""

    def __init__(self, window: MainWindow, tools: ToolBench, annotations: Annotations) -> None:
        super().__init__(window)
        self._window = window
        self._tools = tools
        self._annotations = annotations
        self.runs = ModelRuns(window.work, self)
        self.maps = MapBench(window)
        self._sights = RunSights(window, tools, self.maps)
        cap = min(_MOST_CAP_BYTES, machine_memory_bytes() // 2)
        self.panel = RunPanel(cap)
        self._areas = RunAreas(tools, annotations, self.panel, window.work)
        self._keeping = ResultKeeping(window, annotations)
        self._keeping.begun.connect(self._show_storing)
        self._keeping.stored.connect(self._end_storing)
        self._keeping.left.connect(self._leave)
        self._keeping.declined.connect(self._sights.hide)
        self._keeping.again.connect(self._run_again)
        self._words = RunWords(window, self.panel, lambda: self._is_busy)
        self._patience = QTimer(self, singleShot=True, interval=PATIENCE_MS)
        self._patience.timeout.connect(self._tell_unanswered)
        self._stopped = StoppedOffers(window, annotations, self._may_go_on, self._go_on)
        self._adding = ModelAdding(window, self._is_running)
        self._adding.added.connect(self._offer)
        self.panel.wanted.connect(self.start)
        self.panel.cancelled.connect(self.cancel)
        self.panel.providers_due.connect(self._read_providers)
        self.runs.told.connect(self._take)
        self.runs.ended.connect(self._end)
        window.status.measure_against(lambda: self.cap_bytes)
        window.add_panel("Models", self.panel)
        window.add_commands(self._commands())
        window.tab_changed.connect(self._turn_to)
        window.before_closing(self._may_close)
        window.closing.connect(self._tell_waiting)
        plugins = discover()
        self._show_models(plugins)
        tell_broken(window.notices, plugins)

    @property
    def objects_so_far(self) -> int:
        """Objects that running models have found and that are not in the project yet."""
        return self._sights.objects_so_far

    @property
    def cap_bytes(self) -> int:
        """What the model that runs may take, or else the next one."""
        caps = [run.request.memory_bytes for run in self.runs.active]
        return max(caps, default=self.panel.memory_bytes)

    def refresh_models(self) -> None:
        """Offer the models that are installed now."""
        self._show_models(discover())

    def _show_models(self, plugins: Sequence[FoundPlugin]) -> None:
        models = installed_models(plugins)
        self.panel.show_models([m.spec for m in models if m.spec.task != _CLICK])
        self.panel.set_ready(self._window.tab is not None)
        self._window.refresh_commands()

    def _read_providers(self) -> None:
        """Ask the libraries what they run on: loading them is no cost of only looking at slides."""
        self._window.work.start(
            "providers",
            lambda _token, _report: _providers(),
            self.panel.show_providers,
            self._window.show_error,
        )

    def start(self, choice: RunChoice) -> None:
        """Run a model over the slide in front; one run at a time.

        Outlines that it is to run in are read first, while the window goes on.
        """
        tab = self._window.tab
        if tab is None or self._is_taken():
            return
        if choice.extent.is_areas:
            self._show_reading()
            self._areas.read(choice, lambda areas: self._begin(tab, choice, areas), self._refuse)
        else:
            self._begin(tab, choice, None)

    def _show_reading(self) -> None:
        self.panel.show_waiting("Reading the outlines…")
        self._window.refresh_commands()

    def _is_taken(self) -> bool:
        """Tell whether there is no run beside what goes on, and say why where it is not seen."""
        if self._areas.is_reading:
            error = "The outlines of another run are still being read; wait for them."
        elif self._keeping.is_busy:
            error = "The objects of another run are being put into the project; wait for that."
        elif any(run.is_cancelled for run in self.runs.active):
            error = "The run before has not stopped yet. " + _UNANSWERED
        else:
            return bool(self.runs.active)
        self._window.notices.fail(UsageError(error), _RUN)
        return True

    def _begin(self, tab: SlideTab, choice: RunChoice, areas: Areas | None) -> None:
        if not self._is_open(tab):
            return
        try:
            region = region_of(choice.extent, tab.source.info, tab.view.viewport)
            folder, plane = self._annotations.folder, tab.planes.place
            slide = self._tools.slides[tab]
            request = request_of(choice, slide, tab.um_override, folder, plane, region, areas)
        except ValueError as error:
            self._refuse(UsageError(str(error)))
        except TilescopeError as error:
            self._refuse(error)
        else:
            self._run(tab, request)

    def _is_open(self, tab: SlideTab) -> bool:
        """Tell whether a slide is open still, and say so where it is not."""
        is_open = tab in self._window.all_tabs
        if not is_open:
            self._show_idle("The slide was closed.", tab.path)
        return is_open

    def _run(self, tab: SlideTab, request: RunRequest) -> None:
        self._window.notices.settle(_RUN)
        slide = self._tools.slides[tab]
        run = self.runs.start(request, slide)
        self._words.begin(tab.path, request.plane)
        self._keeping.begin(run, slide)
        self._stopped.begin(run, request.out_dir.name)
        self._sights.begin(run, tab)
        self.panel.show_waiting("Looking at the slide…")
        self._window.refresh_commands()

    def _refuse(self, error: BaseException, slide: Path | None = None) -> None:
        self._show_idle(words_of(error), slide)
        self._window.show_error(error, _RUN)

    def _show_idle(self, text: str, slide: Path | None = None) -> None:
        """Show that nothing runs, also on what cancels a run, and what came of the last run.

        Parameters
        ----------
        slide
            What it ran over, by default the slide in front; the panel says it of that one only.
        """
        self._words.say(text, slide)
        self._window.refresh_commands()

    def cancel(self) -> None:
        """Stop the run; what it has done is kept."""
        if self._areas.is_reading:
            self._areas.cancel()
            self._show_idle("Cancelled.")
        for run in self.runs.active:
            run.cancel()
            self._patience.start()
        self._keeping.cancel()
        if self.runs.active or self._keeping.is_busy:
            self.panel.show_busy("Cancelling…")

    def _tell_unanswered(self) -> None:
        if any(run.is_cancelled for run in self.runs.active):
            self.panel.show_busy(_UNANSWERED)

    def add_model(self, path: Path) -> None:
        """Look at a user's model, try it out, and offer it when it works."""
        self._adding.add(package_of(path))

    def _turn_to(self, tab: SlideTab | None) -> None:
        self.panel.set_ready(tab is not None)
        self._window.refresh_commands()
        self._areas.find_classes()

    # -- a run ------------------------------------------------------------------------------------

    def _request_of(self, tab: SlideTab, stopped: StoppedRun) -> RunRequest:
        return request_again(stopped, self._tools.slides[tab], self._annotations.folder)

    def _may_go_on(self, tab: SlideTab, stopped: StoppedRun) -> bool:
        """Tell whether the model is the same, and what it did is still there."""
        try:
            request = self._request_of(tab, stopped)
        except TilescopeError:
            return False
        is_same = request.out_dir.name == stopped.name
        has_areas = stopped.areas_sha256 is None or are_kept(request.out_dir)
        return is_same and has_areas and (request.folder / LEDGER_NAME).is_file()

    def _go_on(self, tab: SlideTab, stopped: StoppedRun) -> None:
        if self._is_taken():
            return
        try:
            request = self._request_of(tab, stopped)
        except TilescopeError as error:
            self._refuse(error)
            return
        if stopped.areas_sha256 is None:
            self._run(tab, request)
            return

        def go_on(areas: Areas) -> None:
            if self._is_open(tab):
                self._run(tab, replace(request, within=areas))

        self._show_reading()
        self._areas.read_kept(request.out_dir, stopped.areas_sha256, go_on, self._refuse)

    def _run_again(self, run: ModelRun) -> None:
        """Run once more what some tiles failed of, which are tried again."""
        tab = self._sights.tab_of(run)
        if self._is_taken():
            self._keeping.offer_again(run)
        elif tab not in self._window.all_tabs:
            self._keeping.offer_again(run)
            self._window.open_slide(tab.path, lambda opened: self._run_reopened(run, opened))
        else:
            self._keeping.forget(run)
            self._sights.hide(run)
            self._run(tab, replace(run.request, overwrite=False))

    def _run_reopened(self, run: ModelRun, tab: SlideTab) -> None:
        """Run once more over a slide that was opened for it, unless it is another one by now."""
        if self._sights.tab_of(run) is tab:
            self._run_again(run)

    def _take(self, run: ModelRun, event: RunEvent) -> None:
        self.panel.show_progress(event.progress)
        tab, name = self._sights.tab_of(run), run.request.out_dir.name
        self._stopped.note(run, tab, name, event.progress)
        self._sights.take(run, event)

    def _end(self, run: ModelRun, outcome: object) -> None:
        tab, slide = self._sights.tab_of(run), run.request.slide
        self._sights.end(run, outcome)
        is_complete = isinstance(outcome, RunReport) and outcome.status == "complete"
        if isinstance(outcome, RunReport):
            if self._keeps(run, outcome):
                return
            self._tell(outcome, slide)
        elif isinstance(outcome, BaseException):
            self._refuse(failure_of(outcome, slide), slide)
        else:
            self._show_idle("Cancelled.", slide)
        # A map goes into no project: nothing of it waits but tiles that failed, which was told.
        if is_complete or (isinstance(outcome, RunReport) and is_partial(outcome)):
            self._stopped.complete(run, run.request.out_dir.name)
        else:
            self._stopped.end(run, tab)
        self._keeping.forget(run)
        self._sights.hide(run)

    def _keeps(self, run: ModelRun, report: RunReport) -> bool:
        """Tell whether the objects of a run can go into a project, and see to it."""
        if not self._sights.has_objects(run):
            return False
        if report.status == "complete":
            self._tell(report, run.request.slide)
            self._keeping.keep(run, report)
        elif is_partial(report):
            self._show_idle(report_text(report), run.request.slide)
            self._stopped.put_off(run)
            self._keeping.offer_partial(run, report)
        else:
            return False
        return True

    def _tell(self, report: RunReport, slide: Path) -> None:
        """Say what came of a run; that it failed stays to be read, the panel shown or not."""
        text = report_text(report)
        if report.status == "failed" and report.project is None:
            self._refuse(TilescopeError(text), slide)
        else:
            self._show_idle(text, slide)

    def _show_storing(self, _run: ModelRun) -> None:
        self.panel.show_waiting("Putting the objects into the project…")
        self._window.refresh_commands()

    def _end_storing(self, run: ModelRun, stored: RunReport) -> None:
        """Say what came of putting the objects of a run into a project."""
        if stored.project is not None:
            self._stopped.complete(run, run.request.out_dir.name)
        else:
            self._stopped.put_off(run)
        self._sights.hide(run)
        self._tell(stored, run.request.slide)

    def _leave(self, run: ModelRun, why: str) -> None:
        """Say why the objects of a run are in no project."""
        self._stopped.put_off(run)
        self._sights.hide(run)
        self._show_idle(why, run.request.slide)

    # -- closing ----------------------------------------------------------------------------------

    def _may_close(self) -> bool:
        """Ask before something is stopped that the window does not start again by itself."""
        if self._keeping.is_busy:
            title, text = "Objects are being kept", _WHILE_STORING
        elif self.runs.active:
            title, text = "A model is running", _WHILE_RUNNING
        else:
            return True
        answer = QMessageBox.question(self._window, title, text)
        return answer == QMessageBox.StandardButton.Yes

    def _tell_waiting(self) -> None:
        """Say why the window is still there; it answers nothing until all jobs have ended."""
        self._patience.stop()
        if self.runs.active or self._keeping.is_busy:
            self._window.status.showMessage("Waiting for the model to stop…")
            self._window.status.repaint()

    # -- models -----------------------------------------------------------------------------------

    def _commands(self) -> list[Command]:
        def choose() -> None:
            name, _ = QFileDialog.getOpenFileName(
                self._window, "Add a model", "", "Models (*.onnx *.zip *.yaml *.json)"
            )
            if name:
                self.add_model(Path(name))

        return [
            Command("models.add", "Add a model…", "Models", choose),
            Command(
                "models.run",
                "Run the model",
                "Models",
                self._run_chosen,
                "Ctrl+Shift+M",
                is_enabled=lambda: self.panel.can_run,
            ),
            Command(
                "models.inside",
                "Run a model inside…",
                "Models",
                self._choose_inside,
                is_enabled=lambda: bool(self._annotations.selected_ids),
            ),
            Command(
                "models.cancel",
                "Cancel the run",
                "Models",
                self.cancel,
                is_enabled=lambda: self._is_busy,
            ),
        ]

    def _run_chosen(self) -> None:
        """Run the model that is chosen in the panel, where it is seen how far it is."""
        self._show_panel()
        self.panel.run()

    def _show_panel(self) -> None:
        dock = self._window.findChild(QDockWidget, "dock-models")
        if isinstance(dock, QDockWidget):
            dock.show()
            dock.raise_()

    def _choose_inside(self) -> None:
        """Show the panel, ready for a run in what is selected."""
        self._show_panel()
        self.panel.choose_extent(Extent.SELECTION)

    @property
    def _is_busy(self) -> bool:
        return bool(self.runs.active or self._keeping.is_busy) or self._areas.is_reading

    def _offer(self, model_id: str) -> None:
        self.refresh_models()
        self.panel.choose_model(model_id)

    def _is_running(self, model_id: str) -> bool:
        return any(run.request.model.spec.id == model_id for run in self.runs.active)


_UNANSWERED = (
    "The model does not answer; in a few seconds its process is ended. Nothing is lost: what you "
    "drew is saved, and so are the tiles that are done."
)
_WHILE_RUNNING = (
    "A model is still running. Close the window? What it has done is kept, and you can go on with "
    "it when the slide is open again."
)
_WHILE_STORING = (
    "The objects of a run are being put into the project. Close the window? They are not in the "
    "project then; running the model again puts them in, and nothing is computed anew."
)


def _providers() -> dict[str, str]:
    """Return what networks can run on here, with a remark on each."""
    return {s.provider: s.reason for s in provider_states().values() if s.is_usable}
