"""Keys do in a control what the control has them for, and what commands have them for elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QDockWidget,
    QDoubleSpinBox,
    QSlider,
    QTabBar,
    QTreeWidget,
    QWidget,
)
from tests.gui.hand import LEFT, NONE, SHIFT, Hand

from tilescope_desktop.app import run_bench
from tilescope_desktop.view.listing_panel import ListingPanel

_KEY = Qt.Key
CONTROL = Qt.KeyboardModifier.ControlModifier


class Keys:
    """A hand on the keys of a window that is the active one."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.activate()

    def activate(self) -> None:
        window = self.hand.window
        window.activateWindow()
        self.hand.qtbot.waitUntil(lambda: QApplication.activeWindow() is window, timeout=5000)

    def go(self, control: QWidget, reason: Qt.FocusReason = Qt.FocusReason.TabFocusReason) -> None:
        for dock in self.hand.window.findChildren(QDockWidget):
            if dock.isAncestorOf(control):
                dock.show()
                dock.raise_()
        self.activate()
        control.setFocus(reason)
        assert QApplication.focusWidget() is control

    def press(self, key: Qt.Key, keys: Qt.KeyboardModifier = NONE) -> None:
        self.hand.qtbot.keyClick(QApplication.focusWidget(), key, keys)

    def type(self, text: str) -> None:
        self.hand.qtbot.keyClicks(QApplication.focusWidget(), text)


@pytest.fixture
def keys(hand: Hand) -> Keys:
    return Keys(hand)


@contextmanager
def nothing_else_happens(hand: Hand) -> Iterator[None]:
    """Fail when the slide moved, a tool was taken or objects look otherwise."""

    def state() -> tuple[object, ...]:
        style = hand.annotations.style
        shown = (style.shows_annotations, style.shows_detections, style.fills_detections)
        slides = tuple(tab.view.viewport for tab in hand.window.all_tabs)
        return (*slides, hand.parts.bench.tool.id, shown, hand.window.tab)

    before = state()
    yield
    assert state() == before


def draw(hand: Hand, count: int) -> None:
    hand.act("tool.rectangle")
    for number in range(count):
        hand.drag((60 + 80 * number, 60), (80 + 80 * number, 90), (110 + 80 * number, 120))
    hand.deselect()
    hand.act("tool.move")
    hand.wait()


def listed(hand: Hand, panel: ListingPanel) -> None:
    """Wait until a panel lists what there is and will not do so anew."""
    jobs = hand.window.work
    hand.qtbot.waitUntil(lambda: not panel._later.isActive() and not jobs.jobs, timeout=20_000)


def test_arrows_walk_through_the_classes(hand: Hand, keys: Keys) -> None:
    classes = hand.parts.classes._list
    keys.go(classes)
    classes.setCurrentItem(classes.topLevelItem(0))
    last = classes.topLevelItemCount() - 1
    rows = []
    with nothing_else_happens(hand):
        for key in (_KEY.Key_Down, _KEY.Key_Down, _KEY.Key_Up, _KEY.Key_End, _KEY.Key_Home,
                    _KEY.Key_PageDown, _KEY.Key_PageUp, _KEY.Key_Left, _KEY.Key_Right):  # fmt: skip
            keys.press(key)
            rows.append(classes.indexOfTopLevelItem(classes.currentItem()))
    assert rows == [1, 2, 1, last, 0, last, 0, 0, 0]


def test_what_is_typed_is_searched_in_a_list_that_keys_came_to(hand: Hand, keys: Keys) -> None:
    classes = hand.parts.classes._list
    keys.go(classes)
    with nothing_else_happens(hand):
        keys.type("s")
        assert classes.currentItem().text(0) == "Stroma"
        hand.qtbot.wait(QApplication.keyboardInputInterval() + 50)
        keys.type("o")
        assert classes.currentItem().text(0) == "Other"
    assert hand.annotations.active_class == "Other"


def test_a_class_that_was_clicked_is_drawn_in_by_the_keys_of_tools(hand: Hand, keys: Keys) -> None:
    classes = hand.parts.classes._list
    place = classes.visualItemRect(classes.topLevelItem(2)).center()
    chosen = classes.topLevelItem(2).text(0)
    hand.qtbot.mouseClick(classes.viewport(), LEFT, NONE, place)
    assert QApplication.focusWidget() is classes
    keys.type("r")
    assert hand.parts.bench.tool.id == "rectangle"
    assert hand.annotations.active_class == chosen
    keys.press(_KEY.Key_Down)
    assert classes.indexOfTopLevelItem(classes.currentItem()) == 3
    keys.go(hand.view)
    keys.go(classes)
    keys.type("s")
    assert hand.annotations.active_class == "Stroma"
    assert hand.parts.bench.tool.id == "rectangle"


@pytest.mark.parametrize("name", ["classes", "objects"])
def test_a_list_that_keys_came_to_and_that_is_clicked_then_leaves_letters_to_the_tools(
    hand: Hand, keys: Keys, name: str
) -> None:
    draw(hand, 2)
    dock = hand.window.findChild(QDockWidget, f"dock-{name}")
    dock.hide()
    hand.act(f"panel.{name}")
    view = QApplication.focusWidget()
    assert isinstance(view, QAbstractItemView)
    assert dock.isAncestorOf(view)
    if name == "objects":
        listed(hand, hand.parts.objects)
    place = view.visualRect(view.model().index(1, 0)).center()
    hand.qtbot.mouseClick(view.viewport(), LEFT, NONE, place)
    hand.wait()
    assert QApplication.focusWidget() is view
    assert view.currentIndex().row() == 1
    keys.type("r")
    assert hand.parts.bench.tool.id == "rectangle"
    assert view.currentIndex().row() == 1
    # Back by keys, letters are searched again.
    keys.go(hand.view)
    keys.go(view)
    keys.type("p")
    assert hand.parts.bench.tool.id == "rectangle"


def test_space_return_and_delete_do_in_the_classes_what_they_say(hand: Hand, keys: Keys) -> None:
    draw(hand, 1)
    (drawn,) = hand.objects()
    hand.annotations.select(hand.parts.bench.front_slide, [drawn.id])
    hand.wait()
    classes = hand.parts.classes._list
    keys.go(classes)
    row = classes.topLevelItem(2)
    classes.setCurrentItem(row)
    name = row.text(0)
    with nothing_else_happens(hand):
        keys.press(_KEY.Key_Return)
        assert hand.objects()[0].class_name == name
        keys.press(_KEY.Key_Space)
        assert hand.annotations.style.hidden == {name}
        keys.press(_KEY.Key_Space)
        assert not hand.annotations.style.hidden
        unused = classes.topLevelItem(4)
        gone = unused.text(0)
        classes.setCurrentItem(unused)
        keys.press(_KEY.Key_Delete)
        hand.wait()
    assert len(hand.objects()) == 1
    assert gone not in {one.name for one in hand.annotations.classes}


def test_arrows_walk_through_the_table_and_its_rows_are_the_selection(
    hand: Hand, keys: Keys
) -> None:
    draw(hand, 4)
    panel = hand.parts.objects
    keys.go(panel.table)
    listed(hand, panel)
    assert len(panel.model.order) == 4
    panel.table.setCurrentIndex(panel.model.index(0, 0))
    with nothing_else_happens(hand):
        keys.press(_KEY.Key_Down)
        keys.press(_KEY.Key_Down)
        hand.wait()
        assert panel.table.currentIndex().row() == 2
        assert hand.annotations.selected_ids == (panel.model.rows.ids[2],)
        keys.press(_KEY.Key_Up, SHIFT)
        hand.wait()
        assert set(hand.annotations.selected_ids) == set(panel.model.rows.ids[1:3])
        QGuiApplication.clipboard().clear()
        keys.press(_KEY.Key_C, CONTROL)
        copied = panel.model.index(1, 0).data()
        assert copied in QGuiApplication.clipboard().text()
        assert QGuiApplication.clipboard().image().isNull()
        keys.press(_KEY.Key_A, CONTROL)
        hand.wait()
        assert len(hand.annotations.selected_ids) == 4
    keys.press(_KEY.Key_Up)
    hand.wait()
    (chosen,) = hand.annotations.selected_ids
    keys.press(_KEY.Key_Delete)
    assert len(hand.objects()) == 3
    assert chosen not in {one.id for one in hand.objects()}


def test_arrows_open_and_walk_through_the_tree(hand: Hand, keys: Keys) -> None:
    draw(hand, 2)
    panel = hand.parts.hierarchy
    tree: QTreeWidget = panel.tree
    keys.go(tree)
    listed(hand, panel)
    assert tree.topLevelItemCount() == 1
    tree.setCurrentItem(tree.topLevelItem(0))
    with nothing_else_happens(hand):
        keys.press(_KEY.Key_Right)
        assert tree.topLevelItem(0).isExpanded()
        hand.qtbot.waitUntil(lambda: tree.topLevelItem(0).childCount() == 2, timeout=20_000)
        keys.press(_KEY.Key_Left)
        assert not tree.topLevelItem(0).isExpanded()


@pytest.mark.parametrize("name", ["Opacity of objects", "Focal plane"])
def test_arrows_move_sliders(hand: Hand, keys: Keys, name: str, tmp_path: Path) -> None:
    path = tmp_path / "z.ome.tif"
    planes = np.zeros((12, 64, 80), np.uint8)
    tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": "ZYX"})
    hand.open(path)
    sliders = hand.window.findChildren(QSlider)
    slider = next(s for s in sliders if s.accessibleName() == name and s.isVisible())
    keys.go(slider)
    with nothing_else_happens(hand):
        slider.setValue(5)
        for key, value in (
            (_KEY.Key_Right, 6), (_KEY.Key_Left, 5), (_KEY.Key_Up, 6), (_KEY.Key_Down, 5),
            (_KEY.Key_Home, slider.minimum()), (_KEY.Key_End, slider.maximum()),
            (_KEY.Key_PageDown, slider.maximum() - slider.pageStep()),
        ):  # fmt: skip
            keys.press(key)
            assert slider.value() == value


def test_numbers_are_stepped_and_typed(hand: Hand, keys: Keys, dapi_image: Path) -> None:
    hand.open(dapi_image)
    gamma: QDoubleSpinBox = hand.window.channels._gamma
    shown = [style.visible for style in hand.window.channels.styles]
    keys.go(gamma)
    before = gamma.value()
    with nothing_else_happens(hand):
        keys.press(_KEY.Key_Up)
        assert gamma.value() == pytest.approx(before + 0.1)
        keys.press(_KEY.Key_Down)
        keys.press(_KEY.Key_PageUp)
        assert gamma.value() == pytest.approx(before + 1.0)
        gamma.selectAll()
        keys.type("2")
        keys.press(_KEY.Key_Return)
        assert gamma.value() == 2.0
    assert [style.visible for style in hand.window.channels.styles] == shown


def test_keys_choose_in_a_combo_box_and_in_its_list(hand: Hand, keys: Keys) -> None:
    box: QComboBox = run_bench(hand.window).panel._extent
    assert box.count() > 2
    keys.go(box)
    box.setCurrentIndex(0)
    with nothing_else_happens(hand):
        for key, row in (
            (_KEY.Key_Down, 1), (_KEY.Key_Up, 0), (_KEY.Key_End, box.count() - 1),
            (_KEY.Key_Home, 0), (_KEY.Key_Left, 0), (_KEY.Key_Right, 0),
        ):  # fmt: skip
            keys.press(key)
            assert box.currentIndex() == row
        letter = box.itemText(2)[0]
        keys.type(letter)
        assert box.currentText().startswith(letter)
        box.setCurrentIndex(0)
        box.showPopup()
        QApplication.processEvents()
        for _ in range(2):
            hand.qtbot.keyClick(box.view(), _KEY.Key_Down)
        hand.qtbot.keyClick(box.view(), _KEY.Key_Return)
        assert box.currentIndex() == 2
        box.showPopup()
        QApplication.processEvents()
        hand.qtbot.keyClicks(box.view(), "wb")
        hand.qtbot.keyClick(box.view(), _KEY.Key_Escape)
        assert box.currentIndex() == 2


def test_a_box_whose_choice_was_clicked_leaves_letters_to_the_tools(hand: Hand, keys: Keys) -> None:
    box: QComboBox = run_bench(hand.window).panel._extent
    keys.go(hand.view)
    hand.qtbot.mouseClick(box, LEFT, NONE, QPoint(10, 10))
    QApplication.processEvents()
    box.hidePopup()
    assert QApplication.focusWidget() is box
    index = box.currentIndex()
    keys.type(box.itemText((index + 1) % box.count())[0].lower())
    keys.type("b")
    assert box.currentIndex() == index
    assert hand.parts.bench.tool.id == "brush"


def test_arrows_go_from_tab_to_tab(hand: Hand, keys: Keys, dapi_image: Path) -> None:
    hand.open(dapi_image)
    first, second = hand.window.all_tabs
    places = [tab.view.viewport.centre_l0 for tab in (first, second)]
    keys.go(hand.window.tabs.tabBar())
    keys.press(_KEY.Key_Left)
    assert hand.window.tab is first
    docks = next(
        bar for bar in hand.window.findChildren(QTabBar)
        if bar.parentWidget() is hand.window and bar.count() > 2
    )  # fmt: skip
    docks.setCurrentIndex(0)
    keys.go(docks)
    keys.press(_KEY.Key_Right)
    assert docks.currentIndex() == 1
    assert [tab.view.viewport.centre_l0 for tab in (first, second)] == places


def test_keys_are_commands_where_no_control_has_them(hand: Hand, keys: Keys) -> None:
    place = hand.view.viewport
    keys.go(hand.view)
    keys.press(_KEY.Key_Left)
    assert hand.view.viewport != place
    keys.type("b")
    assert hand.parts.bench.tool.id == "brush"


PANELS = ("channels", "classes", "hierarchy", "maps", "models", "objects")


def is_in_front(dock: QDockWidget) -> bool:
    return not dock.widget().visibleRegion().isEmpty()


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_is_shown_and_hidden_by_its_command(hand: Hand, keys: Keys, name: str) -> None:
    window = hand.window
    dock = window.findChild(QDockWidget, f"dock-{name}")
    dock.hide()
    for _ in range(2):
        hand.act(f"panel.{name}")
        QApplication.processEvents()
        assert is_in_front(dock)
        assert window._actions[f"panel.{name}"].isChecked()
        assert dock.isAncestorOf(QApplication.focusWidget())
        hand.act(f"panel.{name}")
        QApplication.processEvents()
        assert not is_in_front(dock)
        assert not window._actions[f"panel.{name}"].isChecked()
        assert QApplication.focusWidget() is hand.view
    other = "classes" if name == "channels" else "channels"
    hand.act(f"panel.{name}")
    window.findChild(QDockWidget, f"dock-{other}").show()
    window.findChild(QDockWidget, f"dock-{other}").raise_()
    QApplication.processEvents()
    if not is_in_front(dock):  # behind another, it comes to the front
        hand.act(f"panel.{name}")
        QApplication.processEvents()
        assert is_in_front(dock)


def test_all_panels_go_and_come_back_as_they_were(hand: Hand, keys: Keys) -> None:
    docks = [hand.window.findChild(QDockWidget, f"dock-{name}") for name in PANELS]
    hand.act("panel.channels")
    keys.go(hand.view)
    before, width = [is_in_front(dock) for dock in docks], hand.view.width()
    assert any(before)
    keys.press(_KEY.Key_A, SHIFT)
    QApplication.processEvents()
    assert not any(is_in_front(dock) for dock in docks)
    assert hand.view.width() > width + 100
    keys.press(_KEY.Key_A, SHIFT)
    hand.qtbot.waitUntil(lambda: [is_in_front(dock) for dock in docks] == before, timeout=5000)


def test_the_tool_bar_is_hidden_by_its_command_and_by_its_own_menu(hand: Hand) -> None:
    action, bar = hand.window._actions["panel.tools"], hand.parts.bar
    for hide in (lambda: hand.act("panel.tools"), bar.toggleViewAction().trigger):
        assert action.isChecked()
        hide()
        assert bar.isHidden()
        assert not action.isChecked()
        hand.act("panel.tools")
        assert bar.isVisible()


def test_tab_leaves_the_table_and_the_tree_and_comes_back(hand: Hand, keys: Keys) -> None:
    draw(hand, 3)
    panel, tree = hand.parts.objects, hand.parts.hierarchy.tree
    keys.go(panel.table)
    listed(hand, panel)
    panel.table.setCurrentIndex(panel.model.index(0, 0))
    with nothing_else_happens(hand):
        keys.press(_KEY.Key_Tab)
        assert QApplication.focusWidget() is panel.words
        keys.type("rec")
        assert panel.words.text() == "rec"
        keys.press(_KEY.Key_Backtab, SHIFT)
        assert QApplication.focusWidget() is panel.table
        keys.press(_KEY.Key_Backtab, SHIFT)
        before = QApplication.focusWidget()
        assert before is not None
        assert not panel.isAncestorOf(before)
    keys.go(tree)
    listed(hand, hand.parts.hierarchy)
    tree.setCurrentItem(tree.topLevelItem(0))
    with nothing_else_happens(hand):
        keys.press(_KEY.Key_Tab)
        assert QApplication.focusWidget() is not tree
