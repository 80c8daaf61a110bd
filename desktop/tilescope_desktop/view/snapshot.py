"""What the view shows, with its scale bar, as a file or on the clipboard."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QObject, QTimer
from PySide6.QtGui import QImage, QImageWriter, QPainter, QPixmap
from PySide6.QtWidgets import QApplication, QFileDialog

from tilescope.domain.counts import counted
from tilescope.errors import UsageError
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project, View
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.work import Report
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.object_wish import transform_of
from tilescope_desktop.model.scale_bar import bar_across
from tilescope_desktop.model.view_svg import object_groups, shown_in, view_svg
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.map_overlay import MapOverlay
from tilescope_desktop.view.scale_overlay import ROOM_PX
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.tool_bench import ToolBench

_FILES = "PNG (*.png);;SVG: picture, with outlines as lines (*.svg)"
_ENDINGS = (".png", ".svg")
#: More outlines than these are no drawing that anyone would edit, nor one that programs open.
_MOST_OUTLINES = 20_000
#: How long a picture waits for all of the view to be painted, and how often that is looked at.
_PATIENCE_S = 10.0
_LOOK_EVERY_MS = 30
_NOT_SHARP = "; parts of it were not sharp yet, take it again when they are"


class Snapshot(QObject):
    """Takes pictures of the view in front, when all that it shows is painted."""

    def __init__(self, window: MainWindow, bench: ToolBench, annotations: Annotations) -> None:
        super().__init__(window)
        self._window = window
        self._bench = bench
        self._annotations = annotations

    def choose(self) -> None:
        """Save what the view shows where the user wants it."""
        tab = self._window.tab
        if tab is None:
            return
        name, title = QFileDialog.getSaveFileName(
            self._window, "Save picture", f"{tab.path.stem}.png", _FILES
        )
        if name:
            path = Path(name)
            if path.suffix.casefold() not in _ENDINGS:
                path = path.with_name(path.name + (".svg" if "svg" in title else ".png"))
            self.save(path)

    def save(self, path: Path) -> None:
        """Save what the view shows, as the file's ending says."""
        is_drawing = path.suffix.casefold() == ".svg"
        keep = self._save_svg if is_drawing else self._save_png
        self._when_sharp(lambda tab, still: keep(tab, path, still))

    def copy(self) -> None:
        """Put what the view shows on the clipboard."""

        def put(tab: SlideTab, still: str) -> None:
            QApplication.clipboard().setPixmap(_painted(tab))
            self._say(f"Copied what the view shows{still}")

        self._when_sharp(put)

    # -- inside -----------------------------------------------------------------------------------

    def _when_sharp(self, take: Callable[[SlideTab, str], None]) -> None:
        """Take a picture of the slide in front when it is sharp, or has not become so for long.

        ``take`` gets the slide, and words on what is missing: none as a rule.
        """
        tab = self._window.tab
        if tab is None:
            return
        if self._is_sharp(tab):
            take(tab, "")
            return
        going = self._window.status.begin("Picture of the view: waiting until it is sharp…")
        until = time.monotonic() + _PATIENCE_S
        looks = QTimer(self, interval=_LOOK_EVERY_MS)

        def look() -> None:
            is_open = tab in self._window.all_tabs
            is_sharp = is_open and self._is_sharp(tab)
            if is_open and not is_sharp and time.monotonic() < until:
                return
            looks.stop()
            looks.deleteLater()
            self._window.status.end(going)
            if is_open:
                take(tab, "" if is_sharp else _NOT_SHARP)

        looks.timeout.connect(look)
        looks.start()

    def _is_sharp(self, tab: SlideTab) -> bool:
        objects = self._bench.overlays.get(tab)
        maps = (one for one in tab.view.overlays if isinstance(one, MapOverlay))
        return (
            tab.view.is_sharp
            and (objects is None or objects.is_current)
            and all(one.is_current for one in maps)
        )

    def _save_png(self, tab: SlideTab, path: Path, still: str) -> None:
        if _painted(tab).save(str(path), "PNG"):
            self._say(f"Saved {path.name}{still}")
        else:
            self._window.show_error(_unwritable(path))

    def _save_svg(self, tab: SlideTab, path: Path, still: str) -> None:
        viewport = tab.view.viewport
        if viewport is None:
            return
        image, look = _slide_picture(tab), self._look(tab)
        style, transform = self._annotations.style, transform_of(viewport, 1.0)
        bar = bar_across(viewport, tab.pixel_size, room_px=ROOM_PX)

        def run(_token: CancellationToken, _report: Report) -> int:
            found = look()
            shown = None if found is None else shown_in(found, style)
            drawn = object_groups(shown, transform, style) if shown is not None else ()
            size = viewport.width, viewport.height
            _write(path, "".join(view_svg(size, _png(image), drawn, bar)))
            return 0 if shown is None else len(shown)

        self._window.work.start(
            "picture",
            run,
            lambda count: self._say(
                f"Saved {path.name} with {counted(count, 'object')} as lines{still}"
            ),
            self._window.show_error,
        )

    def _look(self, tab: SlideTab) -> Callable[[], View | None]:
        """Return what finds the objects that the view shows; it runs in a worker."""
        desk, slide, viewport = (
            self._annotations.desk,
            self._bench.slides.get(tab),
            tab.view.viewport,
        )
        has_project = self._annotations.project is not None and not self._annotations.is_lent
        if slide is None or slide.number is None or viewport is None or not has_project:
            return lambda: None
        number, rect, (z, t) = slide.number, viewport.bounds_l0, slide.plane

        def ask(project: Project) -> View:
            return project.in_view(number, rect, _MOST_OUTLINES, z=z, t=t)

        def run() -> View:
            found = desk.wait(ask)
            if not found.is_complete:
                raise UsageError(
                    f"more than {_MOST_OUTLINES:,} objects are in view, too many for a drawing; "
                    "zoom in, or save a PNG"
                )
            return found

        return run

    def _say(self, text: str) -> None:
        self._window.status.showMessage(text, 8000)


def picture_commands(snapshot: Snapshot, has_slide: Callable[[], bool]) -> list[Command]:
    """Return the commands that take pictures."""
    return [
        Command(
            "project.save-picture",
            "Save picture of the view…",
            "File",
            snapshot.choose,
            "Ctrl+Alt+P",
            has_slide,
        ),
        Command(
            "project.copy-picture",
            "Copy picture of the view",
            "File",
            snapshot.copy,
            "Ctrl+C",
            has_slide,
        ),
    ]


def _painted(tab: SlideTab) -> QPixmap:
    """Return everything that the view shows, and the scale bar even where it is hidden."""
    was_visible, tab.scale.is_visible = tab.scale.is_visible, True
    try:
        return tab.view.grab()
    finally:
        tab.scale.is_visible = was_visible


def _slide_picture(tab: SlideTab) -> QImage:
    """Return the slide and the maps of models over it, in physical pixels."""
    image, viewport = tab.view.picture(), tab.view.viewport
    image.setDevicePixelRatio(tab.view.devicePixelRatioF())
    painter = QPainter(image)
    for overlay in tab.view.overlays:
        if isinstance(overlay, MapOverlay) and viewport is not None:
            overlay.paint(painter, viewport)
    painter.end()
    return image


def _png(image: QImage) -> bytes:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    QImageWriter(buffer, QByteArray(b"png")).write(image)
    return bytes(buffer.data().data())


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except OSError as exc:
        raise _unwritable(path) from exc


def _unwritable(path: Path) -> UsageError:
    return UsageError(f"{path} cannot be written; choose another folder")
