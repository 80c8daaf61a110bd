"""What annotations are called, written over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import shapely
from PySide6.QtCore import QObject, QPointF, QRectF, Qt, QTimer
from PySide6.QtGui import QColor, QPainter, QStaticText

from tilescope.domain.geometry import Point
from tilescope.store.objects import Selection
from tilescope.store.project import Project
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.object_rows import read_project
from tilescope_desktop.bridge.work import Work
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.tool_bench import ToolBench

_LATER_MS = 150
_MOST_NAMES = 500
#: More would hide the slide, and take time in every frame.
_MOST_PAINTED = 60
_MARGIN_PX = 4.0
_GROUND = QColor(20, 22, 26, 190)
_INK = QColor(255, 255, 255)


@dataclass(frozen=True, slots=True)
class Named:
    """An annotation that has a name, or else a class, and its plane.

    ``top_l0`` is the middle of the upper edge of its bounding box.
    """

    text: str
    class_name: str | None
    top_l0: Point
    plane: tuple[int, int]


class NameOverlay:
    """Names of the annotations of one slide; those that would cover others are left out."""

    def __init__(self) -> None:
        self._labels: list[tuple[Named, QStaticText]] = []

    @property
    def names(self) -> list[str]:
        """What is written where there is room."""
        return [named.text for named, _ in self._labels]

    def show_names(self, names: Sequence[Named]) -> None:
        """Write other names from now on."""
        self._labels = [(named, QStaticText(named.text)) for named in names]
        for _, label in self._labels:
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setPerformanceHint(QStaticText.PerformanceHint.AggressiveCaching)

    def paint(self, painter: QPainter, viewport: Viewport) -> None:
        """Paint in logical pixels of the widget."""
        view = QRectF(0, 0, viewport.width, viewport.height)
        taken: list[QRectF] = []
        painter.setPen(_INK)
        for named, label in self._labels:
            at, size = viewport.to_screen(named.top_l0), label.size()
            place = QRectF(
                at.x - size.width() / 2, at.y - size.height() - 2 * _MARGIN_PX,
                size.width(), size.height(),
            ).adjusted(-_MARGIN_PX, 0, _MARGIN_PX, 0)  # fmt: skip
            if not view.intersects(place) or any(one.intersects(place) for one in taken):
                continue
            taken.append(place)
            painter.fillRect(place, _GROUND)
            painter.drawStaticText(QPointF(place.left() + _MARGIN_PX, place.top()), label)
            if len(taken) >= _MOST_PAINTED:
                break


class Names(QObject):
    """Shows and hides the names of annotations over all slides of a window."""

    def __init__(
        self, window: MainWindow, bench: ToolBench, annotations: Annotations, work: Work
    ) -> None:
        super().__init__(window)
        self.overlays: dict[SlideTab, NameOverlay] = {}
        self.is_on = False
        self._window = window
        self._bench = bench
        self._annotations = annotations
        self._work = work
        self._later = QTimer(self, interval=_LATER_MS, singleShot=True)
        self._later.timeout.connect(self._load)
        window.tab_opened.connect(self._adopt)
        window.tab_closed.connect(lambda tab: self.overlays.pop(tab, None))
        for told in (annotations.changed, annotations.refreshed, annotations.slides_found):
            told.connect(self._reload)
        window.add_commands([self._command()])

    def _command(self) -> Command:
        return Command(
            "objects.names", "Show names", "Objects", self._switch, "N",
            is_checked=lambda: self.is_on,
        )  # fmt: skip

    def _switch(self) -> None:
        self.is_on = not self.is_on
        for tab, overlay in self.overlays.items():
            # What is not shown takes no time in a frame.
            if self.is_on:
                tab.view.overlays.append(overlay)
            else:
                tab.view.overlays.remove(overlay)
            tab.view.update()
        self._reload()

    def _adopt(self, tab: SlideTab) -> None:
        overlay = self.overlays[tab] = NameOverlay()
        if self.is_on:
            tab.view.overlays.append(overlay)
        tab.planes.moved.connect(lambda _plane: self._reload())
        self._reload()

    def _reload(self) -> None:
        """Read the names anew, soon: many edits in a row are one reading."""
        if self.is_on and not self._later.isActive():
            self._later.start()

    def _load(self) -> None:
        project = self._annotations.project
        if project is None or self._annotations.is_lent or not self.is_on:
            for tab in self.overlays:
                self._show(tab, ())
            return
        for tab in self.overlays:
            number = self._bench.slides[tab].number if tab in self._bench.slides else None
            if number is None:
                self._show(tab, ())
                continue
            self._read(tab, project.path, number)

    def _read(self, tab: SlideTab, path: Path, number: int) -> None:
        desk = self._annotations.desk
        self._work.start(
            "names",
            lambda _token, _report: read_project(
                desk, path, lambda project: _names_of(project, number)
            ),
            lambda names: self._show(tab, names),
            self._annotations.failed.emit,
        )

    def _show(self, tab: SlideTab, names: Sequence[Named]) -> None:
        overlay, slide = self.overlays.get(tab), self._bench.slides.get(tab)
        if overlay is None or slide is None:
            return
        style = self._annotations.style
        hidden = style.hidden if style.shows_annotations else None
        overlay.show_names(
            [
                named
                for named in names
                if hidden is not None
                and named.class_name not in hidden
                and named.plane == slide.plane
            ]
        )
        tab.view.update()


def _names_of(project: Project, slide: int) -> list[Named]:
    found: list[Named] = []
    for batch in project.objects(Selection(slide, kind="annotation")):
        for one in batch:
            text = one.name or one.class_name
            if text:
                x0, y0, x1, _ = shapely.from_wkb(one.geometry).bounds
                top = Point((x0 + x1) / 2, y0)
                found.append(Named(text, one.class_name, top, (one.z, one.t)))
                if len(found) >= _MOST_NAMES:
                    return found
    return found
