"""The open slides as tabs, one to a tab or two side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PySide6.QtCore import QSignalBlocker, QSize, Qt, Signal
from PySide6.QtWidgets import QTabBar, QTabWidget, QWidget

from tilescope_desktop.model.captions import caption
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.side_by_side import SideBySide
from tilescope_desktop.view.slide_tab import SlideTab

#: A tab is as wide as so many characters at most; the middle of what is longer is left out.
_WIDEST_TAB_CHARS = 40


class _TabBar(QTabBar):
    def tabSizeHint(self, index: int) -> QSize:  # noqa: N802 - Qt's name
        """Return the size of a tab; called by Qt."""
        widest = _WIDEST_TAB_CHARS * self.fontMetrics().averageCharWidth()
        return super().tabSizeHint(index).boundedTo(QSize(widest, self.maximumHeight()))


class SlidePages(QTabWidget):
    """Every open slide.

    ``front_changed`` tells that another slide, or none, is in front or has another one beside it;
    ``link_changed`` that views are linked otherwise, ``close_wanted`` which slide the user wants to
    close.
    """

    front_changed = Signal()
    link_changed = Signal()
    close_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTabBar(_TabBar())
        self.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.setDocumentMode(True)
        self.setTabsClosable(True)
        self.setMovable(True)
        self.setAccessibleName("Slides")
        self.currentChanged.connect(lambda _index: self.front_changed.emit())
        self.tabCloseRequested.connect(self._close_page)

    @property
    def front(self) -> SlideTab | None:
        """The slide that commands and panels mean."""
        page = self.currentWidget()
        if isinstance(page, SideBySide):
            return page.front
        return page if isinstance(page, SlideTab) else None

    @property
    def pair(self) -> SideBySide | None:
        """The two slides in front, None when it is one or none."""
        page = self.currentWidget()
        return page if isinstance(page, SideBySide) else None

    @property
    def slides(self) -> list[SlideTab]:
        """Every open slide, from left to right."""
        found: list[SlideTab] = []
        for index in range(self.count()):
            page = self.widget(index)
            if isinstance(page, SideBySide):
                found.extend(page.slides)
            elif isinstance(page, SlideTab):
                found.append(page)
        return found

    def add(self, tab: SlideTab) -> None:
        """Show one more slide, in front."""
        with self._one_change():
            self.setCurrentIndex(self._insert(self.count(), tab))

    def show_slide(self, tab: SlideTab) -> None:
        """Bring an open slide to the front."""
        with self._one_change():
            self.setCurrentWidget(self._page_of(tab))
            if self.pair is not None:
                self.pair.bring_to_front(tab)

    def take(self, tab: SlideTab) -> None:
        """Let go of a slide; the one beside it gets the tab for itself."""
        with self._one_change():
            self.separate(tab)
            self.removeTab(self.indexOf(tab))

    def put_beside(self, left: SlideTab, right: SlideTab) -> None:
        """Show two open slides side by side, the left one in front and where it was."""
        here, shows_all = left.view.viewport, _shows_all(left)
        with self._one_change():
            for tab in (left, right):
                self.separate(tab)
            self.removeTab(self.indexOf(right))
            index = self.indexOf(left)
            self.removeTab(index)
            pair = SideBySide(left, right)
            pair.front_changed.connect(self.front_changed)
            pair.close_wanted.connect(self.close_wanted)
            pair.link.changed.connect(self.link_changed)
            pair.separate_wanted.connect(lambda: self.separate(left))
            self.insertTab(index, pair, caption(pair.title))
            self.setTabToolTip(index, "\n".join(str(tab.path) for tab in pair.slides))
            self.setCurrentIndex(index)
        # The one beside it has moved it when it got its new size.
        if shows_all:
            left.view.fit()
        elif here is not None:
            left.view.move_to(here)
        pair.link.pull(left)

    def separate(self, tab: SlideTab) -> None:
        """Give a slide and the one beside it a tab each; nothing when it has one already."""
        pair = self._page_of(tab)
        if not isinstance(pair, SideBySide):
            return
        with self._one_change():
            index, is_current = self.indexOf(pair), self.currentWidget() is pair
            pair.release()
            self.removeTab(index)
            for place, slide in enumerate(pair.slides):
                self._insert(index + place, slide)
            if is_current:
                self.setCurrentWidget(pair.front)
            pair.deleteLater()

    # -- inside -----------------------------------------------------------------------------------

    def _insert(self, index: int, tab: SlideTab) -> int:
        place = self.insertTab(index, tab, caption(tab.path.name))
        self.setTabToolTip(place, str(tab.path))
        return place

    def _page_of(self, tab: SlideTab) -> QWidget:
        for index in range(self.count()):
            page = self.widget(index)
            if isinstance(page, SideBySide) and tab in page.slides:
                return page
        return tab

    def _close_page(self, index: int) -> None:
        page = self.widget(index)
        slides = page.slides if isinstance(page, SideBySide) else (page,)
        for tab in slides:
            self.close_wanted.emit(tab)

    @contextmanager
    def _one_change(self) -> Iterator[None]:
        """Tell of one change at the end, however many tabs come and go on the way."""
        if self.signalsBlocked():
            yield
            return
        blocker = QSignalBlocker(self)
        try:
            yield
        finally:
            blocker.unblock()
        self.front_changed.emit()


def _shows_all(tab: SlideTab) -> bool:
    view = tab.view
    whole = Viewport.fitted(tab.source.info.size, max(1, view.width()), max(1, view.height()))
    return view.viewport == whole
