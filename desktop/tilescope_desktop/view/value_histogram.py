"""How a measurement is distributed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from tilescope_desktop.model.channels import wide_enough

_BINS = 48
_HEIGHT_PX = 90
_TEXT_PX = 16
_EDGE_PX, _GAP_PX = 3, 10
#: What is further from the middle half of all values than this many times its width is far away.
_FAR = 3.0


class ValueHistogram(QWidget):
    """Bars, with the smallest, the middle and the largest value below.

    Few values far away from all others would press those into one bar: they are counted in the
    bar at the end, which is then said to hold more.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Histogram of a measurement")
        self.setMinimumHeight(_HEIGHT_PX)
        self._counts: NDArray[np.int64] = np.zeros(0, np.int64)
        self._texts = ("", "", "")
        self._short = ("", "")

    @property
    def texts(self) -> tuple[str, str, str]:
        """What stands below the bars, from left to right."""
        return self._texts

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many values fall into each bar, ``int64[bars]``."""
        return self._counts

    def show_values(self, values: NDArray[np.float64]) -> None:
        """Show how values are distributed; what is no number is left out."""
        finite = values[np.isfinite(values)]
        self._counts, self._texts, self._short = np.zeros(0, np.int64), ("", "", ""), ("", "")
        if len(finite):
            least, most = float(finite.min()), float(finite.max())
            low, high = _bulk(finite)
            inside = np.clip(finite, low, high)
            self._counts, _ = np.histogram(inside, _BINS, (low, wide_enough(low, high)))
            self._short = (
                f"{least:.4g}" if least == low else f"≤ {low:.4g}",
                f"{most:.4g}" if most == high else f"≥ {high:.4g}",
            )
            self._texts = (
                f"{least:.4g}" if least == low else f"{least:.4g} … {low:.4g}",
                f"median {np.median(finite):.4g}",
                f"{most:.4g}" if most == high else f"{high:.4g} … {most:.4g}",
            )
        self.setToolTip("   ".join(text for text in self._texts if text))
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return a comfortable size; called by Qt."""
        return QSize(240, _HEIGHT_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Paint the bars; called by Qt."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.palette().base())
        height = self.height() - _TEXT_PX
        if len(self._counts):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self.palette().highlight())
            step = self.width() / len(self._counts)
            tallest = max(int(self._counts.max()), 1)
            for index, count in enumerate(self._counts.tolist()):
                bar = (height - 4) * count / tallest
                painter.drawRect(QRectF(index * step, height - bar, max(step - 1, 1), bar))
            painter.setPen(self.palette().text().color())
            row = QRectF(_EDGE_PX, height, self.width() - 2 * _EDGE_PX, _TEXT_PX)
            sides = (
                Qt.AlignmentFlag.AlignLeft,
                Qt.AlignmentFlag.AlignHCenter,
                Qt.AlignmentFlag.AlignRight,
            )
            for text, side in zip(self._fitting(), sides, strict=True):
                painter.drawText(row, side | Qt.AlignmentFlag.AlignVCenter, text)
        painter.end()

    def _fitting(self) -> tuple[str, str, str]:
        """Return the longest texts that stand beside each other, without the middle one at last."""
        left, middle, right = self._texts
        short_left, short_right = self._short
        choices = ((left, middle, right), (short_left, middle, short_right), (left, "", right))
        for texts in choices:
            if self._fits(*texts):
                return texts
        return short_left, "", short_right

    def _fits(self, left: str, middle: str, right: str) -> bool:
        wide = self.fontMetrics().horizontalAdvance
        room = self.width() - 2 * _EDGE_PX
        if not middle:
            return wide(left) + _GAP_PX + wide(right) <= room
        beside = (room - wide(middle)) / 2 - _GAP_PX
        return max(wide(left), wide(right)) <= beside


def _bulk(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of values, but for few that are far away from all others."""
    least, most = float(values.min()), float(values.max())
    for share in (25.0, 10.0, 1.0):  # half of all values may be one and the same
        lower, upper = (float(v) for v in np.percentile(values, (share, 100 - share)))
        far = _FAR * (upper - lower)
        if far > 0:
            return max(least, lower - far), min(most, upper + far)
    return least, most
