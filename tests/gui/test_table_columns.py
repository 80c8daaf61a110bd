"""Columns of the table of objects: as wide as what they show, and as the user makes them."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest
import shapely
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAccessible
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDockWidget
from tests.gui.hand import LEFT, NONE, Hand

from tilescope.domain.annotation import Annotation
from tilescope_desktop.model.object_classes import DEFAULT_CLASSES
from tilescope_desktop.view.object_panel import ObjectPanel

LONG = "Epithelium of the proximal convoluted tubule"
TITLES = ["Class", "Kind", "Locked", "Area µm^2", "Solidity", "Circularity"]
CLASS, KIND, LOCKED, AREA, SOLIDITY, _ = range(len(TITLES))


def square(number: int, class_name: str | None) -> Annotation:
    x = 700 + 60 * number
    return Annotation(
        str(UUID(int=number + 1)),
        shapely.to_wkb(shapely.box(x, 700, x + 40, 720 + 15 * number), byte_order=1),
        class_name=class_name,
        locked=number == 1,
        measurements={"Solidity": 0.1234 + number / 10, "Circularity": 0.5},
    )


@pytest.fixture
def panel(hand: Hand) -> ObjectPanel:
    """The table in a window that is 900 pixels wide."""
    add(hand, square(0, LONG), square(1, "Tumor"), square(2, None))
    hand.window.resize(900, 700)
    dock = hand.window.findChild(QDockWidget, "dock-objects")
    assert isinstance(dock, QDockWidget)
    found = hand.parts.objects
    with hand.qtbot.waitSignal(found.shown, timeout=60_000):
        dock.show()
    hand.wait()
    assert hand.window.width() == 900
    assert found.model.rows is not None
    assert list(found.model.rows.columns) == TITLES
    return found


def add(hand: Hand, *made: Annotation) -> None:
    slide = hand.parts.bench.front_slide
    assert slide is not None
    hand.annotations.add(slide, made, "add")
    hand.deselect()
    hand.wait()


def widths(panel: ObjectPanel) -> list[int]:
    header = panel.table.horizontalHeader()
    return [header.sectionSize(column) for column in range(header.count())]


def test_two_measurements_are_seen_in_a_narrow_window(panel: ObjectPanel) -> None:
    header, table = panel.table.horizontalHeader(), panel.table
    end = header.sectionViewportPosition(SOLIDITY) + header.sectionSize(SOLIDITY)
    assert 0 < end <= table.viewport().width()
    for column in (KIND, AREA, SOLIDITY):
        assert table.sizeHintForColumn(column) <= header.sectionSize(column)
        assert header.sectionSizeHint(column) <= header.sectionSize(column)
    assert header.sectionSize(CLASS) < table.sizeHintForColumn(CLASS)  # that name is cut
    names = panel.model.index(0, CLASS)
    assert names.data(Qt.ItemDataRole.ToolTipRole) == LONG


def test_a_lock_is_a_picture_that_can_be_read_out(panel: ObjectPanel) -> None:
    spoken = QAccessible.queryAccessibleInterface(panel.table)
    parts = [spoken.child(at) for at in range(spoken.childCount())]
    said = [part.text(QAccessible.Text.Name) for part in parts]
    rows = np.reshape(said, (4, 1 + len(TITLES)))[:, 1:]  # without the titles of the rows
    assert rows[0].tolist() == TITLES
    assert rows[1:, LOCKED].tolist() == ["", "locked", ""]
    image = panel.table.viewport().grab().toImage()
    inked = []
    for row in range(3):
        cell = panel.table.visualRect(panel.model.index(row, LOCKED)).adjusted(3, 3, -3, -3)
        colors = {
            image.pixel(x, y)
            for x in range(cell.left(), cell.right())
            for y in range(cell.top(), cell.bottom())
        }
        inked.append(len(colors) > 1)
    assert inked == [False, True, False]


def test_a_column_stays_as_wide_as_it_is_drawn(hand: Hand, panel: ObjectPanel) -> None:
    header = panel.table.horizontalHeader()
    before = widths(panel)
    edge = header.sectionViewportPosition(CLASS) + header.sectionSize(CLASS) - 1
    places = [QPoint(edge + dx, header.height() // 2) for dx in (0, 20, 60)]
    hand.qtbot.mousePress(header.viewport(), LEFT, NONE, places[0])
    for place in places[1:]:
        QTest.mouseMove(header.viewport(), place)
    hand.qtbot.mouseRelease(header.viewport(), LEFT, NONE, places[-1])
    drawn = widths(panel)
    assert drawn[CLASS] == before[CLASS] + 60
    hand.qtbot.keyClicks(panel.words, "tumor")
    panel.words.clear()
    with hand.qtbot.waitSignal(panel.shown, timeout=60_000):
        add(hand, square(7, "Stroma"))
    assert widths(panel) == drawn


def test_columns_follow_what_comes_later(hand: Hand, panel: ObjectPanel) -> None:
    before = widths(panel)
    wide = Annotation(
        str(UUID(int=99)),
        square(5, None).geometry,
        measurements={"Solidity": 1.25e12, "Circularity": 0.5},
    )
    hand.qtbot.keyClicks(panel.words, "stroma")  # the wide one is not even listed
    with hand.qtbot.waitSignal(panel.shown, timeout=60_000):
        add(hand, wide)
    panel.words.clear()
    assert widths(panel)[SOLIDITY] > before[SOLIDITY]
    assert panel.table.sizeHintForColumn(SOLIDITY) <= widths(panel)[SOLIDITY]
    assert widths(panel)[:SOLIDITY] == before[:SOLIDITY]


@pytest.mark.parametrize("name", [one.name for one in DEFAULT_CLASSES])
def test_a_built_in_class_is_shown_whole(hand: Hand, panel: ObjectPanel, name: str) -> None:
    hand.act("edit.all")
    hand.act("edit.delete")
    with hand.qtbot.waitSignal(panel.shown, timeout=60_000):
        add(hand, square(3, name), square(4, name))
    header, table = panel.table.horizontalHeader(), panel.table
    wide = header.sectionSize(CLASS)
    assert table.sizeHintForColumn(CLASS) <= wide
    assert wide <= max(header.sectionSizeHint(CLASS), table.sizeHintForColumn(CLASS) + 2)
    end = header.sectionViewportPosition(SOLIDITY) + header.sectionSize(SOLIDITY)
    assert 0 < end <= table.viewport().width()
