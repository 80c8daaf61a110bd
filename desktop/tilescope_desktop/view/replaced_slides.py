"""Tells that a slide is not the file any more that the project has objects of."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject

from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.model.notices import subject
from tilescope_desktop.model.replaced_files import left_behind, words
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.tool_bench import ToolBench


class ReplacedSlides(QObject):
    """Looks at every slide when the project was asked what it knows of it."""

    def __init__(self, window: MainWindow, annotations: Annotations, bench: ToolBench) -> None:
        super().__init__(window)
        self._window = window
        self._annotations = annotations
        self._bench = bench
        self._told: dict[Path, int] = {}
        window.tab_closed.connect(self._forget)
        annotations.slides_found.connect(self._look)
        annotations.project_changed.connect(self._take_back)

    def _look(self) -> None:
        slides = tuple(self._bench.slides.values())
        self._annotations.desk.ask(
            lambda project: left_behind(project, slides), self._tell, lambda _error: None
        )

    def _tell(self, found: dict[Path, int]) -> None:
        for path, count in found.items():
            if path not in self._told:
                self._told[path] = count
                self._window.notices.say(words(path, count), (), _key(path))

    def _forget(self, tab: SlideTab) -> None:
        if self._told.pop(tab.path, None) is not None:
            self._window.notices.take(_key(tab.path))

    def _take_back(self) -> None:
        """Say nothing any more of the project before."""
        for path in tuple(self._told):
            del self._told[path]
            self._window.notices.take(_key(path))


def _key(path: Path) -> object:
    return "replaced", subject(path)
