"""What is painted of a map, and what its files hold at the same places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QPainter

from tilescope.domain.geometry import Point
from tilescope_desktop.model.map_colors import HEAT_WORDS, class_words
from tilescope_desktop.model.map_facts import MapKind
from tilescope_desktop.model.resolve import level_shown
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.map_overlay import MapOverlay


def level_of(path: Path, level: int) -> NDArray[np.uint16]:
    """Return a level of a map of classes or heat as zarr-python reads it, ``[h, w]``."""
    values = np.asarray(zarr.open_array(path / str(level), mode="r")[:])
    return values.reshape(values.shape[-2:])


def painted(overlay: MapOverlay, viewport: Viewport) -> NDArray[np.uint32]:
    """Return what an overlay paints by itself, at full strength, ``0xAARRGGBB``."""
    form = QImage.Format.Format_ARGB32_Premultiplied
    image = QImage(viewport.width, viewport.height, form)
    image.fill(Qt.GlobalColor.transparent)
    before, overlay.opacity = overlay.opacity, 1.0
    painter = QPainter(image)
    overlay.paint(painter, viewport)
    painter.end()
    overlay.opacity = before
    words = np.frombuffer(image.constBits(), np.uint32)
    return words.reshape(viewport.height, viewport.width).copy()


def expected(
    overlay: MapOverlay, viewport: Viewport, path: Path | None = None
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Return what the files hold under each pixel, and where all around holds the same."""
    tiles = overlay.map
    assert tiles is not None
    level = level_shown(tiles.info, tiles.frame(viewport))
    values = level_of(path or tiles.path, level.index)
    if tiles.facts.kind is MapKind.HEAT:
        words = HEAT_WORDS[values]
    else:
        words = class_words([color for _, color in tiles.facts.classes])[values]
    padded = np.pad(words, 2)
    x, y = _places(viewport, tiles.facts.origin_l0, level.downsample_x, level.downsample_y)
    height, width = words.shape
    row, col = np.clip(y, -2, height + 1) + 2, np.clip(x, -2, width + 1) + 2
    found = padded[row, col]
    same = np.ones(found.shape, bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            near = padded[np.clip(row + dy, 0, height + 3), np.clip(col + dx, 0, width + 3)]
            same &= near == found
    return found, same


def _places(
    viewport: Viewport, origin: tuple[float, float], step_x: float, step_y: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    corner, right, down = (
        viewport.to_l0(at) for at in (Point(0.5, 0.5), Point(1.5, 0.5), Point(0.5, 1.5))
    )
    columns, rows = np.meshgrid(np.arange(viewport.width), np.arange(viewport.height))
    x = corner.x + columns * (right.x - corner.x) + rows * (down.x - corner.x) - origin[0]
    y = corner.y + columns * (right.y - corner.y) + rows * (down.y - corner.y) - origin[1]
    return np.floor(x / step_x).astype(np.int64), np.floor(y / step_y).astype(np.int64)
