"""Offers to go on with a run that stopped, when its slide is open."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer

from tilescope.jobs.request import RunProgress
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.model_runs import ModelRun
from tilescope_desktop.model.stopped_runs import StoppedRun, StoppedRuns
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.slide_tab import SlideTab

#: After a slide was opened, so that it is seen first.
_AFTER_MS = 500
#: How far a run is, is written down so often: a program that is killed says nothing any more.
_EVERY_S = 1.0

GoOn = Callable[[SlideTab, StoppedRun], None]
MayGoOn = Callable[[SlideTab, StoppedRun], bool]


class StoppedOffers(QObject):
    """Keeps how far runs came, and asks whether to go on where they stopped.

    Parameters
    ----------
    may_go_on
        Tells whether what a run did is still there, to be gone on with.
    go_on
        Begins it again.
    """

    def __init__(
        self, window: MainWindow, annotations: Annotations, may_go_on: MayGoOn, go_on: GoOn
    ) -> None:
        super().__init__(window)
        self._window = window
        self._kept = StoppedRuns(annotations.folder)
        self._may_go_on = may_go_on
        self._go_on = go_on
        self._now: dict[ModelRun, StoppedRun] = {}
        self._written: dict[ModelRun, float] = {}
        self._opened: list[SlideTab] = []
        self._timer = QTimer(self, singleShot=True, interval=_AFTER_MS)
        self._timer.timeout.connect(self._look)
        window.tab_opened.connect(self._note_tab)
        window.tab_closed.connect(self._forget_tab)
        window.closing.connect(self._close)

    def begin(self, run: ModelRun, name: str) -> None:
        """Ask no longer about a run that goes on now."""
        self._window.notices.take(_key(name))

    def note(self, run: ModelRun, tab: SlideTab, name: str, progress: RunProgress) -> None:
        """Note how far a run is."""
        request, areas = run.request, run.request.within
        if not progress.tiles_done or tab.identity is None:
            return
        if run not in self._now:
            self.begin(run, name)  # it may be in another folder than at first
        self._now[run] = StoppedRun(
            name,
            tab.identity,
            request.model.spec.id,
            request.model.spec.title,
            request.region_l0,
            request.um_per_px,
            request.parameters,
            request.memory_bytes,
            request.provider,
            progress.tiles_done,
            progress.tiles_total,
            None if areas is None else areas.sha256,
            0 if areas is None else len(areas),
            request.plane,
        )
        if time.monotonic() - self._written.get(run, -_EVERY_S) >= _EVERY_S:
            self._written[run] = time.monotonic()
            self._kept.keep(self._now[run])

    def complete(self, run: ModelRun, name: str) -> None:
        """Note that nothing is left to be done of a run."""
        self._now.pop(run, None)
        self._written.pop(run, None)
        self._kept.forget(name)

    def end(self, run: ModelRun, tab: SlideTab) -> None:
        """Note that a run stopped; of one in a part of the slide it is asked at once.

        What is in view or selected may be something else soon.
        """
        stopped = self._now.pop(run, None)
        self._written.pop(run, None)
        if stopped is not None:
            self._kept.keep(stopped)
            if stopped.is_partial and tab in self._window.all_tabs:
                self._offer(tab, stopped)

    def put_off(self, run: ModelRun) -> None:
        """Note that what a complete run found is in no project yet; the slide asks next time."""
        self._written.pop(run, None)
        if run in self._now:
            self._kept.keep(self._now.pop(run))

    # -- inside -----------------------------------------------------------------------------------

    def _note_tab(self, tab: SlideTab) -> None:
        self._opened.append(tab)
        self._timer.start()

    def _forget_tab(self, tab: SlideTab) -> None:
        if tab in self._opened:
            self._opened.remove(tab)

    def _close(self) -> None:
        self._timer.stop()
        for stopped in self._now.values():
            self._kept.keep(stopped)

    def _look(self) -> None:
        tabs, self._opened = self._opened, []
        for tab in tabs:
            for stopped in [] if tab.identity is None else self._kept.of(tab.identity):
                if stopped.name in {run.name for run in self._now.values()}:
                    continue
                if self._may_go_on(tab, stopped):
                    self._offer(tab, stopped)

    def _offer(self, tab: SlideTab, stopped: StoppedRun) -> None:
        def go_on() -> None:
            if tab in self._window.all_tabs:
                self._go_on(tab, stopped)

        self._window.notices.say(
            stopped.text(tab.path.name),
            (
                ("Go on", go_on),
                ("Not now", lambda: None),
                ("Forget it", lambda: self._kept.forget(stopped.name)),
            ),
            key=_key(stopped.name),
        )


def _key(name: str) -> tuple[str, str]:
    return "stopped", name
