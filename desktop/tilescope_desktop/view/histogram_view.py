"""A band's histogram with the two ends of its window to drag."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from tilescope.ops.compose import ChannelStyle
from tilescope_desktop.model.channels import Histogram

_HEIGHT_PX = 72
#: The window never gets narrower than this share of the range.
_NARROWEST = 0.002


class HistogramView(QWidget):
    """Counts on a logarithmic scale; ``windowed`` tells the new black and white value."""

    windowed = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Histogram of the channel")
        self.setMinimumHeight(_HEIGHT_PX)
        self.setCursor(Qt.CursorShape.SizeHorCursor)
        self._histogram: Histogram | None = None
        self._style: ChannelStyle | None = None
        self._drags_high = False

    def show_band(self, histogram: Histogram | None, style: ChannelStyle | None) -> None:
        """Show a band's values and window."""
        self._histogram = histogram
        self._style = style
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return a comfortable size; called by Qt."""
        return QSize(240, _HEIGHT_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Paint counts and window; called by Qt."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.palette().base())
        if self._histogram is not None and self._style is not None:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self.palette().mid())
            painter.drawPolygon(self._outline(self._histogram))
            color = QColor(*self._style.color)
            for value in (self._style.low, self._style.high):
                x = self._x_of(value)
                painter.setPen(QPen(self.palette().text().color(), 3))
                painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
                painter.setPen(QPen(color, 1.5))
                painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Take hold of the nearer end; called by Qt."""
        if self._style is None or self._histogram is None:
            return
        x = event.position().x()
        low, high = self._x_of(self._style.low), self._x_of(self._style.high)
        self._drags_high = abs(x - high) < abs(x - low)
        self._drag(x)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Move the end that is held; called by Qt."""
        if event.buttons() & Qt.MouseButton.LeftButton and self._style is not None:
            self._drag(event.position().x())

    def _drag(self, x: float) -> None:
        assert self._style is not None
        assert self._histogram is not None
        span = self._histogram.high - self._histogram.low
        value = self._histogram.low + x / max(1, self.width()) * span
        least = span * _NARROWEST
        if self._drags_high:
            self.windowed.emit(self._style.low, max(value, self._style.low + least))
        else:
            self.windowed.emit(min(value, self._style.high - least), self._style.high)

    def _x_of(self, value: float) -> float:
        assert self._histogram is not None
        span = self._histogram.high - self._histogram.low
        share = (value - self._histogram.low) / span
        return min(max(share, 0.0), 1.0) * (self.width() - 1)

    def _outline(self, histogram: Histogram) -> QPolygonF:
        heights = np.log1p(histogram.counts)
        tallest = max(float(heights.max()), 1e-9)
        width, height = self.width(), self.height()
        step = width / len(heights)
        points = [QPointF(0, height)]
        for index, value in enumerate(heights):
            points.append(QPointF((index + 0.5) * step, height * (1 - float(value) / tallest)))
        return QPolygonF([*points, QPointF(width, height)])
