"""The label, macro and other pictures that came with a slide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QImage, QPixmap
from PySide6.QtWidgets import QDialog, QLabel, QTabWidget, QVBoxLayout, QWidget

_MOST_SIDE_PX, _LEAST_SIDE_PX = 640, 120
#: What the dialog is larger than a picture by, its title included.
_AROUND_PX = QSize(40, 110)


class PicturesDialog(QDialog):
    """One tab per picture, shrunk to fit into the window that it is opened over.

    Parameters
    ----------
    pictures
        ``uint8[height, width, 3]`` by name, or why it cannot be read.
    """

    def __init__(
        self, pictures: dict[str, NDArray[np.uint8] | str], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Pictures of the slide")
        screen = self.screen().availableSize()
        room = screen if parent is None else screen.boundedTo(parent.window().size())
        tabs = QTabWidget()
        for name, picture in pictures.items():
            label = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
            label.setAccessibleName(name)
            if isinstance(picture, str):
                label.setText(picture)
                label.setWordWrap(True)
            else:
                label.setPixmap(_pixmap(picture, room - _AROUND_PX))
            tabs.addTab(label, name)
        QVBoxLayout(self).addWidget(tabs)


def _pixmap(picture: NDArray[np.uint8], room: QSize) -> QPixmap:
    """Return a picture that takes no more room than there is, and is not enlarged."""
    height, width = picture.shape[:2]
    pixels = np.ascontiguousarray(picture)
    image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    pixmap = QPixmap.fromImage(image.copy())
    most, least = (QSize(side, side) for side in (_MOST_SIDE_PX, _LEAST_SIDE_PX))
    box = room.expandedTo(least).boundedTo(most)
    if width <= box.width() and height <= box.height():
        return pixmap
    return pixmap.scaled(
        box,
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
