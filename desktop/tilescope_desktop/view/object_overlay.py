"""What is painted over a slide: its objects, the selection, and what a tool is about to draw."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import shapely
from PySide6.QtCore import QObject, QPointF, QRectF, Qt, QTimer
from PySide6.QtGui import QBrush, QColor, QPainter, QPen, QTransform

from tilescope.store.project import View
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.object_painter import outline_path, paint_objects, stroke
from tilescope_desktop.bridge.object_pictures import ObjectPictures
from tilescope_desktop.bridge.picture_maker import ObjectPicture
from tilescope_desktop.model.live import LiveObjects
from tilescope_desktop.model.object_wish import (
    MARGIN_PX,
    Transform,
    Where,
    ahead,
    transform_of,
    with_margin,
)
from tilescope_desktop.model.project_tasks import OpenSlide
from tilescope_desktop.model.tools.tool import Line, Preview
from tilescope_desktop.model.view_parts import view_of_annotations, view_of_geometries
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.selection_marks import SELECTED, paint_marks
from tilescope_desktop.view.slide_view import SlideView

_HALO = QColor(0, 0, 0, 150)
_SHADE = QColor(0, 0, 0, 60)
_ADDED = QColor(255, 225, 0, 45)
_REMOVED = QColor(255, 60, 60, 70)
_HANDLE_PX = 3.5
#: A picture is asked for anew when less of its margin than this is left beside the view, or than
#: so many frames of a pan will take; and then it reaches further to where the pan goes.
_LEAST_MARGIN_PX = 32
_FRAMES_LEFT = 4
_FRAMES_AHEAD = 8
_MOST_AHEAD_PX = MARGIN_PX - _LEAST_MARGIN_PX - 8
_LIVE_EVERY_MS = 120
_ZOOM_EVERY_MS = 70


class ObjectOverlay(QObject):
    """Paints the objects of one slide over its view.

    Pictures come from a worker; until a new one is there the old one is moved and scaled.
    ``preview`` returns what the tool shows.
    """

    def __init__(
        self,
        view: SlideView,
        slide: OpenSlide,
        annotations: Annotations,
        pictures: ObjectPictures,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.preview: Callable[[], Preview] = Preview
        self.is_visible = True
        self._view = view
        self._slide = slide
        self._annotations = annotations
        self._pictures = pictures
        self._picture: ObjectPicture | None = None
        self._wish: Where | None = None
        self._last: Viewport | None = None
        self._pace = (0.0, 0.0)
        self._live: list[LiveObjects] = []
        self._fresh: tuple[object, View | None] = (None, None)
        self._marked: tuple[object, View | None] = (None, None)
        self._marked_on = (0, 0)
        self._later = QTimer(self, interval=_LIVE_EVERY_MS, singleShot=True)
        self._later.timeout.connect(self._want)
        self._zooms = QTimer(self, interval=_ZOOM_EVERY_MS, singleShot=True)
        self._zooms.timeout.connect(self._want)
        view.viewport_changed.connect(self._follow)
        annotations.changed.connect(self._want)
        annotations.refreshed.connect(self._want)
        annotations.selection_changed.connect(view.update)
        pictures.ready.connect(self._take)
        self._want()

    @property
    def is_current(self) -> bool:
        """Tell whether the picture shows what the project holds now."""
        shown, wished = self._picture, self._wish
        if self._zooms.isActive() or self._later.isActive():
            return False
        if wished is None or (wished.slide is None and not self._seen_live):
            return True
        return (
            shown is not None
            and shown.is_final
            and shown.where == wished
            and not any(one.slide is self._slide for one in self._annotations.fresh)
        )

    @property
    def picture(self) -> ObjectPicture | None:
        """The newest picture of the objects; None when there are none."""
        return self._picture

    def show_live(self, live: LiveObjects) -> None:
        """Show objects from memory, too; call ``refresh`` when there are more of them."""
        self._live.append(live)
        self.refresh()

    def hide_live(self, live: LiveObjects) -> None:
        """Show them no longer."""
        if live in self._live:
            self._live.remove(live)
        self.refresh()

    def refresh(self) -> None:
        """Have live objects painted anew, soon."""
        if not self._later.isActive():
            self._later.start()

    def close(self) -> None:
        """Stop asking for pictures."""
        self._later.stop()
        self._zooms.stop()
        self._pictures.ready.disconnect(self._take)
        self._annotations.changed.disconnect(self._want)
        self._annotations.refreshed.disconnect(self._want)
        self._pictures.forget(id(self))
        self._picture = self._wish = None

    # -- pictures ---------------------------------------------------------------------------------

    def _follow(self, viewport: Viewport) -> None:
        self._pace, self._last = _pace(self._last, viewport), viewport
        if self._reaches(viewport):
            return
        shown = self._wish
        if shown is None or shown.viewport.matrix == viewport.matrix:
            self._want()
        elif not self._zooms.isActive():
            # What is scaled shows meanwhile; a picture per step of a zoom would come too late.
            self._zooms.start()

    def _reaches(self, viewport: Viewport) -> bool:
        """Tell whether the picture on its way, or there, shows all around a view."""
        if self._wish is None:
            return False
        there = self._wish.viewport
        if (there.width, there.height) != _grown_size(viewport) or there.matrix != viewport.matrix:
            return False
        middle = viewport.to_screen(there.centre_l0)
        away = middle.x - viewport.width / 2, middle.y - viewport.height / 2
        return all(
            max(abs(at), abs(at - _FRAMES_LEFT * step)) <= MARGIN_PX - _LEAST_MARGIN_PX
            for at, step in zip(away, self._pace, strict=True)
        )

    def _want(self) -> None:
        viewport, project = self._view.viewport, self._annotations.project
        if viewport is None:
            return
        has_objects = project is not None and self._slide.number is not None
        live = self._seen_live
        if not has_objects and not live:
            self._wish = self._picture = None
            self._pictures.forget(id(self))
            self._view.update()
            return
        wish = Where(
            project.path if project is not None and has_objects else None,
            self._slide.number,
            self._slide.info.size,
            self._slide.plane,
            self._annotations.revision,
            with_margin(self._ahead(viewport)),
            self._view.devicePixelRatioF(),
            self._annotations.style,
            live,
            sum(map(len, live)),
        )
        if wish != self._wish:
            self._wish = wish
            self._pictures.want(id(self), wish)

    @property
    def _seen_live(self) -> tuple[LiveObjects, ...]:
        """Objects from memory that lie on the plane that is shown."""
        return tuple(one for one in self._live if one.plane in (None, self._slide.plane))

    def _ahead(self, viewport: Viewport) -> Viewport:
        """Return where a pan will be soon; whole pixels, so that pictures of it are moved."""
        if self._last != viewport:
            return viewport
        ratio = self._view.devicePixelRatioF()
        reach = (max(-_MOST_AHEAD_PX, min(_MOST_AHEAD_PX, _FRAMES_AHEAD * p)) for p in self._pace)
        dx, dy = (round(step * ratio) / ratio for step in reach)
        return ahead(viewport, dx, dy) if dx or dy else viewport

    def _take(self, picture: ObjectPicture) -> None:
        if picture.view != id(self) or self._wish is None:
            return
        if picture.where.project != self._wish.project:
            return
        self._picture = picture
        self._annotations.forget_fresh(picture.where.revision, self._slide)
        self._view.update()

    # -- painting ---------------------------------------------------------------------------------

    def paint(self, painter: QPainter, viewport: Viewport) -> None:
        """Paint in logical pixels of the widget."""
        if self.is_visible:
            if self._picture is not None:
                self._paint_picture(painter, viewport, self._picture)
            transform = transform_of(viewport, 1.0)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_fresh(painter, transform)
            self._paint_selection(painter, transform)
        self._paint_preview(painter, viewport)

    def _paint_picture(self, painter: QPainter, viewport: Viewport, picture: ObjectPicture) -> None:
        there, ratio = picture.where.viewport, picture.where.pixel_ratio
        if there.matrix == viewport.matrix:
            middle = viewport.to_screen(there.centre_l0)
            x = (middle.x - there.width / 2) * ratio
            y = (middle.y - there.height / 2) * ratio
            # Whole physical pixels are blitted, others are blended.
            painter.drawImage(QPointF(round(x) / ratio, round(y) / ratio), picture.image)
            return
        back, _ = _qt(there).inverted()
        painter.save()
        painter.setTransform(back * _qt(viewport), combine=True)
        painter.drawImage(0, 0, picture.image)
        painter.restore()

    def _paint_fresh(self, painter: QPainter, transform: Transform) -> None:
        mine = tuple(f.annotation for f in self._annotations.fresh if f.slide is self._slide)
        if not mine:
            return
        if self._fresh[0] != mine:
            self._fresh = (mine, view_of_annotations(mine))
        view = self._fresh[1]
        if view is not None:
            paint_objects(painter, view, transform, self._annotations.style)

    def _paint_selection(self, painter: QPainter, transform: Transform) -> None:
        chosen = self._annotations.selected
        if not chosen or not self._slide.is_same(self._annotations.selected_slide):
            return
        plane = self._slide.plane
        if self._marked[0] is not chosen or self._marked_on != plane:
            here = [found.geometry for found in chosen if found.plane == plane]
            self._marked = (chosen, view_of_geometries(here) if here else None)
            self._marked_on = plane
        view = self._marked[1]
        if view is not None:
            paint_marks(painter, view, transform)

    def _paint_preview(self, painter: QPainter, viewport: Viewport) -> None:
        shown = self.preview()
        transform = transform_of(viewport, 1.0)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if shown.shape is not None and not shown.shape.is_empty:
            tint = _REMOVED if shown.is_removal else _ADDED
            _outline(painter, view_of_geometries([shown.shape]), transform, tint)
        if shown.line is not None and len(shown.line) > 1:
            line = shapely.LineString(shown.line)
            _outline(painter, view_of_geometries([line]), transform)
        if shown.handles is not None:
            _paint_handles(painter, shown.handles @ transform[:, :2].T + transform[:, 2])
        cursor = self._view.cursor_at
        if shown.ring is not None and cursor is not None:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            for pen in (QPen(_HALO, 2.5), QPen(QColor(255, 255, 255), 1.2)):
                painter.setPen(pen)
                painter.drawEllipse(cursor, shown.ring, shown.ring)
        if shown.text:
            _paint_text(painter, shown, viewport)


def _grown_size(viewport: Viewport) -> tuple[int, int]:
    grown = with_margin(viewport)
    return grown.width, grown.height


def _pace(old: Viewport | None, new: Viewport) -> tuple[float, float]:
    """Return by how many logical pixels a pan goes on per frame; nothing for other moves."""
    if (
        old is None
        or old.matrix != new.matrix
        or (old.width, old.height) != (new.width, new.height)
    ):
        return 0.0, 0.0
    there = old.to_screen(new.centre_l0)
    return there.x - old.width / 2, there.y - old.height / 2


def _qt(viewport: Viewport) -> QTransform:
    (m11, m21, dx), (m12, m22, dy) = transform_of(viewport, 1.0).tolist()
    return QTransform(m11, m12, m21, m22, dx, dy)


def _outline(
    painter: QPainter, view: View, transform: Transform, tint: QColor | None = None
) -> None:
    path = outline_path(view, transform)
    if tint is not None:
        painter.fillPath(path, tint)
    stroke(painter, path, _SHADE, 3.4)
    stroke(painter, path, SELECTED, 1.8)


def _paint_handles(painter: QPainter, places: Line) -> None:
    painter.setPen(QPen(_HALO, 1.0))
    painter.setBrush(QBrush(SELECTED))
    for x, y in places.tolist():
        painter.drawRect(QRectF(x - _HANDLE_PX, y - _HANDLE_PX, 2 * _HANDLE_PX, 2 * _HANDLE_PX))


def _paint_text(painter: QPainter, shown: Preview, viewport: Viewport) -> None:
    """Paint a word below what is drawn, light on dark as slides are both."""
    if shown.line is not None and len(shown.line):
        at = shown.line[-1]
    elif shown.shape is not None and not shown.shape.is_empty:
        at = shapely.get_coordinates(shown.shape)
    elif shown.at is not None:
        at = np.array((shown.at.x, shown.at.y))
    else:
        return
    transform = transform_of(viewport, 1.0)
    places = np.atleast_2d(at) @ transform[:, :2].T + transform[:, 2]
    x, y = (places.min(axis=0)[0] + places.max(axis=0)[0]) / 2, places.max(axis=0)[1]
    metrics = painter.fontMetrics()
    width, height = metrics.horizontalAdvance(shown.text) + 10, metrics.height() + 4
    x = max(0, min(x + 8, viewport.width - width - 4))
    y = max(0, min(y + 8, viewport.height - height - 4))
    box = QRectF(x, y, width, height)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QBrush(QColor(0, 0, 0, 170)))
    painter.drawRoundedRect(box, 3, 3)
    painter.setPen(QColor(255, 255, 255))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, shown.text)
