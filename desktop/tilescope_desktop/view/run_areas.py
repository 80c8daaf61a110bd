"""Where a model runs: outlines of the project, read while the window goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject

from tilescope.errors import UsageError
from tilescope.ops.areas import Areas
from tilescope.store.project import Project
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.work import Work
from tilescope_desktop.model.kept_areas import kept_areas
from tilescope_desktop.model.run_areas import (
    areas_of_class,
    areas_of_selection,
    classes_with_areas,
)
from tilescope_desktop.model.run_settings import Extent, RunChoice
from tilescope_desktop.view.run_panel import RunPanel
from tilescope_desktop.view.tool_bench import ToolBench

Read = Callable[[Project], Areas]
Then = Callable[[Areas], None]
Refuse = Callable[[BaseException], None]


class RunAreas(QObject):
    """Tells the panel which classes have areas, and a run in which areas it is to look."""

    def __init__(
        self, tools: ToolBench, annotations: Annotations, panel: RunPanel, work: Work
    ) -> None:
        super().__init__(panel)
        self._work = work
        self._tools = tools
        self._annotations = annotations
        self._panel = panel
        self._asked: object | None = None
        self._is_finding = self._finds_again = False
        panel.classes_due.connect(self.find_classes)
        annotations.refreshed.connect(self.find_classes)

    @property
    def is_reading(self) -> bool:
        """Whether outlines are being read for a run."""
        return self._asked is not None

    def cancel(self) -> None:
        """Want no longer what is being read."""
        self._asked = None

    def find_classes(self) -> None:
        """Offer the classes that have areas on the slide in front, one reading at a time."""
        slide = self._tools.front_slide
        if not self._panel.wants_classes or self._annotations.is_lent:
            return
        if slide is None or self._annotations.project is None:
            self._panel.show_classes(())
            return
        self._finds_again = self._is_finding
        if self._is_finding:
            return
        self._is_finding = True

        def done(names: tuple[str | None, ...]) -> None:
            self._is_finding = False
            if self._finds_again:
                self.find_classes()
            else:
                self._panel.show_classes(names)

        self._annotations.desk.ask(
            lambda project: classes_with_areas(project, slide), done, lambda _error: done(())
        )

    def read(self, choice: RunChoice, then: Then, refuse: Refuse) -> None:
        """Give the areas that were chosen to ``then``, or why there are none to ``refuse``."""
        try:
            read = self._reading(choice)
        except UsageError as error:
            refuse(error)
            return
        done, failed = self._ask(then, refuse)
        self._annotations.desk.ask(read, done, failed)

    def read_kept(self, folder: Path, sha256: str, then: Then, refuse: Refuse) -> None:
        """Give the areas of a run that stopped to ``then``, or why there are none to ``refuse``."""
        self._work.start(
            "areas",
            lambda _token, _report: kept_areas(folder, sha256),
            *self._ask(then, refuse),
        )

    def _ask(self, then: Then, refuse: Refuse) -> tuple[Then, Refuse]:
        """Begin to read; return what to do with the areas, and with why there are none."""
        asked = self._asked = object()

        def done(areas: Areas) -> None:
            if self._asked is asked:
                self._asked = None
                then(areas)

        def failed(error: BaseException) -> None:
            if self._asked is asked:
                self._asked = None
                refuse(error)

        return done, failed

    def _reading(self, choice: RunChoice) -> Read:
        """Return what reads the areas from the project."""
        annotations, slide = self._annotations, self._tools.front_slide
        if annotations.is_lent:
            raise UsageError("The project is being written to; wait until that is done.")
        if choice.extent is Extent.CLASS:
            if slide is None or annotations.project is None:
                raise UsageError("Nothing is drawn on this slide; draw an area first.")
            return lambda project: areas_of_class(project, slide, choice.class_name)
        ids = annotations.selected_ids
        if slide is None or not ids or not slide.is_same(annotations.selected_slide):
            raise UsageError("Nothing is selected on this slide; select an area first.")
        return lambda project: areas_of_selection(project, slide, ids)
