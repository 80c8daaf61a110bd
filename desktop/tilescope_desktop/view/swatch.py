"""Small pictures of colours, beside what has them."""

from __future__ import annotations

from PySide6.QtGui import QColor, QIcon, QPixmap

SWATCH_PX = 14


def swatch(color: tuple[int, int, int]) -> QIcon:
    """Return a square of a colour."""
    pixmap = QPixmap(SWATCH_PX, SWATCH_PX)
    pixmap.fill(QColor(*color))
    return true_icon(pixmap)


def true_icon(pixmap: QPixmap) -> QIcon:
    """Return a picture that keeps its colours where its row is marked."""
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)
    return icon
