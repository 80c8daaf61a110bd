"""What the view shows, with its scale bar, as a file or on the clipboard."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QObject, QTimer
from PySide6.QtGui import QImage, QImageWriter, QPainter, QPixmap
from PySide6.QtWidgets import QApplication, QFileDialog

from tilescope.domain.counts import counted
from tilescope.errors import TilescopeError, UsageError
from tilescope.io.address import parse_address
from tilescope.jobs.project_files import refuse_sources
from tilescope.jobs.project_slides import sources_of
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project, View
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.work import Report
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.object_wish import transform_of
from tilescope_desktop.model.scale_bar import bar_across
from tilescope_desktop.model.view_svg import object_groups, shown_in, view_svg
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.map_overlay import MapOverlay
from tilescope_desktop.view.named_file import Kind, completed, kind_meant, titles_of
from tilescope_desktop.view.scale_overlay import ROOM_PX
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.tool_bench import ToolBench

_PICTURES = (
    Kind("png", "PNG (*.png)", (".png",)),
    Kind("svg", "SVG: picture, with outlines as lines (*.svg)", (".svg",)),
)
#: More outlines than these are no drawing that anyone would edit, nor one that programs open.
_MOST_OUTLINES = 20_000
#: How long a picture waits for all of the view to be painted, and how often that is looked at.
_PATIENCE_S = 10.0
_LOOK_EVERY_MS = 30
#: Returns the content of a file, and words on what is in it; runs in a worker.
Make = Callable[[], tuple[bytes, str]]
_NOT_SHARP = "; parts of it were not sharp yet, take it again when they are"


class Snapshot(QObject):
    """Takes pictures of the view in front, when all that it shows is painted."""

    def __init__(self, window: MainWindow, bench: ToolBench, annotations: Annotations) -> None:
        super().__init__(window)
        self._window = window
        self._bench = bench
        self._annotations = annotations
        self._folder: Path | None = None

    def choose(self) -> None:
        """Save what the view shows where the user wants it."""
        tab = self._window.tab
        if tab is None:
            return
        name, title = QFileDialog.getSaveFileName(
            self._window, "Save picture", str(self._offered(tab.path)), titles_of(_PICTURES)
        )
        path = completed(self._window, name, kind_meant(name, title, _PICTURES).endings)
        if path is not None:
            self._folder = path.parent
            self.save(path)

    def save(self, path: Path) -> None:
        """Save what the view shows, as the file's ending says; it replaces no slide."""
        self._when_sharp(lambda tab, still: self._save(tab, path, still))

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

    def _offered(self, slide: Path) -> Path:
        """Return a name that no file has: in the folder of the last picture, else by the slide."""
        address = parse_address(slide)
        beside = address.path.parent
        may_write = address.url is None and os.access(beside, os.W_OK)
        folder = self._folder or (beside if may_write else Path.home())
        numbered = chain([""], (f"-{number}" for number in count(2)))
        names = (folder / f"{address.path.stem}-view{number}.png" for number in numbered)
        return next(path for path in names if not path.exists())

    def _save(self, tab: SlideTab, path: Path, still: str) -> None:
        """Write a picture in a worker, unless the file is needed for something else."""
        if tab.view.viewport is None:
            return
        is_drawing = path.suffix.casefold() == ".svg"
        make = self._drawing(tab, tab.view.viewport) if is_drawing else _pixels(tab)
        refuse, status = self._refuse(path), self._window.status
        going = status.begin(f"Saving {path.name}…")

        def run(_token: CancellationToken, _report: Report) -> str:
            refuse()
            data, words = make()
            _write(path, data)
            return words

        def done(words: str) -> None:
            status.end(going)
            self._say(f"Saved {path.name}{words}{still}")

        def failed(error: BaseException) -> None:
            status.end(going)
            self._window.show_error(error)

        self._window.work.start("picture", run, done, failed)

    def _refuse(self, path: Path) -> Callable[[], None]:
        """Return what refuses to replace the project or a slide; it runs in a worker."""
        desk, project = self._annotations.desk, self._annotations.project
        slides = [tab.path for tab in self._window.all_tabs]

        def run() -> None:
            refuse_sources(path, slides, "one of the open slides")
            if project is None:
                return
            try:
                sources = desk.wait(sources_of)
            except TilescopeError:  # a job has it
                with Project.open(project.path, writable=False) as there:
                    sources = sources_of(there)
            refuse_sources(path, sources)

        return run

    def _drawing(self, tab: SlideTab, viewport: Viewport) -> Make:
        image, look = _slide_picture(tab), self._look(tab)
        style, transform = self._annotations.style, transform_of(viewport, 1.0)
        bar = bar_across(viewport, tab.pixel_size, room_px=ROOM_PX)

        def make() -> tuple[bytes, str]:
            found = look()
            shown = None if found is None else shown_in(found, style)
            drawn = object_groups(shown, transform, style) if shown is not None else ()
            size = viewport.width, viewport.height
            objects = 0 if shown is None else len(shown)
            text = "".join(view_svg(size, _png(image), drawn, bar))
            return text.encode(), f" with {counted(objects, 'object')} as lines"

        return make

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


def _pixels(tab: SlideTab) -> Make:
    image = _painted(tab).toImage()
    return lambda: (_png(image), "")


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as exc:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise _unwritable(path) from exc


def _unwritable(path: Path) -> UsageError:
    return UsageError(f"{path} cannot be written; choose another folder")
