"""Puts the window together from its parts and starts it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtWidgets import QApplication

from tilescope.io.cache import TileCache, shared_cache
from tilescope_desktop.bridge.tiles import TileService
from tilescope_desktop.bridge.work import Work
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.theme import Theme, apply_theme
from tilescope_desktop.view.view_commands import file_commands, view_commands

#: What the window may hold in tiles by default, half of it as pictures.
TILE_BYTES = 224 << 20


def make_window(tile_bytes: int = TILE_BYTES) -> MainWindow:
    """Return a window with everything in it; the application has to exist."""
    raw = shared_cache()
    raw.resize(tile_bytes // 4)
    tiles = TileService(TileCache(tile_bytes - tile_bytes // 4), raw)
    window = MainWindow(tiles, raw, Work())

    def open_paths(names: Sequence[str | Path]) -> None:
        for name in names:
            window.open_slide(Path(name))

    window.add_commands(file_commands(window, open_paths))
    window.add_commands(view_commands(window))
    window.dropped.connect(open_paths)
    return window


def run(paths: Sequence[Path]) -> int:
    """Show the window with some slides until it is closed; return the exit code."""
    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    app.setApplicationName("Tilescope")
    apply_theme(app, Theme.SYSTEM)
    window = make_window()
    window.show()
    for path in paths:
        window.open_slide(path)
    return app.exec()
