"""The picture of a viewport, kept from frame to frame and repaired where it changed.

A pan moves what is there and paints the strip that came into sight; a zoom shows the old picture
scaled until the new one is painted. Each frame repairs as much as its time allows, and covers the
rest of what is bare by coarse tiles, so a frame is never late and never white.
"""

from __future__ import annotations

import math
import time

import numpy as np
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QRegion

from tilescope.domain.slide import SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.tile_painter import (
    LAYER,
    OPAQUE,
    Peek,
    Piece,
    TilePainter,
    device_transform,
)

#: Pixels at the rim of a scaled picture that are not relied on.
_RIM_PX = 2


class Canvas:
    """A picture as large as the widget that follows a viewport.

    Parameters
    ----------
    is_layer
        Whether it lies over another picture: where nothing is, that shows.
    """

    def __init__(self, *, is_layer: bool = False) -> None:
        self._is_layer = is_layer
        self._image = QImage()
        self._spare = QImage()
        self._viewport: Viewport | None = None
        self._pixel_ratio = 1.0
        # Bare is what shows nothing of the slide; dirty is that, and what may be painted better.
        self._bare = QRegion()
        self._dirty = QRegion()
        self.background = QColor(Qt.GlobalColor.transparent if is_layer else Qt.GlobalColor.black)

    @property
    def image(self) -> QImage:
        """The picture as it is, in physical pixels."""
        return self._image

    @property
    def is_sharp(self) -> bool:
        """Tell whether nothing waits to be repaired."""
        return self._dirty.isEmpty()

    def is_sharp_at(self, viewport: Viewport, pixel_ratio: float) -> bool:
        """Tell whether it has followed a viewport and nothing of it waits to be repaired."""
        follows = self._viewport == viewport and self._pixel_ratio == pixel_ratio
        return follows and self.is_sharp

    def clear(self) -> None:
        """Show nothing of what was painted any more."""
        self.soil()
        self._bare = QRegion(self._dirty)

    def soil(self) -> None:
        """Have everything painted anew, the present picture showing meanwhile."""
        self._dirty = QRegion(self._image.rect())

    def soil_tile(self, info: SlideInfo, key: TileKey, peek: Peek) -> None:
        """Have the place of a tile painted anew, if the tile is what should be seen there."""
        if self._viewport is None or key.level >= len(info.levels):
            return
        painter = self._painter(info, key, peek)
        if key.level < painter.level.index:
            return
        place = painter.place(key) & self._image.rect()
        if place.isEmpty():
            return
        if key.level == painter.level.index or any(
            peek(over) is None for over in painter.keys_over(place)
        ):
            self._dirty += place
        if peek(key) is None:
            # It failed: what shows there is of another plane or style, and stays that.
            self._bare += place

    def follow(self, viewport: Viewport, pixel_ratio: float) -> None:
        """Take on a viewport, keeping what it shares with the one before."""
        old, old_ratio = self._viewport, self._pixel_ratio
        if viewport == old and pixel_ratio == old_ratio:
            return
        self._viewport, self._pixel_ratio = viewport, pixel_ratio
        shift = None
        if old is not None and pixel_ratio == old_ratio:
            shift = _shift(old, viewport, pixel_ratio)
        if shift is None:
            self._rescale(old, old_ratio)
        else:
            self._move(*shift)

    def repair(self, info: SlideInfo, name: TileKey, peek: Peek, seconds: float) -> bool:
        """Paint what is missing or changed for about so long; tell whether all of it is done.

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
        tiles = self._painter(info, name, peek)
        painter = self._painter_on(self._image)
        bare = self._paint(painter, tiles, self._bare, until, is_bare=True)
        if not bare.isEmpty():
            tiles.cover(painter, bare)
        dirty = self._paint(painter, tiles, self._dirty - self._bare, until, is_bare=False)
        painter.end()
        self._dirty, self._bare = dirty + bare, QRegion()
        return self._dirty.isEmpty()

    def _paint(
        self, painter: QPainter, tiles: TilePainter, region: QRegion, until: float, *, is_bare: bool
    ) -> QRegion:
        """Paint a region until it is time, its middle first; return what is left of it.

        One piece is painted in any case: a repair comes to an end on the slowest machine.
        """
        pieces = tiles.pieces(region)
        middle = self._image.rect().center()
        pieces.sort(key=lambda piece: _distance(piece, middle))
        done: list[QRect] = []
        for piece in pieces:
            if done and time.perf_counter() >= until:
                break
            if tiles.paint(painter, piece, is_bare=is_bare):
                done.append(piece.rect)
        if len(done) == len(pieces):
            return QRegion()
        left = QRegion(region)
        for rect in done:
            left -= QRegion(rect)
        return left

    def _painter(self, info: SlideInfo, name: TileKey, peek: Peek) -> TilePainter:
        assert self._viewport is not None
        return TilePainter(
            info,
            name,
            peek,
            self._viewport,
            self._pixel_ratio,
            self.background,
            is_layer=self._is_layer,
        )

    def _painter_on(self, image: QImage) -> QPainter:
        painter = QPainter(image)
        if self._is_layer:
            # What is painted takes the place of what was there, transparent or not.
            painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
        return painter

    def _move(self, dx: int, dy: int) -> None:
        """Move the picture in its place, by whole pixels."""
        whole = self._image.rect()
        kept = whole & whole.translated(dx, dy)
        words = np.frombuffer(self._image.bits(), np.uint32)
        # Rows follow each other without a gap: what runs over an edge comes to lie beside ``kept``.
        by = dy * whole.width() + dx
        if kept.isEmpty():
            pass
        elif by > 0:
            words[by:] = words[:-by]
        elif by < 0:
            words[:by] = words[-by:]
        bare = QRegion(whole) - QRegion(kept)
        self._dirty = (self._dirty.translated(dx, dy) & kept) + bare
        self._bare = (self._bare.translated(dx, dy) & kept) + bare

    def _rescale(self, old: Viewport | None, old_ratio: float) -> None:
        """Take on another scale, turn or size; the old picture shows where it belongs."""
        assert self._viewport is not None
        width = round(self._viewport.width * self._pixel_ratio)
        height = round(self._viewport.height * self._pixel_ratio)
        before, fresh = self._image, self._spare
        if (fresh.width(), fresh.height()) != (width, height):
            fresh = QImage(width, height, LAYER if self._is_layer else OPAQUE)
        self._image, self._spare = fresh, before
        self._dirty = QRegion(fresh.rect())
        self._bare = QRegion(self._dirty)
        if old is None or before.isNull():
            return
        back, _ = device_transform(old, old_ratio).inverted()
        change = back * device_transform(self._viewport, self._pixel_ratio)
        painter = self._painter_on(fresh)
        painter.setTransform(change)
        painter.drawImage(0, 0, before)
        painter.end()
        rim = _RIM_PX + math.ceil(_RIM_PX / math.sqrt(abs(change.determinant())))
        inner = before.rect().adjusted(rim, rim, -rim, -rim)
        if inner.isValid():
            self._bare -= QRegion(change.mapToPolygon(inner))


def _distance(piece: Piece, middle: QPoint) -> int:
    return abs(piece.left + piece.right - 2 * middle.x()) + abs(
        piece.top + piece.bottom - 2 * middle.y()
    )


def _shift(old: Viewport, new: Viewport, pixel_ratio: float) -> tuple[int, int] | None:
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
    return round(dx), round(dy)
