"""The window: slides in tabs, panels around them, everything by menu, key and palette."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QChildEvent, QEvent, QSize, Qt, QUrl, Signal
from PySide6.QtGui import (
    QAction,
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QKeySequence,
)
from PySide6.QtWidgets import (
    QDockWidget,
    QLabel,
    QMainWindow,
    QMenu,
    QStackedWidget,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from tilescope.errors import SlideError, TilescopeError
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.io.source import SlideSource
from tilescope.jobs.project_slides import lasting_identity
from tilescope.ops.compose import ChannelStyle
from tilescope_desktop.bridge.tiles import TileService
from tilescope_desktop.bridge.work import Work
from tilescope_desktop.model.commands import Command, standing
from tilescope_desktop.model.keymap import Keymap
from tilescope_desktop.model.notices import subject, words_of
from tilescope_desktop.model.styles import default_styles
from tilescope_desktop.view.channel_panel import ChannelPanel
from tilescope_desktop.view.command_palette import CommandPalette
from tilescope_desktop.view.menus import Menus
from tilescope_desktop.view.notice_bar import NoticeBar
from tilescope_desktop.view.panels import Panels
from tilescope_desktop.view.pixel_size_dialog import ask_pixel_size
from tilescope_desktop.view.plane_bar import first_plane
from tilescope_desktop.view.slide_pages import SlidePages
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.status import Status
from tilescope_desktop.view.value_counts import ValueCounts, sample_of


@dataclass(frozen=True, slots=True)
class _Opened:
    """A slide as a worker hands it over; ``identity`` is what projects know it by."""

    source: SlideSource
    styles: tuple[ChannelStyle, ...]
    identity: str | None


class MainWindow(QMainWindow):
    """The application's window.

    Parameters
    ----------
    tiles
        Pictures and their workers; the window closes them.
    raw
        Cache of decoded tiles that slides are opened with.
    work
        Runs what takes longer than a frame; the window closes it.
    """

    tab_changed = Signal(object)
    tab_opened = Signal(object)
    tab_closed = Signal(object)
    closing = Signal()
    closed = Signal()
    dropped = Signal(list)
    keys_changed = Signal()
    pixel_size_entered = Signal(object, object)

    def __init__(self, tiles: TileService, raw: TileCache, work: Work) -> None:
        super().__init__()
        self.setWindowTitle("Tilescope")
        self.resize(QSize(1280, 860).boundedTo(self.screen().availableSize()))
        self.setAcceptDrops(True)
        self.work = work
        self.tiles = tiles
        self.commands: list[Command] = []
        self.keymap = Keymap()
        self.keys: dict[str, str] = {}
        self.more_keys: dict[str, tuple[str, ...]] = {}
        self._raw = raw
        self.menus = Menus(self.menuBar())
        self._actions: dict[str, QAction] = {}
        self._broken: dict[str, TilescopeError] = {}
        self._first: dict[SlideTab, tuple[ChannelStyle, ...]] = {}
        self._styled: SlideTab | None = None
        self._closers: list[Callable[[], bool]] = []
        self.tabs = SlidePages()
        self.tabs.front_changed.connect(self._tab_changed)
        self.tabs.link_changed.connect(self.refresh_commands)
        self.tabs.close_wanted.connect(self.close_tab)
        self._welcome = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self._centre = QStackedWidget()
        self._centre.addWidget(self._welcome)
        self._centre.addWidget(self.tabs)
        self.notices = NoticeBar()
        self.notices.left.connect(self._focus_slide)
        self.setCentralWidget(_stacked(self.notices, self._centre))
        for title in ("File", "Edit", "Tools", "Objects", "View"):
            self.menu(title)
        self.panels = Panels(self, self._focus_slide)
        self.panels.seen.connect(self._show_checked)
        self.panels.keys.watch(self.tabs.tabBar())
        self.add_commands([self.panels.all_command()])
        self.status = Status((tiles.pictures, raw))
        self.status.pixel_size_clicked.connect(self.ask_pixel_size)
        self.setStatusBar(self.status)
        self.channels = ChannelPanel()
        self.counts = ValueCounts(raw, work, self)
        self._add_channels()
        self._tab_changed()

    # -- slides -----------------------------------------------------------------------------------

    @property
    def tab(self) -> SlideTab | None:
        """The slide in front."""
        return self.tabs.front

    @property
    def all_tabs(self) -> list[SlideTab]:
        """Every open slide, from left to right."""
        return self.tabs.slides

    def open_slide(
        self,
        path: Path,
        then: Callable[[SlideTab], None] | None = None,
        on_failed: Callable[[], None] = lambda: None,
    ) -> None:
        """Open a slide in a tab; the window stays usable meanwhile and says when it fails."""
        going = self.status.begin(f"Opening {path.name}…")

        def done(opened: _Opened) -> None:
            self.status.end(going)
            self.notices.settle(path)
            tab = self._add_tab(path, opened)
            if then is not None:
                then(tab)

        def fail(error: BaseException) -> None:
            self.status.end(going)
            self.notices.fail(_told(error), subject(path), "open")
            on_failed()

        self.work.start(
            "open",
            lambda _token, _report: self._read_slide(path),
            done,
            fail,
            discard=lambda opened: opened.source.close(),
        )

    def close_tab(self, tab: SlideTab) -> None:
        """Close one slide."""
        self._first.pop(tab, None)
        self.counts.forget(tab)
        self.tabs.take(tab)
        self.tab_closed.emit(tab)
        tab.close_slide()
        tab.deleteLater()

    def ask_pixel_size(self, tab: SlideTab | None = None) -> None:
        """Let the user say how large a pixel of a slide is, by default of that in front."""
        tab = tab or self.tab
        if tab is None or tab not in self.all_tabs:
            return
        if ask_pixel_size(tab, self):
            self.status.show_view()
            self.pixel_size_entered.emit(tab, tab.um_override)

    # -- what is around them ----------------------------------------------------------------------

    def add_panel(
        self,
        title: str,
        panel: QWidget,
        area: Qt.DockWidgetArea = Qt.DockWidgetArea.RightDockWidgetArea,
        shortcut: str = "",
    ) -> QDockWidget:
        """Put a panel at a side of the window; a command shows and hides it."""
        dock = self.panels.add(title, panel, area)
        self.add_commands([self.panels.command(dock, shortcut)])
        return dock

    def add_commands(self, commands: Sequence[Command]) -> None:
        """Offer commands in their menus, by their keys and in the palette."""
        for command in commands:
            action = QAction(command.title, self)
            action.setObjectName(command.id)
            action.setCheckable(command.is_checked is not None)
            action.triggered.connect(lambda _checked=False, command=command: self.do(command))
            self.addAction(action)
            self._actions[command.id] = action
            if command.menu:
                self.menu(command.menu).addAction(action)
        self.commands.extend(commands)
        self.apply_keymap(self.keymap)
        self.refresh_commands()

    def apply_keymap(self, keymap: Keymap) -> None:
        """Have commands done by other keys from now on."""
        self.keymap = keymap
        self.keys = keymap.keys(self.commands)
        self.more_keys = keymap.more_keys(self.commands)
        for name, keys in self.keys.items():
            every = [one for one in (keys, *self.more_keys.get(name, ())) if one]
            self._actions[name].setShortcuts([QKeySequence(one) for one in every])
        self._welcome.setText(self._welcome_text())
        self.keys_changed.emit()

    def do(self, command: Command) -> None:
        """Do a command if it can be done now, and tell what went wrong."""
        try:
            if standing(command).is_enabled:
                command.run()
        except TilescopeError as error:
            self.show_error(error)
        except Exception as error:  # noqa: BLE001 - of a command or a plugin; the window stays
            self.show_error(error)
            sys.excepthook(type(error), error, error.__traceback__)
        self.refresh_commands()

    def refresh_commands(self) -> None:
        """Show which commands can be done now."""
        for command in self.commands:
            self._show_command(command)

    def menu(self, title: str) -> QMenu:
        """Return a menu, made if there is none; ``View/Colours`` lies in ``View``."""
        return self.menus.menu(title)

    def show_palette(self) -> None:
        """Let the user type what to do."""
        CommandPalette(self.commands, self.do, self, keys=self.keys).open()

    def show_error(self, error: BaseException, about: Hashable = None) -> None:
        """Say what went wrong, once, where it does not stop the work and stays to be read.

        ``about`` settles it, as in ``NoticeBar.fail``.
        """
        self.notices.fail(_told(error), about)

    def before_closing(self, agree: Callable[[], bool]) -> None:
        """Have something asked before the window closes; False keeps it open."""
        self._closers.append(agree)

    # -- Qt's own ---------------------------------------------------------------------------------

    def childEvent(self, event: QChildEvent) -> None:  # noqa: N802 - Qt's name
        """Leave to the tabs of panels the keys that walk through them; called by Qt."""
        child = event.child()
        if event.type() == QEvent.Type.ChildPolished and isinstance(child, QTabBar):
            self.panels.keys.watch(child)
        super().childEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 - Qt's name
        """Stop all work and close all slides; called by Qt."""
        if not all(agree() for agree in self._closers):
            event.ignore()
            return
        self.closing.emit()
        self.work.close()
        for tab in self.all_tabs:
            self.close_tab(tab)
        self.closed.emit()
        self.tiles.close()
        super().closeEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802 - Qt's name
        """Take files; called by Qt."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802 - Qt's name
        """Open what was dropped; called by Qt."""
        urls = event.mimeData().urls()
        self.dropped.emit([_place(url) for url in urls])
        event.acceptProposedAction()

    # -- inside -----------------------------------------------------------------------------------

    def _add_channels(self) -> None:
        self.channels.restyled.connect(self._restyle)
        self.add_panel("Channels", self.channels, shortcut="Shift+C")
        self.counts.changed.connect(self._show_counts)
        self.counts.failed.connect(self._miss_counts)

    def _read_slide(self, path: Path) -> _Opened:
        source = open_slide(path, cache=self._raw)
        try:
            # Now, while the file is there: what is drawn later is kept even if it is not.
            identity = lasting_identity(path, source.info)
            # Colour is shown as it is: nothing of it has to be read before it is seen.
            sample = None
            if not source.info.is_rgb:
                sample = sample_of(source, self._raw, first_plane(source.info))
        except BaseException:
            source.close()
            raise
        return _Opened(source, default_styles(source.info, sample), identity)

    def _add_tab(self, path: Path, opened: _Opened) -> SlideTab:
        tab = SlideTab(path, opened.source, opened.styles, self.tiles)
        tab.identity = opened.identity
        self._first[tab] = opened.styles
        self.tab_opened.emit(tab)
        tab.view.viewport_changed.connect(lambda _viewport: self.status.show_view())
        tab.view.pointed.connect(lambda at_l0: self.status.show_place(at_l0, tab))
        self.panels.keys.watch(tab.planes)
        self.tabs.add(tab)
        tab.view.setFocus()
        self.counts.follow(tab)
        return tab

    def _show_counts(self, tab: SlideTab) -> None:
        if tab is self.tab:
            counts = self.counts
            self.channels.show_histograms(counts.of(tab), is_final=not counts.is_awaited(tab))

    def _miss_counts(self, tab: SlideTab, error: BaseException) -> None:
        if isinstance(error, SlideError):  # its tiles fail as well, and that is told once
            self.tiles.failed.emit(tab.pictures_id, error)
        else:
            self.show_error(error)

    def _tab_changed(self) -> None:
        tab = self.tab
        self._centre.setCurrentIndex(0 if tab is None else 1)
        self.status.follow(tab)
        self._show_channels()
        self.refresh_commands()
        self.tab_changed.emit(tab)

    def _show_channels(self) -> None:
        self.channels.tell_now()  # what was changed last is of the slide that was in front
        tab = self._styled = self.tab
        if tab is None or tab not in self._first:
            self.channels.show_styles((), (), (), ())
            return
        self.channels.show_styles(tab.source.info.bands, tab.styles, self._first[tab], ())
        self._show_counts(tab)

    def _restyle(self, styles: tuple[Any, ...]) -> None:
        if self._styled is not None and self._styled in self._first:
            self._styled.restyle(styles)

    def _welcome_text(self) -> str:
        open_keys = self.keys.get("file.open")
        said = f"Drop a slide here, or press {open_keys}." if open_keys else "Drop a slide here."
        palette = self.keys.get("view.palette")
        more = f"<p>{palette} lists everything that can be done.</p>" if palette else ""
        return f"<h2>Tilescope</h2><p>{said}</p>{more}"

    def _focus_slide(self) -> None:
        if self.tab is not None:
            self.tab.view.setFocus()

    def _show_checked(self) -> None:
        """Show which commands are switched on."""
        for command in self.commands:
            if command.is_checked is not None:
                self._show_command(command)

    def _show_command(self, command: Command) -> None:
        action, now = self._actions[command.id], standing(command)
        action.setEnabled(now.is_enabled)
        action.setChecked(now.is_checked)
        if now.fault is None:
            if command.id in self._broken:
                self.notices.settle(words_of(self._broken.pop(command.id)))
        elif command.id not in self._broken:
            self._tell_broken(command, now.fault)

    def _tell_broken(self, command: Command, fault: Exception) -> None:
        """Tell, once until it works again, why a command cannot say how it stands."""
        error = TilescopeError(
            f"{command.title.rstrip('…')} cannot be used: {words_of(_told(fault))}"
        )
        error.__cause__ = fault
        self._broken[command.id] = error
        self.show_error(error)
        if not isinstance(fault, TilescopeError):
            sys.excepthook(type(error), error, fault.__traceback__)


def _told(error: BaseException) -> BaseException:
    """Return an error that has a remedy: what nobody foresaw is to be reported."""
    if isinstance(error, TilescopeError | MemoryError) or getattr(error, "strerror", None):
        return error
    return TilescopeError(f"{words_of(error)}; please report it")


def _stacked(*widgets: QWidget) -> QWidget:
    """Return widgets one below the other; the last gets what is left."""
    column = QWidget()
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    for widget in widgets:
        layout.addWidget(widget)
    layout.setStretchFactor(widgets[-1], 1)
    return column


def _place(url: QUrl) -> Path | str:
    """Return what a dropped address names: a file, or the address as it is."""
    return Path(url.toLocalFile()) if url.isLocalFile() else url.toString()
