"""What can be done with objects by the right button, by the menu key and by clicks in Move."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
import shapely
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QAction, QContextMenuEvent, QMouseEvent
from PySide6.QtWidgets import QApplication, QDockWidget, QMenu, QWidget
from tests.gui.hand import LEFT, NONE, SHIFT, Hand

from tilescope.domain.annotation import Annotation
from tilescope_desktop.app import run_bench
from tilescope_desktop.model.run_settings import Extent

RIGHT = Qt.MouseButton.RightButton
#: A small one in a large one, and one apart; the places are those of the view.
LARGE, SMALL, APART = ((100, 100), (300, 300)), ((150, 150), (180, 180)), ((400, 100), (450, 150))
NOWHERE = (600, 500)


@pytest.fixture
def boxes(hand: Hand) -> dict[str, str]:
    """Draw three rectangles and return their ids."""
    slide = hand.parts.bench.front_slide
    assert slide is not None
    made = []
    for number, (start, end) in enumerate((LARGE, SMALL, APART)):
        a, b = hand.l0(*start), hand.l0(*end)
        shape = shapely.to_wkb(shapely.box(a.x, a.y, b.x, b.y), byte_order=1)
        made.append(Annotation(str(UUID(int=number + 1)), shape, class_name="Tumor"))
    hand.annotations.add(slide, made, "add")
    hand.wait()
    hand.deselect()
    hand.key(Qt.Key.Key_M)
    hand.wait()
    return dict(zip(("large", "small", "apart"), (one.id for one in made), strict=True))


def menu_at(hand: Hand, x: int, y: int) -> QMenu:
    hand.qtbot.mouseClick(hand.view, RIGHT, NONE, QPoint(x, y))
    return shown(hand)


def shown(hand: Hand) -> QMenu:
    hand.qtbot.waitUntil(lambda: hand.parts.menus.menu is not None, timeout=20_000)
    menu = hand.parts.menus.menu
    assert menu is not None
    hand.qtbot.waitUntil(menu.isVisible, timeout=20_000)
    return menu


def entries(menu: QMenu) -> list[str]:
    return [one.text() for one in menu.actions() if not one.isSeparator() and one.isEnabled()]


def choose(hand: Hand, menu: QMenu, *titles: str) -> None:
    """Click on an entry, and on one of the menu that it opens."""
    for title in titles:
        action = next(one for one in menu.actions() if one.text() == title)
        hand.qtbot.mouseClick(menu, LEFT, NONE, menu.actionGeometry(action).center())
        below = action.menu()
        if isinstance(below, QMenu):
            hand.qtbot.waitUntil(below.isVisible, timeout=20_000)
            menu = below
    hand.wait()


def classes_of(hand: Hand) -> list[str | None]:
    return [one.class_name for one in hand.objects()]


def test_a_click_in_move_selects_what_is_there(hand: Hand, boxes: dict[str, str]) -> None:
    before = hand.view.viewport
    for place, name in (((165, 165), "small"), ((250, 250), "large"), ((420, 120), "apart")):
        hand.click(*place)
        hand.wait()
        assert hand.annotations.selected_ids == (boxes[name],)
    hand.click(165, 165, SHIFT)
    hand.wait()
    assert hand.annotations.selected_ids == (boxes["apart"], boxes["small"])
    hand.click(*NOWHERE)
    hand.wait()
    assert hand.annotations.selected_ids == ()
    assert hand.view.viewport == before


def test_a_double_click_in_move_selects_and_the_marks_are_seen(
    hand: Hand, boxes: dict[str, str]
) -> None:
    plain = hand.pixels()
    for kind in ("mouseClick", "mouseDClick"):
        getattr(hand.qtbot, kind)(hand.view, LEFT, NONE, QPoint(165, 165))
    hand.qtbot.mouseRelease(hand.view, LEFT, NONE, QPoint(165, 165))
    hand.wait()
    assert hand.annotations.selected_ids == (boxes["small"],)
    marked = abs(hand.pixels() - plain).sum(axis=2) > 60
    assert marked[150, 155:175].all()
    assert not marked[100, 105:295].any()


def test_a_drag_in_move_pans_and_selects_nothing(hand: Hand, boxes: dict[str, str]) -> None:
    assert hand.view.viewport is not None
    before = hand.view.viewport.centre_l0
    hand.drag((165, 165), (175, 170), (185, 180))
    hand.qtbot.wait(120)
    assert hand.annotations.selected_ids == ()
    assert hand.view.viewport.centre_l0.x <= before.x - 20


def test_a_menu_is_for_what_is_under_the_mouse(hand: Hand, boxes: dict[str, str]) -> None:
    menu = menu_at(hand, 165, 165)
    assert hand.annotations.selected_ids == (boxes["small"],)
    assert menu.actions()[0].text() == "Area, Tumor"
    choose(hand, menu, "Set class", "Stroma")
    assert classes_of(hand) == ["Tumor", "Stroma", "Tumor"]
    assert hand.annotations.undo_label == "set class"
    choose(hand, menu_at(hand, 165, 165), "Set class", "Unclassified")
    assert classes_of(hand) == ["Tumor", None, "Tumor"]


def test_what_is_selected_stays_so_when_its_menu_is_opened(
    hand: Hand, boxes: dict[str, str]
) -> None:
    hand.click(165, 165)
    hand.wait()
    hand.click(420, 120, SHIFT)
    hand.wait()
    menu = menu_at(hand, 165, 165)
    assert menu.actions()[0].text() == "2 objects"
    choose(hand, menu, "Set class", "Necrosis")
    assert classes_of(hand) == ["Tumor", "Necrosis", "Necrosis"]
    menu = menu_at(hand, *NOWHERE)
    assert menu.actions()[0].text() == "2 objects"
    menu.close()
    menu = menu_at(hand, 250, 250)
    assert hand.annotations.selected_ids == (boxes["large"],)
    menu.close()


def test_a_locked_object_can_be_unlocked_and_not_deleted(hand: Hand, boxes: dict[str, str]) -> None:
    place = hand.l0(165, 165)
    choose(hand, menu_at(hand, 165, 165), "Lock")
    assert [one.locked for one in hand.objects()] == [False, True, False]
    menu = menu_at(hand, 165, 165)
    assert "Unlock" in entries(menu)
    assert "Lock" not in entries(menu)
    assert "Edit outline" not in entries(menu)
    choose(hand, menu, "Delete")
    assert len(hand.objects()) == 3
    assert hand.view.viewport is not None
    at = hand.view.viewport.to_screen(place)  # what the window says may have moved it
    choose(hand, menu_at(hand, round(at.x), round(at.y)), "Unlock")
    assert hand.view.viewport is not None
    at = hand.view.viewport.to_screen(place)
    choose(hand, menu_at(hand, round(at.x), round(at.y)), "Delete")
    assert [one.id for one in hand.objects()] == [boxes["large"], boxes["apart"]]


def test_a_menu_leads_to_the_object_and_to_its_corners(hand: Hand, boxes: dict[str, str]) -> None:
    assert hand.view.viewport is not None
    middle = hand.l0(425, 125)
    choose(hand, menu_at(hand, 420, 120), "Edit outline")
    assert hand.parts.bench.tool.id == "vertices"
    assert hand.parts.bench.tool.preview.handles is not None
    choose(hand, menu_at(hand, 420, 120), "Go to what is selected")
    assert hand.view.viewport.centre_l0 == middle
    assert hand.view.viewport.l0_per_px < 1


def test_a_place_is_brought_to_the_middle(hand: Hand, boxes: dict[str, str]) -> None:
    assert hand.view.viewport is not None
    place = hand.l0(*NOWHERE)
    menu = menu_at(hand, *NOWHERE)
    assert entries(menu)[0] == "Centre here"
    choose(hand, menu, "Centre here")
    assert (hand.view.viewport.centre_l0.x, hand.view.viewport.centre_l0.y) == pytest.approx(
        (place.x, place.y)
    )


def test_a_model_is_made_ready_to_run_inside(hand: Hand, boxes: dict[str, str]) -> None:
    choose(hand, menu_at(hand, 165, 165), "Run a model inside…")
    bench = run_bench(hand.window)
    assert bench.panel._chosen_extent is Extent.SELECTION
    dock = hand.window.findChild(QDockWidget, "dock-models")
    assert isinstance(dock, QDockWidget)
    assert not dock.visibleRegion().isEmpty()


def test_a_right_drag_pans_and_opens_no_menu(hand: Hand, boxes: dict[str, str]) -> None:
    assert hand.view.viewport is not None
    before = hand.view.viewport.centre_l0.x
    send(hand, QEvent.Type.MouseButtonPress, (200, 200), RIGHT, RIGHT)
    send(hand, QEvent.Type.MouseMove, (240, 200), Qt.MouseButton.NoButton, RIGHT)
    send(hand, QEvent.Type.MouseButtonRelease, (240, 200), RIGHT, Qt.MouseButton.NoButton)
    hand.wait()
    assert hand.view.viewport.centre_l0.x <= before - 40
    assert hand.parts.menus.menu is None


def test_in_the_middle_of_a_shape_the_menu_is_for_the_shape(
    hand: Hand, boxes: dict[str, str]
) -> None:
    hand.key(Qt.Key.Key_P)
    for place in ((350, 300), (420, 300), (420, 380), (500, 450)):
        hand.click(*place)
    menu = menu_at(hand, 165, 165)
    assert hand.annotations.selected_ids == ()
    choose(hand, menu, "Take the last step back")
    choose(hand, menu_at(hand, 165, 165), "Finish the shape (Enter)")
    (drawn,) = [one for one in hand.objects() if one.id not in boxes.values()]
    assert len(shapely.from_wkb(drawn.geometry).exterior.coords) == 4


def menu_key(widget: QWidget) -> None:
    """Send what Qt makes of the menu key."""
    at = widget.inputMethodQuery(Qt.InputMethodQuery.ImCursorRectangle).center()
    reason = QContextMenuEvent.Reason.Keyboard
    QApplication.sendEvent(widget, QContextMenuEvent(reason, at, widget.mapToGlobal(at)))


def shift_f10(widget: QWidget) -> None:
    from pytestqt.qtbot import QtBot

    QtBot.keyClick(widget, Qt.Key.Key_F10, SHIFT)


@pytest.mark.parametrize("press", [menu_key, shift_f10])
def test_keys_open_the_menu_where_the_selection_is(
    hand: Hand, boxes: dict[str, str], press: Callable[[QWidget], None]
) -> None:
    hand.click(420, 120)
    hand.wait()
    hand.window.activateWindow()
    hand.qtbot.waitUntil(hand.window.isActiveWindow, timeout=20_000)
    hand.view.setFocus()
    press(hand.view)
    menu = shown(hand)
    assert hand.view.mapFromGlobal(menu.pos()) == QPoint(425, 125)
    hand.qtbot.keyClick(menu, Qt.Key.Key_Down)
    assert menu.activeAction().text() == "Set class"
    hand.qtbot.keyClick(menu, Qt.Key.Key_Right)
    below = menu.activeAction().menu()
    assert isinstance(below, QMenu)
    hand.qtbot.waitUntil(below.isVisible, timeout=20_000)
    hand.qtbot.keyClick(below, Qt.Key.Key_Down)
    hand.qtbot.keyClick(below, Qt.Key.Key_Down)
    title = below.activeAction().text()
    hand.qtbot.keyClick(below, Qt.Key.Key_Return)
    hand.wait()
    assert classes_of(hand) == ["Tumor", "Tumor", title]
    assert title == "Stroma"


def test_menus_of_the_lists_are_for_the_rows_that_are_selected(
    hand: Hand, boxes: dict[str, str]
) -> None:
    dock = hand.window.findChild(QDockWidget, "dock-objects")
    assert isinstance(dock, QDockWidget)
    panel = hand.parts.objects
    with hand.qtbot.waitSignal(panel.shown, timeout=60_000):
        dock.show()
    before = hand.view.viewport
    hand.qtbot.mouseClick(panel.table.viewport(), LEFT, NONE, cell(panel.table, 1))
    press_right(hand, panel.table.viewport(), cell(panel.table, 2))
    menu = shown(hand)
    assert hand.annotations.selected_ids == (panel.model.rows.ids[2],)
    choose(hand, menu, "Set class", "Other")
    assert sorted(map(str, classes_of(hand))) == ["Other", "Tumor", "Tumor"]
    assert hand.view.viewport == before


@pytest.mark.parametrize("press", [menu_key, shift_f10])
def test_keys_open_the_menu_of_a_list(
    hand: Hand, boxes: dict[str, str], press: Callable[[QWidget], None]
) -> None:
    dock = hand.window.findChild(QDockWidget, "dock-objects")
    assert isinstance(dock, QDockWidget)
    table = hand.parts.objects.table
    with hand.qtbot.waitSignal(hand.parts.objects.shown, timeout=60_000):
        dock.show()
    hand.window.activateWindow()
    hand.qtbot.waitUntil(hand.window.isActiveWindow, timeout=20_000)
    hand.qtbot.mouseClick(table.viewport(), LEFT, NONE, cell(table, 1))
    press(table)
    choose(hand, shown(hand), "Lock")
    assert [one.locked for one in hand.objects()].count(True) == 1


def test_the_menu_of_the_tree_selects_without_going_there(
    hand: Hand, boxes: dict[str, str]
) -> None:
    dock = hand.window.findChild(QDockWidget, "dock-hierarchy")
    assert isinstance(dock, QDockWidget)
    panel = hand.parts.hierarchy
    dock.raise_()
    hand.qtbot.waitUntil(lambda: panel.tree.topLevelItemCount() == 1, timeout=60_000)
    panel.tree.topLevelItem(0).setExpanded(True)
    hand.qtbot.waitUntil(lambda: len(panel._items) == 3, timeout=60_000)
    hand.wait()
    before = hand.view.viewport
    item = panel._items[boxes["small"]]
    press_right(hand, panel.tree.viewport(), panel.tree.visualItemRect(item).center())
    menu = shown(hand)
    assert hand.annotations.selected_ids == (boxes["small"],)
    assert hand.view.viewport == before
    choose(hand, menu, "Delete")
    assert boxes["small"] not in {one.id for one in hand.objects()}


def test_menus_go_away_as_they_are_closed(hand: Hand, boxes: dict[str, str]) -> None:
    for _ in range(5):
        menu_at(hand, 165, 165).close()
    assert hand.parts.menus.menu is None
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    left = [one for one in hand.window.findChildren(QMenu) if one.title() == "Set class"]
    assert left == []
    undo = hand.window.findChild(QAction, "edit.undo")
    assert isinstance(undo, QAction)
    assert undo.isEnabled()


def test_deleting_leaves_what_is_locked_and_says_so(hand: Hand, boxes: dict[str, str]) -> None:
    choose(hand, menu_at(hand, 165, 165), "Lock")
    hand.deselect()
    said: list[str] = []
    hand.annotations.said.connect(said.append)
    hand.act("edit.all")
    assert len(hand.annotations.selected_ids) == 3
    hand.key(Qt.Key.Key_Delete)
    hand.wait()
    assert [one.id for one in hand.objects()] == [boxes["small"]]
    assert said == ["2 deleted; 1 locked and still there"]
    assert hand.annotations.selected_ids == (boxes["small"],)
    hand.act("edit.undo")
    assert len(hand.objects()) == 3


def cell(table: QWidget, row: int) -> QPoint:
    return table.visualRect(table.model().index(row, 0)).center()


def press_right(hand: Hand, viewport: QWidget, at: QPoint) -> None:
    """Press the right button, as the window system does: with the event of the menu."""
    hand.qtbot.mousePress(viewport, RIGHT, NONE, at)
    reason = QContextMenuEvent.Reason.Mouse
    QApplication.sendEvent(viewport, QContextMenuEvent(reason, at, viewport.mapToGlobal(at)))
    hand.qtbot.mouseRelease(viewport, RIGHT, NONE, at)


def send(
    hand: Hand,
    kind: QEvent.Type,
    place: tuple[int, int],
    button: Qt.MouseButton,
    held: Qt.MouseButton,
) -> None:
    at = QPointF(*place)
    event = QMouseEvent(kind, at, hand.view.mapToGlobal(at), button, held, NONE)
    QApplication.sendEvent(hand.view, event)
