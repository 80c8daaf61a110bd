"""The tree of objects: read as far as one looks, changed by dragging, one step to undo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import shapely
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QDockWidget, QTreeWidgetItem
from pytestqt.qtbot import QtBot
from tests.gui.hand import LEFT, NONE, Hand

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Point
from tilescope_desktop.view.hierarchy_panel import HierarchyPanel
from tilescope_desktop.view.hierarchy_tree import KinItem, MoreItem

CONTROL = Qt.KeyboardModifier.ControlModifier


def box(number: int, **changes: object) -> Annotation:
    x, y = 600 + 40 * (number % 20), 600 + 40 * (number // 20)
    shape = shapely.to_wkb(shapely.box(x, y, x + 30, y + 30), byte_order=1)
    return replace(Annotation(str(UUID(int=number + 1)), shape), **changes)


@pytest.fixture
def panel(hand: Hand) -> HierarchyPanel:
    dock = hand.window.findChild(QDockWidget, "dock-hierarchy")
    assert isinstance(dock, QDockWidget)
    dock.raise_()
    hand.wait()
    return hand.parts.hierarchy


def add(hand: Hand, *objects: Annotation) -> None:
    slide = hand.parts.bench.front_slide
    assert slide is not None
    hand.annotations.add(slide, objects, "add")
    settle(hand)


def settle(hand: Hand) -> None:
    panel = hand.parts.hierarchy
    hand.wait()
    hand.qtbot.waitUntil(lambda: not panel._later.isActive(), timeout=20_000)
    hand.wait()


def rows(item: QTreeWidgetItem) -> list[list[str]]:
    children = [item.child(place) for place in range(item.childCount())]
    return [[child.text(column) for column in range(3)] for child in children]


def open_item(hand: Hand, item: QTreeWidgetItem) -> None:
    item.setExpanded(True)
    settle(hand)


def press(hand: Hand, item: QTreeWidgetItem, keys: Qt.KeyboardModifier = NONE) -> None:
    tree = hand.parts.hierarchy.tree
    tree.scrollToItem(item)
    at = tree.visualItemRect(item).center()
    hand.qtbot.mouseClick(tree.viewport(), LEFT, keys, at)
    settle(hand)


def drop(hand: Hand, item: QTreeWidgetItem | None) -> None:
    """Drop what is selected in the tree, as Qt does at the end of a drag."""
    tree = hand.parts.hierarchy.tree
    at = QPoint(5, tree.viewport().height() - 4)
    if item is not None:
        at = tree.visualItemRect(item).center()
    what = (Qt.DropAction.MoveAction, tree.mimeData(tree.selectedItems()), LEFT, NONE)
    QApplication.sendEvent(tree.viewport(), QDragEnterEvent(at, *what))
    QApplication.sendEvent(tree.viewport(), QDropEvent(QPointF(at), *what))
    settle(hand)


def item_of(panel: HierarchyPanel, name: str) -> KinItem:
    return panel._items[name]


def test_the_top_is_counted_by_class_and_nothing_else_is_read(
    hand: Hand, panel: HierarchyPanel
) -> None:
    add(
        hand,
        *(box(n, class_name="Tumor") for n in range(30)),
        box(40),
        box(41, parent_id=box(40).id),
    )
    root = panel.tree.invisibleRootItem()
    assert rows(root) == [["Unclassified", "1", ""], ["Tumor", "30", ""]]
    assert not panel._items
    open_item(hand, root.child(1))
    assert len(panel._items) == 30


def test_a_long_branch_comes_by_pages(hand: Hand, panel: HierarchyPanel) -> None:
    add(hand, *(box(n, class_name="Tumor") for n in range(450)))
    (branch,) = (panel.tree.topLevelItem(0),)
    open_item(hand, branch)
    assert branch.childCount() == 201
    more = branch.child(200)
    assert isinstance(more, MoreItem)
    assert more.text(0) == "250 more…"
    press(hand, more)
    assert branch.childCount() == 401
    press(hand, branch.child(400))
    assert branch.childCount() == 450
    assert len(panel._items) == 450


def test_choosing_an_object_flies_to_it_and_selects_it(hand: Hand, panel: HierarchyPanel) -> None:
    add(hand, box(0, class_name="Tumor", locked=True), box(1, class_name="Tumor"))
    hand.deselect()
    open_item(hand, panel.tree.topLevelItem(0))
    item = item_of(panel, box(0).id)
    assert item.text(2) == "locked"
    press(hand, item)
    assert hand.annotations.selected_ids == (box(0).id,)
    assert hand.view.viewport is not None
    assert hand.view.viewport.centre_l0 == Point(615, 615)
    hand.annotations.select(hand.parts.bench.front_slide, [box(1).id])
    settle(hand)
    assert [kin.id for kin in panel.tree.chosen] == [box(1).id]


def test_a_drag_sets_the_parent_as_one_step(hand: Hand, panel: HierarchyPanel) -> None:
    gland, cells = box(0, class_name="Gland"), [box(n, class_name="Tumor") for n in (1, 2)]
    add(hand, gland, *cells)
    hand.deselect()
    root = panel.tree.invisibleRootItem()
    open_item(hand, root.child(0))
    open_item(hand, root.child(1))
    press(hand, item_of(panel, cells[0].id))
    press(hand, item_of(panel, cells[1].id), CONTROL)
    drop(hand, item_of(panel, gland.id))
    assert [one.parent_id for one in hand.objects()] == [None, gland.id, gland.id]
    assert rows(root) == [["Gland", "1", ""]]
    assert item_of(panel, gland.id).text(1) == "2"
    open_item(hand, item_of(panel, gland.id))
    assert rows(item_of(panel, gland.id)) == [["Tumor", "2", ""]]
    hand.key(Qt.Key.Key_Z, CONTROL)
    assert [one.parent_id for one in hand.objects()] == [None, None, None]
    settle(hand)
    assert [row[0] for row in rows(root)] == ["Gland", "Tumor"]


def test_keys_put_an_object_into_another_and_out_again(hand: Hand, panel: HierarchyPanel) -> None:
    gland, cell = box(0, class_name="Gland"), box(1, class_name="Tumor")
    add(hand, gland, cell)
    hand.deselect()
    root = panel.tree.invisibleRootItem()
    open_item(hand, root.child(0))
    open_item(hand, root.child(1))
    press(hand, item_of(panel, cell.id))
    hand.qtbot.keyClick(panel.tree, Qt.Key.Key_X, CONTROL)
    press(hand, item_of(panel, gland.id))
    hand.qtbot.keyClick(panel.tree, Qt.Key.Key_V, CONTROL)
    settle(hand)
    assert hand.objects()[1].parent_id == gland.id
    drop(hand, None)
    assert hand.objects()[1].parent_id == gland.id
    open_item(hand, item_of(panel, gland.id))
    open_item(hand, item_of(panel, gland.id).child(0))
    press(hand, item_of(panel, cell.id))
    drop(hand, None)
    assert hand.objects()[1].parent_id is None


def test_an_object_does_not_go_into_itself_or_out_of_a_lock(
    hand: Hand, panel: HierarchyPanel
) -> None:
    gland, cell = box(0), box(1, parent_id=box(0).id)
    add(hand, gland, cell, box(2, locked=True))
    hand.annotations.put_into(hand.parts.bench.front_slide, [gland.id], cell.id)
    settle(hand)
    assert "cannot lie in itself" in hand.window.notices.text
    hand.annotations.put_into(hand.parts.bench.front_slide, [box(2).id], gland.id)
    settle(hand)
    assert "locked" in hand.window.notices.text
    assert [one.parent_id for one in hand.objects()] == [None, gland.id, None]


def test_what_is_open_stays_open_when_something_changes(hand: Hand, panel: HierarchyPanel) -> None:
    add(hand, box(0, class_name="Tumor"), box(1, class_name="Tumor"))
    open_item(hand, panel.tree.topLevelItem(0))
    add(hand, box(2, class_name="Tumor"))
    branch = panel.tree.topLevelItem(0)
    assert branch.isExpanded()
    assert branch.childCount() == 3


def test_a_closed_slide_leaves_an_empty_tree(
    hand: Hand, panel: HierarchyPanel, qtbot: QtBot, tmp_path: Path
) -> None:
    add(hand, box(0))
    hand.act("file.close")
    settle(hand)
    qtbot.waitUntil(lambda: panel.tree.topLevelItemCount() == 0, timeout=20_000)
