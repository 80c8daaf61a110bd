"""Drawing on slides, put together: annotations, tools, panels and commands of one window."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QDockWidget, QMenu

from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.object_pictures import ObjectPictures
from tilescope_desktop.model.dropped import Over
from tilescope_desktop.model.tools.tool import Tool
from tilescope_desktop.view.annotation_commands import (
    edit_commands,
    object_commands,
    tool_command,
    tool_commands,
)
from tilescope_desktop.view.class_panel import ClassPanel
from tilescope_desktop.view.exchange_commands import ObjectExchange, exchange_commands
from tilescope_desktop.view.file_opener import FileOpener
from tilescope_desktop.view.hierarchy_panel import HierarchyPanel
from tilescope_desktop.view.key_pointing import KeyPointing
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.object_menus import ObjectMenus
from tilescope_desktop.view.object_panel import ObjectPanel
from tilescope_desktop.view.pixel_sizes import PixelSizes
from tilescope_desktop.view.project_commands import ProjectDesktop, project_commands
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.tile_faults import TileFaults
from tilescope_desktop.view.tool_bar import ToolBar
from tilescope_desktop.view.tool_bench import ToolBench


class Annotating(QObject):
    """Everything of a window that concerns objects.

    Tools of others come in by ``add_tool``, files of other kinds by ``opener``.

    Parameters
    ----------
    folder
        Where projects go that nobody made; the user's data folder by default.
    """

    def __init__(self, window: MainWindow, folder: Path | None = None) -> None:
        super().__init__(window)
        self.annotations = Annotations(folder, self)
        self.pictures = ObjectPictures(self.annotations.desk, self)
        self.bench = ToolBench(lambda: window.tab, self.annotations, self.pictures, self)
        self.notices = window.notices
        self.opener = FileOpener(
            self._show_slide,
            window.show_error,
            self,
        )
        self.desktop = ProjectDesktop(
            window, self.annotations, self.bench, self.opener, self.notices
        )
        self.pictures.failed.connect(self.desktop.tell_failure)
        self.exchange = ObjectExchange(window, self.annotations, self.bench, self.notices)
        self.opener.handle_projects(self.desktop.open, self.desktop.slides_of)
        self.opener.handle_objects(self.exchange.take_objects)
        self._window = window
        window.tab_opened.connect(self.bench.adopt)
        window.tab_closed.connect(self.bench.release)
        self.pixel_sizes = PixelSizes(window, self.annotations, self.bench)
        self.tile_faults = TileFaults(window)
        window.tab_changed.connect(self._show_tab)
        window.closed.connect(self.close)
        window.dropped.connect(self.opener.open)
        self._add_commands()
        self.classes = ClassPanel(self.annotations, lambda: self.bench.front_slide)
        self.classes.key_of = lambda key: window.keys.get(f"objects.class-{key}", "")
        window.keys_changed.connect(self.classes.refresh)
        self.objects = ObjectPanel(self.bench, self.annotations, lambda: window.tab, window.work)
        classes = window.add_panel("Classes", self.classes)
        channels = window.findChild(QDockWidget, "dock-channels")
        if isinstance(channels, QDockWidget):
            window.tabifyDockWidget(channels, classes)
        classes.raise_()
        window.add_panel("Objects", self.objects, Qt.DockWidgetArea.BottomDockWidgetArea).hide()
        self.hierarchy = HierarchyPanel(
            self.bench, self.annotations, lambda: window.tab, window.work
        )
        tree = window.add_panel("Hierarchy", self.hierarchy)
        window.tabifyDockWidget(classes, tree)
        classes.raise_()
        self.bar = ToolBar(window, self.bench)
        self.menus = ObjectMenus(window, self.bench, self.annotations)
        self.menus.serve(self.objects.table)
        self.menus.serve(self.hierarchy.tree)
        window.tab_opened.connect(self.menus.watch)
        window.add_commands([self.menus.command()])

    def add_tool(self, tool: Tool, shortcut: str = "") -> None:
        """Offer one more tool, in menu, palette and tool bar."""
        self.bench.add_tool(tool)
        self._window.add_commands([tool_command(self.bench, tool, shortcut)])
        self.bar.add(tool)

    def close(self) -> None:
        """End all threads; every edit is finished first."""
        self.pictures.close()
        self.annotations.close()

    def _add_commands(self) -> None:
        window, desktop = self._window, self.desktop
        by_keys = KeyPointing(window, self.bench)

        def cancel() -> None:
            if not self.exchange.cancel() and not by_keys.cancel():
                self.bench.cancel()

        window.add_commands(project_commands(desktop))
        window.add_commands(exchange_commands(self.exchange))
        recent = QMenu("Recent", window)
        recent.aboutToShow.connect(lambda: desktop.fill_recent(recent))
        window.menu("File").addMenu(recent)
        window.add_commands(edit_commands(self.bench, self.annotations))
        window.add_commands(tool_commands(self.bench, cancel))
        window.add_commands(by_keys.commands())
        window.add_commands(object_commands(self.annotations))
        self.annotations.refreshed.connect(window.refresh_commands)
        self.annotations.selection_changed.connect(window.refresh_commands)
        self.bench.pending_changed.connect(window.refresh_commands)

    def _show_slide(self, path: Path, over: Over) -> None:
        self.desktop.show_slide(path, over)

    def _show_tab(self, tab: SlideTab | None) -> None:
        self.bench.forget()
        slides, in_sight = self.bench.slides, self._window.tabs.in_sight
        self.annotations.keep_in_sight([slides[one] for one in in_sight if one in slides])
        self.classes.refresh()
        self.objects.turn_to_front()
        self.hierarchy.turn_to_front()
        if tab is not None:
            for moved in (tab.view.viewport_changed, tab.planes.moved):
                moved.connect(self._follow_view, Qt.ConnectionType.UniqueConnection)

    def _follow_view(self, _place: object) -> None:
        self.objects.follow_view()
