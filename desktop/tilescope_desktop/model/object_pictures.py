"""Pictures of very many objects: every one filled and outlined, or only how dense they are.

Pictures are ``uint32[h, w]``, ``0xAARRGGBB`` with colours multiplied by alpha. Transforms are
``float64[2, 3]``: pixel x and y are ``transform @ (x_l0, y_l0, 1)``. All of it is done by array
operations that let other threads run meanwhile; a painter of Qt would stop them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.results import Detections
from tilescope.ops.hair_lines import paint_outlines
from tilescope.ops.raster import fill
from tilescope.store.project import View
from tilescope_desktop.model.atlas import Chunk
from tilescope_desktop.model.object_style import ANNOTATION, ObjectStyle, color_table

Picture = NDArray[np.uint32]
Transform = NDArray[np.float64]

_FILL_ALPHA = 0.25
#: Where there is anything at all it can be seen.
_LEAST_ALPHA = 0.3
#: Share of its box that an object covers, and how many pixels it covers at most.
_ROUND = np.float32(0.6)
_MOST_COVER = np.float32(12.0)
_MOST_SPREAD = 3
_FAR_PX = 1e6
#: Corners nearer to each other than this look the same, in pixels.
_FINE_PX = 0.6


def placed(points: NDArray[Any], transform: Transform) -> NDArray[np.float64]:
    """Return level-0 points on the picture, ``float64[n, 2]``, far ones cut off."""
    moved = np.empty((len(points), 2))
    x, y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    for column, (a, b, c) in enumerate(transform.tolist()):
        # A product of matrices would start threads that are in each other's way.
        np.clip(x * a + y * b + c, -_FAR_PX, _FAR_PX, out=moved[:, column])
    return moved


def thinned(
    points: NDArray[np.float64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return rings without corners that fall on the pixel of the one before."""
    if not len(points):
        return points, offsets
    cells = np.round(points * (1 / _FINE_PX)).astype(np.int32).view(np.int64)[:, 0]
    keep = np.ones(len(points), bool)
    np.not_equal(cells[1:], cells[:-1], out=keep[1:])
    keep[offsets[:-1]] = True
    keep[offsets[1:] - 1] = True
    counts = np.add.reduceat(keep, offsets[:-1], dtype=np.int64)
    return points[keep], np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def filled(
    view: View,
    transform: Transform,
    width: int,
    height: int,
    style: ObjectStyle,
    *,
    lined: NDArray[np.bool_] | None = None,
    width_px: int = 1,
) -> Picture:
    """Return objects of one ring each as tinted areas with thin lines around them.

    Parameters
    ----------
    lined
        ``bool[n]``: which of them have lines; all by default.
    width_px
        Of the lines.
    """
    points, offsets = thinned(placed(view.points, transform), view.ring_offsets)
    colors = color_table(style, view.class_names)
    labels = _labels(view.kinds, points, offsets, (width, height), style)
    if labels is None:
        picture = np.zeros((height, width), np.uint32)
    else:
        tints = np.full(len(view), _FILL_ALPHA * style.opacity)
        inside = _argb(colors[view.classes].astype(np.float64), tints)
        picture = np.concatenate([np.zeros(1, np.uint32), inside])[labels]
    words = _words(colors)[view.classes]
    if lined is not None and not lined.all():
        points, offsets = _rings_of(points, offsets, lined)
        words = words[lined]
    paint_outlines(picture, points, offsets, words, style.opacity, width_px)
    return picture


def density(
    chunks: Sequence[Chunk],
    class_names: Mapping[int, str | None],
    transform: Transform,
    width: int,
    height: int,
    style: ObjectStyle,
) -> Picture:
    """Return how much of every pixel objects cover, in the mean colour of their classes."""
    at, cover, classes = _cells_of(chunks, class_names, transform, (width, height), style)
    cells = width * height
    total = np.bincount(at, cover, minlength=cells)
    there = np.flatnonzero(total)
    table = color_table(style, class_names)
    mixed = np.empty((len(there), 3))
    for channel in range(3):
        shares = np.bincount(at, cover * table[:, channel].astype(np.float32)[classes], cells)
        mixed[:, channel] = shares[there] / total[there]
    alpha = np.maximum(1 - np.exp(-total[there]), _LEAST_ALPHA) * style.opacity
    picture = np.zeros(cells, np.uint32)
    picture[there] = _argb(mixed, alpha)
    return picture.reshape(height, width)


def _labels(
    kinds: NDArray[np.uint8],
    points: NDArray[np.float64],
    offsets: NDArray[np.int64],
    size: tuple[int, int],
    style: ObjectStyle,
) -> NDArray[np.uint32] | None:
    """Return the number of the object that tints each pixel, from 1 on; None when none does.

    An annotation that is drawn over detections, or around them, leaves them their tint.
    """
    is_annotation = kinds == ANNOTATION
    labels: NDArray[np.uint32] | None = None
    for some, is_tinted in (
        (is_annotation, style.fills_annotations),
        (~is_annotation, style.fills_detections),
    ):
        numbers = np.flatnonzero(some).astype(np.uint32) + np.uint32(1)
        n = len(numbers)
        if not is_tinted or not n:
            continue
        corners = _rings_of(points, offsets, some)
        rings = Detections(*corners, np.zeros(n, np.float32), np.zeros(n, np.uint16), ())
        found = fill(rings, numbers, Rect(0, 0, *size))
        labels = found if labels is None else np.where(found != 0, found, labels)
    return labels


def _rings_of(
    points: NDArray[np.float64], offsets: NDArray[np.int64], some: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return corners and offsets of some of the rings."""
    if some.all():
        return points, offsets
    counts = np.diff(offsets)
    kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[some])])
    return points[np.repeat(some, counts)], kept


def _cells_of(
    chunks: Sequence[Chunk],
    class_names: Mapping[int, str | None],
    transform: Transform,
    size: tuple[int, int],
    style: ObjectStyle,
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
    """Return the pixel, the covered area and the class of every dot on the picture.

    Dots that are larger than a pixel appear once for each that they cover.
    """
    width, height = size
    scale = np.float32(abs(np.linalg.det(transform[:, :2])))
    places = [np.zeros(0, np.int32)]
    covers, numbers = [np.zeros(0, np.float32)], [np.zeros(0, np.int32)]
    for chunk in chunks:
        shown = style.shown(chunk.classes, chunk.kinds, class_names)
        side_px = float(np.sqrt(scale)) * float(np.median(chunk.sides))
        spread = min(_MOST_SPREAD, max(1, round(side_px)))
        cover = np.minimum(chunk.sides**2 * (_ROUND * scale), _MOST_COVER) / np.float32(spread**2)
        left, top = _pixels_of(chunk.centres, transform, (spread - 1) / 2)
        for step in range(spread**2):
            x, y = left + np.int32(step % spread), top + np.int32(step // spread)
            # Seen as unsigned numbers, negative ones are too large.
            keep = shown & (x.view(np.uint32) < width) & (y.view(np.uint32) < height)
            places.append((y * np.int32(width) + x)[keep])
            covers.append(cover[keep] + np.float32(1e-9))
            numbers.append(chunk.classes[keep])
    return np.concatenate(places), np.concatenate(covers), np.concatenate(numbers)


def _pixels_of(
    points: NDArray[np.float32], transform: Transform, back_px: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return column and row of level-0 points moved to the top left, far ones cut off."""
    found = []
    for a, b, c in transform.astype(np.float32):
        place = points[:, 0] * a + points[:, 1] * b + (c - np.float32(back_px))
        found.append(np.floor(np.clip(place, -_FAR_PX, _FAR_PX)).astype(np.int32))
    return found[0], found[1]


def _words(colors: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return ``uint32[n]``: colours as ``0xRRGGBB``."""
    red, green, blue = colors.astype(np.uint32).T
    words: NDArray[np.uint32] = red << 16 | green << 8 | blue
    return words


def _argb(colors: NDArray[np.float64], alpha: NDArray[np.float64]) -> Picture:
    channels = np.concatenate([alpha[:, None] * 255, colors * alpha[:, None]], axis=1)
    parts = np.round(channels).astype(np.uint32)
    packed = parts[:, 0] << 24 | parts[:, 1] << 16 | parts[:, 2] << 8 | parts[:, 3]
    return packed.astype(np.uint32)
