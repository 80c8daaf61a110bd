"""Slides that cannot be read in places: told once each, with a way to try again."""

from __future__ import annotations

from PySide6.QtCore import QObject

from tilescope.domain.slide import SlideId
from tilescope_desktop.model.notices import Notice, words_of
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.slide_tab import SlideTab


class TileFaults(QObject):
    """Tells of tiles that could not be read; one of these per window."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._told: set[SlideTab] = set()
        window.tiles.failed.connect(self._tell)
        window.tab_closed.connect(self._forget)

    def _tell(self, slide: SlideId, error: BaseException) -> None:
        tabs = self._window.all_tabs
        tab = next((tab for tab in tabs if tab.pictures_id == slide), None)
        if tab is None or tab in self._told:
            return
        self._told.add(tab)
        reason = getattr(error, "reason", None) or words_of(error)
        self._window.notices.put(
            Notice(
                ("tiles", tab.path, id(tab)),
                f"{tab.path.name}: parts of it cannot be read and stay blurred ({reason}). Check "
                "the disk or the network it lies on, then try again.",
                (("Try again", lambda: self._try_again(tab)),),
                is_failure=True,
            )
        )

    def _try_again(self, tab: SlideTab) -> None:
        self._told.discard(tab)
        if tab in self._window.all_tabs:
            self._window.tiles.try_again(tab.pictures_id)

    def _forget(self, tab: SlideTab) -> None:
        self._told.discard(tab)
        self._window.notices.take(("tiles", tab.path, id(tab)))
