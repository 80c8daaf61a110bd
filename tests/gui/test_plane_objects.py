"""Objects of one plane among those of others: gone to, listed, painted and changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely
import tifffile
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QDockWidget
from tests.gui.hand import LEFT, NONE, SHIFT, Hand

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Point
from tilescope_desktop.view.hierarchy_panel import HierarchyPanel
from tilescope_desktop.view.object_panel import ObjectPanel

UP, DOWN = Qt.Key.Key_PageUp, Qt.Key.Key_PageDown
DEPTH, TIMES = 4, 3


@pytest.fixture
def slide_in_hand(tmp_path: Path) -> Path:
    """Planes of one grey each."""
    path = tmp_path / "stack.ome.tif"
    planes = np.full((TIMES, DEPTH, 600, 900), 60, np.uint8)
    planes[..., 0, 0], planes[..., 0, 1] = 255, 0
    tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": "TZYX"})
    return path


@pytest.fixture
def stack(hand: Hand) -> Hand:
    """A window with a stack in front, seen as a whole."""
    hand.act("view.fit")
    return hand


def place(hand: Hand) -> tuple[int, int]:
    assert hand.window.tab is not None
    planes = hand.window.tab.planes
    return planes.z.value(), planes.t.value()


def planes(hand: Hand) -> list[tuple[int, int]]:
    return [(one.z, one.t) for one in hand.objects()]


def add(hand: Hand, *places: tuple[int, int]) -> list[Annotation]:
    """Add one square per plane, side by side."""
    slide = hand.parts.bench.front_slide
    assert slide is not None
    made = [square(number, plane) for number, plane in enumerate(places)]
    hand.annotations.add(slide, made, "add")
    hand.deselect()
    hand.wait()
    return made


def square(number: int, plane: tuple[int, int]) -> Annotation:
    x = 100 + 150 * number
    outline = shapely.to_wkb(shapely.box(x, 200, x + 60, 260), byte_order=1)
    return Annotation(str(UUID(int=number + 1)), outline, z=plane[0], t=plane[1])


def show_table(hand: Hand) -> ObjectPanel:
    dock = hand.window.findChild(QDockWidget, "dock-objects")
    assert isinstance(dock, QDockWidget)
    with hand.qtbot.waitSignal(hand.parts.objects.shown, timeout=60_000):
        dock.show()
    return hand.parts.objects


def listed(panel: ObjectPanel) -> Sequence[str]:
    return () if panel.model.rows is None else panel.model.rows.ids


def double_click(hand: Hand, panel: ObjectPanel, name: str) -> None:
    row = [panel.model.rows.ids[place] for place in panel.model.order].index(name)
    at = panel.table.visualRect(panel.model.index(row, 0)).center()
    hand.qtbot.mouseClick(panel.table.viewport(), LEFT, NONE, at)
    hand.qtbot.mouseDClick(panel.table.viewport(), LEFT, NONE, at)
    hand.wait()


def is_painted(hand: Hand, one: Annotation) -> bool:
    """Tell whether the outline of an object is seen."""
    hand.wait()
    viewport = hand.view.viewport
    assert viewport is not None
    left, _, _, bottom = shapely.from_wkb(one.geometry).bounds
    corner = viewport.to_screen(Point(left, bottom - 20))
    x, y = round(corner.x), round(corner.y)
    around = hand.pixels()[y, x - 4 : x + 5]
    return bool(np.ptp(around) > 30)


def test_a_double_click_in_the_table_goes_to_the_plane_of_the_object(stack: Hand) -> None:
    first, second, beyond = add(stack, (0, 2), (3, 1), (2**40, 0))
    panel = show_table(stack)
    for one, expected in ((first, (0, 2)), (second, (3, 1)), (beyond, (DEPTH - 1, 0))):
        double_click(stack, panel, one.id)
        assert place(stack) == expected
        assert stack.annotations.selected_ids == (one.id,)
        assert stack.view.viewport is not None
        middle = shapely.from_wkb(one.geometry).centroid
        assert stack.view.viewport.centre_l0 == Point(middle.x, middle.y)
    double_click(stack, panel, first.id)
    stack.act("view.fit")
    stack.deselect()
    assert is_painted(stack, first)
    assert not is_painted(stack, second)


def test_the_table_says_sorts_and_filters_planes(stack: Hand, hes_slide: Path) -> None:
    made = add(stack, (2, 0), (0, 1), (3, 0))
    panel = show_table(stack)

    def cells(column: int) -> list[str]:
        model = panel.model
        return [model.data(model.index(row, column)) for row in range(model.rowCount())]

    header = panel.table.horizontalHeader()
    titles = [panel.model.headerData(i, Qt.Orientation.Horizontal) for i in range(header.count())]
    assert titles[3:5] == ["Focal plane", "Time"]
    assert "z1, t1" in panel.words.placeholderText()
    at = QPoint(header.sectionViewportPosition(3) + 8, header.height() // 2)
    stack.qtbot.mouseClick(header.viewport(), LEFT, NONE, at)
    assert cells(3) == ["1", "3", "4"]
    assert cells(4) == ["2", "1", "1"]
    stack.qtbot.keyClicks(panel.words, "z3")
    assert cells(3) == ["3"]
    assert [listed(panel)[row] for row in panel.model.order] == [made[0].id]
    panel.words.clear()
    with stack.qtbot.waitSignal(panel.shown, timeout=60_000):
        stack.open(hes_slide)
    stack.wait()
    assert "z1" not in panel.words.placeholderText()
    assert "Focal plane" not in (panel.model.rows.columns if panel.model.rows else ())


def test_a_click_in_the_hierarchy_goes_to_the_plane_of_the_object(stack: Hand) -> None:
    first, second = add(stack, (1, 2), (3, 0))
    dock = stack.window.findChild(QDockWidget, "dock-hierarchy")
    assert isinstance(dock, QDockWidget)
    panel = stack.parts.hierarchy
    dock.show()
    dock.raise_()
    tree = panel.tree
    stack.qtbot.waitUntil(lambda: tree.topLevelItemCount() == 1, timeout=20_000)
    tree.topLevelItem(0).setExpanded(True)
    stack.qtbot.waitUntil(lambda: len(panel._items) == 2, timeout=20_000)
    for one, expected in ((first, (1, 2)), (second, (3, 0)), (first, (1, 2))):
        press(stack, panel, one.id)
        assert place(stack) == expected
        assert stack.annotations.selected_ids == (one.id,)


def press(hand: Hand, panel: HierarchyPanel, name: str) -> None:
    at = panel.tree.visualItemRect(panel._items[name]).center()
    hand.qtbot.mouseClick(panel.tree.viewport(), LEFT, NONE, at)
    hand.wait()


def test_going_to_what_is_selected_stays_on_a_plane_that_has_some_of_it(stack: Hand) -> None:
    first, second = add(stack, (1, 1), (3, 2))
    slide = stack.parts.bench.front_slide
    assert slide is not None
    stack.annotations.select(slide, [first.id, second.id])
    stack.wait()
    assert place(stack) == (2, 0)
    stack.act("objects.fly")
    assert place(stack) == (1, 1)
    for key, keys in ((UP, NONE), (UP, NONE), (UP, SHIFT)):
        stack.key(key, keys)
    stack.act("objects.fly")
    assert place(stack) == (3, 2)


def test_the_table_of_what_is_in_view_is_of_the_plane_that_is_shown(stack: Hand) -> None:
    first, second = add(stack, (2, 0), (3, 0))
    panel = show_table(stack)
    assert set(listed(panel)) == {first.id, second.id}
    panel.in_view.setFocus()
    stack.qtbot.keyClick(panel.in_view, Qt.Key.Key_Space)
    stack.qtbot.waitUntil(lambda: listed(panel) == (first.id,), timeout=20_000)
    stack.view.setFocus()
    stack.key(UP)
    stack.qtbot.waitUntil(lambda: listed(panel) == (second.id,), timeout=20_000)
    stack.key(UP, SHIFT)
    stack.qtbot.waitUntil(lambda: listed(panel) == (), timeout=20_000)


def test_what_is_selected_is_painted_on_its_plane_alone(stack: Hand) -> None:
    stack.act("tool.rectangle")
    stack.drag((300, 300), (350, 350), (400, 400))
    (drawn,) = stack.objects()
    stack.act("tool.move")
    assert stack.annotations.selected_ids == (drawn.id,)
    assert is_painted(stack, drawn)
    for key, keys in ((UP, NONE), (UP, SHIFT)):
        stack.key(key, keys)
        assert not is_painted(stack, drawn)
    for key, keys in ((DOWN, NONE), (DOWN, SHIFT)):
        stack.key(key, keys)
    assert stack.annotations.selected_ids == (drawn.id,)
    assert is_painted(stack, drawn)
    stack.deselect()
    assert is_painted(stack, drawn)


def test_a_stroke_on_another_plane_makes_an_object_there(stack: Hand) -> None:
    stack.act("tool.brush")
    stack.drag((300, 300), (350, 300))
    (below,) = stack.objects()
    stack.key(UP)
    stack.wait()
    stack.drag((320, 300), (320, 350))
    assert sorted(planes(stack)) == [(2, 0), (3, 0)]
    kept = next(one for one in stack.objects() if one.id == below.id)
    assert kept.geometry == below.geometry
    stack.drag((320, 350), (380, 350))
    assert sorted(planes(stack)) == [(2, 0), (3, 0)]
    stack.key(UP, SHIFT)
    stack.wait()
    stack.drag((320, 300), (320, 350), keys=SHIFT)
    assert sorted(planes(stack)) == [(2, 0), (3, 0), (3, 1)]


def test_a_stroke_during_which_the_plane_changes_stays_with_its_object(stack: Hand) -> None:
    stack.act("tool.brush")
    stack.drag((300, 300), (350, 300))
    (before,) = stack.objects()
    stack.qtbot.mousePress(stack.view, LEFT, NONE, QPoint(350, 300))
    stack.move((360, 310))
    stack.key(UP)
    stack.move((380, 340))
    stack.qtbot.mouseRelease(stack.view, LEFT, NONE, QPoint(380, 340))
    assert [(one.annotation.z, one.annotation.t) for one in stack.annotations.fresh] == [(2, 0)]
    (after,) = stack.objects()
    assert (after.id, after.z, after.t) == (before.id, 2, 0)
    assert after.geometry != before.geometry


@pytest.mark.parametrize("tool", ["select", "vertices", "brush"])
def test_nothing_of_another_plane_is_changed_by_a_drag(stack: Hand, tool: str) -> None:
    stack.act("tool.rectangle")
    stack.drag((300, 300), (350, 350), (400, 400))
    (drawn,) = stack.objects()
    stack.key(UP)
    stack.wait()
    stack.act(f"tool.{tool}")
    alt = Qt.KeyboardModifier.AltModifier if tool == "brush" else NONE
    stack.drag((400, 400), (420, 430), (440, 460), keys=alt)
    stack.drag((350, 350), (380, 380), (400, 420), keys=alt)
    assert stack.objects() == [drawn]


def test_a_click_selects_no_object_of_another_plane(stack: Hand) -> None:
    first, second = add(stack, (2, 0), (3, 0))
    stack.act("tool.select")
    click_on(stack, first)
    assert stack.annotations.selected_ids == (first.id,)
    stack.key(UP)
    click_on(stack, first)
    assert stack.annotations.selected_ids == ()
    click_on(stack, second)
    assert stack.annotations.selected_ids == (second.id,)


def click_on(hand: Hand, one: Annotation) -> None:
    assert hand.view.viewport is not None
    middle = shapely.from_wkb(one.geometry).centroid
    at = hand.view.viewport.to_screen(Point(middle.x, middle.y))
    hand.click(round(at.x), round(at.y))
    hand.wait()
