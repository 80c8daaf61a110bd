"""A click in the window is an outlined nucleus in the project, made by the real model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import shapely
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Point
from tilescope.io.cache import shared_cache
from tilescope.store.project import Project
from tilescope_desktop.app import annotating, clicking, make_window
from tilescope_desktop.view.main_window import MainWindow

LABELS = Path(__file__).parents[1] / "engine" / "jobs" / "fluorescence-nuclei-labels.png"


@pytest.fixture
def window(qtbot: QtBot, tmp_path: Path, dapi_image: Path) -> Iterator[MainWindow]:
    before = shared_cache().use.max_bytes
    made = make_window(folder=tmp_path / "data")
    qtbot.addWidget(made)
    made.show()
    made.open_slide(dapi_image)
    qtbot.waitUntil(lambda: made.tab is not None and made.tab.view.is_sharp, timeout=20_000)
    assert made.tab is not None
    view = made.tab.view
    assert view.viewport is not None
    view.move_to(replace(view.viewport, centre_l0=Point(180, 180), l0_per_px=0.5))
    take = made.findChild(QAction, "tool.click")
    assert isinstance(take, QAction)
    assert take.shortcut().toString() == "K"
    take.trigger()
    settle(qtbot, made)
    yield made
    made.close()
    shared_cache().resize(before)


def settle(qtbot: QtBot, window: MainWindow) -> None:
    QApplication.processEvents()
    qtbot.waitUntil(lambda: clicking(window).desk.is_idle, timeout=30_000)
    QApplication.processEvents()
    qtbot.waitUntil(lambda: annotating(window).annotations.desk.is_idle, timeout=20_000)


def nuclei() -> list[tuple[Point, np.ndarray]]:
    """Return the middle and the mask of the large annotated nuclei, away from the edge."""
    labels = imagecodecs.png_decode(LABELS.read_bytes())
    found = []
    for number in np.unique(labels)[1:]:
        mask = labels == number
        rows, columns = np.nonzero(mask)
        inside = rows.min() > 40 and rows.max() < 320 and columns.min() > 40 and columns.max() < 320
        x, y = columns.mean() + 0.5, rows.mean() + 0.5
        if inside and mask.sum() > 900 and mask[int(y), int(x)]:
            found.append((Point(float(x), float(y)), mask))
    return found


def pixel_of(window: MainWindow, at: Point) -> QPoint:
    assert window.tab is not None
    assert window.tab.view.viewport is not None
    place = window.tab.view.viewport.to_screen(at)
    return QPoint(round(place.x), round(place.y))


def click(
    qtbot: QtBot,
    window: MainWindow,
    at: Point,
    keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
) -> None:
    assert window.tab is not None
    where = pixel_of(window, at)
    qtbot.mousePress(window.tab.view, Qt.MouseButton.LeftButton, keys, where)
    qtbot.mouseRelease(window.tab.view, Qt.MouseButton.LeftButton, keys, where)
    settle(qtbot, window)


def objects_of(window: MainWindow) -> list[Annotation]:
    project = annotating(window).annotations.project
    if project is None:
        return []
    with Project.open(project.path, writable=False) as opened:
        return [found for batch in opened.objects() for found in batch]


def overlap(annotation: Annotation, mask: np.ndarray) -> float:
    shape = shapely.from_wkb(annotation.geometry)
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    painted = shapely.contains_xy(shape, columns.ravel() + 0.5, rows.ravel() + 0.5)
    painted = painted.reshape(mask.shape)
    return float((painted & mask).sum() / (painted | mask).sum())


def test_one_click_one_nucleus(qtbot: QtBot, window: MainWindow) -> None:
    targets = nuclei()[:3]
    assert len(targets) == 3
    for middle, _mask in targets:
        click(qtbot, window, middle)
    found = objects_of(window)
    assert len(found) == 3
    for _middle, mask in targets:
        assert max(overlap(annotation, mask) for annotation in found) > 0.6
    for annotation in found:
        assert annotation.author.name.startswith("nuclick-nucleus")
        assert annotation.author.detail["sha256"]
        assert annotation.author.detail["prompt"]


def test_a_click_is_one_step_to_undo(qtbot: QtBot, window: MainWindow) -> None:
    middle, _mask = nuclei()[0]
    click(qtbot, window, middle)
    assert len(objects_of(window)) == 1
    annotating(window).annotations.undo()
    settle(qtbot, window)
    assert objects_of(window) == []


def test_alt_click_changes_the_selected_object_and_adds_none(
    qtbot: QtBot, window: MainWindow
) -> None:
    middle, mask = nuclei()[0]
    click(qtbot, window, middle)
    (before,) = objects_of(window)
    rows, columns = np.nonzero(mask)
    edge = Point(float(columns.max()) + 3.0, float(rows[columns.argmax()]) + 0.5)
    click(qtbot, window, edge, Qt.KeyboardModifier.AltModifier)
    (after,) = objects_of(window)
    assert after.id == before.id


def test_the_same_nucleus_twice_is_there_once(qtbot: QtBot, window: MainWindow) -> None:
    middle, _mask = nuclei()[0]
    click(qtbot, window, middle)
    click(qtbot, window, middle)
    assert len(objects_of(window)) == 1


def test_hovering_shows_what_a_click_would_give(qtbot: QtBot, window: MainWindow) -> None:
    assert window.tab is not None
    middle, _mask = nuclei()[0]
    bench = annotating(window).bench
    qtbot.mouseMove(window.tab.view, pixel_of(window, middle))
    settle(qtbot, window)
    qtbot.waitUntil(lambda: bench.tool.preview.shape is not None, timeout=20_000)
    assert shapely.contains_xy(bench.tool.preview.shape, middle.x, middle.y)
    assert objects_of(window) == []


def test_closing_the_slide_while_the_model_works(qtbot: QtBot, window: MainWindow) -> None:
    assert window.tab is not None
    where = pixel_of(window, nuclei()[0][0])
    qtbot.mousePress(window.tab.view, Qt.MouseButton.LeftButton, pos=where)
    qtbot.mouseRelease(window.tab.view, Qt.MouseButton.LeftButton, pos=where)
    window.close_tab(window.tab)
    settle(qtbot, window)
    assert window.tabs.count() == 0
    assert shared_cache().use.slides == 0
