"""What is selected, painted so that no object looks like it, whatever its colour and the slide's.

A bright line in a dark casing with a light rim: it is told by its bands, which are seen without
any colour, the casing on a bright slide and the rim on a dark one.
"""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath

from tilescope.store.project import View
from tilescope_desktop.bridge.object_painter import outline_path, stroke
from tilescope_desktop.model.object_wish import Transform

SELECTED = QColor(255, 225, 0)
#: Colours and widths in logical pixels, from below.
_BANDS = ((QColor(255, 255, 255), 7.0), (QColor(20, 20, 20), 4.8), (SELECTED, 2.5))
_REACH_PX = 4
_POINT_PX = 6.5
#: Paths with more elements are painted once, and what they gave is laid over itself.
_MANY = 2000


def paint_marks(painter: QPainter, view: View, transform: Transform) -> None:
    """Paint outlines, lines and rings around points in logical pixels of the painter."""
    path = outline_path(view, transform)
    if path.elementCount() > _MANY:
        _paint_many(painter, path)
    else:
        _paint_bands(painter, path)
    is_point = np.repeat(view.dimensions == 0, np.diff(view.object_offsets))
    places = view.points[view.ring_offsets[:-1][is_point]] @ transform[:, :2].T + transform[:, 2]
    if len(places):
        _paint_rings(painter, places.tolist())


def _paint_bands(painter: QPainter, path: QPainterPath) -> None:
    ratio = painter.device().devicePixelRatioF()
    for color, width_px in _BANDS:
        # What lines are made of is a physical pixel wide.
        for layer in range(max(1, round(ratio))):
            stroke(painter, path, color, width_px - 2 * layer / ratio)


def _paint_many(painter: QPainter, path: QPainterPath) -> None:
    """Paint bands as the above does, but by moving pixels in place of the path."""
    ratio = painter.device().devicePixelRatioF()
    reach = path.controlPointRect().adjusted(-_REACH_PX, -_REACH_PX, _REACH_PX, _REACH_PX)
    box = (reach & QRectF(painter.window())).toAlignedRect()
    if box.isEmpty():
        return
    thick = max(1, round(ratio))
    hair, lines, marks = (_image(box.size(), ratio) for _ in range(3))
    inside = _painter(hair)
    inside.translate(0.5 - thick, 0.5 - thick)  # each of the moves below goes half too far
    inside.scale(ratio, ratio)
    inside.translate(-box.topLeft())
    stroke(inside, path, SELECTED, 1.0)
    inside.end()
    _lay_over(lines, hair, [(x, y) for y in range(thick) for x in range(thick)])
    for color, width_px in _BANDS:
        _tint(lines, color)
        _lay_over(marks, lines, [(x * thick, y * thick) for x, y in _ring(width_px)])
    marks.setDevicePixelRatio(ratio)
    painter.drawImage(box.topLeft(), marks)


def _paint_rings(painter: QPainter, places: list[tuple[float, float]]) -> None:
    """Paint the same ring at every place: one that is painted before is quick to repeat."""
    ratio = painter.device().devicePixelRatioF()
    half = math.ceil(_POINT_PX) + _REACH_PX
    ring = QPainterPath()
    ring.addEllipse(QPointF(half, half), _POINT_PX, _POINT_PX)
    stamp = _image(QSize(2 * half, 2 * half), ratio)
    stamp.setDevicePixelRatio(ratio)
    inside = _painter(stamp)
    _paint_bands(inside, ring)
    inside.end()
    seen = painter.window().adjusted(-half, -half, half, half)
    for x, y in places:
        if seen.contains(round(x), round(y)):
            at = round((x - half) * ratio) / ratio, round((y - half) * ratio) / ratio
            painter.drawImage(QPointF(*at), stamp)


def _ring(width_px: float) -> list[tuple[int, int]]:
    """Return moves that put what lies half a pixel up and left at the edges of a wide line."""
    away = (width_px - 1.0) / 2
    whole = math.ceil(away)
    steps = range(1 - whole, whole + 1)
    cells = [(x, y, math.hypot(x - 0.5, y - 0.5)) for y in steps for x in steps]
    return [(x, y) for x, y, distance in cells if away - 1 <= distance <= away]


def _lay_over(image: QImage, part: QImage, moves: list[tuple[int, int]]) -> None:
    painter = QPainter(image)
    for x, y in moves:
        painter.drawImage(x, y, part)
    painter.end()


def _image(size: QSize, ratio: float) -> QImage:
    """Return an empty image in physical pixels."""
    image = QImage(size * ratio, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    return image


def _painter(image: QImage) -> QPainter:
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    return painter


def _tint(image: QImage, color: QColor) -> None:
    painter = QPainter(image)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceIn)
    painter.fillRect(image.rect(), color)
    painter.end()
