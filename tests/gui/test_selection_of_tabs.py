"""What commands mean: what is selected and seen, on the slides in sight and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import shapely
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QDockWidget
from tests.gui.hand import ALT, LEFT, NONE, SHIFT, Hand

from tilescope.domain.annotation import Annotation
from tilescope_desktop.model import project_tasks
from tilescope_desktop.view.comparing import compare_with_itself
from tilescope_desktop.view.listing_panel import ListingPanel

_KEY = Qt.Key
CONTROL = Qt.KeyboardModifier.ControlModifier


def turn(hand: Hand, index: int) -> None:
    """Press on the tab of a slide, and look at what comes of it at once."""
    bar = hand.window.tabs.tabBar()
    hand.qtbot.mouseClick(bar, LEFT, NONE, QPoint(bar.tabRect(index).left() + 12, 8))
    assert hand.window.tabs.currentIndex() == index
    hand.view.setFocus()


def square(number: int, **changes: object) -> Annotation:
    x = 900 + 40 * number
    shape = shapely.to_wkb(shapely.box(x, 700, x + 30, 730), byte_order=1)
    return replace(Annotation(str(UUID(int=number + 1)), shape), **changes)


def add(hand: Hand, *objects: Annotation) -> None:
    slide = hand.parts.bench.front_slide
    assert slide is not None
    hand.annotations.add(slide, objects, "add")
    hand.wait()
    hand.deselect()


def is_enabled(hand: Hand, name: str) -> bool:
    action = hand.window.findChild(QAction, name)
    assert isinstance(action, QAction)
    return action.isEnabled()


KEYS = [
    (_KEY.Key_Delete, NONE),
    (_KEY.Key_Backspace, NONE),
    (_KEY.Key_2, ALT),
    (_KEY.Key_D, SHIFT),
    (_KEY.Key_K, CONTROL),
]


@pytest.mark.parametrize(("key", "keys"), KEYS)
def test_keys_change_nothing_of_a_slide_behind(
    active: Hand, dapi_image: Path, key: Qt.Key, keys: Qt.KeyboardModifier
) -> None:
    active.rectangle()
    before = active.objects()
    assert is_enabled(active, "edit.delete")
    active.open(dapi_image)
    active.take_keys()
    for name in ("edit.delete", "edit.lock", "objects.fly", "edit.duplicate"):
        assert not is_enabled(active, name), name
    active.key(key, keys)
    assert active.objects() == before
    assert len(before) == 1


def test_what_was_just_drawn_is_not_selected_once_its_slide_is_behind(
    active: Hand, dapi_image: Path
) -> None:
    active.open(dapi_image)
    turn(active, 0)
    active.act("tool.rectangle")
    active.qtbot.mousePress(active.view, LEFT, NONE, QPoint(60, 60))
    active.move((160, 160))
    active.qtbot.mouseRelease(active.view, LEFT, NONE, QPoint(160, 160))
    turn(active, 1)
    active.wait()
    assert active.annotations.selected_ids == ()
    active.key(_KEY.Key_Delete)
    assert len(active.objects()) == 1


def test_of_two_slides_side_by_side_either_may_have_what_is_selected(
    active: Hand, dapi_image: Path
) -> None:
    active.open(dapi_image)
    left, right = active.window.all_tabs
    active.window.tabs.put_beside(left, right)
    active.rectangle()
    selected = active.annotations.selected_ids
    active.act("compare.other")
    active.move((200, 200))
    assert active.window.tab is right
    assert active.parts.bench.tab is right
    assert active.annotations.selected_ids == selected
    active.act("objects.fly")
    (shape,) = active.shapes()
    assert left.view.viewport is not None
    centre = left.view.viewport.centre_l0
    assert shape.contains(shapely.Point(centre.x, centre.y))
    active.act("edit.lock")
    assert active.objects()[0].locked


def test_a_slide_that_is_compared_with_itself_keeps_what_is_selected(active: Hand) -> None:
    front = active.window.tab
    assert front is not None
    active.rectangle()
    selected = active.annotations.selected_ids
    compare_with_itself(active.window, front)
    active.qtbot.waitUntil(lambda: active.window.tabs.pair is not None, timeout=20_000)
    active.wait()
    assert active.annotations.selected_ids == selected


def show(hand: Hand, name: str, panel: ListingPanel) -> None:
    dock = hand.window.findChild(QDockWidget, f"dock-{name}")
    assert isinstance(dock, QDockWidget)
    with hand.qtbot.waitSignal(panel.shown, timeout=20_000):
        dock.show()
        dock.raise_()
    hand.wait()


@pytest.fixture
def two(active: Hand, dapi_image: Path) -> Hand:
    """A slide with three objects, and one with two others in front of it."""
    add(active, *(square(number) for number in range(3)))
    active.open(dapi_image)
    add(active, square(7), square(8))
    return active


def test_the_table_has_no_row_of_a_slide_behind(two: Hand) -> None:
    panel = two.parts.objects
    show(two, "objects", panel)
    assert panel.model.rowCount() == 2
    columns = panel.model.columnCount()
    with two.qtbot.waitSignal(panel.shown, timeout=20_000):
        turn(two, 0)
        assert panel.model.rowCount() == 0
        assert panel.model.columnCount() == columns
        at = QPoint(5, panel.table.rowHeight(0) + 5)
        two.qtbot.mouseClick(panel.table.viewport(), LEFT, NONE, at)
    assert panel.model.rows is not None
    assert set(panel.model.rows.ids) == {square(number).id for number in range(3)}
    two.wait()
    assert two.annotations.selected_ids == ()


def test_rows_that_come_late_are_not_shown_on_another_slide(two: Hand) -> None:
    panel = two.parts.objects
    show(two, "objects", panel)
    panel.due.emit()
    assert two.window.work.jobs
    turn(two, 0)
    two.qtbot.waitUntil(lambda: not two.window.work.jobs, timeout=20_000)
    assert panel.model.rows is not None
    assert square(7).id not in panel.model.rows.ids


def test_the_hierarchy_has_no_item_of_a_slide_behind(two: Hand) -> None:
    panel = two.parts.hierarchy
    show(two, "hierarchy", panel)
    assert panel.tree.topLevelItem(0).text(1) == "2"
    panel.due.emit()
    turn(two, 0)
    assert panel.tree.topLevelItemCount() == 0
    two.qtbot.waitUntil(lambda: panel.tree.topLevelItemCount() == 1, timeout=20_000)
    assert panel.tree.topLevelItem(0).text(1) == "3"


def hide_annotations(hand: Hand) -> None:
    hand.key(_KEY.Key_A)


def hide_tumors(hand: Hand) -> None:
    hand.annotations.restyle(hand.annotations.style.toggled("Tumor"))


@pytest.mark.parametrize("hide", [hide_annotations, hide_tumors])
def test_what_is_hidden_is_not_deleted(active: Hand, hide: Callable[[Hand], None]) -> None:
    hidden = square(0, class_name="Tumor")
    add(active, hidden, square(1, class_name="Stroma", kind="detection"))
    active.key(_KEY.Key_A, CONTROL)
    active.wait()
    assert len(active.annotations.selected_ids) == 2
    hide(active)
    active.wait()
    assert active.annotations.selected_ids == (square(1).id,)
    active.key(_KEY.Key_Delete)
    assert [one.id for one in active.objects()] == [hidden.id]


def test_a_key_at_once_after_hiding_deletes_nothing_hidden(active: Hand) -> None:
    active.rectangle()
    for key in (_KEY.Key_A, _KEY.Key_Delete):
        active.qtbot.keyClick(active.view, key)
    assert len(active.objects()) == 1


def test_fading_and_filling_leave_the_selection_alone(active: Hand) -> None:
    active.rectangle()
    selected = active.annotations.selected_ids
    for key in (_KEY.Key_D, _KEY.Key_D, _KEY.Key_F):
        active.key(key)
    active.act("objects.fainter")
    assert active.annotations.selected_ids == selected


def test_it_is_said_when_not_all_can_be_selected(
    active: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [square(number) for number in range(6)]
    add(active, *made, square(6, kind="detection"))
    said = active.window.status.currentMessage
    for most, expected in ((4, "4 of 7 selected"), (6, "6 of 7 selected"), (7, "")):
        monkeypatch.setattr(project_tasks, "MOST_SELECTED", most)
        active.window.status.clearMessage()
        active.key(_KEY.Key_A, CONTROL)
        active.wait()
        assert len(active.annotations.selected_ids) == most
        assert said().startswith(expected)
        assert bool(said()) == bool(expected)
    monkeypatch.setattr(project_tasks, "MOST_SELECTED", 5)
    active.key(_KEY.Key_A, CONTROL | ALT)
    active.wait()
    assert said().startswith("5 of 6 selected")
    panel = active.parts.objects
    show(active, "objects", panel)
    active.window.status.clearMessage()
    panel.table.setFocus()
    active.qtbot.keyClick(panel.table, _KEY.Key_A, CONTROL)
    active.wait()
    assert said().startswith("5 of 7 selected")
    assert len(active.annotations.selected_ids) == 5


def test_few_annotations_are_selected_among_a_crowd_of_detections(
    active: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_tasks, "MOST_SELECTED", 4)
    drawn = [square(number) for number in range(20, 23)]
    add(active, *(square(number, kind="detection") for number in range(12)))
    add(active, *drawn)
    active.window.status.clearMessage()
    active.key(_KEY.Key_A, CONTROL | ALT)
    active.wait()
    assert set(active.annotations.selected_ids) == {one.id for one in drawn}
    assert active.window.status.currentMessage() == ""


def test_channels_that_were_switched_at_last_are_those_of_their_slide(
    active: Hand, dapi_image: Path
) -> None:
    active.open(dapi_image)
    turn(active, 0)
    first, second = active.window.all_tabs
    before = second.styles
    active.take_keys()
    active.key(_KEY.Key_1)
    assert first.styles[0].visible  # not yet
    turn(active, 1)
    assert not first.styles[0].visible
    active.qtbot.wait(100)  # longer than a change waits
    assert second.styles == before
    assert active.window.channels.styles == before


def test_channels_that_were_switched_are_shown_when_the_front_is_told_again(active: Hand) -> None:
    active.key(_KEY.Key_1)
    active.window.tabs.front_changed.emit()
    assert active.window.tab is not None
    assert not active.window.tab.styles[0].visible
    assert not active.window.channels.styles[0].visible


def test_rows_chosen_here_and_there_are_copied_in_their_order(active: Hand) -> None:
    add(active, *(square(number, class_name=f"c{number}") for number in range(3)))
    panel = active.parts.objects
    show(active, "objects", panel)
    names = [str(panel.model.data(panel.model.index(row, 0))) for row in range(3)]
    for row, keys, chosen in ((2, NONE, [2]), (0, CONTROL, [0, 2]), (0, CONTROL, [2])):
        at = panel.table.visualRect(panel.model.index(row, 0)).center()
        active.qtbot.mouseClick(panel.table.viewport(), LEFT, keys, at)
        active.wait()
        assert len(active.annotations.selected_ids) == len(chosen)
        panel.table.setFocus()
        active.qtbot.keyClick(panel.table, _KEY.Key_C, CONTROL)
        lines = QApplication.clipboard().text().splitlines()
        cells = [line.split("\t")[0] for line in lines]
        assert cells == ["Class", *(names[place] for place in chosen)]
