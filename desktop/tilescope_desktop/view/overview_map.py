"""The whole slide in a corner: where one is, where one has been, a click to go elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from tilescope.domain.geometry import Point, Size
from tilescope.domain.tiles import TileKey
from tilescope_desktop.bridge.tiles import PictureTiles, TileService
from tilescope_desktop.model.resolve import wanted
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.canvas import Canvas
from tilescope_desktop.view.tile_painter import device_transform

#: Its longer side, in pixels, and how much of a small view's shorter one that may be.
_MOST_SIDE, _LEAST_SIDE, _MOST_SHARE = 220, 80, 0.35
_SEEN = QColor(255, 210, 0, 70)
_BOX = QColor(255, 210, 0)
#: What shows more of the slide than this is a look around, not a look at it.
_SEEN_SHARE = 0.2
#: An outline that moved by less, in pixels of the map, need not be painted anew.
_LEAST_STEP_PX = 0.4
#: One notch of a mouse wheel, and what it does, as over the view.
_NOTCH, _ZOOM_PER_NOTCH = 120, 1.25
_REPAIR_S = 0.003
_LATER_MS = 50


class OverviewMap(QWidget):
    """A small picture of the slide with the view's outline.

    ``moved`` tells the level-0 point that the user wants in the middle, ``zoomed`` the one that
    stays where it is, and by which factor all is enlarged.
    """

    moved = Signal(object)
    zoomed = Signal(object, float)

    def __init__(self, tiles: TileService, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Overview of the slide")
        self.setCursor(Qt.CursorShape.CrossCursor)
        self._service = tiles
        self._slide: PictureTiles | None = None
        self._plane = 0
        self._side = _MOST_SIDE
        self._ratio = 1.0
        self._whole: Viewport | None = None
        self._view: Viewport | None = None
        self._box = QPolygonF()
        self._canvas = Canvas()
        self._seen = QImage()
        # What lies under the map is not painted each time the map is.
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._later = QTimer(self, interval=_LATER_MS, singleShot=True)
        self._later.timeout.connect(self.update)
        tiles.ready.connect(self._take_tiles)

    def show_slide(self, slide: PictureTiles | None, plane: int = 0) -> None:
        """Show a slide; what was seen of it is kept while only its styles or plane change.

        A map that is hidden stays so until it is asked for.
        """
        is_first = self._slide is None
        keeps = slide is not None and self._slide is not None and slide.info == self._slide.info
        self._slide = slide
        self._plane = plane
        if keeps:
            self._canvas.soil()
        else:
            self._canvas.clear()
            self._box = QPolygonF()
        if slide is None:
            self._whole = None
            self._service.loader.want(id(self), ())
            self.hide()
            return
        if not keeps:
            width, height = _sides(slide.info.size, _MOST_SIDE)
            self._seen = QImage(width, height, QImage.Format.Format_ARGB32_Premultiplied)
            self._seen.fill(Qt.GlobalColor.transparent)
        self._lay_out(slide.info.size)
        if is_first:
            self.show()

    def fit_in(self, width: int, height: int) -> None:
        """Take no more than a part of a view of so many pixels."""
        side = min(_MOST_SIDE, max(_LEAST_SIDE, round(_MOST_SHARE * min(width, height))))
        if side == self._side:
            return
        self._side = side
        if self._slide is not None:
            self._lay_out(self._slide.info.size)
            self._box = QPolygonF()
            if self._view is not None:
                self.follow(self._view)

    def follow(self, view: Viewport) -> None:
        """Show which part of the slide the view has, and remember that it was seen."""
        self._view = view
        if self._slide is None or self._whole is None:
            return
        box = self._outline(view)
        if _is_near(box, self._box):
            return
        self._box = box
        if view.bounds_l0.area < _SEEN_SHARE * self._slide.info.size.area:
            painter = QPainter(self._seen)
            painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(_SEEN)
            # It keeps its size: a small view for a while loses nothing of it.
            painter.scale(self._seen.width() / self.width(), self._seen.height() / self.height())
            painter.drawPolygon(box)
            painter.end()
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Paint the slide, what was seen, and the box; called by Qt."""
        painter = QPainter(self)
        if self._slide is not None and self._whole is not None:
            ratio = self.devicePixelRatioF()
            if ratio != self._ratio:
                self._want()
            self._canvas.follow(self._whole, ratio)
            name = TileKey(self._slide.id, 0, 0, 0, self._plane)
            peek = self._service.pictures.peek
            if not self._canvas.repair(self._slide.info, name, peek, _REPAIR_S):
                self._later.start()
            image = self._canvas.image
            image.setDevicePixelRatio(ratio)
            painter.drawImage(0, 0, image)
            image.setDevicePixelRatio(1.0)
            painter.drawImage(self.rect(), self._seen)
            painter.setPen(QPen(_BOX, 1.5))
            painter.drawPolygon(self._box)
        painter.setPen(QPen(QColor(128, 128, 128), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Go where the mouse is; called by Qt."""
        self._go(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Go where the mouse is dragged; called by Qt."""
        self._go(event)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 - Qt's name
        """Zoom where the mouse is; called by Qt."""
        event.accept()  # else the view below would zoom at what the map lies over
        if self._whole is not None and (turned := event.angleDelta().y()):
            place = self._whole.to_l0(Point(event.position().x(), event.position().y()))
            self.zoomed.emit(place, _ZOOM_PER_NOTCH ** (turned / _NOTCH))

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the size of the map; called by Qt."""
        return QSize(_MOST_SIDE, _MOST_SIDE)

    def _lay_out(self, size: Size) -> None:
        width, height = _sides(size, self._side)
        self.setFixedSize(width, height)
        self._whole = Viewport.fitted(size, width, height, margin=1.0)
        self._want()
        self.update()

    def _want(self) -> None:
        """Want the tiles that are as sharp as the screen is."""
        self._ratio = self.devicePixelRatioF()
        if self._slide is None or self._whole is None:
            return
        keys = wanted(
            self._slide.info,
            self._slide.id,
            self._whole,
            plane=self._plane,
            pixel_ratio=self._ratio,
        )
        self._service.loader.want(id(self), keys)

    def _go(self, event: QMouseEvent) -> None:
        if self._whole is not None:
            place = event.position()
            self.moved.emit(self._whole.to_l0(Point(place.x(), place.y())))

    def _outline(self, view: Viewport) -> QPolygonF:
        assert self._whole is not None
        to_map = device_transform(self._whole, 1.0)
        corners = [(0, 0), (view.width, 0), (view.width, view.height), (0, view.height)]
        points = [view.to_l0(Point(x, y)) for x, y in corners]
        return QPolygonF([to_map.map(QPointF(p.x, p.y)) for p in points])

    def _take_tiles(self, keys: Sequence[TileKey]) -> None:
        if self._slide is None:
            return
        mine = [k for k in keys if k.slide == self._slide.id and k.plane == self._plane]
        for key in mine:
            self._canvas.soil_tile(self._slide.info, key, self._service.pictures.peek)
        if not self._canvas.is_sharp and not self._later.isActive():
            self._later.start()


def _is_near(a: QPolygonF, b: QPolygonF) -> bool:
    steps = [(p - q).manhattanLength() for p, q in zip(a.toList(), b.toList(), strict=False)]
    return bool(steps) and max(steps) < _LEAST_STEP_PX


def _sides(size: Size, longest: int) -> tuple[int, int]:
    """Return width and height of the map of a slide, in pixels."""
    scale = longest / max(size.width, size.height)
    return max(8, round(size.width * scale)), max(8, round(size.height * scale))
