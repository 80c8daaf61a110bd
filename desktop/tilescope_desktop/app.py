"""Puts the window together from its parts and starts it."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QLocale, QObject, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from tilescope.io.cache import TileCache, shared_cache
from tilescope_desktop.bridge.libraries import load_libraries
from tilescope_desktop.bridge.tiles import TileService
from tilescope_desktop.bridge.work import Work
from tilescope_desktop.model.channel_presets import ChannelPresets
from tilescope_desktop.model.places import data_folder
from tilescope_desktop.model.settings import Settings
from tilescope_desktop.view.annotating import Annotating
from tilescope_desktop.view.clicking import Clicking
from tilescope_desktop.view.comparing import compare_commands
from tilescope_desktop.view.habit_commands import habit_commands
from tilescope_desktop.view.held_tool import HeldTool
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.map_bench import MAP_SUFFIXES
from tilescope_desktop.view.middle_commands import middle_commands
from tilescope_desktop.view.name_overlay import Names
from tilescope_desktop.view.preferences import Preferences
from tilescope_desktop.view.preset_bar import PresetBar
from tilescope_desktop.view.replaced_slides import ReplacedSlides
from tilescope_desktop.view.run_bench import RunBench
from tilescope_desktop.view.theme import Theme, apply_theme
from tilescope_desktop.view.view_commands import file_commands, view_commands

#: What the window may hold in tiles, three quarters of it as pictures: so many times what fills its
#: screen, within bounds.
_SCREENS = 20
TILE_BYTES, _MOST_TILE_BYTES = 160 << 20, 512 << 20
_SWITCH_S = 0.0005
#: With fewer cores, Qt's own threads for smooth scaling would wait behind those that decode.
_CORES_FOR_QT = 4


def make_window(tile_bytes: int | None = None, folder: Path | None = None) -> MainWindow:
    """Return a window with everything in it; the application has to exist.

    Parameters
    ----------
    tile_bytes
        What it may hold in tiles; by default `TILE_BYTES`, and more for a large screen.
    folder
        Where projects go that nobody made; the user's data folder by default.
    """
    # Numbers are shown and typed with a point, as files and manifests have them.
    QLocale.setDefault(QLocale.c())
    # A frame takes Python's lock many times; workers give it back ten times as soon as usual.
    sys.setswitchinterval(_SWITCH_S)
    if (os.cpu_count() or 1) < _CORES_FOR_QT:
        os.environ.setdefault("QT_NO_GUI_THREADPOOL", "1")
    tile_bytes = tile_bytes or _tile_bytes()
    raw = shared_cache()
    raw.resize(tile_bytes // 4)
    tiles = TileService(TileCache(tile_bytes - tile_bytes // 4), raw)
    window = MainWindow(tiles, raw, Work())
    window.add_commands(file_commands(window, window.dropped.emit))
    objects = Annotating(window, folder)
    models = RunBench(window, objects.bench, objects.annotations)
    objects.opener.handle_models(models.add_model)
    objects.opener.handle(MAP_SUFFIXES, models.maps.open)
    HeldTool(window, objects.bench)
    ReplacedSlides(window, objects.annotations, objects.bench)
    Names(window, objects.bench, objects.annotations, window.work)
    Clicking(window, objects)
    window.add_commands(habit_commands(window, objects.bench, objects.annotations))
    window.add_commands(middle_commands(window, objects.bench, objects.annotations))
    window.add_commands(view_commands(window))
    window.add_commands(compare_commands(window))
    Preferences(window, Settings(folder or data_folder()))
    PresetBar(window, ChannelPresets(folder or data_folder()))
    load_libraries(window.work)
    return window


def _tile_bytes() -> int:
    screen = QGuiApplication.primaryScreen()
    size, ratio = screen.size(), screen.devicePixelRatio()
    screen_bytes = round(4 * size.width() * size.height() * ratio**2)
    return min(max(TILE_BYTES, _SCREENS * screen_bytes), _MOST_TILE_BYTES)


def annotating(window: MainWindow) -> Annotating:
    """Return what of a window concerns objects."""
    found = window.findChild(Annotating)
    assert isinstance(found, Annotating)
    return found


def run_bench(window: MainWindow) -> RunBench:
    """Return what of a window concerns models."""
    found = window.findChild(RunBench)
    assert isinstance(found, RunBench)
    return found


def clicking(window: MainWindow) -> Clicking:
    """Return what of a window concerns clicks."""
    found = window.findChild(Clicking)
    assert isinstance(found, Clicking)
    return found


def run(paths: Sequence[Path]) -> int:
    """Show the window with some slides until it is closed; return the exit code."""
    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    app.setApplicationName("Tilescope")
    apply_theme(app, Theme.SYSTEM)
    window = make_window()
    window.show()
    if paths:
        window.dropped.emit(list(paths))
    else:
        annotating(window).desktop.offer_last()
    with faults_shown(window):
        code = app.exec()
    _end_stuck(window, code)
    return code


def _end_stuck(window: MainWindow, code: int) -> None:
    """End the process at once where threads are left that nothing ends, as of a broken plugin.

    Python would wait for them. All files are closed by now, and what was edited is on the disk.
    """
    if any(job.thread.is_alive() for job in window.work.stuck):
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, or none at all
                stream.flush()
        os._exit(code)


@contextmanager
def faults_shown(window: MainWindow) -> Iterator[None]:
    """Tell in the window what nobody catches, in Qt's slots and in any thread.

    Whoever took it before still gets it: without anybody else the traceback goes to stderr.
    """
    faults = _Faults()
    # Never at once: it may have happened on another thread, or while something was painted.
    faults.caught.connect(window.show_error, Qt.ConnectionType.QueuedConnection)
    hook, thread_hook = sys.excepthook, threading.excepthook

    def caught(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        hook(kind, error, trace)
        if isinstance(error, Exception):
            faults.caught.emit(error)

    def caught_in_thread(found: threading.ExceptHookArgs) -> None:
        thread_hook(found)
        if isinstance(found.exc_value, Exception):
            faults.caught.emit(found.exc_value)

    sys.excepthook, threading.excepthook = caught, caught_in_thread
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook = hook, thread_hook


class _Faults(QObject):
    """Brings what nobody caught to the window's thread."""

    caught = Signal(object)
