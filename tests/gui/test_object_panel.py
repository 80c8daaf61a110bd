"""The table of objects by mouse and keys: sorted, filtered, counted, flown to."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest
import shapely
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDockWidget
from pytestqt.qtbot import QtBot
from tests.gui.hand import LEFT, NONE, SHIFT, Hand

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Point
from tilescope_desktop.view.object_panel import ObjectPanel
from tilescope_desktop.view.value_histogram import ValueHistogram

SIDES = (30, 10, 20, 40)


@pytest.fixture
def panel(hand: Hand, qtbot: QtBot) -> ObjectPanel:
    slide = hand.parts.bench.front_slide
    assert slide is not None
    made = [
        Annotation(
            str(UUID(int=number + 1)),
            shapely.to_wkb(shapely.box(x, 700, x + side, 700 + side), byte_order=1),
            class_name="Tumor" if number % 2 else "Stroma",
            measurements={"Solidity": 0.5 + number / 10} if number else {},
        )
        for number, (side, x) in enumerate(zip(SIDES, (700, 800, 900, 1000), strict=True))
    ]
    hand.annotations.add(slide, made, "add")
    hand.deselect()
    hand.wait()
    dock = hand.window.findChild(QDockWidget, "dock-objects")
    assert isinstance(dock, QDockWidget)
    found = hand.parts.objects
    with qtbot.waitSignal(found.shown, timeout=60_000):
        dock.show()
    return found


def column(panel: ObjectPanel, title: str) -> list[str]:
    assert panel.model.rows is not None
    place = panel.model.rows.columns.index(title)
    model = panel.model
    return [str(model.data(model.index(row, place))) for row in range(model.rowCount())]


def press_header(qtbot: QtBot, panel: ObjectPanel, title: str) -> None:
    assert panel.model.rows is not None
    header = panel.table.horizontalHeader()
    place = panel.model.rows.columns.index(title)
    panel.table.scrollTo(panel.model.index(0, place))
    at = QPoint(header.sectionViewportPosition(place) + 15, header.height() // 2)
    qtbot.mouseClick(header.viewport(), LEFT, NONE, at)


def press_row(qtbot: QtBot, panel: ObjectPanel, row: int, *, twice: bool = False) -> None:
    at = panel.table.visualRect(panel.model.index(row, 0)).center()
    qtbot.mouseClick(panel.table.viewport(), LEFT, NONE, at)
    if twice:
        qtbot.mouseDClick(panel.table.viewport(), LEFT, NONE, at)


def test_a_click_on_a_title_sorts_and_another_turns_the_order(
    qtbot: QtBot, panel: ObjectPanel
) -> None:
    press_header(qtbot, panel, "Area µm^2")
    areas = [float(text) for text in column(panel, "Area µm^2")]
    press_header(qtbot, panel, "Area µm^2")
    turned = [float(text) for text in column(panel, "Area µm^2")]
    assert sorted([areas, turned]) == [sorted(areas), sorted(areas, reverse=True)]
    press_header(qtbot, panel, "Solidity")
    press_header(qtbot, panel, "Solidity")
    assert column(panel, "Solidity")[-1] == ""


def test_typed_words_filter_rows_and_histogram(qtbot: QtBot, panel: ObjectPanel) -> None:
    qtbot.keyClicks(panel.words, "tum")
    assert column(panel, "Class") == ["Tumor", "Tumor"]
    assert panel.histogram.counts.sum() == 2
    panel.words.clear()
    assert panel.histogram.counts.sum() == 4


def test_unclassified_rows_are_found_by_that_word(
    hand: Hand, qtbot: QtBot, panel: ObjectPanel
) -> None:
    slide = hand.parts.bench.front_slide
    assert slide is not None
    blob = shapely.to_wkb(shapely.box(600, 600, 660, 660), byte_order=1)
    with qtbot.waitSignal(panel.shown, timeout=60_000):
        hand.annotations.add(slide, [Annotation(str(UUID(int=9)), blob)], "add")
    hand.wait()
    assert len(panel.model.order) == 5
    qtbot.keyClicks(panel.words, "unclassified")
    assert column(panel, "Class") == [""]
    assert panel.model.rows is not None
    assert panel.model.rows.ids[int(panel.model.order[0])] == str(UUID(int=9))


def test_control_c_copies_the_selected_rows_as_a_table(
    hand: Hand, qtbot: QtBot, panel: ObjectPanel
) -> None:
    press_header(qtbot, panel, "Area µm^2")
    press_row(qtbot, panel, 1)
    row = panel.table.visualRect(panel.model.index(3, 0)).center()
    qtbot.mouseClick(panel.table.viewport(), LEFT, Qt.KeyboardModifier.ControlModifier, row)
    qtbot.keyClick(panel.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = [line.split("\t") for line in QGuiApplication.clipboard().text().splitlines()]
    assert panel.model.rows is not None
    titles = list(panel.model.rows.columns)
    assert lines[0] == titles
    cells = [column(panel, title) for title in titles]
    assert lines[1:] == [[texts[place] for texts in cells] for place in (1, 3)]


def test_the_histogram_is_of_the_chosen_measurement(qtbot: QtBot, panel: ObjectPanel) -> None:
    assert panel.measure.currentText() == "Area µm^2"
    assert panel.histogram.counts.sum() == 4
    qtbot.mouseClick(panel.measure, LEFT)
    qtbot.keyClick(panel.measure.view(), Qt.Key.Key_Down)
    qtbot.keyClick(panel.measure.view(), Qt.Key.Key_Return)
    assert panel.measure.currentText() == "Solidity"
    assert panel.histogram.counts.sum() == 3


def test_a_double_click_flies_to_the_object(hand: Hand, qtbot: QtBot, panel: ObjectPanel) -> None:
    press_header(qtbot, panel, "Area µm^2")
    press_header(qtbot, panel, "Area µm^2")
    assert panel.model.rows is not None
    name = panel.model.rows.ids[int(panel.model.order[0])]
    press_row(qtbot, panel, 0, twice=True)
    hand.wait()
    assert hand.view.viewport is not None
    centre = hand.view.viewport.centre_l0
    target = next(one for one in hand.objects() if one.id == name)
    middle = shapely.from_wkb(target.geometry).centroid
    assert centre == Point(middle.x, middle.y)
    assert hand.annotations.selected_ids == (name,)


def test_what_is_selected_stays_marked_when_rows_are_sorted(
    hand: Hand, qtbot: QtBot, panel: ObjectPanel
) -> None:
    press_row(qtbot, panel, 2)
    hand.wait()
    (chosen,) = hand.annotations.selected_ids
    press_header(qtbot, panel, "Area µm^2")
    press_header(qtbot, panel, "Area µm^2")
    (row,) = panel.table.selectionModel().selectedRows()
    assert panel.model.rows is not None
    assert panel.model.rows.ids[panel.model.object_row(row)] == chosen
    assert hand.annotations.selected_ids == (chosen,)


def test_the_table_is_sorted_by_keys(hand: Hand, qtbot: QtBot, panel: ObjectPanel) -> None:
    assert panel.model.rows is not None
    title, table = "Area µm^2", panel.table
    hand.window.activateWindow()
    qtbot.waitUntil(hand.window.isActiveWindow, timeout=20_000)
    press_row(qtbot, panel, 2)
    hand.wait()
    chosen = hand.annotations.selected_ids
    while table.currentIndex().column() < panel.model.rows.columns.index(title):
        qtbot.keyClick(table, Qt.Key.Key_Right)
    for name, steps in (("ascending", 2), ("descending", 1)):
        qtbot.keyClick(table, Qt.Key.Key_F10, SHIFT)
        qtbot.waitUntil(lambda: hand.parts.menus.menu is not None, timeout=20_000)
        menu = hand.parts.menus.menu
        assert menu is not None
        qtbot.waitUntil(menu.isVisible, timeout=20_000)
        for _ in range(steps):
            qtbot.keyClick(menu, Qt.Key.Key_Up)
        assert menu.activeAction().text() == f"Sort by {title}, {name}"
        assert not menu.activeAction().isChecked()
        qtbot.keyClick(menu, Qt.Key.Key_Return)
        hand.wait()
        areas = [float(text.replace(",", "")) for text in column(panel, title)]
        assert areas == sorted(areas, reverse=name == "descending")
        assert areas[0] != areas[-1]
        assert hand.annotations.selected_ids == chosen


def bars(histogram: ValueHistogram) -> int:
    """Return how many bars are painted that can be told from nothing."""
    image = histogram.grab().toImage()
    color = histogram.palette().highlight().color()
    foot = image.height() - 18
    painted = [image.pixelColor(x, foot) == color for x in range(image.width())]
    return sum(1 for here, before in pairwise([False, *painted]) if before and not here)


def test_few_large_values_do_not_press_all_others_into_one_bar(qtbot: QtBot) -> None:
    histogram = ValueHistogram()
    qtbot.addWidget(histogram)
    histogram.resize(480, 90)
    nuclei = np.random.default_rng(7).normal(60.0, 15.0, 5000)
    histogram.show_values(nuclei)
    alone = histogram.counts
    assert np.count_nonzero(alone) > 30
    histogram.show_values(np.append(nuclei, [2.5e6, 4e6]))
    beside = histogram.counts
    assert beside.sum() == 5002
    assert np.count_nonzero(beside) > 30
    assert beside[-1] >= 2
    assert bars(histogram) > 15
    texts = histogram.texts
    assert texts[0] == f"{nuclei.min():.4g}"
    assert texts[1] == f"median {np.median([*nuclei, 2.5e6, 4e6]):.4g}"
    assert texts[2].endswith(" … 4e+06")
    assert float(texts[2].split()[0]) < 300


def words_below(histogram: ValueHistogram) -> int:
    """Return how many texts can be told from each other below the bars."""
    image = histogram.grab().toImage()
    paper = histogram.palette().base().color()
    foot = range(image.height() - 14, image.height())
    inked = [any(image.pixelColor(x, y) != paper for y in foot) for x in range(image.width())]
    at = np.flatnonzero(inked)
    return 1 + int(np.count_nonzero(np.diff(at) > 8)) if len(at) else 0


def test_texts_below_the_histogram_are_not_painted_over_each_other(qtbot: QtBot) -> None:
    histogram = ValueHistogram()
    qtbot.addWidget(histogram)
    nuclei = np.random.default_rng(7).normal(160.0, 15.0, 5000)
    histogram.show_values(np.append(nuclei, [-2.512e6, 2.512e6, 4.123e6]))
    counted = []
    for width in (900, 400, 300, 240, 160):
        histogram.resize(width, 90)
        counted.append(words_below(histogram))
    assert counted[0] == 3
    assert min(counted) == 2
    assert all(text in histogram.toolTip() for text in histogram.texts)


def test_a_histogram_of_even_values_has_its_whole_range(qtbot: QtBot) -> None:
    histogram = ValueHistogram()
    qtbot.addWidget(histogram)
    for values in (np.linspace(3.0, 9.0, 97), np.array([3.0, 3.0, 3.0, 3.0, 9.0])):
        histogram.show_values(values)
        assert histogram.counts.sum() == len(values)
        assert (histogram.texts[0], histogram.texts[2]) == ("3", "9")
    histogram.show_values(np.array([4.0, np.nan, 4.0]))
    assert histogram.counts.sum() == 2


def test_a_corner_of_a_locked_object_that_is_dragged_says_so(
    hand: Hand, panel: ObjectPanel
) -> None:
    press_row(hand.qtbot, panel, 3)
    hand.wait()
    hand.annotations.lock_selected(True)
    hand.wait()
    before = hand.shapes()
    hand.act("tool.vertices")
    said = hand.window.status.currentMessage
    corner = shapely.box(1000, 700, 1040, 740)
    assert any(shape.equals(corner) for shape in before)
    place = hand.view.viewport.to_screen(Point(1040, 740))
    x, y = round(place.x), round(place.y)
    hand.drag((x + 60, y + 60), (x + 70, y + 70))
    assert "locked" not in said()
    for row in (2, 3):
        press_row(hand.qtbot, panel, row)
        hand.wait()
    hand.drag((x, y), (x + 30, y + 30), (x + 40, y + 40))
    assert "locked" in said()
    assert all(a.equals(b) for a, b in zip(before, hand.shapes(), strict=True))


def test_what_is_drawn_in_a_hidden_class_is_said_to_be_hidden(hand: Hand) -> None:
    said = hand.window.status.currentMessage
    hand.act("tool.rectangle")
    hand.annotations.set_class("Tumor")
    hand.drag((60, 60), (80, 90), (110, 120))
    assert "hidden" not in said()
    hand.deselect()
    hand.annotations.restyle(hand.annotations.style.toggled("Tumor"))
    hand.drag((160, 60), (180, 90), (210, 120))
    assert "Tumor is hidden" in said()
    assert len(hand.objects()) == 2
    hand.deselect()
    hand.window.status.clearMessage()
    hand.annotations.set_class("Stroma")
    hand.drag((260, 60), (280, 90), (310, 120))
    assert said() == ""
    hand.deselect()
    hand.act("objects.shows-annotations")
    hand.drag((360, 60), (380, 90), (410, 120))
    assert "annotations are hidden" in said()
