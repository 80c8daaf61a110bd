"""What is selected looks like no object, whatever the colours of both and of the slide."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest
import shapely
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QImage, QPainter
from pytestqt.qtbot import QtBot
from tests.gui.hand import ALT, SHIFT, Hand

from tilescope.domain.annotation import Annotation
from tilescope.store.project import View
from tilescope_desktop.bridge.object_painter import paint_objects
from tilescope_desktop.model.object_style import ObjectStyle
from tilescope_desktop.model.view_parts import view_of_annotations, view_of_geometries
from tilescope_desktop.view import selection_marks
from tilescope_desktop.view.selection_marks import paint_marks

HERE = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
CLASS_COLORS = [(255, 225, 0), (240, 228, 66), (255, 255, 255), (20, 20, 20), (0, 114, 178)]
GROUNDS = [(250, 250, 250), (190, 90, 150), (0, 0, 0)]
SIZE = 120


def painter_on(image: QImage) -> QPainter:
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    return painter


def ground(color: tuple[int, int, int], ratio: float = 1.0) -> QImage:
    side = round(SIZE * ratio)
    image = QImage(side, side, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(ratio)
    image.fill(QColor(*color))
    return image


def marks(view: View, below: QImage) -> QImage:
    """Return a slide with what is selected on it."""
    image = below.copy()
    painter = painter_on(image)
    paint_marks(painter, view, HERE)
    painter.end()
    return image


def lightness(image: QImage) -> np.ndarray:
    """Return what is seen without any colour, ``float64[h, w]`` of 0 to 255."""
    grey = image.convertToFormat(QImage.Format.Format_Grayscale8)
    rows = np.frombuffer(grey.constBits(), np.uint8).reshape(image.height(), -1)
    return rows[:, : image.width()].astype(float)


def edges(line: np.ndarray, step: float = 90) -> int:
    """Return how often a line turns from lighter to darker or back, by more than a step."""
    count, last, way = 0, line[0], 0
    for value in line[1:]:
        if abs(value - last) > step:
            turn = 1 if value > last else -1
            count += turn != way
            last, way = value, turn
        elif way * (value - last) > 0:
            last = value
    return count


@pytest.mark.parametrize("color", CLASS_COLORS)
@pytest.mark.parametrize("below", GROUNDS)
def test_a_mark_is_told_by_its_bands_without_any_colour(
    qtbot: QtBot, color: tuple[int, int, int], below: tuple[int, int, int]
) -> None:
    box = shapely.box(30.5, 30.5, 90.5, 90.5)
    one = Annotation(str(UUID(int=1)), shapely.to_wkb(box, byte_order=1), class_name="A")
    plain = ground(below)
    painter = painter_on(plain)
    paint_objects(painter, view_of_annotations([one]), HERE, ObjectStyle(colors={"A": color}))
    painter.end()
    marked = marks(view_of_geometries([box]), plain)
    across = slice(15, 46)
    assert edges(lightness(plain)[60, across]) <= 2
    assert edges(lightness(marked)[60, across]) >= 4


@pytest.mark.parametrize("below", GROUNDS)
def test_a_small_nucleus_and_a_point_have_the_same_bands(
    qtbot: QtBot, below: tuple[int, int, int]
) -> None:
    nucleus = shapely.Point(30.5, 60.5).buffer(8)
    seen = lightness(marks(view_of_geometries([nucleus, shapely.Point(90.5, 60.5)]), ground(below)))
    assert edges(seen[60, 10:31]) >= 4
    assert edges(seen[60, 90:111]) >= 4


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
def test_very_many_are_painted_as_a_few_are(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, ratio: float
) -> None:
    shapes = [
        shapely.Point(40, 40).buffer(25),
        shapely.LineString([(70, 20), (110, 90)]),
        shapely.box(-50, 80, 60, 300),
        shapely.Point(95, 20),
    ]
    view, below = view_of_geometries(shapes), ground((130, 60, 110), ratio)
    few = lightness(marks(view, below))
    monkeypatch.setattr(selection_marks, "_MANY", 0)
    many = lightness(marks(view, below))
    painted = [np.abs(seen - lightness(below)) > 30 for seen in (few, many)]
    assert (painted[0] & painted[1]).sum() > 0.6 * (painted[0] | painted[1]).sum() > 0
    side = round(SIZE * ratio)
    for y in (side // 3, side - 10):  # of the circle, and of the box that reaches out of sight
        here = slice(round(50 * ratio), round(75 * ratio))
        assert edges(many[y, here], 60) == edges(few[y, here], 60) >= 4


def test_nothing_in_sight_paints_nothing(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_marks, "_MANY", 0)
    away = view_of_geometries([shapely.box(500, 500, 600, 600), shapely.Point(-300, 20)])
    below = ground((130, 60, 110))
    assert marks(away, below) == below


def test_a_selected_object_is_told_from_one_beside_it_of_the_same_class(hand: Hand) -> None:
    hand.key(Qt.Key.Key_R)
    for top in (100, 220):
        hand.drag((300, top), (400, top + 80))
        hand.key(Qt.Key.Key_2, ALT)  # its class has a yellow like that of what is selected
        hand.wait()
    first, second = hand.objects()
    assert first.class_name == second.class_name == "Stroma"
    grey = hand.pixels().mean(axis=2)
    bands = [edges(grey[top + 10 : top + 70, 285:316].mean(axis=0), 50) for top in (100, 220)]
    assert bands[1] > bands[0]
    hand.key(Qt.Key.Key_M)
    hand.click(350, 140)
    hand.wait()
    hand.click(350, 260, SHIFT)
    hand.wait()
    grey = hand.pixels().mean(axis=2)
    both = [edges(grey[top + 10 : top + 70, 285:316].mean(axis=0), 50) for top in (100, 220)]
    assert both == [bands[1]] * 2
