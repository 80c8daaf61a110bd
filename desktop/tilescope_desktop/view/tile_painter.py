"""Tiles on a picture, where a viewport shows them: piece by piece, so that painting can stop.

An upright slide is cut along its tiles, so each is drawn once and neighbours meet without a gap; a
turned or flipped one is cut into squares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRect, QRectF
from PySide6.QtGui import QColor, QImage, QPainter, QRegion, QTransform

from tilescope.domain.geometry import Rect
from tilescope.domain.slide import Level, SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope_desktop.model.resolve import Placed, level_shown, paint_order, placed, tiles_over
from tilescope_desktop.model.viewport import Viewport

#: How a picture is kept that shows all there is, and one that lies over another.
OPAQUE = QImage.Format.Format_RGB32
LAYER = QImage.Format.Format_ARGB32_Premultiplied

Picture = NDArray[np.uint32]
Peek = Callable[[TileKey], Picture | None]

#: No side of a piece is longer, in physical pixels: it is what one looks at the clock after.
_MOST_PIECE_PX = 384
_SQUARE_PX = 256
#: A rough picture is taken from a level this much coarser, if not coarser still.
_ROUGHER = 2


class Piece(NamedTuple):
    """A rectangle of the picture in physical pixels, and the tiles that belong there."""

    left: int
    top: int
    right: int
    bottom: int
    keys: tuple[TileKey, ...]

    @property
    def rect(self) -> QRect:
        """The same as Qt has it."""
        return QRect(self.left, self.top, self.right - self.left, self.bottom - self.top)


def device_transform(viewport: Viewport, pixel_ratio: float) -> QTransform:
    """Return the map from level-0 pixels to physical pixels of the widget."""
    m11, m12, m21, m22 = (value * pixel_ratio for value in viewport.matrix)
    x = viewport.width * pixel_ratio / 2
    y = viewport.height * pixel_ratio / 2
    centre = viewport.centre_l0
    dx = x - centre.x * m11 - centre.y * m21
    dy = y - centre.x * m12 - centre.y * m22
    return QTransform(m11, m12, m21, m22, dx, dy)


class TilePainter:
    """Paints one plane of a slide as a viewport shows it.

    Parameters
    ----------
    name
        Any key of the slide and plane: tiles are looked up under its slide and plane.
    peek
        Returns the picture of a tile that is there.
    background
        What is painted beside the slide, and where not even a coarse tile is there.
    is_layer
        Whether tiles have a transparency and their pixels mean something: such are never mixed.
    """

    def __init__(
        self,
        info: SlideInfo,
        name: TileKey,
        peek: Peek,
        viewport: Viewport,
        pixel_ratio: float,
        background: QColor,
        *,
        is_layer: bool = False,
    ) -> None:
        self.level = level_shown(info, viewport, pixel_ratio)
        self._background = background
        self._info = info
        self._name = name
        self._peek = peek
        self._transform = device_transform(viewport, pixel_ratio)
        self._scale, self._dx = self._transform.m11(), self._transform.dx()
        self._dy = self._transform.dy()
        turned = self._transform.m12() or self._transform.m21() or self._scale < 0
        self._is_upright = not turned
        # Enlarged beyond twice, people want to see the pixels as they are.
        self._is_smooth = viewport.l0_per_px / pixel_ratio > 0.5 and not is_layer
        self._format = LAYER if is_layer else OPAQUE

    def place(self, key: TileKey) -> QRect:
        """Return the pixels that a tile may touch."""
        x0, y0, x1, y1 = placed(self._info, key).box_l0
        box = self._transform.mapRect(QRectF(x0, y0, x1 - x0, y1 - y0))
        return box.toAlignedRect().adjusted(-1, -1, 1, 1)

    def keys_over(self, rect: QRect, level: Level | None = None) -> list[TileKey]:
        """Return the tiles of a level, or else the one shown, that touch a part of the picture."""
        back, _ = self._transform.inverted()
        box = back.mapRect(QRectF(rect))
        left, top = math.floor(box.left()), math.floor(box.top())
        right, bottom = math.ceil(box.right()), math.ceil(box.bottom())
        bounds = Rect(left, top, max(right, left + 1), max(bottom, top + 1))
        return tiles_over(level or self.level, bounds, self._name.slide, self._name.plane)

    def pieces(self, region: QRegion) -> list[Piece]:
        """Return a part of the picture in pieces that do not overlap."""
        cut = self._cells if self._is_upright else self._squares
        return [piece for rect in cast("Iterable[QRect]", region) for piece in cut(rect)]

    def paint(self, painter: QPainter, piece: Piece, *, is_bare: bool) -> bool:
        """Paint one piece; tell whether that was done.

        A bare piece is left to ``cover`` when its tile is missing. Where something shows already,
        coarser tiles take its place, and if there are none it stays: better that than nothing.
        """
        has = self._has
        if is_bare and len(piece.keys) == 1 and not has(piece.keys[0]):
            return False
        painter.setClipRect(piece.rect)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self._is_smooth)
        if self._is_upright and piece.keys and has(piece.keys[0]):
            self._draw(painter, placed(self._info, piece.keys[0]))
            return True
        shown = paint_order(self._info, piece.keys, has)
        if is_bare or shown or not piece.keys:
            painter.fillRect(piece.rect, self._background)
            if not self._is_upright:
                # Turned tiles leave single pixels between each other, where this shows.
                self.cover(painter, QRegion(piece.rect))
                painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self._is_smooth)
        for tile in shown:
            self._draw(painter, tile)
        return True

    def cover(self, painter: QPainter, region: QRegion) -> None:
        """Paint roughly, in no time, from the finest coarse level that is there."""
        levels = self._info.levels
        box = region.boundingRect()
        for level in levels[min(self.level.index + _ROUGHER, len(levels) - 1) :]:
            keys = self.keys_over(box, level)
            if all(map(self._has, keys)):
                break
        painter.setClipRegion(region)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        painter.fillRect(box, self._background)
        for key in keys:
            self._draw(painter, placed(self._info, key), rim_px=1)

    def _has(self, key: TileKey) -> bool:
        return self._peek(key) is not None

    def _draw(self, painter: QPainter, tile: Placed, *, rim_px: int = 0) -> None:
        """Paint a tile; a turned one reaches ``rim_px`` beyond its place."""
        pixels = self._peek(tile.key)
        if pixels is None:
            return
        height, width = pixels.shape
        image = QImage(pixels.data, width, height, 4 * width, self._format)
        x0, y0, x1, y1 = tile.box_l0
        if not self._is_upright:
            rim = rim_px / math.sqrt(abs(self._transform.determinant()))
            painter.setTransform(self._transform)
            painter.drawImage(
                QRectF(x0, y0, x1 - x0, y1 - y0).adjusted(-rim, -rim, rim, rim), image
            )
            painter.resetTransform()
            return
        # Whole pixels, so that neighbours meet without a gap and without blending.
        left, top = round(x0 * self._scale + self._dx), round(y0 * self._scale + self._dy)
        right, bottom = round(x1 * self._scale + self._dx), round(y1 * self._scale + self._dy)
        painter.drawImage(QRect(left, top, right - left, bottom - top), image)

    def _cells(self, rect: QRect) -> Iterator[Piece]:
        """Yield the parts of a rectangle that belong to one tile each, or to none."""
        level, slide, plane = self.level, self._name.slide, self._name.plane
        size, tile = level.size, level.tile
        x = _Axis(size.width, tile.width, level.downsample_x, self._scale, self._dx)
        y = _Axis(size.height, tile.height, level.downsample_y, self._scale, self._dy)
        across = list(x.spans(rect.x(), rect.x() + rect.width()))
        for row, top, bottom in y.spans(rect.y(), rect.y() + rect.height()):
            for col, left, right in across:
                if row is None or col is None:
                    yield Piece(left, top, right, bottom, ())
                else:
                    key = TileKey(slide, level.index, col, row, plane)
                    yield Piece(left, top, right, bottom, (key,))

    def _squares(self, rect: QRect) -> Iterator[Piece]:
        for y in range(rect.top(), rect.bottom() + 1, _SQUARE_PX):
            for x in range(rect.left(), rect.right() + 1, _SQUARE_PX):
                part = QRect(x, y, _SQUARE_PX, _SQUARE_PX) & rect
                keys = tuple(self.keys_over(part))
                yield Piece(x, y, x + part.width(), y + part.height(), keys)


class _Axis(NamedTuple):
    """One axis of a level on the picture: pixel i is at ``i * downsample * scale + offset``."""

    size: int
    tile: int
    downsample: float
    scale: float
    offset: float

    def spans(self, low: int, high: int) -> Iterator[tuple[int | None, int, int]]:
        """Yield tile, begin and end of the parts of an interval; no tile beside the level."""
        begin, end = self._at(0), self._at(self.size)
        yield from _parts(None, low, min(begin, high))
        px_per_tile = self.tile * self.downsample * self.scale
        first = max(0, math.floor((low - 1 - self.offset) / px_per_tile))
        last = min(-(-self.size // self.tile), math.ceil((high + 1 - self.offset) / px_per_tile))
        for index in range(first, last):
            x0 = self._at(index * self.tile)
            x1 = self._at(min((index + 1) * self.tile, self.size))
            yield from _parts(index, max(x0, low), min(x1, high))
        yield from _parts(None, max(end, low), high)

    def _at(self, pixel: int) -> int:
        # As a tile is drawn, to the last bit: a tile and its piece have to end together.
        return round(pixel * self.downsample * self.scale + self.offset)


def _parts(index: int | None, begin: int, end: int) -> Iterator[tuple[int | None, int, int]]:
    for start in range(begin, end, _MOST_PIECE_PX):
        yield index, start, min(start + _MOST_PIECE_PX, end)
