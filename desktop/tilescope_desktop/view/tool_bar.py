"""The tools as a bar of pictures."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QAction, QActionGroup, QPalette
from PySide6.QtWidgets import QToolBar

from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.tools.tool import Tool
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.menus import plain
from tilescope_desktop.view.panels import MENU as PANEL_MENU
from tilescope_desktop.view.tool_bench import ToolBench
from tilescope_desktop.view.tool_icons import tool_icon

_ICON_PX = 22


class ToolBar(QToolBar):
    """One button per tool, in the colours of the theme."""

    def __init__(self, window: MainWindow, bench: ToolBench) -> None:
        super().__init__("Tools", window)
        self.setObjectName("bar-tools")
        self.setAccessibleName("Tools")
        self.setIconSize(QSize(_ICON_PX, _ICON_PX))
        self.setMovable(False)
        self._tools: dict[str, QAction] = {}
        self._window = window
        self._group = QActionGroup(self)
        for tool in bench.tools:
            self.add(tool)
        window.addToolBar(Qt.ToolBarArea.LeftToolBarArea, self)
        window.add_commands([self._command()])
        self.toggleViewAction().toggled.connect(lambda _is_shown: window.panels.seen.emit())
        bench.tool_changed.connect(lambda _tool: window.refresh_commands())
        window.keys_changed.connect(self._show_keys)
        self._draw()

    def _command(self) -> Command:
        return Command(
            "panel.tools",
            "Tool bar",
            PANEL_MENU,
            self.toggleViewAction().trigger,
            is_checked=self.toggleViewAction().isChecked,
        )

    def add(self, tool: Tool) -> None:
        """Show a button for a tool whose command the window has."""
        action = self._window.findChild(QAction, f"tool.{tool.id}")
        if isinstance(action, QAction):
            self._group.addAction(action)
            self.addAction(action)
            self._tools[tool.id] = action
            self._draw()
            self._show_keys()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Draw the pictures anew in other colours; called by Qt."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._draw()
        super().changeEvent(event)

    def _show_keys(self) -> None:
        for action in self._tools.values():
            keys = self._window.keys.get(action.objectName())
            title = plain(action)
            action.setToolTip(f"{title} ({keys})" if keys else title)

    def _draw(self) -> None:
        color = self.palette().color(QPalette.ColorRole.ButtonText)
        for tool_id, action in self._tools.items():
            action.setIcon(tool_icon(tool_id, color))
