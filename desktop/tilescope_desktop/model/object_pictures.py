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

_FILL_ALPHA = 0.35
#: Where there is anything at all it can be seen.
_LEAST_ALPHA = 0.3


def placed(points: NDArray[Any], transform: Transform) -> NDArray[np.float64]:
    """Return level-0 points on the picture, ``float64[n, 2]``."""
    moved: NDArray[np.float64] = points.astype(np.float64) @ transform[:, :2].T + transform[:, 2]
    return moved


def filled(
    view: View, transform: Transform, width: int, height: int, style: ObjectStyle
) -> Picture:
    """Return objects of one ring each, as areas with an edge of one pixel."""
    n = len(view)
    rings = Detections(
        placed(view.points, transform),
        view.ring_offsets,
        np.zeros(n, np.float32),
        np.zeros(n, np.uint16),
        (),
    )
    labels = fill(rings, np.arange(1, n + 1, dtype=np.uint32), Rect(0, 0, width, height))
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    edge &= labels > 0
    colors = color_table(style, view.class_names)[view.classes].astype(np.float64)
    tinted = np.where(view.kinds == ANNOTATION, style.fills_annotations, style.fills_detections)
    inside = _argb(colors, np.where(tinted, _FILL_ALPHA, 0.0) * style.opacity)
    rim = _argb(colors, np.full(n, style.opacity))
    nothing = np.zeros(1, np.uint32)
    picture: Picture = np.concatenate([nothing, inside])[labels]
    picture[edge] = np.concatenate([nothing, rim])[labels[edge]]
    return picture


def density(
    atlas: Atlas, transform: Transform, width: int, height: int, style: ObjectStyle
) -> Picture:
    """Return how much of every pixel objects cover, in the mean colour of their classes."""
    places = placed(atlas.centres, transform)
    x, y = np.floor(places[:, 0]).astype(np.int64), np.floor(places[:, 1]).astype(np.int64)
    keep = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    keep &= style.shown(atlas.classes, atlas.kinds, atlas.class_names)
    at = (y * width + x)[keep]
    scale = abs(np.linalg.det(transform[:, :2]))
    cover = np.minimum(atlas.sides[keep].astype(np.float64) ** 2 * 0.6 * scale, 4.0) + 1e-9
    classes = atlas.classes[keep]
    colors = color_table(style, atlas.class_names)
    total = np.zeros(width * height)
    mixed = np.zeros((width * height, 3))
    for number in np.unique(classes):
        mine = classes == number
        share = np.bincount(at[mine], cover[mine], minlength=width * height)
        total += share
        mixed += share[:, None] * colors[number]
    there = total > 0
    alpha = np.maximum(1 - np.exp(-total[there]), _LEAST_ALPHA) * style.opacity
    picture = np.zeros(width * height, np.uint32)
    picture[there] = _argb(mixed[there] / total[there, None], alpha)
    return picture.reshape(height, width)


def _argb(colors: NDArray[np.float64], alpha: NDArray[np.float64]) -> Picture:
    channels = np.concatenate([alpha[:, None] * 255, colors * alpha[:, None]], axis=1)
    parts = np.round(channels).astype(np.uint32)
    packed: Picture = parts[:, 0] << 24 | parts[:, 1] << 16 | parts[:, 2] << 8 | parts[:, 3]
    return packed
