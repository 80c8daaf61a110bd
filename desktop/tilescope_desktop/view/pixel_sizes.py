"""The size of a pixel where the user says it: asked for once, and kept in the project."""

from __future__ import annotations

from PySide6.QtCore import QObject

from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.tool_bench import ToolBench


class PixelSizes(QObject):
    """Connects what the user enters with the open project and with every view of the slide."""

    def __init__(self, window: MainWindow, annotations: Annotations, bench: ToolBench) -> None:
        super().__init__(window)
        self._window = window
        self._annotations = annotations
        self._bench = bench
        self._ready: set[SlideTab] = set()
        self._declined: set[str] = set()
        self._asked: SlideTab | None = None
        window.pixel_size_entered.connect(self._keep)
        window.tab_opened.connect(self._welcome)
        window.tab_changed.connect(lambda _tab: self._ask())
        window.tab_closed.connect(self._ready.discard)
        annotations.slides_found.connect(self._show_known)

    def _keep(self, tab: SlideTab, um_per_px: float | None) -> None:
        self._ask()
        slide = self._bench.slides.get(tab)
        if slide is None or slide.identity is None:  # nothing of it can be in a project
            return
        for other, beside in self._bench.slides.items():
            if beside.identity == slide.identity:
                self._show(other, um_per_px)
        self._annotations.enter_pixel_size(slide, um_per_px)

    def _welcome(self, tab: SlideTab) -> None:
        if self._annotations.project is None:  # else the project is asked first
            self._ready.add(tab)  # it comes to the front after this

    def _show_known(self) -> None:
        for tab, slide in self._bench.slides.items():
            if slide.entered_um is not None and slide.entered_um != tab.um_override:
                self._show(tab, slide.entered_um)
            self._ready.add(tab)
        self._ask()

    def _show(self, tab: SlideTab, um_per_px: float | None) -> None:
        tab.override_um_per_px(um_per_px)
        self._window.status.show_view()
        self._ask()

    def _ask(self) -> None:
        """Ask for the slide in front, and no longer for another one."""
        tab = self._window.tab
        if tab is not None and not self._is_unknown(tab):
            tab = None
        if tab is self._asked:
            return
        if self._asked is not None:
            self._window.notices.take(_key(self._asked))
        self._asked = tab
        if tab is not None:
            self._say(tab)

    def _say(self, tab: SlideTab) -> None:
        self._window.notices.say(
            f"{tab.path.name}: the size of a pixel is unknown, so nothing on it can be measured in "
            "micrometres.",
            (("Set it…", lambda: self._set(tab)), ("Not now", lambda: self._decline(tab))),
            _key(tab),
        )

    def _is_unknown(self, tab: SlideTab) -> bool:
        return tab in self._ready and tab.um_per_px is None and str(tab.path) not in self._declined

    def _set(self, tab: SlideTab) -> None:
        self._asked = None  # the answer has ended the question, and may yet be none
        self._window.ask_pixel_size(tab)
        self._ask()

    def _decline(self, tab: SlideTab) -> None:
        self._asked = None
        self._declined.add(str(tab.path))


def _key(tab: SlideTab) -> object:
    return "pixel-size", tab.path
