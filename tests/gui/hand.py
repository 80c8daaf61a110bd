"""A window, and a hand that draws in it by mouse and keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely
from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QAction, QDragEnterEvent, QDropEvent, QImage, QMouseEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Point
from tilescope.store.project import Project
from tilescope_desktop.app import annotating, make_window
from tilescope_desktop.view.annotating import Annotating
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.object_overlay import ObjectOverlay
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.slide_view import SlideView

NONE = Qt.KeyboardModifier.NoModifier
SHIFT, ALT = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier
LEFT = Qt.MouseButton.LeftButton


class Hand:
    """A window with a slide at one slide pixel per screen pixel, and a hand in front of it."""

    def __init__(self, qtbot: QtBot, folder: Path) -> None:
        self.qtbot = qtbot
        self.window: MainWindow = make_window(folder=folder)
        qtbot.addWidget(self.window)
        self.window.resize(1200, 800)
        self.window.show()
        self.parts: Annotating = annotating(self.window)
        self.annotations = self.parts.annotations

    @property
    def view(self) -> SlideView:
        assert self.window.tab is not None
        return self.window.tab.view

    @property
    def overlay(self) -> ObjectOverlay:
        assert self.window.tab is not None
        return self.parts.bench.overlays[self.window.tab]

    def wait(self) -> None:
        QApplication.processEvents()  # what was asked for and is only posted yet
        self.qtbot.waitUntil(self._is_settled, timeout=60_000)

    def _is_settled(self) -> bool:
        return (
            not self.window.work.jobs
            and self.annotations.desk.is_idle
            and self.parts.pictures.is_idle
            and (self.window.tab is None or (self.overlay.is_current and self.view.is_sharp))
        )

    def open(self, path: Path) -> None:
        count = self.window.tabs.count()
        self.window.dropped.emit([path])
        self.qtbot.waitUntil(lambda: self.window.tabs.count() > count, timeout=60_000)
        self.place()

    def place(self) -> None:
        assert self.view.viewport is not None
        self.view.move_to(replace(self.view.viewport, centre_l0=Point(1000, 900), l0_per_px=1.0))
        self.view.setFocus()
        self.wait()

    def take_keys(self) -> None:
        """Have the keys go to the view of this window."""
        self.window.activateWindow()
        self.qtbot.waitUntil(lambda: QApplication.activeWindow() is self.window, timeout=5000)
        self.view.setFocus()

    def l0(self, x: int, y: int) -> Point:
        assert self.view.viewport is not None
        return self.view.viewport.to_l0(Point(x, y))

    def drag(self, *places: tuple[int, int], keys: Qt.KeyboardModifier = NONE) -> None:
        self.qtbot.mousePress(self.view, LEFT, keys, QPoint(*places[0]))
        for place in places[1:]:
            self.move(place, keys)
        self.qtbot.mouseRelease(self.view, LEFT, keys, QPoint(*places[-1]))
        self.wait()

    def move(self, place: tuple[int, int], keys: Qt.KeyboardModifier = NONE) -> None:
        at = QPointF(*place)
        event = QMouseEvent(QEvent.Type.MouseMove, at, self.view.mapToGlobal(at), LEFT, LEFT, keys)
        QApplication.sendEvent(self.view, event)

    def click(self, x: int, y: int, keys: Qt.KeyboardModifier = NONE) -> None:
        self.qtbot.mouseClick(self.view, LEFT, keys, QPoint(x, y))

    def click_on(self, tab: SlideTab) -> None:
        """Press in a view without moving or drawing anything."""
        self.act("tool.move")
        self.qtbot.mouseClick(tab.view, LEFT, NONE, tab.view.rect().center())

    def key(self, key: Qt.Key, keys: Qt.KeyboardModifier = NONE) -> None:
        self.qtbot.keyClick(self.view, key, keys)
        QApplication.processEvents()

    def act(self, name: str) -> None:
        found = self.window.findChild(QAction, name)
        assert isinstance(found, QAction), name
        assert found.isEnabled(), name
        found.trigger()
        self.wait()

    def rectangle(self, x: int = 60) -> None:
        """Draw a rectangle that begins so far to the right."""
        self.deselect()
        self.act("tool.rectangle")
        self.drag((x, 60), (x + 40, 100), (x + 100, 160))

    def project_path(self) -> Path:
        self.wait()
        assert self.annotations.project is not None, self.window.notices.text
        return self.annotations.project.path

    def deselect(self) -> None:
        self.annotations.select_nothing()

    def objects(self) -> list[Annotation]:
        self.wait()
        project = self.annotations.project
        if project is None:
            return []
        return objects_of(project.path)

    def shapes(self) -> list[shapely.Geometry]:
        return [shapely.from_wkb(one.geometry) for one in self.objects()]

    def pixels(self) -> np.ndarray:
        image = self.view.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
        rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
        return rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).astype(int)

    def drop(self, path: Path) -> None:
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path))])
        what = (Qt.DropAction.CopyAction, mime, LEFT, NONE)
        QApplication.sendEvent(self.window, QDragEnterEvent(QPoint(50, 50), *what))
        QApplication.sendEvent(self.window, QDropEvent(QPointF(50, 50), *what))
        self.wait()

    def close(self) -> None:
        self.window.close()


def objects_of(path: Path) -> list[Annotation]:
    with Project.open(path, writable=False) as project:
        found = [one for batch in project.objects() for one in batch]
    return sorted(found, key=lambda one: one.id)
