"""The picture of a lock, in the colours of the theme."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QPainter, QPalette, QPen, QPixmap

_SIDE_PX = 14
_SCALE = 2
_ROLE = QPalette.ColorRole


def lock_icon() -> QIcon:
    """Return a lock as it is seen on a plain row, and on a marked one."""
    palette = QGuiApplication.palette()
    icon = QIcon(_lock(palette.color(_ROLE.Text)))
    icon.addPixmap(_lock(palette.color(_ROLE.HighlightedText)), QIcon.Mode.Selected)
    return icon


def _lock(color: QColor) -> QPixmap:
    pixmap = QPixmap(_SIDE_PX * _SCALE, _SIDE_PX * _SCALE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(_SCALE, _SCALE)
    painter.setPen(QPen(color, 1.6))
    painter.drawArc(QRectF(4, 1.5, 6, 8), 0, 180 * 16)
    painter.fillRect(QRectF(2.5, 6, 9, 6.5), color)
    painter.end()
    pixmap.setDevicePixelRatio(_SCALE)
    return pixmap
