"""Offers to go on with what was drawn before, when its slide is opened again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, QTimer

from tilescope.runtime.cancel import CancellationToken
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.work import Job
from tilescope_desktop.model.earlier_work import EarlierWork, earlier_work, projects_of_user
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.slide_tab import SlideTab

#: How often it is looked whether a slide that was opened is sharp, and how often at most.
_EVERY_MS = 150
_MOST_LOOKS = 30


class EarlierOffers(QObject):
    """Asks whether to continue a project, never twice after a no.

    A slide that is opened while no project is gets an offer when one of the user's projects holds
    objects on it. It is looked for off the window's thread, once the slide is sharp.
    """

    def __init__(
        self, window: MainWindow, annotations: Annotations, open_project: Callable[[Path], None]
    ) -> None:
        super().__init__(window)
        self._window = window
        self._annotations = annotations
        self._open = open_project
        self._waiting: dict[SlideTab, int] = {}
        self._jobs: list[Job] = []
        self._offered: set[Path] = set()
        self._declined: set[Path | str] = set()
        self._timer = QTimer(self, interval=_EVERY_MS)
        self._timer.timeout.connect(self._look_at_waiting)
        window.tab_opened.connect(self._note)
        window.tab_closed.connect(self._forget)
        window.closing.connect(self.end)

    def offer(self, project: Path, text: str, identity: str = "") -> None:
        """Ask whether to continue a project.

        Parameters
        ----------
        identity
            What projects know the slide by that it is about.
        """
        project = project.resolve()  # as it is when it was looked for

        def decline() -> None:
            self._offered.discard(project)
            self._declined.update({project, identity})

        self._offered.add(project)
        self._window.notices.say(
            text,
            (("Continue", lambda: self._open(project)), ("Not now", decline)),
            key=("continue", project),
        )

    def end(self) -> None:
        """Offer nothing any more of what is open: the user has chosen a project."""
        self._waiting.clear()
        self._timer.stop()
        for job in self._jobs:
            job.cancel()
        self._jobs.clear()
        for project in self._offered:
            self._window.notices.take(("continue", project))
        self._offered.clear()

    # -- inside -----------------------------------------------------------------------------------

    def _note(self, tab: SlideTab) -> None:
        if (
            self._annotations.project is None
            and tab.identity is not None
            and tab.identity not in self._declined
        ):
            self._waiting[tab] = 0
            self._timer.start()

    def _forget(self, tab: SlideTab) -> None:
        self._waiting.pop(tab, None)

    def _look_at_waiting(self) -> None:
        for tab, looks in list(self._waiting.items()):
            self._waiting[tab] = looks + 1
            if not tab.view.isVisible() or tab.view.is_sharp or looks >= _MOST_LOOKS:
                del self._waiting[tab]
                self._look_for(tab)
        if not self._waiting:
            self._timer.stop()

    def _look_for(self, tab: SlideTab) -> None:
        identity, folder = tab.identity, self._annotations.folder
        assert identity is not None

        def look(token: CancellationToken, _report: object) -> EarlierWork | None:
            remembered = self._annotations.remembered
            last = [] if remembered.project is None else [remembered.project]
            known = projects_of_user(folder, [*remembered.recent, *last])
            return earlier_work(known, identity, lambda: token.is_cancelled)

        def found(work: EarlierWork | None) -> None:
            project = self._annotations.project
            is_here = project is not None and work is not None and project.path == work.project
            is_wanted = tab in self._window.all_tabs and not is_here
            if work is not None and is_wanted and work.project not in self._declined:
                self.offer(work.project, work.text, identity)

        job = self._window.work.start("earlier", look, found, self._window.show_error)
        self._jobs = [*(known for known in self._jobs if known in self._window.work.jobs), job]
