"""A click in the window is an outlined nucleus in the project, made by the real model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import shapely
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QAction, QMouseEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from tilescope.domain.annotation import Annotation
from tilescope.domain.clicks import Prompt
from tilescope.domain.geometry import Point
from tilescope.io.cache import shared_cache
from tilescope.jobs.click import click as click_at
from tilescope.plugins.registry import find_model
from tilescope.store.project import Project
from tilescope_desktop.app import annotating, clicking, make_window
from tilescope_desktop.model.tools.tool import Draw, Reshape
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


def test_the_model_that_answers_is_chosen_and_says_what_it_may_be_used_for(
    qtbot: QtBot, window: MainWindow
) -> None:
    desk = clicking(window).desk
    assert desk.model_id == "nuclick-nucleus"
    choose = window.findChild(QAction, "click.nuclick-gland")
    assert isinstance(choose, QAction)
    assert "research use only" in choose.text()
    choose.trigger()
    settle(qtbot, window)
    window.refresh_commands()
    assert desk.model_id == "nuclick-gland"
    assert choose.isChecked()
    assert "non-commercial" in window.status.currentMessage()


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


def made_again(slide: Path, found: list[Annotation]) -> list[shapely.Geometry]:
    """Return what the stored prompts give with the stored weights, in their order."""
    model = find_model(found[0].author.name)
    assert all(one.author.detail["sha256"] == model.spec.weights.sha256 for one in found)
    prompts = [Prompt.of(one.author.detail["prompt"]) for one in found]
    report = click_at(model, slide, prompts)
    assert all(result.is_found for result in report.results)
    return [shapely.Polygon(result.ring) for result in report.results]


def edge_of(mask: np.ndarray) -> Point:
    rows, columns = np.nonzero(mask)
    return Point(float(columns.max()) + 3.0, float(rows[columns.argmax()]) + 0.5)


def test_the_stored_prompts_of_a_refined_object_make_it_again(
    qtbot: QtBot, window: MainWindow, dapi_image: Path
) -> None:
    (first, mask), (second, _) = nuclei()[:2]
    click(qtbot, window, second)
    click(qtbot, window, first)
    (clicked,) = [a for a in objects_of(window) if overlap(a, mask) > 0.5]
    click(qtbot, window, edge_of(mask), Qt.KeyboardModifier.AltModifier)
    click(qtbot, window, Point(first.x + 2, first.y), Qt.KeyboardModifier.ShiftModifier)
    annotations = annotating(window).annotations
    assert annotations.project is not None
    path = annotations.project.path
    annotations.close_project()
    settle(qtbot, window)
    annotations.open_project(path)
    settle(qtbot, window)
    found = objects_of(window)
    (refined,) = [a for a in found if a.id == clicked.id]
    prompt = refined.author.detail["prompt"]
    assert len(prompt["inside"]) == 2
    assert len(prompt["outside"]) == 1
    assert refined.author.detail["sha256"] == clicked.author.detail["sha256"]
    for annotation, outline in zip(found, made_again(dapi_image, found), strict=True):
        assert shapely.from_wkb(annotation.geometry).equals(outline)


def test_undoing_a_refinement_brings_the_prompt_before_it_back(
    qtbot: QtBot, window: MainWindow
) -> None:
    middle, mask = nuclei()[0]
    click(qtbot, window, middle)
    (before,) = objects_of(window)
    click(qtbot, window, edge_of(mask), Qt.KeyboardModifier.AltModifier)
    (after,) = objects_of(window)
    assert after.author != before.author
    annotations = annotating(window).annotations
    annotations.undo()
    settle(qtbot, window)
    assert objects_of(window) == [before]
    annotations.redo()
    settle(qtbot, window)
    assert objects_of(window) == [after]


def test_an_outline_changed_by_hand_says_that_its_prompt_no_longer_makes_it(
    qtbot: QtBot, window: MainWindow
) -> None:
    middle, _mask = nuclei()[0]
    click(qtbot, window, middle)
    (found,) = objects_of(window)
    annotations = annotating(window).annotations
    (chosen,) = annotations.selected
    wish = Reshape(found.id, shapely.buffer(chosen.geometry, 2.0))
    annotations.fulfil(annotating(window).bench.front_slide, [wish])
    settle(qtbot, window)
    (changed,) = objects_of(window)
    assert changed.author.detail == {**found.author.detail, "edited": True}
    click(qtbot, window, Point(middle.x + 2, middle.y), Qt.KeyboardModifier.ShiftModifier)
    (refined,) = objects_of(window)
    assert "edited" not in refined.author.detail
    assert len(refined.author.detail["prompt"]["inside"]) == 2


def test_a_refined_object_stays_clear_of_its_neighbours(qtbot: QtBot, window: MainWindow) -> None:
    middle, mask = nuclei()[0]
    annotations, slide = annotating(window).annotations, annotating(window).bench.front_slide
    click(qtbot, window, middle)
    (clicked,) = objects_of(window)
    shape = shapely.from_wkb(clicked.geometry)
    x0, y0, _x1, y1 = shape.bounds
    annotations.fulfil(slide, [Draw(shapely.box(x0 - 9, y0 - 9, x0 + 4, y1 + 9))])
    settle(qtbot, window)
    (wall,) = [a for a in objects_of(window) if a.id != clicked.id]
    annotations.select(slide, [clicked.id])
    settle(qtbot, window)
    click(qtbot, window, Point(middle.x + 2, middle.y), Qt.KeyboardModifier.ShiftModifier)
    (refined,) = [a for a in objects_of(window) if a.id == clicked.id]
    common = shapely.intersection(*(shapely.from_wkb(a.geometry) for a in (refined, wall)))
    assert shapely.area(common) < 0.01
    assert overlap(refined, mask) > 0.4


def scribble(qtbot: QtBot, window: MainWindow, at: Point, button: Qt.MouseButton) -> None:
    assert window.tab is not None
    view, start = window.tab.view, pixel_of(window, Point(at.x - 6, at.y))
    qtbot.mousePress(view, button, pos=start)
    for step in range(1, 13):
        place = QPointF(pixel_of(window, Point(at.x - 6 + step, at.y)))
        around = view.mapToGlobal(place)
        keys = Qt.KeyboardModifier.NoModifier
        move = QMouseEvent(QEvent.Type.MouseMove, place, around, button, button, keys)
        QApplication.sendEvent(view, move)
    qtbot.mouseRelease(view, button, pos=pixel_of(window, Point(at.x + 6, at.y)))
    settle(qtbot, window)


def test_a_drag_with_s_held_scribbles_as_the_right_button_does(
    qtbot: QtBot, window: MainWindow
) -> None:
    assert window.tab is not None
    view = window.tab.view
    (first, _), (second, _) = nuclei()[:2]
    scribble(qtbot, window, first, Qt.MouseButton.RightButton)
    view.setFocus()
    qtbot.keyPress(view, Qt.Key.Key_S)
    scribble(qtbot, window, second, Qt.MouseButton.LeftButton)
    qtbot.keyRelease(view, Qt.Key.Key_S)
    assert annotating(window).bench.tool is clicking(window).tool
    prompts = [one.author.detail["prompt"] for one in objects_of(window)]
    assert [len(prompt["strokes"]) for prompt in prompts] == [1, 1]
    scribble(qtbot, window, nuclei()[2][0], Qt.MouseButton.LeftButton)
    assert objects_of(window)[-1].author.detail["prompt"]["strokes"] == []


def test_s_that_is_tapped_takes_the_selection_tool(qtbot: QtBot, window: MainWindow) -> None:
    assert window.tab is not None
    window.tab.view.setFocus()
    qtbot.keyClick(window.tab.view, Qt.Key.Key_S)
    assert annotating(window).bench.tool.id == "select"
    assert not clicking(window).tool.scribbles


def escape(qtbot: QtBot, window: MainWindow) -> None:
    assert window.tab is not None
    window.tab.view.setFocus()
    qtbot.keyClick(window.tab.view, Qt.Key.Key_Escape)
    settle(qtbot, window)


def test_escape_takes_back_one_click_after_the_other_then_lets_go(
    qtbot: QtBot, window: MainWindow
) -> None:
    (first, mask), (second, _) = nuclei()[:2]
    click(qtbot, window, second)
    click(qtbot, window, first)
    before = objects_of(window)
    click(qtbot, window, edge_of(mask), Qt.KeyboardModifier.AltModifier)
    escape(qtbot, window)
    assert objects_of(window) == before
    escape(qtbot, window)
    assert len(objects_of(window)) == 1
    escape(qtbot, window)
    assert objects_of(window) == []
    escape(qtbot, window)
    assert annotating(window).bench.tool.id == "move"


def test_escape_gives_up_a_click_that_is_not_answered_yet(qtbot: QtBot, window: MainWindow) -> None:
    assert window.tab is not None
    where = pixel_of(window, nuclei()[0][0])
    qtbot.mousePress(window.tab.view, Qt.MouseButton.LeftButton, pos=where)
    qtbot.mouseRelease(window.tab.view, Qt.MouseButton.LeftButton, pos=where)
    escape(qtbot, window)
    assert objects_of(window) == []


def test_undo_gives_up_a_click_that_is_not_answered_yet(qtbot: QtBot, window: MainWindow) -> None:
    assert window.tab is not None
    annotations, slide = annotating(window).annotations, annotating(window).bench.front_slide
    annotations.fulfil(slide, [Draw(shapely.box(300, 300, 340, 340))])
    settle(qtbot, window)
    (drawn,) = objects_of(window)
    where = pixel_of(window, nuclei()[0][0])
    qtbot.mousePress(window.tab.view, Qt.MouseButton.LeftButton, pos=where)
    qtbot.mouseRelease(window.tab.view, Qt.MouseButton.LeftButton, pos=where)
    window.tab.view.setFocus()
    qtbot.keyClick(window.tab.view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    settle(qtbot, window)
    assert objects_of(window) == [drawn]
    qtbot.keyClick(window.tab.view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    settle(qtbot, window)
    assert objects_of(window) == []


def test_a_right_click_outlines_nothing_and_opens_a_menu(qtbot: QtBot, window: MainWindow) -> None:
    assert window.tab is not None
    where = pixel_of(window, nuclei()[0][0])
    qtbot.mouseClick(window.tab.view, Qt.MouseButton.RightButton, pos=where)
    settle(qtbot, window)
    menu = annotating(window).menus.menu
    assert menu is not None
    assert menu.isVisible()
    menu.close()
    assert objects_of(window) == []


def test_escape_leaves_what_was_drawn_by_hand(qtbot: QtBot, window: MainWindow) -> None:
    click(qtbot, window, nuclei()[0][0])
    annotations, slide = annotating(window).annotations, annotating(window).bench.front_slide
    annotations.fulfil(slide, [Draw(shapely.box(300, 300, 340, 340))])
    settle(qtbot, window)
    escape(qtbot, window)
    assert len(objects_of(window)) == 2


def test_an_answer_goes_to_the_slide_that_was_clicked(
    qtbot: QtBot, window: MainWindow, hes_slide: Path
) -> None:
    clicked = window.tab
    assert clicked is not None
    window.open_slide(hes_slide)
    qtbot.waitUntil(lambda: window.tabs.count() == 2, timeout=20_000)
    window.tabs.setCurrentWidget(clicked)
    settle(qtbot, window)
    where = pixel_of(window, nuclei()[0][0])
    qtbot.mousePress(clicked.view, Qt.MouseButton.LeftButton, pos=where)
    qtbot.mouseRelease(clicked.view, Qt.MouseButton.LeftButton, pos=where)
    window.tabs.setCurrentIndex(1)
    settle(qtbot, window)
    assert len(objects_of(window)) == 1
    slides = annotating(window).bench.slides
    counts = annotating(window).annotations.counts
    assert sum(counts[slides[clicked]].values()) == 1
