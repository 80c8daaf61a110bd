"""Objects painted as vectors, in any thread."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QByteArray, QDataStream, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QImage, QPainter, QPainterPath, QPen

from tilescope.store.project import View
from tilescope_desktop.model.object_pictures import Picture, Transform, placed, thinned
from tilescope_desktop.model.object_style import ANNOTATION, ObjectStyle
from tilescope_desktop.model.view_parts import selected

#: Corners that are painted in one go: another thread waits as long as that takes.
_AT_ONCE = 2000
_ELEMENT = np.dtype([("type", ">i4"), ("x", ">f8"), ("y", ">f8")])
_LINE_TO = 1
_AREA, _POINT = 2, 0
_FILL_ALPHA = 0.22
#: By whether people drew it.
_WIDTHS_PX = {True: 2.2, False: 1.0}
_PASSES = 4
_POINT_PX = 5.0
#: What people drew is seen on white and on black.
_HALO = QColor(0, 0, 0, 45)
#: No line is as wide as twice this.
_WIDE_PX = 8.0


@dataclass(frozen=True, slots=True)
class _Look:
    color: QColor
    width_px: float
    is_filled: bool
    opacity: float
    has_halo: bool = False


def paint_objects(
    painter: QPainter,
    view: View,
    transform: Transform,
    style: ObjectStyle,
    ratio: float = 1.0,
    *,
    fills: bool = True,
) -> None:
    """Paint objects in pixels of the painter.

    Parameters
    ----------
    transform
        From level-0 pixels.
    ratio
        Pixels of the painter per logical pixel: lines have the same width on every screen.
    fills
        Whether areas are tinted as the style says; not when that was done before.
    """
    shown = selected(view, style.shown(view.classes, view.kinds, view.class_names))
    style = style.beside(view.class_names.values())
    for is_annotation in (False, True):
        of_kind = (shown.kinds == ANNOTATION) == is_annotation
        for number in np.unique(shown.classes[of_kind]).tolist():
            rgb = style.color_of(shown.class_names.get(number))
            wanted = style.fills_annotations if is_annotation else style.fills_detections
            look = _Look(
                QColor(*rgb),
                _WIDTHS_PX[is_annotation] * ratio,
                fills and wanted,
                style.opacity,
                is_annotation,
            )
            mine = of_kind & (shown.classes == number)
            _paint_batch(painter, selected(shown, mine), transform, look)


def outline_path(view: View, transform: Transform) -> QPainterPath:
    """Return all lines and outlines as one path, holes by the even-odd rule."""
    points, offsets = thinned(placed(view.points, transform), view.ring_offsets)
    return _path(points, offsets, is_winding=False)


def stroke(painter: QPainter, path: QPainterPath, color: QColor, width_px: float) -> None:
    """Paint lines of a width by several passes of thin ones.

    Qt's software painter takes 0.2 us for a side of a thin line and 40 us for that of a wide one.
    """
    pen = QPen(color, 1.0)
    pen.setCosmetic(True)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    away = (width_px - 1.0) / 2
    painter.drawPath(path)
    if away < 0.2:
        return
    for turn in range(_PASSES if away < 1.0 else 2 * _PASSES):
        angle = 2 * math.pi * turn / (_PASSES if away < 1.0 else 2 * _PASSES)
        dx, dy = away * math.cos(angle), away * math.sin(angle)
        painter.translate(dx, dy)
        painter.drawPath(path)
        painter.translate(-dx, -dy)


def image_of(picture: Picture) -> QImage:
    """Return premultiplied ``uint32[h, w]`` as an image that owns its pixels."""
    height, width = picture.shape
    rows = np.ascontiguousarray(picture)
    form = QImage.Format.Format_ARGB32_Premultiplied
    return QImage(rows.data, width, height, 4 * width, form).copy()


def _paint_batch(painter: QPainter, view: View, transform: Transform, look: _Look) -> None:
    simple = np.diff(view.object_offsets) == 1
    areas = view.dimensions == _AREA
    _paint_paths(painter, selected(view, areas & simple), transform, look, is_winding=True)
    for index in np.flatnonzero(areas & ~simple).tolist():
        one = np.zeros(len(view), bool)
        one[index] = True
        _paint_paths(painter, selected(view, one), transform, look, is_winding=False)
    lines = selected(view, ~areas & (view.dimensions != _POINT))
    _paint_paths(painter, lines, transform, replace(look, is_filled=False), is_winding=False)
    _paint_points(painter, selected(view, view.dimensions == _POINT), transform, look)


def _paint_paths(
    painter: QPainter, view: View, transform: Transform, look: _Look, *, is_winding: bool
) -> None:
    if not len(view):
        return
    points, offsets = thinned(placed(view.points, transform), view.ring_offsets)
    inside = QColor(look.color)
    inside.setAlphaF(_FILL_ALPHA)
    painter.setOpacity(look.opacity)
    if look.is_filled:
        for part, ends in _parts(points, offsets, view.object_offsets):
            painter.fillPath(_path(part, ends, is_winding=is_winding), inside)
    for part, ends in _runs(points, offsets, _seen(painter)):
        path = _path(part, ends, is_winding=is_winding)
        if look.has_halo:
            stroke(painter, path, _HALO, look.width_px + 1.8)
        stroke(painter, path, look.color, look.width_px)
    painter.setOpacity(1.0)


def _paint_points(painter: QPainter, view: View, transform: Transform, look: _Look) -> None:
    if not len(view):
        return
    painter.setPen(QPen(QColor(255, 255, 255), 1.0))
    painter.setBrush(QBrush(look.color))
    painter.setOpacity(look.opacity)
    radius = _POINT_PX / 2.2 * look.width_px
    for x, y in placed(view.points, transform).tolist():
        painter.drawEllipse(QPointF(x, y), radius, radius)
    painter.setOpacity(1.0)


def _seen(painter: QPainter) -> QRectF:
    """Return around which place of the painter lines are seen, wide ones too."""
    return painter.clipBoundingRect() if painter.hasClipping() else QRectF(painter.window())


def _runs(
    points: NDArray[np.float64], offsets: NDArray[np.int64], seen: QRectF
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Yield the parts of lines that lie near a place, with a bounded number of corners each."""
    box = seen.adjusted(-_WIDE_PX, -_WIDE_PX, _WIDE_PX, _WIDE_PX)
    near = np.ones(max(0, len(points) - 1), bool)
    for at, low, high in ((0, box.left(), box.right()), (1, box.top(), box.bottom())):
        a, b = points[:-1, at], points[1:, at]
        near &= (np.maximum(a, b) >= low) & (np.minimum(a, b) <= high)
    near[offsets[1:-1] - 1] = False  # from one ring to the next
    for first in range(0, len(near), _AT_ONCE):
        # The corner that a piece ends with is the first one of the next.
        part = near[first : first + _AT_ONCE]
        begins, ends = np.append(part, False), np.append(False, part)
        keep = begins | ends
        if keep.any():
            starts = np.flatnonzero((begins & ~ends)[keep])
            run = points[first : first + len(keep)][keep]
            yield run, np.append(starts, len(run))


def _parts(
    points: NDArray[np.float64], offsets: NDArray[np.int64], object_offsets: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Yield the rings of whole objects, with a bounded number of corners if one has not more."""
    ends = offsets[object_offsets]
    first = 0
    while first < len(object_offsets) - 1:
        last = int(np.searchsorted(ends, ends[first] + _AT_ONCE, "right")) - 1
        last = max(last, first + 1)
        low, high = int(object_offsets[first]), int(object_offsets[last])
        yield points[offsets[low] : offsets[high]], offsets[low : high + 1] - offsets[low]
        first = last


def _path(
    points: NDArray[np.float64], offsets: NDArray[np.int64], *, is_winding: bool
) -> QPainterPath:
    """Return rings as a path: read from bytes, since a call per corner takes too long."""
    if not len(points):
        return QPainterPath()
    elements = np.empty(len(points), _ELEMENT)
    elements["type"] = _LINE_TO
    elements["type"][offsets[:-1]] = 0
    elements["x"], elements["y"] = points[:, 0], points[:, 1]
    rule = Qt.FillRule.WindingFill if is_winding else Qt.FillRule.OddEvenFill
    data = struct.pack(">i", len(points)) + elements.tobytes() + struct.pack(">ii", 0, rule.value)
    path = QPainterPath()
    stream = QDataStream(QByteArray(data))
    stream >> path
    return path
