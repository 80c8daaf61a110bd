"""The scale bar, painted over the slide."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from tilescope_desktop.model.scale_bar import scale_bar
from tilescope_desktop.model.viewport import Viewport

_MARGIN_PX = 16
_ROOM_PX = 160
_TICK_PX = 5


class ScaleOverlay:
    """A bar of a round length in the lower left corner.

    ``um_per_px`` is that of the slide, None when it is not calibrated: the bar then counts pixels.
    """

    def __init__(self) -> None:
        self.um_per_px: float | None = None
        self.is_visible = True

    def paint(self, painter: QPainter, viewport: Viewport) -> None:
        """Paint in logical pixels of the widget."""
        if not self.is_visible:
            return
        bar = scale_bar(viewport.l0_per_px, self.um_per_px, room_px=_ROOM_PX)
        x, y = float(_MARGIN_PX), float(viewport.height - _MARGIN_PX)
        line = [
            QPointF(x, y - _TICK_PX),
            QPointF(x, y),
            QPointF(x + bar.length_px, y),
            QPointF(x + bar.length_px, y - _TICK_PX),
        ]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        text = painter.fontMetrics().boundingRect(bar.text)
        box = QRectF(x + 6, y - 8 - text.height(), text.width() + 8, text.height())
        # Dark under light, so that it is read on glass and on fluorescence.
        for color, width in ((QColor(0, 0, 0, 170), 5.0), (QColor(255, 255, 255), 2.0)):
            painter.setPen(QPen(color, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            painter.drawPolyline(line)
        painter.setPen(QColor(0, 0, 0, 200))
        for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            painter.drawText(box.translated(dx, dy), bar.text)
        painter.setPen(QColor(255, 255, 255))
        painter.drawText(box, bar.text)
        painter.restore()
