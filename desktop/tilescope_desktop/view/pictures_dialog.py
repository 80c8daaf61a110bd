"""The label, macro and other pictures that came with a slide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QPixmap
from PySide6.QtWidgets import QDialog, QLabel, QTabWidget, QVBoxLayout, QWidget

_MOST_SIDE_PX = 640


class PicturesDialog(QDialog):
    """One tab per picture, shrunk to fit.

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
        tabs = QTabWidget()
        for name, picture in pictures.items():
            label = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
            label.setAccessibleName(name)
            if isinstance(picture, str):
                label.setText(picture)
                label.setWordWrap(True)
            else:
                label.setPixmap(_pixmap(picture))
            tabs.addTab(label, name)
        QVBoxLayout(self).addWidget(tabs)


def _pixmap(picture: NDArray[np.uint8]) -> QPixmap:
    height, width = picture.shape[:2]
    pixels = np.ascontiguousarray(picture)
    image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    pixmap = QPixmap.fromImage(image.copy())
    if max(width, height) <= _MOST_SIDE_PX:
        return pixmap
    return pixmap.scaled(
        _MOST_SIDE_PX,
        _MOST_SIDE_PX,
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
