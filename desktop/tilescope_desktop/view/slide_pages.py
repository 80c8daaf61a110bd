"""The open slides as tabs, one to a tab or two side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PySide6.QtCore import QSignalBlocker, QSize, Qt, Signal
from PySide6.QtWidgets import QStyle, QStyleOptionTab, QTabBar, QTabWidget, QWidget

from tilescope_desktop.model.captions import caption, name_in
from tilescope_desktop.model.tab_names import joined, parted, tab_text
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.side_by_side import SideBySide
from tilescope_desktop.view.slide_tab import SlideTab

#: A tab has room for so many characters at most and so many digits at least, for each name on it;
#: where not all tabs fit they are scrolled.
_WIDEST_TAB_CHARS = 40
_LEAST_NAME_DIGITS = 16


class _TabBar(QTabBar):
    """Tabs that say as much of their names as tells them apart."""

    def tabSizeHint(self, index: int) -> QSize:  # noqa: N802 - Qt's name
        """Return the size of a tab; called by Qt."""
        chars = _WIDEST_TAB_CHARS * len(self._names_of(index))
        widest = chars * self.fontMetrics().averageCharWidth()
        return super().tabSizeHint(index).boundedTo(QSize(widest, self.maximumHeight()))

    def minimumTabSizeHint(self, index: int) -> QSize:  # noqa: N802 - Qt's name
        """Return how far a tab may shrink; called by Qt."""
        hint, whole = self.tabSizeHint(index), super().tabSizeHint(index)
        metrics, names = self.fontMetrics(), self._names_of(index)
        beside = whole.width() - metrics.horizontalAdvance(joined(names))
        least = metrics.horizontalAdvance(joined(["0" * _LEAST_NAME_DIGITS] * len(names)))
        return hint.boundedTo(QSize(beside + least, hint.height()))

    def initStyleOption(self, option: QStyleOptionTab, index: int) -> None:  # noqa: N802 - Qt's name
        """Say what is painted on a tab; called by Qt."""
        super().initStyleOption(option, index)
        name = QStyle.SubElement.SE_TabBarTabText
        room = self.style().subElementRect(name, option, self).width()
        option.text = caption(self._text(index, room))

    def _names_of(self, index: int) -> list[str]:
        return parted(name_in(self.tabText(index)))

    def _text(self, index: int, room_px: int) -> str:
        """Return as much of the names on a tab as there is room for."""
        metrics, names = self.fontMetrics(), self._names_of(index)
        whole = joined(names)
        if metrics.horizontalAdvance(whole) <= room_px:
            return whole
        others = {name for tab in range(self.count()) for name in self._names_of(tab)}
        chars = min(len(whole), room_px // max(1, metrics.averageCharWidth()))
        text = tab_text(names, chars, others)
        while chars > 1 and metrics.horizontalAdvance(text) > room_px:
            chars -= 1
            text = tab_text(names, chars, others)
        return text


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
    def in_sight(self) -> list[SlideTab]:
        """The slides that can be seen now."""
        page = self.currentWidget()
        if isinstance(page, SideBySide):
            return list(page.slides)
        return [page] if isinstance(page, SlideTab) else []

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

    def step(self, by: int) -> None:
        """Bring to the front the tab that is so many farther to the right, round and round."""
        if self.count():
            self.setCurrentIndex((self.currentIndex() + by) % self.count())

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
            self.insertTab(index, pair, caption(joined(pair.names)))
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
