"""The marked rows of the table of objects: those of what is selected, however it came to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
import shapely
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QDockWidget
from tests.gui.hand import LEFT, NONE, SHIFT, Hand

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Point
from tilescope_desktop.view.object_panel import ObjectPanel

CONTROL = Qt.KeyboardModifier.ControlModifier
NAMES = ("Stroma", "Tumor", "Necrosis", "Tumor", "Stroma")


@pytest.fixture
def panel(hand: Hand) -> ObjectPanel:
    """The table of five squares side by side, nothing of which is selected."""
    slide = hand.parts.bench.front_slide
    assert slide is not None
    made = [square(number, name) for number, name in enumerate(NAMES)]
    hand.annotations.add(slide, made, "add")
    hand.wait()
    hand.deselect()
    dock = hand.window.findChild(QDockWidget, "dock-objects")
    assert isinstance(dock, QDockWidget)
    with hand.qtbot.waitSignal(hand.parts.objects.shown, timeout=60_000):
        dock.show()
    hand.place()
    hand.act("tool.move")
    return hand.parts.objects


def square(number: int, name: str) -> Annotation:
    x = 900 + 60 * number
    shape = shapely.to_wkb(shapely.box(x, 880, x + 20 + number, 900), byte_order=1)
    return Annotation(str(UUID(int=number + 1)), shape, class_name=name)


def marked(panel: ObjectPanel) -> set[str]:
    assert panel.model.rows is not None
    rows = panel.table.selectionModel().selectedRows()
    return {panel.model.rows.ids[panel.model.object_row(row)] for row in rows}


def press(hand: Hand, row: int, keys: Qt.KeyboardModifier = NONE) -> None:
    panel = hand.parts.objects
    at = panel.table.visualRect(panel.model.index(row, 0)).center()
    hand.qtbot.mouseClick(panel.table.viewport(), LEFT, keys, at)
    hand.wait()


def press_on_slide(hand: Hand, number: int, keys: Qt.KeyboardModifier = NONE) -> None:
    assert hand.view.viewport is not None
    at = hand.view.viewport.to_screen(Point(910 + 60 * number, 890))
    hand.click(round(at.x), round(at.y), keys)
    hand.wait()


def press_title(hand: Hand, column: int) -> None:
    header = hand.parts.objects.table.horizontalHeader()
    at = QPoint(header.sectionViewportPosition(column) + 8, header.height() // 2)
    hand.qtbot.mouseClick(header.viewport(), LEFT, NONE, at)
    hand.wait()


def ids(*numbers: int) -> set[str]:
    return {str(UUID(int=number + 1)) for number in numbers}


def select_all(hand: Hand) -> None:
    hand.act("edit.all")


def select_nothing(hand: Hand) -> None:
    hand.act("edit.none")


def escape(hand: Hand) -> None:
    hand.key(Qt.Key.Key_Escape)


def add_on_slide(hand: Hand) -> None:
    press_on_slide(hand, 2, SHIFT)


CHOICES = [
    (select_all, ids(0, 1, 2, 3, 4)),
    (select_nothing, set()),
    (escape, set()),
    (add_on_slide, ids(0, 2)),
]


@pytest.mark.parametrize(("choose", "expected"), CHOICES)
def test_rows_follow_what_is_selected_elsewhere(
    hand: Hand, panel: ObjectPanel, choose: Callable[[Hand], None], expected: set[str]
) -> None:
    press(hand, 0)
    assert marked(panel) == ids(0)
    choose(hand)
    assert set(hand.annotations.selected_ids) == expected
    assert marked(panel) == expected
    if choose is select_all:  # as few as there can be, so that thousands are as quick
        assert panel.table.selectionModel().selection().count() == 1


def test_rows_stay_marked_when_they_are_sorted(hand: Hand, panel: ObjectPanel) -> None:
    press(hand, 1)
    press(hand, 3, SHIFT)
    assert marked(panel) == ids(1, 2, 3)
    for _ in range(2):
        press_title(hand, 0)
        assert marked(panel) == ids(1, 2, 3)
    assert set(hand.annotations.selected_ids) == ids(1, 2, 3)


def test_of_what_is_selected_the_rows_that_pass_the_filter_are_marked(
    hand: Hand, panel: ObjectPanel
) -> None:
    hand.act("edit.all")
    hand.qtbot.keyClicks(panel.words, "tumor")
    assert marked(panel) == ids(1, 3)
    assert set(hand.annotations.selected_ids) == ids(0, 1, 2, 3, 4)
    panel.words.clear()
    assert marked(panel) == ids(0, 1, 2, 3, 4)


def test_unmarking_the_last_row_selects_nothing(hand: Hand, panel: ObjectPanel) -> None:
    press(hand, 2)
    press(hand, 2, CONTROL)
    assert hand.annotations.selected_ids == ()
    assert marked(panel) == set()


def test_rows_pressed_in_quick_succession_are_all_selected(hand: Hand, panel: ObjectPanel) -> None:
    table = panel.table
    places = [table.visualRect(panel.model.index(row, 0)).center() for row in range(5)]
    for row in (0, 2, 4, 2, 3):
        hand.qtbot.mouseClick(table.viewport(), LEFT, CONTROL, places[row])
    hand.wait()
    assert set(hand.annotations.selected_ids) == ids(0, 3, 4)
    assert marked(panel) == ids(0, 3, 4)
    for row in (0, 3, 4):
        hand.qtbot.mouseClick(table.viewport(), LEFT, CONTROL, places[row])
    hand.wait()
    assert hand.annotations.selected_ids == ()
    assert marked(panel) == set()


def test_a_row_that_was_pressed_is_where_shift_marks_from(hand: Hand, panel: ObjectPanel) -> None:
    press(hand, 1)
    for _ in range(2):
        hand.qtbot.keyClick(panel.table, Qt.Key.Key_Down, SHIFT)
        hand.wait()
    assert marked(panel) == ids(1, 2, 3)
    assert set(hand.annotations.selected_ids) == ids(1, 2, 3)


def test_what_is_in_view_of_a_turned_slide_is_what_can_be_seen(
    hand: Hand, panel: ObjectPanel
) -> None:
    view = hand.view.viewport
    assert view is not None
    hand.view.move_to(replace(view, rotation_deg=45.0))
    hand.wait()
    slide, turned = hand.parts.bench.front_slide, hand.view.viewport
    assert slide is not None
    assert turned is not None
    box = turned.bounds_l0
    corner = shapely.box(box.x0 + 20, box.y0 + 20, box.x0 + 30, box.y0 + 30)
    edge = turned.to_l0(Point(0, turned.height / 2))
    across = shapely.Point(edge.x, edge.y).buffer(30)
    made = [
        Annotation(str(UUID(int=number)), shapely.to_wkb(shape, byte_order=1))
        for number, shape in ((100, corner), (101, across))
    ]
    hand.annotations.add(slide, made, "add")
    hand.wait()
    panel.in_view.click()

    def listed() -> set[str]:
        return set() if panel.model.rows is None else set(panel.model.rows.ids)

    hand.qtbot.waitUntil(lambda: len(listed()) == 6, timeout=20_000)
    assert listed() == {*ids(0, 1, 2, 3, 4), made[1].id}
    assert panel._count.text() == "6 of 6 objects"


def press_key(hand: Hand, key: Qt.Key, keys: Qt.KeyboardModifier = NONE) -> None:
    hand.qtbot.keyClick(hand.parts.objects.table, key, keys)
    hand.wait()


def press_and_list(hand: Hand, key: Qt.Key, keys: Qt.KeyboardModifier = NONE) -> None:
    """Press a key that changes objects, and wait until they are listed anew."""
    with hand.qtbot.waitSignal(hand.parts.objects.shown, timeout=60_000):
        press_key(hand, key, keys)
    hand.wait()


def activate(hand: Hand) -> None:
    """Let keys be commands."""
    hand.window.activateWindow()
    hand.qtbot.waitUntil(hand.window.isActiveWindow, timeout=5_000)
    hand.parts.objects.table.setFocus()


def left(hand: Hand) -> set[str]:
    return {one.id for one in hand.objects()}


def press_first_row(hand: Hand) -> None:
    press(hand, 0)


def press_space(hand: Hand) -> None:
    press_key(hand, Qt.Key.Key_Space)


def mark_all(hand: Hand) -> None:
    press_key(hand, Qt.Key.Key_A, CONTROL)


def press_below_rows(hand: Hand) -> None:
    table = hand.parts.objects.table
    hand.qtbot.mouseClick(table.viewport(), LEFT, NONE, QPoint(5, table.viewport().height() - 3))
    hand.wait()


MARKINGS = [
    (press_first_row, (0, 1), ids(1)),
    (press_space, (0, 1), ids(1)),
    (mark_all, (0, 1, 3), ids(1, 3)),
    (press_below_rows, (0, 2), set()),
]


@pytest.mark.parametrize(("mark", "before", "expected"), MARKINGS)
def test_what_the_filter_hides_is_not_selected_with_what_is_marked(
    hand: Hand,
    panel: ObjectPanel,
    mark: Callable[[Hand], None],
    before: tuple[int, ...],
    expected: set[str],
) -> None:
    activate(hand)
    press(hand, before[0])
    for row in before[1:]:
        press(hand, row, CONTROL)
    hand.qtbot.keyClicks(panel.words, "tumor")
    hand.wait()
    assert set(hand.annotations.selected_ids) == ids(*before)
    mark(hand)
    assert set(hand.annotations.selected_ids) == marked(panel) == expected
    if expected:
        press_key(hand, Qt.Key.Key_Delete)
        assert left(hand) == ids(0, 1, 2, 3, 4) - expected


def test_what_is_out_of_view_is_not_selected_with_the_row_that_is_pressed(
    hand: Hand, panel: ObjectPanel
) -> None:
    activate(hand)
    hand.act("edit.all")
    view = hand.view.viewport
    assert view is not None
    hand.view.move_to(replace(view, centre_l0=Point(1130 + view.width / 2, 900)))
    with hand.qtbot.waitSignal(panel.shown, timeout=60_000):
        panel.in_view.click()
    hand.wait()
    assert marked(panel) == ids(4)
    assert len(hand.annotations.selected_ids) == 5
    press(hand, 0)
    assert set(hand.annotations.selected_ids) == ids(4)
    press_key(hand, Qt.Key.Key_Delete)
    assert left(hand) == ids(0, 1, 2, 3)


def test_shift_marks_from_the_row_before_also_after_a_class_key(
    hand: Hand, panel: ObjectPanel
) -> None:
    activate(hand)
    press(hand, 2)
    press(hand, 3, CONTROL)
    press_and_list(hand, Qt.Key.Key_3, Qt.KeyboardModifier.AltModifier)
    assert marked(panel) == ids(2, 3)
    press(hand, 4, SHIFT)
    assert marked(panel) == ids(3, 4)


def test_keys_go_on_from_the_same_object_when_rows_are_sorted(
    hand: Hand, panel: ObjectPanel
) -> None:
    press(hand, 1)
    press(hand, 2, CONTROL)
    press_title(hand, 0)  # necrosis comes first
    assert panel.table.currentIndex().row() == 0
    press_key(hand, Qt.Key.Key_Down)
    assert marked(panel) == ids(0)


def test_a_list_is_gone_through_by_deleting_and_going_down(hand: Hand, panel: ObjectPanel) -> None:
    activate(hand)
    press(hand, 1)
    for number in (2, 3, 4):
        press_and_list(hand, Qt.Key.Key_Delete)
        assert marked(panel) == set()
        assert panel.table.currentIndex().row() == 1
        press_key(hand, Qt.Key.Key_Down)
        assert marked(panel) == set(hand.annotations.selected_ids) == ids(number)
    press_and_list(hand, Qt.Key.Key_Delete)  # the last row
    assert left(hand) == ids(0)
    assert panel.table.currentIndex().row() == 0
    assert marked(panel) == set()


def test_keys_go_on_after_several_rows_that_were_deleted(hand: Hand, panel: ObjectPanel) -> None:
    activate(hand)
    press(hand, 1)
    press(hand, 2, SHIFT)
    press_and_list(hand, Qt.Key.Key_Delete)
    press_key(hand, Qt.Key.Key_Down)
    assert marked(panel) == ids(3)
    press_key(hand, Qt.Key.Key_Down)
    assert marked(panel) == ids(4)
