"""Menus of the right button and of the menu key: what can be done with what is selected."""

from __future__ import annotations

from collections.abc import Callable

import shapely
from PySide6.QtCore import QItemSelectionModel, QObject, QPoint, QPointF, Qt
from PySide6.QtGui import QAction, QContextMenuEvent
from PySide6.QtWidgets import QAbstractScrollArea, QApplication, QMenu, QTableView

from tilescope.domain.counts import counted
from tilescope.domain.geometry import Point
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.tools.tool import REACH_PX, Pick
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.swatch import swatch
from tilescope_desktop.view.tool_bench import ToolBench

_NO_CLASS = "Unclassified"
_NOUNS = {0: "Point", 1: "Line", 2: "Area"}
_ORDERS = {
    Qt.SortOrder.AscendingOrder: "ascending",
    Qt.SortOrder.DescendingOrder: "descending",
}
_SEVERAL = ("objects.unite", "objects.intersect", "objects.cut-out")


class ObjectMenus(QObject):
    """Shows a menu over slides and lists; most of what stands in it are commands of the window.

    What is under the mouse is selected first, unless it is selected already.
    """

    def __init__(self, window: MainWindow, bench: ToolBench, annotations: Annotations) -> None:
        super().__init__(window)
        self._window = window
        self._bench = bench
        self._annotations = annotations
        self._menu: QMenu | None = None

    @property
    def menu(self) -> QMenu | None:
        """The menu that is shown; None when there is none."""
        return self._menu

    def watch(self, tab: SlideTab) -> None:
        """Show a menu over a slide when it is wanted there."""
        tab.view.menu_wanted.connect(lambda at: self._over_slide(tab, at))

    def serve(self, listing: QAbstractScrollArea) -> None:
        """Show a menu over a list in which objects are selected; a table is sorted by it, too."""
        table = listing if isinstance(listing, QTableView) else None
        listing.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        listing.customContextMenuRequested.connect(
            lambda at: self._after_selection(
                lambda: self._show(listing.viewport().mapToGlobal(at), None, None, table)
            )
        )

    def command(self) -> Command:
        """Return the command that shows the menu of whatever has the focus."""
        return Command("objects.menu", "Menu of what has the focus", "", _want_menu, "Shift+F10")

    # -- when -------------------------------------------------------------------------------------

    def _over_slide(self, tab: SlideTab, at: QPointF | None) -> None:
        view, slide = tab.view.viewport, self._bench.slides.get(tab)
        if view is None or slide is None:
            return
        if at is None:
            self._show(tab.view.mapToGlobal(self._middle(tab)).toPoint(), tab, None)
            return
        at_l0 = view.to_l0(Point(at.x(), at.y()))
        place = tab.view.mapToGlobal(at).toPoint()
        if not self._bench.is_pending and not self._annotations.is_lent:
            pick = Pick(at_l0, REACH_PX * view.l0_per_px, keeps=True)
            self._annotations.fulfil(slide, [pick])
        self._after_selection(lambda: self._show(place, tab, at_l0))

    def _after_selection(self, show: Callable[[], None]) -> None:
        """Show a menu once the project has answered what is selected now."""
        annotations = self._annotations
        if annotations.project is None or annotations.is_lent or self._bench.is_pending:
            show()
        else:
            annotations.desk.ask(lambda _project: None, lambda _: show(), lambda _error: show())

    def _middle(self, tab: SlideTab) -> QPointF:
        """Return where the selected objects are on a view, its middle if they are out of sight."""
        view, middle = tab.view.viewport, QPointF(tab.view.rect().center())
        box = self._bench.selected_box(tab)
        if view is None or box is None:
            return middle
        at = view.to_screen(Point((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        found = QPointF(at.x, at.y)
        return found if tab.view.rect().contains(found.toPoint()) else middle

    # -- what -------------------------------------------------------------------------------------

    def _show(
        self,
        place: QPoint,
        tab: SlideTab | None,
        at_l0: Point | None,
        table: QTableView | None = None,
    ) -> None:
        if self._menu is not None:
            self._menu.close()
        menu = QMenu(self._window)
        menu.setAccessibleName("Menu of objects")
        if self._bench.is_pending:
            self._add_unfinished(menu)
        else:
            if self._annotations.selected_ids:
                self._add_objects(menu)
            if tab is not None:
                self._add_place(menu, tab, at_l0)
        if table is not None:
            _add_sorting(menu, table)
        if menu.isEmpty():
            menu.deleteLater()
            return
        self._menu = menu
        menu.aboutToHide.connect(lambda: self._forget(menu))
        menu.popup(place)

    def _forget(self, menu: QMenu) -> None:
        if self._menu is menu:
            self._menu = None
        menu.deleteLater()

    def _add_unfinished(self, menu: QMenu) -> None:
        self._add(menu, "tool.finish", "tool.cancel")
        menu.addAction("Take the last step back", self._bench.take_back)

    def _add_objects(self, menu: QMenu) -> None:
        chosen, count = self._annotations.selected, len(self._annotations.selected_ids)
        menu.addAction(self._title()).setEnabled(False)
        menu.addMenu(self._classes(menu))
        locks = {one.is_locked for one in chosen}
        if False in locks or not locks:
            self._add(menu, "edit.lock")
        if True in locks or not locks:
            self._add(menu, "edit.unlock")
        menu.addSeparator()
        if count == 1 and locks == {False}:
            self._add(menu, "tool.vertices")
        if count > 1:
            self._add(menu, *_SEVERAL)
        self._add(menu, "objects.fly", "models.inside")
        menu.addSeparator()
        self._add(menu, "edit.delete")

    def _title(self) -> str:
        """Return what is selected, in words."""
        chosen, count = self._annotations.selected, len(self._annotations.selected_ids)
        if count != 1 or not chosen:
            return counted(count, "object")
        one = chosen[0]
        kind = _NOUNS.get(int(shapely.get_dimensions(one.geometry)), "Object")
        return f"{kind}, {one.class_name or _NO_CLASS}{', locked' if one.is_locked else ''}"

    def _classes(self, menu: QMenu) -> QMenu:
        annotations = self._annotations
        classes = QMenu("Set class", menu)
        there = {one.class_name for one in annotations.selected}
        for name in (None, *(one.name for one in annotations.classes)):
            action = QAction(_escaped(name or _NO_CLASS), classes)
            action.setIcon(swatch(annotations.style.color_of(name)))
            action.setCheckable(True)
            action.setChecked(there == {name})
            action.triggered.connect(lambda _on, name=name: annotations.set_class(name))
            classes.addAction(action)
        return classes

    def _add_place(self, menu: QMenu, tab: SlideTab, at_l0: Point | None) -> None:
        menu.addSeparator()
        if at_l0 is not None:
            menu.addAction("Centre here", lambda: _centre(tab, at_l0))
        self._add(menu, "view.fit", "edit.all", "edit.none")

    def _add(self, menu: QMenu, *commands: str) -> None:
        """Add commands of the window, as far as it has them."""
        for name in commands:
            action = self._window.findChild(QAction, name)
            if isinstance(action, QAction):
                menu.addAction(action)


def _add_sorting(menu: QMenu, table: QTableView) -> None:
    """Offer what a press on the title of a column does, for that of the cell the keys are on."""
    column, header = max(0, table.currentIndex().column()), table.horizontalHeader()
    role = Qt.ItemDataRole.AccessibleTextRole  # a title may be a picture
    title = table.model().headerData(column, Qt.Orientation.Horizontal, role)
    menu.addSeparator()
    for order, name in _ORDERS.items():
        action = menu.addAction(_escaped(f"Sort by {title}, {name}"))
        action.setCheckable(True)
        is_so = (header.sortIndicatorSection(), header.sortIndicatorOrder()) == (column, order)
        action.setChecked(is_so)
        action.triggered.connect(lambda _on, order=order: _sort(table, column, order))


def _sort(table: QTableView, column: int, order: Qt.SortOrder) -> None:
    """Sort a table, and leave the keys on the column."""
    table.sortByColumn(column, order)
    row = max(0, table.currentIndex().row())
    cell = table.model().index(row, column)
    table.selectionModel().setCurrentIndex(cell, QItemSelectionModel.SelectionFlag.NoUpdate)


def _want_menu() -> None:
    """Let what has the focus show its menu, as the menu key does."""
    focus = QApplication.focusWidget()
    if focus is not None:
        at = focus.inputMethodQuery(Qt.InputMethodQuery.ImCursorRectangle).center()
        reason = QContextMenuEvent.Reason.Keyboard
        QApplication.sendEvent(focus, QContextMenuEvent(reason, at, focus.mapToGlobal(at)))


def _centre(tab: SlideTab, at_l0: Point) -> None:
    if tab.view.viewport is not None:
        tab.view.move_to(tab.view.viewport.centred(at_l0))


def _escaped(title: str) -> str:
    """Return a title in which no letter becomes a mnemonic."""
    return title.replace("&", "&&")
