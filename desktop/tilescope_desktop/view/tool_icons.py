"""Pictures of the tools, drawn in the colours of the theme."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap, QPolygonF

_SIDE_PX = 24
_SCALE = 2


def tool_icon(tool_id: str, color: QColor) -> QIcon:
    """Return the picture of a tool; one that nobody drew is a dot."""
    pixmap = QPixmap(_SIDE_PX * _SCALE, _SIDE_PX * _SCALE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(_SCALE, _SCALE)
    pen = QPen(color, 1.6)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    painter.setPen(pen)
    _DRAWN.get(tool_id, _dot)(painter, color)
    painter.end()
    pixmap.setDevicePixelRatio(_SCALE)
    return QIcon(pixmap)


def _lines(painter: QPainter, *points: tuple[float, float], is_closed: bool = False) -> None:
    polygon = QPolygonF([QPointF(x, y) for x, y in points])
    (painter.drawPolygon if is_closed else painter.drawPolyline)(polygon)


def _move(painter: QPainter, _color: QColor) -> None:
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        tip = (12 + 9 * dx, 12 + 9 * dy)
        _lines(painter, (12, 12), tip)
        back = (tip[0] - 3 * dx, tip[1] - 3 * dy)
        _lines(
            painter,
            (back[0] + 3 * dy, back[1] + 3 * dx),
            tip,
            (back[0] - 3 * dy, back[1] - 3 * dx),
        )


def _select(painter: QPainter, _color: QColor) -> None:
    _lines(
        painter,
        *((6, 3), (6, 19), (10, 15.5), (13, 21), (15.5, 19.8), (12.8, 14.2), (18, 13.6)),
        is_closed=True,
    )


def _dot(painter: QPainter, color: QColor) -> None:
    painter.setBrush(color)
    for x, y in ((7, 8), (16, 6), (12, 16)):
        painter.drawEllipse(QPointF(x, y), 2, 2)


def _line(painter: QPainter, color: QColor) -> None:
    _lines(painter, (5, 19), (19, 5))
    painter.setBrush(color)
    for x, y in ((5, 19), (19, 5)):
        painter.drawEllipse(QPointF(x, y), 1.6, 1.6)


def _polyline(painter: QPainter, _color: QColor) -> None:
    _lines(painter, (3, 18), (9, 7), (14, 16), (21, 5))


def _rectangle(painter: QPainter, _color: QColor) -> None:
    painter.drawRect(QRectF(4, 6, 16, 12))


def _ellipse(painter: QPainter, _color: QColor) -> None:
    painter.drawEllipse(QRectF(3.5, 6, 17, 12))


def _polygon(painter: QPainter, _color: QColor) -> None:
    _lines(painter, (5, 9), (13, 4), (20, 11), (16, 20), (6, 18), is_closed=True)


def _freehand(painter: QPainter, _color: QColor) -> None:
    path = QPainterPath(QPointF(6, 7))
    path.cubicTo(12, 0, 21, 5, 18, 11)
    path.cubicTo(16, 15, 22, 18, 15, 20)
    path.cubicTo(7, 22, 1, 14, 6, 7)
    painter.drawPath(path)


def _brush(painter: QPainter, color: QColor) -> None:
    _lines(painter, (20, 4), (12.5, 11.5))
    tip = QPainterPath(QPointF(12.5, 10.5))
    tip.cubicTo(8, 10, 8, 15, 4, 19.5)
    tip.cubicTo(9, 20.5, 14, 18, 13.5, 11.5)
    tip.closeSubpath()
    painter.fillPath(tip, color)


def _wand(painter: QPainter, _color: QColor) -> None:
    _lines(painter, (4, 20), (14, 10))
    for dx, dy in ((0, -5), (0, 5), (-5, 0), (5, 0), (3.5, -3.5)):
        _lines(painter, (16 + dx * 0.5, 8 + dy * 0.5), (16 + dx, 8 + dy))


def _click(painter: QPainter, color: QColor) -> None:
    painter.drawEllipse(QPointF(12, 12), 9, 7.5)
    painter.setBrush(color)
    painter.drawEllipse(QPointF(12, 12), 2, 2)


def _vertices(painter: QPainter, color: QColor) -> None:
    corners = ((5, 8), (18, 5), (16, 18), (7, 19))
    _lines(painter, *corners, is_closed=True)
    painter.setBrush(color)
    for x, y in corners:
        painter.drawRect(QRectF(x - 2, y - 2, 4, 4))


def _ruler(painter: QPainter, _color: QColor) -> None:
    painter.drawRect(QRectF(2.5, 8, 19, 8))
    for index in range(1, 6):
        x = 2.5 + index * 19 / 6
        _lines(painter, (x, 8), (x, 12.5 if index % 2 else 11))


_DRAWN: dict[str, Callable[[QPainter, QColor], None]] = {
    "move": _move,
    "select": _select,
    "point": _dot,
    "line": _line,
    "polyline": _polyline,
    "rectangle": _rectangle,
    "ellipse": _ellipse,
    "polygon": _polygon,
    "freehand": _freehand,
    "brush": _brush,
    "wand": _wand,
    "click": _click,
    "vertices": _vertices,
    "ruler": _ruler,
}
