"""The scale bar, painted over the slide."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QImage, QPainter, QPen

from tilescope.domain.scale import PixelSize
from tilescope_desktop.model.scale_bar import bar_across
from tilescope_desktop.model.viewport import Viewport

_MARGIN_PX = 16
#: Length that the bar may have.
ROOM_PX = 160
_TICK_PX = 5


class ScaleOverlay:
    """A bar of a round length in the lower left corner.

    ``pixel_size`` is that of the slide, None when it is not calibrated: the bar then counts pixels.
    """

    def __init__(self) -> None:
        self.pixel_size: PixelSize | None = None
        self.is_visible = True
        self._said = ("", QFont(), 0.0)
        self._picture = QImage()

    def paint(self, painter: QPainter, viewport: Viewport) -> None:
        """Paint in logical pixels of the widget."""
        if not self.is_visible:
            return
        bar = bar_across(viewport, self.pixel_size, room_px=ROOM_PX)
        x, y = float(_MARGIN_PX), float(viewport.height - _MARGIN_PX)
        line = [
            QPointF(x, y - _TICK_PX),
            QPointF(x, y),
            QPointF(x + bar.length_px, y),
            QPointF(x + bar.length_px, y - _TICK_PX),
        ]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        # Dark under light, so that it is read on glass and on fluorescence.
        for color, width in ((QColor(0, 0, 0, 170), 5.0), (QColor(255, 255, 255), 2.0)):
            painter.setPen(QPen(color, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            painter.drawPolyline(line)
        painter.restore()
        ratio = painter.device().devicePixelRatio()
        said = (bar.text, painter.font(), ratio)
        if self._said != said:
            self._said, self._picture = said, _picture(painter, bar.text, ratio)
        height = self._picture.height() / ratio
        painter.drawImage(QPointF(x + 5, y - 8 - height), self._picture)


def _picture(painter: QPainter, text: str, ratio: float) -> QImage:
    """Return the words, outlined: that is too slow for every frame."""
    room = painter.fontMetrics().boundingRect(text)
    width, height = room.width() + 10, room.height() + 2
    size = math.ceil(width * ratio), math.ceil(height * ratio)
    image = QImage(*size, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    image.setDevicePixelRatio(ratio)
    box = QRectF(1, 1, width - 2, height - 2)
    own = QPainter(image)
    own.setFont(painter.font())
    own.setPen(QColor(0, 0, 0, 200))
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        own.drawText(box.translated(dx, dy), text)
    own.setPen(QColor(255, 255, 255))
    own.drawText(box, text)
    own.end()
    return image
