"""Pictures of very many objects: every one filled, or only how dense they are.

Pictures are ``uint32[h, w]``, ``0xAARRGGBB`` with colours multiplied by alpha. Transforms are
``float64[2, 3]``: pixel x and y are ``transform @ (x_l0, y_l0, 1)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.results import Detections
from tilescope.ops.raster import fill
from tilescope.store.project import View
from tilescope_desktop.model.atlas import Atlas
from tilescope_desktop.model.object_style import ANNOTATION, ObjectStyle, color_table

Picture = NDArray[np.uint32]
Transform = NDArray[np.float64]

_FILL_ALPHA = 0.25
#: Where there is anything at all it can be seen.
_LEAST_ALPHA = 0.3
_FAR_PX = 1e6


def placed(points: NDArray[Any], transform: Transform) -> NDArray[np.float64]:
    """Return level-0 points on the picture, ``float64[n, 2]``."""
    moved: NDArray[np.float64] = points.astype(np.float64) @ transform[:, :2].T + transform[:, 2]
    return moved


def filled(
    view: View,
    transform: Transform,
    width: int,
    height: int,
    style: ObjectStyle,
    *,
    has_edges: bool = True,
) -> Picture:
    """Return objects of one ring each, as tinted areas, and their edges of one pixel if wanted."""
    n = len(view)
    rings = Detections(
        placed(view.points, transform),
        view.ring_offsets,
        np.zeros(n, np.float32),
        np.zeros(n, np.uint16),
        (),
    )
    labels = fill(rings, np.arange(1, n + 1, dtype=np.uint32), Rect(0, 0, width, height))
    colors = color_table(style, view.class_names)[view.classes].astype(np.float64)
    tinted = np.where(view.kinds == ANNOTATION, style.fills_annotations, style.fills_detections)
    inside = _argb(colors, np.where(tinted, _FILL_ALPHA, 0.0) * style.opacity)
    nothing = np.zeros(1, np.uint32)
    tints: Picture = np.concatenate([nothing, inside])
    picture = tints[labels]
    if not has_edges:
        return picture
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    edge &= labels > 0
    rim = _argb(colors, np.full(n, style.opacity))
    picture[edge] = np.concatenate([nothing, rim])[labels[edge]]
    return picture


def density(
    atlas: Atlas, transform: Transform, width: int, height: int, style: ObjectStyle
) -> Picture:
    """Return how much of every pixel objects cover, in the mean colour of their classes."""
    cells = width * height
    keep = style.shown(atlas.classes, atlas.kinds, atlas.class_names)
    x, y = _pixels_of(atlas.centres, transform)
    # Seen as unsigned numbers, negative ones are too large.
    keep &= (x.view(np.uint32) < width) & (y.view(np.uint32) < height)
    at = (y[keep] * np.int32(width) + x[keep]).astype(np.int64)
    scale = 0.6 * abs(np.linalg.det(transform[:, :2]))
    cover = np.minimum(atlas.sides[keep] ** 2 * np.float32(scale), 4.0) + np.float32(1e-9)
    numbers = atlas.classes[keep]
    classes = np.flatnonzero(np.bincount(numbers))
    shares = np.zeros((len(classes), cells))
    for share, number in zip(shares, classes, strict=True):
        mine = numbers == number
        share[:] = np.bincount(at[mine], cover[mine], minlength=cells)
    total = shares.sum(axis=0)
    there = np.flatnonzero(total)
    colors = color_table(style, atlas.class_names)[classes].astype(np.float64)
    mixed = shares[:, there].T @ colors / total[there, None]
    alpha = np.maximum(1 - np.exp(-total[there]), _LEAST_ALPHA) * style.opacity
    picture = np.zeros(cells, np.uint32)
    picture[there] = _argb(mixed, alpha)
    return picture.reshape(height, width)


def _pixels_of(
    points: NDArray[np.float32], transform: Transform
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return column and row of level-0 points, far ones cut off."""
    found = []
    for row in transform.astype(np.float32):
        place = points[:, 0] * row[0] + points[:, 1] * row[1] + row[2]
        found.append(np.floor(np.clip(place, -_FAR_PX, _FAR_PX)).astype(np.int32))
    return found[0], found[1]


def _argb(colors: NDArray[np.float64], alpha: NDArray[np.float64]) -> Picture:
    channels = np.concatenate([alpha[:, None] * 255, colors * alpha[:, None]], axis=1)
    parts = np.round(channels).astype(np.uint32)
    packed = parts[:, 0] << 24 | parts[:, 1] << 16 | parts[:, 2] << 8 | parts[:, 3]
    return packed.astype(np.uint32)
