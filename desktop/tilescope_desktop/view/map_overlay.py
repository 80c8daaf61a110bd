"""Class maps and heat maps over the slide, as they come from a running model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter

from tilescope.domain.geometry import Size
from tilescope.exchange.palette import class_colour
from tilescope.jobs.running.events import MapArea
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.tile_painter import device_transform

#: The longer side of the picture that is shown when one is far away.
_FAR_SIDE_PX = 2048
#: So many areas are painted one by one when one is near; more would cost a frame.
_MOST_NEAR = 300
#: An area is kept with at most so many pixels a side.
_AREA_SIDE_PX = 256
_MOST_KEPT = 4000


class MapOverlay:
    """What a model says of every place of a slide.

    Areas are kept small, and in one picture of the whole slide; with more than 4,000 areas only
    that picture grows, whose pixels are a 2,048th of the slide's longer side.
    """

    def __init__(self, size: Size, classes: Sequence[str]) -> None:
        scale = min(1.0, _FAR_SIDE_PX / max(size.width, size.height))
        self._scale = scale
        self._far = QImage(
            max(1, round(size.width * scale)),
            max(1, round(size.height * scale)),
            QImage.Format.Format_ARGB32_Premultiplied,
        )
        self._far.fill(Qt.GlobalColor.transparent)
        self._is_heat = len(classes) == 1
        self._colors = _heat_colors() if self._is_heat else _class_colors(len(classes))
        self._near: list[tuple[QRectF, QImage]] = []
        self.opacity = 0.5
        self.is_visible = True

    @property
    def count(self) -> int:
        """Areas that are kept."""
        return len(self._near)

    def add(self, areas: Sequence[MapArea]) -> None:
        """Show more areas."""
        painter = QPainter(self._far)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
        painter.scale(self._scale, self._scale)
        for area in areas:
            x0, y0, x1, y1 = area.rect_l0
            rect = QRectF(x0, y0, x1 - x0, y1 - y0)
            image = self._image(area.values)
            painter.drawImage(rect, image)
            if len(self._near) < _MOST_KEPT:
                self._near.append((rect, image))
        painter.end()

    def paint(self, painter: QPainter, viewport: Viewport) -> None:
        """Paint in logical pixels of the widget."""
        if not self.is_visible:
            return
        bounds = viewport.bounds_l0
        seen = QRectF(bounds.x0, bounds.y0, bounds.width, bounds.height)
        near = [(rect, image) for rect, image in self._near if rect.intersects(seen)]
        painter.save()
        painter.setOpacity(self.opacity)
        painter.setTransform(device_transform(viewport, 1.0), combine=True)
        is_close = viewport.l0_per_px * self._scale < 1.0
        if is_close and len(near) <= _MOST_NEAR and len(self._near) < _MOST_KEPT:
            for rect, image in near:
                painter.drawImage(rect, image)
        else:
            width, height = self._far.width() / self._scale, self._far.height() / self._scale
            painter.drawImage(QRectF(0, 0, width, height), self._far)
        painter.restore()

    def _image(self, values: NDArray[np.uint8] | NDArray[np.uint16]) -> QImage:
        step = max(1, -(-max(values.shape) // _AREA_SIDE_PX))
        small = values[::step, ::step]
        last = len(self._colors) - 1
        words = np.ascontiguousarray(self._colors[np.minimum(small, last)])
        height, width = words.shape
        form = QImage.Format.Format_ARGB32_Premultiplied
        return QImage(words.data, width, height, 4 * width, form).copy()


def _class_colors(count: int) -> NDArray[np.uint32]:
    """Return one premultiplied ARGB word per class value; 0 is nothing."""
    colors = [QColor(*class_colour(index)).rgba() for index in range(count)]
    return np.array([0, *colors], np.uint32)


def _heat_colors() -> NDArray[np.uint32]:
    """Return 256 words from nothing by yellow to red: probability in 255ths."""
    share = np.arange(256) / 255
    red = np.full(256, 255.0)
    green = 220 * (1 - share) ** 0.7
    alpha = np.clip(share * 1.6, 0, 1)
    channels = [(np.round(part * alpha).astype(np.uint32)) for part in (red, green, np.zeros(256))]
    words = np.round(255 * alpha).astype(np.uint32) << 24
    return (words | (channels[0] << 16) | (channels[1] << 8) | channels[2]).astype(np.uint32)
