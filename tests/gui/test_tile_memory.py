"""How much memory tiles may take is a matter of the screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tilescope_desktop.app import TILE_BYTES

_PROGRAM = """
import sys
from pathlib import Path
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from tilescope.io.cache import shared_cache
from tilescope_desktop.app import make_window
app = QApplication([])
window = make_window(folder=Path(sys.argv[1]))
screen = QGuiApplication.primaryScreen()
pixels = screen.size().width() * screen.size().height() * screen.devicePixelRatio() ** 2
budget = sum(cache.use.max_bytes for cache in (window.tiles.pictures, shared_cache()))
print(int(pixels), budget)
window.close()
"""


def budget(folder: Path, width: int, height: int) -> int:
    """Return what tiles may take where the screen is so large."""
    screen = {"name": "S", "x": 0, "y": 0, "width": width, "height": height, "dpr": 1}
    config = folder / "screens.json"
    config.write_text(json.dumps({"screens": [{**screen, "logicalDpi": 96, "logicalBaseDpi": 96}]}))
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(folder / "data")],
        env={**os.environ, "QT_QPA_PLATFORM": f"offscreen:configfile={config}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    pixels, found = map(int, run.stdout.split())
    assert pixels == width * height
    return found


def test_a_large_screen_has_more(tmp_path: Path) -> None:
    assert budget(tmp_path, 1024, 768) == TILE_BYTES
    assert budget(tmp_path, 2560, 1440) == 20 * 4 * 2560 * 1440


def test_a_huge_screen_has_not_all(tmp_path: Path) -> None:
    assert budget(tmp_path, 5120, 2880) == 512 << 20
