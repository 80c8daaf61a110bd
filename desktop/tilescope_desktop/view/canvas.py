"""The picture of a viewport, kept from frame to frame and repaired where it changed.

A pan moves what is there and paints the strip that came into sight; a zoom shows the old picture
scaled until the new one is painted. Each frame repairs as much as its time allows, coarse before
fine, so a frame is never late and never white.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QRegion, QTransform

from tilescope.domain.geometry import Rect
from tilescope.domain.slide import SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope_desktop.model.resolve import (
    Placed,
    level_shown,
    paint_order,
    placed,
    tiles_over,
)
from tilescope_desktop.model.viewport import Viewport

Picture = NDArray[np.uint32]
Peek = Callable[[TileKey], Picture | None]

#: Time that a frame may spend on repairing the picture.
REPAIR_SECONDS = 0.006
#: A side of the pieces that are repaired one after the other, in physical pixels.
_PIECE_PX = 256


def device_transform(viewport: Viewport, pixel_ratio: float) -> QTransform:
    """Return the map from level-0 pixels to physical pixels of the widget."""
    m11, m12, m21, m22 = (value * pixel_ratio for value in viewport.matrix)
    x = viewport.width * pixel_ratio / 2
    y = viewport.height * pixel_ratio / 2
    centre = viewport.centre_l0
    dx = x - centre.x * m11 - centre.y * m21
    dy = y - centre.x * m12 - centre.y * m22
    return QTransform(m11, m12, m21, m22, dx, dy)


class Canvas:
    """A picture as large as the widget that follows a viewport."""

    def __init__(self) -> None:
        self._image = QImage()
        self._viewport: Viewport | None = None
        self._pixel_ratio = 1.0
        self._dirty = QRegion()
        self.background = QColor(Qt.GlobalColor.black)

    @property
    def image(self) -> QImage:
        """The picture as it is, in physical pixels."""
        return self._image

    @property
    def is_sharp(self) -> bool:
        """Tell whether nothing waits to be repaired."""
        return self._dirty.isEmpty()

    def soil(self) -> None:
        """Have everything painted anew, the present picture showing meanwhile."""
        self._dirty = QRegion(self._image.rect())

    def soil_tile(self, info: SlideInfo, key: TileKey) -> None:
        """Have the place of a tile painted anew."""
        if self._viewport is not None and key.level < len(info.levels):
            self._dirty += self._place(placed(info, key)) & self._image.rect()

    def follow(self, viewport: Viewport, pixel_ratio: float) -> None:
        """Take on a viewport, keeping what it shares with the one before."""
        size = (round(viewport.width * pixel_ratio), round(viewport.height * pixel_ratio))
        old, old_image, old_ratio = self._viewport, self._image, self._pixel_ratio
        if viewport == old and pixel_ratio == old_ratio:
            return
        fresh = QImage(*size, QImage.Format.Format_RGB32)
        fresh.fill(self.background)
        shift = (
            None if old is None or pixel_ratio != old_ratio else _shift(old, viewport, pixel_ratio)
        )
        old_dirty = self._dirty
        self._image, self._viewport, self._pixel_ratio = fresh, viewport, pixel_ratio
        self._dirty = QRegion(fresh.rect())
        if old is None or old_image.isNull():
            return
        painter = QPainter(fresh)
        if shift is not None and fresh.size() == old_image.size():
            painter.drawImage(shift, old_image)
            kept = QRegion(old_image.rect().translated(shift)) & fresh.rect()
            self._dirty = (self._dirty - kept) + (old_dirty.translated(shift) & kept.boundingRect())
        else:
            back, _ = device_transform(old, old_ratio).inverted()
            painter.setTransform(back * device_transform(viewport, pixel_ratio))
            painter.drawImage(0, 0, old_image)
        painter.end()

    def repair(self, info: SlideInfo, name: TileKey, peek: Peek, seconds: float) -> bool:
        """Paint what is missing or changed for at most so long; tell whether all of it is done.

        Parameters
        ----------
        name
            Any key of the painted slide and plane: tiles are looked up under its slide and plane.
        peek
            Returns the picture of a tile that is there.
        """
        if self._viewport is None or self._dirty.isEmpty():
            return True
        until = time.perf_counter() + seconds
        for piece in self._pieces():
            self._paint(info, name, peek, piece)
            self._dirty -= QRegion(piece)
            if time.perf_counter() >= until:
                break
        return self._dirty.isEmpty()

    def _pieces(self) -> Sequence[QRect]:
        """Return the parts of the dirty region, those near its middle first."""
        pieces = [
            QRect(x, y, _PIECE_PX, _PIECE_PX) & whole
            for whole in cast("Iterable[QRect]", self._dirty)
            for y in range(whole.top(), whole.bottom() + 1, _PIECE_PX)
            for x in range(whole.left(), whole.right() + 1, _PIECE_PX)
        ]
        middle = self._image.rect().center()
        pieces.sort(key=lambda piece: (piece.center() - middle).manhattanLength())
        return pieces

    def _paint(self, info: SlideInfo, name: TileKey, peek: Peek, piece: QRect) -> None:
        assert self._viewport is not None
        level = level_shown(info, self._viewport, self._pixel_ratio)
        keys = tiles_over(level, self._bounds_l0(piece), name.slide, name.plane)
        painter = QPainter(self._image)
        painter.setClipRect(piece)
        shown = paint_order(info, keys, lambda key: peek(key) is not None)
        if not shown or len(keys) > len(shown) or not self._is_inside(info, piece):
            painter.fillRect(piece, self.background)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self._is_smooth(level))
        for tile in shown:
            pixels = peek(tile.key)
            if pixels is not None:
                self._draw(painter, tile, pixels)
        painter.end()

    def _is_smooth(self, level: object) -> bool:
        # Enlarged beyond twice, people want to see the pixels as they are.
        assert self._viewport is not None
        return self._viewport.l0_per_px / self._pixel_ratio > 0.5

    def _draw(self, painter: QPainter, tile: Placed, pixels: Picture) -> None:
        height, width = pixels.shape
        image = QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGB32)
        x0, y0, x1, y1 = tile.box_l0
        transform = self._transform()
        if transform.m12() or transform.m21() or transform.m11() < 0:
            painter.setTransform(transform)
            painter.drawImage(QRectF(x0, y0, x1 - x0, y1 - y0), image)
            return
        # Whole pixels, so that neighbours meet without a gap and without blending.
        left, top = transform.map(QPointF(x0, y0)).toTuple()
        right, bottom = transform.map(QPointF(x1, y1)).toTuple()
        target = QRect(QPoint(round(left), round(top)), QPoint(round(right) - 1, round(bottom) - 1))
        painter.drawImage(target, image)

    def _transform(self) -> QTransform:
        assert self._viewport is not None
        return device_transform(self._viewport, self._pixel_ratio)

    def _place(self, tile: Placed) -> QRect:
        x0, y0, x1, y1 = tile.box_l0
        box = self._transform().mapRect(QRectF(x0, y0, x1 - x0, y1 - y0))
        return box.toAlignedRect().adjusted(-1, -1, 1, 1)

    def _bounds_l0(self, piece: QRect) -> Rect:
        back, _ = self._transform().inverted()
        box = back.mapRect(QRectF(piece))
        left, top = math.floor(box.left()), math.floor(box.top())
        right, bottom = math.ceil(box.right()), math.ceil(box.bottom())
        return Rect(left, top, max(right, left + 1), max(bottom, top + 1))

    def _is_inside(self, info: SlideInfo, piece: QRect) -> bool:
        return Rect.of_size(info.size).encloses(self._bounds_l0(piece))


def _shift(old: Viewport, new: Viewport, pixel_ratio: float) -> QPoint | None:
    """Return by how many whole physical pixels the slide moved, None when it did more than that."""
    if (old.width, old.height) != (new.width, new.height):
        return None
    if old.matrix != new.matrix:
        return None
    there = new.to_screen(old.centre_l0)
    dx = (there.x - old.width / 2) * pixel_ratio
    dy = (there.y - old.height / 2) * pixel_ratio
    if abs(dx - round(dx)) > 1e-3 or abs(dy - round(dy)) > 1e-3:
        return None
    return QPoint(round(dx), round(dy))
