"""Pictures of the window in many states and both themes: ``python tests/gui/pictures.py OUT``.

Real windows without a screen, over the sample slides; look at what comes out.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).resolve().parents[2]))

import pytest
from PySide6.QtCore import QEvent, QEventLoop, QPoint, Qt
from PySide6.QtGui import QAction, QPixmap
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QDockWidget, QLineEdit, QWidget
from tests.gui.map_models import filled_store

from tilescope.domain.geometry import Point
from tilescope.plugins.model_store import FOLDER_VARIABLE
from tilescope_desktop.app import annotating, clicking, make_window, run_bench
from tilescope_desktop.model.run_settings import Extent, RunChoice
from tilescope_desktop.view.comparing import compare_with_itself
from tilescope_desktop.view.keys_dialog import KeyButton, KeysDialog
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.object_overlay import ObjectOverlay
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.theme import Theme, apply_theme

_SAMPLES = Path(__file__).resolve().parents[2] / "engine" / "tilescope" / "samples"
HES = _SAMPLES / "CMU-1-Small-Region.svs"
CELLS = _SAMPLES / "fluorescence-nuclei.png"
_PATIENCE_S = 120.0


class Scene:
    """A window, and what is done with it before its picture is taken."""

    def __init__(self, app: QApplication, window: MainWindow) -> None:
        self.app = app
        self.window = window

    def until(self, is_so: Callable[[], bool]) -> None:
        """Let the window work until something is so."""
        limit = time.perf_counter() + _PATIENCE_S
        while not is_so():
            self.app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 10)
            if time.perf_counter() > limit:
                raise TimeoutError("the window did not get there")

    def open(self, path: Path) -> SlideTab:
        """Open a slide and wait until it is sharp."""
        count = self.window.tabs.count()
        self.window.open_slide(path)
        self.until(lambda: self.window.tabs.count() > count)
        self.settle()
        tab = self.window.tab
        assert tab is not None
        return tab

    def settle(self) -> None:
        """Wait until nothing goes on and everything is sharp."""
        window = self.window
        self.until(lambda: not window.work.jobs and all(t.view.is_sharp for t in window.all_tabs))
        self.until(lambda: clicking(window).desk.is_idle)
        self.until(lambda: annotating(window).annotations.desk.is_idle)
        for _ in range(20):
            self.app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 10)

    def go(self, x: float, y: float, l0_per_px: float) -> None:
        """Show a place of the slide in front."""
        tab = self.window.tab
        assert tab is not None
        assert tab.view.viewport is not None
        tab.view.move_to(replace(tab.view.viewport, centre_l0=Point(x, y), l0_per_px=l0_per_px))
        self.settle()

    def do(self, command: str) -> None:
        """Do a command by its id."""
        action = self.window.findChild(QAction, command)
        assert isinstance(action, QAction), command
        action.trigger()
        self.app.processEvents()

    def drag(self, *points: tuple[int, int]) -> None:
        """Press at the first point of the view in front, move along the others, release."""
        tab = self.window.tab
        assert tab is not None
        places = [QPoint(*point) for point in points]
        QTest.mousePress(tab.view, Qt.MouseButton.LeftButton, pos=places[0])
        for place in places[1:]:
            QTest.mouseMove(tab.view, place)
        QTest.mouseRelease(tab.view, Qt.MouseButton.LeftButton, pos=places[-1])
        self.settle()


def empty(_scene: Scene) -> None:
    """Nothing is open."""


def whole_slide(scene: Scene) -> None:
    """A slide as it opens."""
    scene.open(HES)


def close_up(scene: Scene) -> None:
    """Cells at twice their size."""
    scene.open(HES)
    scene.go(1180, 860, 0.5)


def turned(scene: Scene) -> None:
    """Turned and flipped."""
    scene.open(HES)
    scene.go(1100, 1200, 1.4)
    for command in ("view.turn", "view.turn", "view.flip"):
        scene.do(command)
    scene.settle()


def fluorescence(scene: Scene) -> None:
    """Fluorescence with its window."""
    scene.open(CELLS)


def commands(scene: Scene) -> None:
    """The command palette with something typed."""
    scene.open(HES)
    scene.do("view.palette")
    palette = scene.window.findChild(QDialog)
    assert isinstance(palette, QDialog)
    line = palette.findChild(QLineEdit)
    assert isinstance(line, QLineEdit)
    QTest.keyClicks(line, "zoom")


def pictures(scene: Scene) -> None:
    """Label and macro."""
    scene.open(HES)
    scene.do("view.pictures")
    scene.until(lambda: scene.window.findChild(QDialog) is not None)


def drawn(scene: Scene) -> None:
    """Shapes of several kinds."""
    scene.open(HES)
    scene.go(1100, 1300, 1.2)
    scene.do("tool.rectangle")
    scene.drag((150, 120), (330, 260))
    scene.do("tool.ellipse")
    scene.drag((380, 150), (560, 330))
    scene.do("tool.freehand")
    scene.drag((200, 420), (260, 380), (360, 400), (380, 500), (280, 560), (210, 500))


#: Objects that are in sight while a model runs.
_SEEN = 150


def running(scene: Scene) -> None:
    """A model at work, its objects coming in."""
    tab = scene.open(HES)
    scene.go(1100, 1000, 0.9)
    bench = run_bench(scene.window)
    bench.start(RunChoice("nuclei-unet", Extent.SLIDE, 1 << 30))
    overlay = annotating(scene.window).bench.overlays[tab]
    scene.until(lambda: _seen(overlay) > _SEEN or not bench.runs.active)


def _seen(overlay: ObjectOverlay) -> int:
    picture = overlay.picture
    return 0 if picture is None else picture.count or 0


def found(scene: Scene) -> None:
    """What a model found, in the project."""
    scene.open(HES)
    scene.go(1100, 1000, 0.6)
    bench = run_bench(scene.window)
    bench.start(RunChoice("nuclei-unet", Extent.VIEW, 1 << 30))
    scene.until(lambda: not bench.runs.active)
    _raise(annotating(scene.window).classes)
    scene.settle()


def _raise(panel: QWidget) -> None:
    """Bring the panel to the front of those that share a place."""
    dock = panel.parentWidget()
    assert isinstance(dock, QDockWidget)
    dock.raise_()


def class_map(scene: Scene) -> None:
    """A class map of a model, with its legend."""
    scene.open(HES)
    scene.go(1110, 1300, 1.6)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(filled_store(Path(folder))))
        bench = run_bench(scene.window)
        bench.refresh_models()
        bench.start(RunChoice("brightness", Extent.SLIDE, 1 << 30, provider="cpu"))
        (overlay,) = bench.maps.shown
        scene.until(lambda: not bench.runs.active)
        scene.settle()
        scene.until(lambda: overlay.is_current)
    _raise(bench.maps.panel)


#: Where nuclei lie in the view of :func:`clicked`.
_NUCLEI = (
    *((350, 416), (366, 489), (399, 674), (609, 552), (677, 509)),
    *((395, 296), (491, 459), (589, 379), (678, 413), (315, 445)),
)


def clicked(scene: Scene) -> None:
    """Nuclei, each outlined by one click."""
    tab = scene.open(HES)
    scene.go(1180, 860, 0.35)
    scene.do("tool.click")
    scene.settle()
    for x, y in _NUCLEI:
        QTest.mouseClick(tab.view, Qt.MouseButton.LeftButton, pos=QPoint(x, y))
        scene.settle()


def side_by_side(scene: Scene) -> None:
    """One slide beside itself, linked, with objects on both."""
    tab = scene.open(HES)
    compare_with_itself(scene.window, tab)
    scene.until(lambda: scene.window.tabs.pair is not None)
    scene.settle()
    scene.go(1150, 1250, 1.0)
    scene.do("tool.ellipse")
    scene.drag((60, 150), (250, 330))
    scene.do("tool.move")
    QTest.mouseMove(tab.view, QPoint(300, 400))
    scene.settle()


def two_slides(scene: Scene) -> None:
    """Two slides, each in its own way."""
    scene.open(CELLS)
    tab = scene.open(HES)
    scene.window.tabs.put_beside(tab, scene.window.all_tabs[0])
    scene.settle()
    scene.do("compare.linked")
    scene.go(1150, 1250, 0.8)


def keys(scene: Scene) -> None:
    """All keys, and one that is taken."""
    scene.open(HES)
    scene.do("edit.keys")
    dialog = scene.window.findChild(QDialog)
    assert isinstance(dialog, KeysDialog)
    line = dialog.findChild(QLineEdit)
    assert isinstance(line, QLineEdit)
    QTest.keyClicks(line, "tools")
    scene.settle()
    change = dialog.findChild(KeyButton)
    assert isinstance(change, KeyButton)
    change.click()
    QTest.keyClick(change, Qt.Key.Key_K)


STATES = (
    empty, whole_slide, close_up, turned, fluorescence,
    commands, pictures, drawn, running, found,
    class_map, clicked, side_by_side, two_slides, keys,
)  # fmt: skip


@contextmanager
def scene_in(app: QApplication, theme: Theme, folder: Path) -> Iterator[Scene]:
    """Provide a fresh window in a theme, its projects in a folder of their own."""
    os.environ["TILESCOPE_DATA"] = str(folder)
    apply_theme(app, theme)
    window = make_window()
    window.show()
    window.resize(1280, 860)  # the screen that is none is smaller
    scene = Scene(app, window)
    scene.settle()
    try:
        yield scene
    finally:
        for dialog in window.findChildren(QDialog):
            dialog.close()
        run_bench(scene.window).cancel()
        scene.until(lambda: not run_bench(scene.window).runs.active)
        window.close()
        window.deleteLater()


def main() -> int:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the pictures")
    names = [state.__name__ for state in STATES]
    parser.add_argument("--only", choices=names, nargs="+", default=names)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    app = QApplication(sys.argv[:1])
    for theme in (Theme.LIGHT, Theme.DARK):
        for number, state in enumerate(STATES, 1):
            if state.__name__ not in options.only:
                continue
            with tempfile.TemporaryDirectory() as folder, scene_in(app, theme, Path(folder)) as s:
                state(s)
                path = options.out / f"{number:02d}-{state.__name__.replace('_', '-')}-{theme}.png"
                _take(s.window).save(str(path))
                print(path, flush=True)
    return 0


def _take(window: MainWindow) -> QPixmap:
    """Return the window with the dialog that is open in front of it."""
    QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)  # of new words
    picture = window.grab()
    for dialog in window.findChildren(QDialog):
        if dialog.isVisible():
            from PySide6.QtGui import QPainter

            painter = QPainter(picture)
            place = QPoint(
                (picture.width() - dialog.width()) // 2, (picture.height() - dialog.height()) // 3
            )
            painter.drawPixmap(place, dialog.grab())
            painter.end()
    return picture


if __name__ == "__main__":
    sys.exit(main())
