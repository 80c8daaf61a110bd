"""The panels around the slides: shown and hidden by commands, walked through by keys."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QApplication, QDockWidget, QMainWindow, QWidget

from tilescope_desktop.model.commands import Command
from tilescope_desktop.view.panel_keys import PanelKeys

MENU = "View/Panels"


class Panels(QObject):
    """Every panel of a window.

    ``seen`` tells that other panels can be seen now.

    Parameters
    ----------
    leave
        Puts the focus back on the slide.
    """

    seen = Signal()

    def __init__(self, window: QMainWindow, leave: Callable[[], None]) -> None:
        super().__init__(window)
        self.keys = PanelKeys(self)
        self._window = window
        self._leave = leave
        self._docks: list[QDockWidget] = []
        self._put_away: list[tuple[QDockWidget, bool]] = []
        # What is below the slide is as wide as the slide: both sides keep their whole height.
        for corner, area in (
            (Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea),
            (Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea),
        ):
            window.setCorner(corner, area)

    def add(self, title: str, panel: QWidget, area: Qt.DockWidgetArea) -> QDockWidget:
        """Put a panel at a side of the window."""
        dock = QDockWidget(title, self._window)
        dock.setObjectName(f"dock-{title.casefold()}")
        dock.setWidget(panel)
        self._window.addDockWidget(area, dock)
        self._docks.append(dock)
        self.keys.watch(panel)
        dock.visibilityChanged.connect(lambda _is_visible: self.seen.emit())
        return dock

    def command(self, dock: QDockWidget, shortcut: str) -> Command:
        """Return the command that shows a panel and goes there, or hides it."""
        return Command(
            f"panel.{dock.windowTitle().casefold()}",
            f"{dock.windowTitle()} panel",
            MENU,
            lambda: self.toggle(dock),
            shortcut,
            is_checked=lambda: is_seen(dock),
        )

    def all_command(self) -> Command:
        """Return the command that hides all panels and brings them back."""
        return Command(
            "panel.all",
            "All panels",
            MENU,
            self.toggle_all,
            "Shift+A",
            is_checked=lambda: any(not dock.isHidden() for dock in self._docks),
        )

    def toggle(self, dock: QDockWidget) -> None:
        """Hide a panel that can be seen; else show it and put the focus there."""
        if is_seen(dock):
            self._hide(dock)
            return
        dock.show()
        dock.raise_()
        first = _first_control(dock.widget())
        if first is not None:
            first.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def toggle_all(self) -> None:
        """Hide every panel, or show those again that were there before."""
        shown = [dock for dock in self._docks if not dock.isHidden()]
        if shown:
            self._put_away = [(dock, is_seen(dock)) for dock in shown]
            for dock in shown:
                self._hide(dock)
            return
        back = self._put_away or [(dock, False) for dock in self._docks]
        for dock, _ in back:
            dock.show()
        for dock, was_seen in back:
            if was_seen:
                dock.raise_()

    def _hide(self, dock: QDockWidget) -> None:
        focused = QApplication.focusWidget()
        had_focus = focused is not None and dock.isAncestorOf(focused)
        dock.hide()
        if had_focus:
            self._leave()


def is_seen(dock: QDockWidget) -> bool:
    """Tell whether a panel is shown and in front of those it shares its place with."""
    return dock.isVisible() and not dock.visibleRegion().isEmpty()


def _first_control(panel: QWidget) -> QWidget | None:
    """Return what Tab comes to first in a panel."""
    widget = panel.nextInFocusChain()
    while widget is not None and widget is not panel:
        takes_tab = widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isEnabled()
        if takes_tab and panel.isAncestorOf(widget) and widget.isVisibleTo(panel):
            return widget
        widget = widget.nextInFocusChain()
    return None
