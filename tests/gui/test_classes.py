"""Classes renamed, recoloured and deleted in the window: objects follow, and come back."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
import shapely
from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QColor, QContextMenuEvent
from PySide6.QtWidgets import (
    QApplication,
    QColorDialog,
    QDialog,
    QDockWidget,
    QInputDialog,
    QLineEdit,
    QMenu,
    QMessageBox,
    QPushButton,
    QTreeWidgetItem,
)
from tests.gui.hand import LEFT, NONE, Hand

from tilescope.domain.annotation import Annotation

CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def drawn(hand: Hand) -> Hand:
    """Draw two tumours, one of them locked, and one stroma."""
    slide = hand.parts.bench.front_slide
    assert slide is not None
    made = []
    for number, name in enumerate(("Tumor", "Tumor", "Stroma")):
        a, b = hand.l0(60 + 100 * number, 60), hand.l0(120 + 100 * number, 160)
        shape = shapely.to_wkb(shapely.box(a.x, a.y, b.x, b.y), byte_order=1)
        made.append(
            Annotation(str(UUID(int=number + 1)), shape, class_name=name, locked=number == 1)
        )
    hand.annotations.add(slide, made, "add")
    hand.wait()
    hand.deselect()
    dock = hand.window.findChild(QDockWidget, "dock-classes")
    assert isinstance(dock, QDockWidget)
    dock.raise_()
    hand.wait()
    come_back(hand)
    return hand


def come_back(hand: Hand) -> None:
    """Let keys go to the slide again after a menu or dialog, as a desktop does by itself."""
    hand.wait()
    if any(one.isVisible() for one in hand.window.findChildren(QDialog)):
        return
    hand.window.activateWindow()
    hand.qtbot.waitUntil(hand.window.isActiveWindow, timeout=20_000)
    hand.view.setFocus()
    hand.wait()


def row(hand: Hand, title: str) -> QTreeWidgetItem:
    listed = hand.parts.classes._list
    return next(
        item
        for item in (listed.topLevelItem(i) for i in range(listed.topLevelItemCount()))
        if item.text(0) == title
    )


def rows(hand: Hand) -> dict[str, str]:
    """Return the names of the list, with the numbers of objects."""
    listed = hand.parts.classes._list
    items = [listed.topLevelItem(i) for i in range(listed.topLevelItemCount())]
    return {item.text(0): item.text(1) for item in items}


def mark(hand: Hand, title: str) -> None:
    listed = hand.parts.classes._list
    listed.scrollToItem(row(hand, title))
    at = listed.visualItemRect(row(hand, title)).center()
    hand.qtbot.mouseClick(listed.viewport(), LEFT, NONE, at)


def choose(hand: Hand, title: str, entry: str) -> None:
    """Choose an entry of the menu of a class, by its right button."""
    listed = hand.parts.classes._list
    listed.scrollToItem(row(hand, title))
    at = listed.visualItemRect(row(hand, title)).center()
    hand.qtbot.mousePress(listed.viewport(), Qt.MouseButton.RightButton, NONE, at)
    reason, there = QContextMenuEvent.Reason.Mouse, listed.viewport().mapToGlobal(at)
    QApplication.sendEvent(listed.viewport(), QContextMenuEvent(reason, at, there))
    hand.qtbot.mouseRelease(listed.viewport(), Qt.MouseButton.RightButton, NONE, at)
    menu = hand.parts.classes.menu
    assert menu.isVisible()
    action = next(one for one in menu.actions() if one.text() == entry)
    hand.qtbot.mouseClick(menu, LEFT, NONE, menu.actionGeometry(action).center())
    come_back(hand)


def dialog(hand: Hand, kind: type[QDialog]) -> QDialog:
    hand.qtbot.waitUntil(lambda: any(one.isVisible() for one in hand.window.findChildren(kind)))
    return next(one for one in hand.window.findChildren(kind) if one.isVisible())


def type_name(hand: Hand, name: str) -> None:
    line = dialog(hand, QInputDialog).findChild(QLineEdit)
    assert isinstance(line, QLineEdit)
    line.selectAll()
    hand.qtbot.keyClicks(line, name)
    hand.qtbot.keyClick(line, Qt.Key.Key_Return)
    come_back(hand)


def answer(hand: Hand, title: str) -> None:
    box = dialog(hand, QMessageBox)
    button = next(one for one in box.findChildren(QPushButton) if one.text() == title)
    hand.qtbot.mouseClick(button, LEFT)
    come_back(hand)


def classes_of(hand: Hand) -> list[str | None]:
    return [one.class_name for one in hand.objects()]


def test_objects_and_colour_follow_a_class_that_is_renamed(drawn: Hand) -> None:
    hand = drawn
    before = hand.pixels()
    choose(hand, "Tumor", "Rename…")
    type_name(hand, "Carcinoma")
    assert classes_of(hand) == ["Carcinoma", "Carcinoma", "Stroma"]
    assert "Tumor" not in rows(hand)
    assert rows(hand)["Carcinoma"] == "2"
    np.testing.assert_array_equal(hand.pixels(), before)
    assert hand.annotations.active_class == "Carcinoma"
    hand.key(Qt.Key.Key_Z, CONTROL)
    assert classes_of(hand) == ["Tumor", "Tumor", "Stroma"]
    assert rows(hand)["Tumor"] == "2"
    assert hand.annotations.active_class == "Tumor"
    np.testing.assert_array_equal(hand.pixels(), before)


def test_what_is_drawn_next_goes_into_the_renamed_class(drawn: Hand) -> None:
    hand = drawn
    mark(hand, "Tumor")
    hand.qtbot.keyClick(hand.parts.classes._list, Qt.Key.Key_F2)
    type_name(hand, "Carcinoma")
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 260), (160, 360))
    assert [*map(str, classes_of(hand))].count("Carcinoma") == 3
    assert set(map(str, classes_of(hand))) == {"Carcinoma", "Stroma"}


def test_a_hidden_class_stays_hidden_by_its_new_name(drawn: Hand) -> None:
    hand = drawn
    row(hand, "Tumor").setCheckState(0, Qt.CheckState.Unchecked)
    hand.wait()
    before = hand.pixels()
    choose(hand, "Tumor", "Rename…")
    type_name(hand, "Carcinoma")
    assert hand.annotations.style.hidden == {"Carcinoma"}
    assert row(hand, "Carcinoma").checkState(0) == Qt.CheckState.Unchecked
    np.testing.assert_array_equal(hand.pixels(), before)


def test_by_a_name_that_is_taken_a_class_goes_into_the_other(drawn: Hand) -> None:
    hand = drawn
    choose(hand, "Tumor", "Rename…")
    type_name(hand, "Stroma")
    answer(hand, "Put them into Stroma")
    assert classes_of(hand) == ["Stroma", "Stroma", "Stroma"]
    assert "Tumor" not in rows(hand)
    hand.key(Qt.Key.Key_Z, CONTROL)
    assert classes_of(hand) == ["Tumor", "Tumor", "Stroma"]


def test_a_class_with_objects_is_deleted_when_asked_and_they_stay(drawn: Hand) -> None:
    hand = drawn
    before = hand.pixels()
    choose(hand, "Tumor", "Delete…")
    box = dialog(hand, QMessageBox)
    assert isinstance(box, QMessageBox)
    assert box.text() == "2 objects are of the class Tumor. Delete the class?"
    hand.qtbot.keyClick(box, Qt.Key.Key_Return)  # by default nothing is deleted
    hand.wait()
    assert rows(hand)["Tumor"] == "2"
    choose(hand, "Tumor", "Delete…")
    answer(hand, "Delete the class")
    assert classes_of(hand) == [None, None, "Stroma"]
    assert "Tumor" not in rows(hand)
    assert rows(hand)["Unclassified"] == "2"
    assert hand.annotations.active_class is None
    assert (np.abs(hand.pixels() - before).sum(axis=2) > 60)[60, 62:118].all()
    hand.key(Qt.Key.Key_Z, CONTROL)
    assert classes_of(hand) == ["Tumor", "Tumor", "Stroma"]
    np.testing.assert_array_equal(hand.pixels(), before)


def test_a_class_without_objects_is_deleted_at_once(drawn: Hand) -> None:
    hand = drawn
    choose(hand, "Necrosis", "Delete…")
    assert "Necrosis" not in rows(hand)
    assert not any(box.isVisible() for box in hand.window.findChildren(QMessageBox))
    hand.key(Qt.Key.Key_Z, CONTROL)
    hand.wait()
    assert rows(hand)["Necrosis"] == "0"


def test_a_colour_is_one_step_to_undo(drawn: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = drawn
    monkeypatch.setattr(QColorDialog, "getColor", lambda *_args: QColor(1, 200, 3))
    before = hand.pixels()
    choose(hand, "Tumor", "Colour…")
    assert hand.annotations.style.color_of("Tumor") == (1, 200, 3)
    line = hand.pixels()[60, 70:110]
    assert (line[:, 1] > line[:, 0] + 60).all()
    hand.key(Qt.Key.Key_Z, CONTROL)
    hand.wait()
    np.testing.assert_array_equal(hand.pixels(), before)


def test_a_class_is_renamed_before_there_is_a_project(hand: Hand) -> None:
    dock = hand.window.findChild(QDockWidget, "dock-classes")
    assert isinstance(dock, QDockWidget)
    dock.raise_()
    hand.wait()
    choose(hand, "Tumor", "Rename…")
    type_name(hand, "Carcinoma")
    assert "Tumor" not in rows(hand)
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 260), (160, 360))
    assert classes_of(hand) == ["Carcinoma"]


def test_unclassified_is_no_class_that_could_be_renamed(drawn: Hand) -> None:
    hand = drawn
    listed, menu = hand.parts.classes._list, hand.parts.classes.menu
    listed.setFocus()
    mark(hand, "Unclassified")
    QApplication.sendEvent(
        listed, QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, QPoint(5, 5), QPoint(5, 5))
    )
    assert menu.isVisible()
    assert not _is_enabled(menu, "Rename…")
    assert not _is_enabled(menu, "Delete…")
    menu.close()
    hand.qtbot.keyClick(listed, Qt.Key.Key_F2)
    assert not any(one.isVisible() for one in hand.window.findChildren(QInputDialog))
    mark(hand, "Tumor")
    menu.popup(QPoint(5, 5))
    assert _is_enabled(menu, "Rename…")
    menu.close()


def test_one_class_is_shown_alone(drawn: Hand) -> None:
    hand = drawn
    shown = hand.pixels()
    choose(hand, "Stroma", "Show this class alone")
    alone = np.abs(hand.pixels() - shown).sum(axis=2) > 60
    assert alone[60, 70:110].all()
    assert not alone[:, 255:330].any()
    choose(hand, "Stroma", "Show all classes")
    np.testing.assert_array_equal(hand.pixels(), shown)


def _is_enabled(menu: QMenu, title: str) -> bool:
    return next(one for one in menu.actions() if one.text() == title).isEnabled()


def press_add(hand: Hand, name: str) -> None:
    """Press the button that adds a class, and type a name."""
    panel = hand.parts.classes
    button = next(one for one in panel.findChildren(QPushButton) if one.text() == "Add…")

    def type_and_accept() -> None:
        asked = next(one for one in panel.findChildren(QInputDialog) if one.isVisible())
        line = asked.findChild(QLineEdit)
        assert isinstance(line, QLineEdit)
        hand.qtbot.keyClicks(line, name)
        hand.qtbot.keyClick(line, Qt.Key.Key_Return)

    QTimer.singleShot(0, type_and_accept)
    hand.qtbot.mouseClick(button, LEFT)
    come_back(hand)


def test_adding_a_class_that_is_there_marks_it_and_leaves_it_as_it_is(drawn: Hand) -> None:
    hand = drawn
    hand.annotations.put_classes([replace(hand.annotations.classes[1], color=(9, 8, 7))])
    hand.wait()
    before = hand.annotations.classes
    mark(hand, "Tumor")
    press_add(hand, "Stroma")
    assert hand.annotations.classes == before
    assert hand.annotations.active_class == "Stroma"
    assert hand.parts.classes._list.currentItem() is row(hand, "Stroma")
    assert "There is a class Stroma already" in hand.window.status.currentMessage()
    assert classes_of(hand) == ["Tumor", "Tumor", "Stroma"]


@pytest.mark.parametrize("name", ["Unclassified", " unclassified"])
def test_no_class_is_called_as_objects_without_one_are(drawn: Hand, name: str) -> None:
    hand = drawn
    before = hand.annotations.classes
    for ask in (lambda: press_add(hand, name), lambda: rename_to(hand, name)):
        hand.window.notices.clear()
        ask()
        assert hand.annotations.classes == before
        assert f"no class {name.strip()}" in hand.window.notices.text


def rename_to(hand: Hand, name: str) -> None:
    choose(hand, "Tumor", "Rename…")
    type_name(hand, name)
