"""Parts of a picture of objects, painted one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRect
from PySide6.QtGui import QImage, QPainter, QRegion

from tilescope.domain.geometry import Rect
from tilescope.store.project import View
from tilescope_desktop.bridge.object_painter import image_of, paint_objects
from tilescope_desktop.model.atlas import Atlas
from tilescope_desktop.model.object_pictures import Picture, density, filled
from tilescope_desktop.model.object_style import ANNOTATION
from tilescope_desktop.model.object_wish import Transform, Where, rect_back, rect_there
from tilescope_desktop.model.view_parts import joined, selected

#: What people drew is painted as vectors with wide lines, up to so many corners in a piece.
_MOST_CORNERS = 50_000
#: What is painted of an object reaches so far beyond it, in logical pixels.
_REACH_PX = 8
#: A cell of a density picture in physical pixels, and the area of the pieces in which it is made.
_CELL_PX = 2
_FAR_AREA, _FAR_SIDE = 1 << 20, 512


def new_image(where: Where) -> QImage:
    """Return an image in physical pixels, with nothing painted yet."""
    height, width = where.shape
    return QImage(width, height, QImage.Format.Format_ARGB32_Premultiplied)


def copy_pixels(old: QImage, new: QImage, target: QRect, shift: tuple[int, int]) -> None:
    """Copy what a picture shows to another, moved by ``shift``, where ``target`` is."""
    dx, dy = shift
    source = np.frombuffer(old.constBits(), np.uint32)
    _part(new, target)[:] = _cut(source, old, target.translated(-dx, -dy))


def pieces_of(todo: QRegion, area: int, side: int) -> list[QRect]:
    """Return a region in rectangles of about that area, of which no side is cut below ``side``."""
    pieces = []
    for whole in cast("Iterable[QRect]", todo):
        height = min(whole.height(), max(side, math.isqrt(area)))
        width = max(side, area // height)
        pieces += [
            QRect(x, y, width, height) & whole
            for y in range(whole.top(), whole.bottom() + 1, height)
            for x in range(whole.left(), whole.right() + 1, width)
        ]
    return pieces


def rect_l0(where: Where, piece: QRect) -> Rect:
    """Return where objects lie of which something is seen in a piece."""
    reach = _REACH_PX * where.pixel_ratio
    box = (
        piece.x() - reach,
        piece.y() - reach,
        piece.x() + piece.width() + reach,
        piece.y() + piece.height() + reach,
    )
    left, top, right, bottom = rect_back(where.transform, box).tolist()
    x0, y0 = math.floor(left), math.floor(top)
    return Rect(x0, y0, max(math.ceil(right), x0 + 1), max(math.ceil(bottom), y0 + 1))


def regions_of(where: Where, boxes: Sequence[tuple[float, float, float, float]]) -> QRegion:
    """Return where on a picture something is seen of what lies in boxes in level-0 pixels."""
    found = QRegion()
    reach = _REACH_PX * where.pixel_ratio
    height, width = where.shape
    for box in boxes:
        left, top, right, bottom = rect_there(where.transform, box).tolist()
        x0, y0 = max(0, math.floor(left - reach)), max(0, math.floor(top - reach))
        x1, y1 = min(width, math.ceil(right + reach)), min(height, math.ceil(bottom + reach))
        if x0 < x1 and y0 < y1:
            found += QRect(x0, y0, x1 - x0, y1 - y0)
    return found


def paint_near(image: QImage, piece: QRect, found: Sequence[View], where: Where) -> list[View]:
    """Paint objects of one ring each; return those that ``paint_drawn`` has to paint."""
    transform = _moved(where.transform, piece)
    width, height = piece.width(), piece.height()
    pixels = _part(image, piece)
    pixels[:] = 0
    left = []
    for view in found:
        shown = selected(view, where.style.shown(view.classes, view.kinds, view.class_names))
        corners = np.diff(shown.ring_offsets[shown.object_offsets])
        simple = (shown.dimensions == 2) & (np.diff(shown.object_offsets) == 1)
        drawn = (shown.kinds == ANNOTATION) | ~simple
        if corners[drawn & simple].sum() > _MOST_CORNERS:
            drawn = ~simple
        areas = selected(shown, simple)
        if len(areas):
            lines = ~drawn[simple]
            thick = max(1, round(where.pixel_ratio))
            picture = filled(
                areas, transform, width, height, where.style, lined=lines, width_px=thick
            )
            _lay_over(image, pixels, piece, picture)
        if drawn.any():
            left.append(selected(shown, drawn))
    return left


def paint_drawn(image: QImage, todo: QRegion, drawn: Sequence[View], where: Where) -> None:
    """Paint objects as vectors, each of them once."""
    if not drawn:
        return
    view = joined(drawn, drawn[0].class_names)
    _, first = np.unique(view.ids, axis=0, return_index=True)
    once = np.zeros(len(view), bool)
    once[first] = True
    view = selected(view, once)
    # Areas of one ring are tinted already.
    tinted = (view.dimensions == 2) & (np.diff(view.object_offsets) == 1)
    _paint_vectors(image, todo, selected(view, tinted), where, fills=False)
    _paint_vectors(image, todo, selected(view, ~tinted), where)


def paint_far(image: QImage, todo: QRegion, where: Where, atlas: Atlas) -> None:
    """Paint how dense objects are, and large ones as outlines."""
    for piece in pieces_of(todo, _FAR_AREA, _FAR_SIDE):
        # Cells stay where they are on the slide, so that what is moved and what is new fit.
        left, top = (
            (at - math.floor(move)) % _CELL_PX
            for at, move in zip((piece.x(), piece.y()), where.transform[:, 2], strict=True)
        )
        grid = piece.adjusted(-left, -top, 0, 0)
        cells = _moved(where.transform, grid) / _CELL_PX
        columns, rows = -(-grid.width() // _CELL_PX), -(-grid.height() // _CELL_PX)
        rect = rect_l0(where, piece)
        sources = [(atlas.chunks, atlas.class_names)]
        sources += [(one.dots(), one.class_names) for one in where.live]
        pixels = _part(image, piece)
        pixels[:] = 0
        for dots, names in sources:
            near = [chunk for chunk in dots if chunk.meets(rect)]
            small = density(near, names, cells, columns, rows, where.style)
            large = small.repeat(_CELL_PX, axis=0).repeat(_CELL_PX, axis=1)
            picture = large[top : top + piece.height(), left : left + piece.width()]
            _lay_over(image, pixels, piece, picture)
    if atlas.large is not None:
        seen = atlas.large_in(rect_l0(where, todo.boundingRect()))
        _paint_vectors(image, todo, selected(atlas.large, seen), where)


def _paint_vectors(
    image: QImage, todo: QRegion, view: View, where: Where, *, fills: bool = True
) -> None:
    if not len(view):
        return
    painter = QPainter(image)
    painter.setClipRegion(todo)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    paint_objects(painter, view, where.transform, where.style, where.pixel_ratio, fills=fills)
    painter.end()


def _lay_over(image: QImage, pixels: Picture, piece: QRect, picture: Picture) -> None:
    if pixels.any():
        painter = QPainter(image)
        painter.drawImage(piece.topLeft(), image_of(picture))
        painter.end()
    else:
        pixels[:] = picture


def _moved(transform: Transform, piece: QRect) -> Transform:
    moved = transform.copy()
    moved[:, 2] -= (piece.x(), piece.y())
    return moved


def _part(image: QImage, piece: QRect) -> NDArray[np.uint32]:
    """Return the pixels of a part of an image, ``uint32[h, w]``, to be changed."""
    return _cut(np.frombuffer(image.bits(), np.uint32), image, piece)


def _cut(flat: NDArray[np.uint32], image: QImage, piece: QRect) -> NDArray[np.uint32]:
    whole = flat.reshape(image.height(), image.width())
    return whole[piece.y() : piece.y() + piece.height(), piece.x() : piece.x() + piece.width()]
