"""Maps lie where the model says, in the colours of their classes."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtGui import QColor, QImage, QPainter
from pytestqt.qtbot import QtBot

from tilescope.domain.geometry import Point, Size
from tilescope.exchange.palette import class_colour
from tilescope.jobs.running.events import MapArea
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.map_overlay import MapOverlay

SIZE = Size(8000, 8000)


def painted(overlay: MapOverlay, view: Viewport) -> QImage:
    image = QImage(view.width, view.height, QImage.Format.Format_RGB32)
    image.fill(QColor(255, 255, 255))
    painter = QPainter(image)
    overlay.paint(painter, view)
    painter.end()
    return image


def color_at(image: QImage, x: int, y: int) -> tuple[int, int, int]:
    color = image.pixelColor(x, y)
    return color.red(), color.green(), color.blue()


@pytest.mark.parametrize("l0_per_px", [2.0, 20.0])
def test_classes_lie_where_they_were_found(qtbot: QtBot, l0_per_px: float) -> None:
    values = np.zeros((100, 100), np.uint8)
    values[:, 50:] = 2
    overlay = MapOverlay(SIZE, ("a", "b"))
    overlay.opacity = 1.0
    overlay.add([MapArea((1000, 1000, 3000, 3000), values)])
    image = painted(overlay, Viewport(400, 400, Point(2000, 2000), l0_per_px))
    step = min(150, round(600 / l0_per_px))
    assert color_at(image, 200 + step, 200) == class_colour(1)
    assert color_at(image, 200 - step, 200) == (255, 255, 255)


def test_heat_is_stronger_where_it_is_more_probable(qtbot: QtBot) -> None:
    values = np.repeat(np.array([[0, 80, 160, 255]], np.uint8), 4, axis=0)
    overlay = MapOverlay(SIZE, ("tumour",))
    overlay.opacity = 1.0
    overlay.add([MapArea((0, 0, 4000, 4000), values)])
    image = painted(overlay, Viewport(400, 400, Point(2000, 2000), 10.0))
    seen = [color_at(image, 50 + 100 * index, 200) for index in range(4)]
    assert seen[0] == (255, 255, 255)
    away_from_red = [green + blue for _, green, blue in seen]
    assert away_from_red == sorted(away_from_red, reverse=True)
    assert len(set(away_from_red)) == 4


def test_hidden_and_half_transparent(qtbot: QtBot) -> None:
    overlay = MapOverlay(SIZE, ("a", "b"))
    overlay.add([MapArea((0, 0, 8000, 8000), np.ones((10, 10), np.uint8))])
    view = Viewport(100, 100, Point(4000, 4000), 80.0)
    red, green, blue = color_at(painted(overlay, view), 50, 50)
    full = class_colour(0)
    for seen, whole in zip((red, green, blue), full, strict=True):
        assert abs(seen - (whole + 255) / 2) <= 2
    overlay.is_visible = False
    assert color_at(painted(overlay, view), 50, 50) == (255, 255, 255)


def test_memory_does_not_grow_without_end(qtbot: QtBot) -> None:
    overlay = MapOverlay(Size(100_000, 100_000), ("a", "b"))
    values = np.ones((8, 8), np.uint8)
    for row in range(50):
        y = row * 2000
        overlay.add([MapArea((x, y, x + 1000, y + 2000), values) for x in range(0, 100_000, 1000)])
    assert overlay.count == 4000
    overlay.opacity = 1.0
    image = painted(overlay, Viewport(100, 100, Point(50_000, 50_000), 1000.0))
    assert color_at(image, 50, 95) == class_colour(0)
