"""The table of objects by mouse and keys: sorted, filtered, counted, flown to."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest
import shapely
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QDockWidget
from pytestqt.qtbot import QtBot
from tests.gui.hand import LEFT, NONE, Hand

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


def test_a_histogram_of_even_values_has_its_whole_range(qtbot: QtBot) -> None:
    histogram = ValueHistogram()
    qtbot.addWidget(histogram)
    for values in (np.linspace(3.0, 9.0, 97), np.array([3.0, 3.0, 3.0, 3.0, 9.0])):
        histogram.show_values(values)
        assert histogram.counts.sum() == len(values)
        assert (histogram.texts[0], histogram.texts[2]) == ("3", "9")
    histogram.show_values(np.array([4.0, np.nan, 4.0]))
    assert histogram.counts.sum() == 2
