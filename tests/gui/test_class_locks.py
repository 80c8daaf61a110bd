"""Classes of locked objects stay until these are unlocked, by whatever a class is given."""

from __future__ import annotations

from uuid import UUID

import pytest
import shapely
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QPushButton
from tests.gui.hand import ALT, LEFT, NONE, Hand

from tilescope.domain.annotation import Annotation

CONTROL = Qt.KeyboardModifier.ControlModifier
TUMOR, STROMA = Qt.Key.Key_1, Qt.Key.Key_2


def square(number: int, *, locked: bool, class_name: str | None = "Tumor") -> Annotation:
    x = 700 + 100 * number
    outline = shapely.to_wkb(shapely.box(x, 700, x + 60, 760), byte_order=1)
    name = str(UUID(int=number + 1))
    return Annotation(name, outline, class_name=class_name, locked=locked)


def select(hand: Hand, *made: Annotation) -> None:
    """Add objects and select them."""
    slide = hand.parts.bench.front_slide
    assert slide is not None
    hand.annotations.add(slide, made, "add")
    hand.wait()
    hand.annotations.select(slide, [one.id for one in made])
    hand.wait()
    hand.window.status.clearMessage()


def classes_of(hand: Hand) -> list[str | None]:
    return [one.class_name for one in hand.objects()]


def test_a_key_gives_a_locked_object_no_class(hand: Hand) -> None:
    select(hand, square(0, locked=True))
    hand.key(STROMA, ALT)
    assert classes_of(hand) == ["Tumor"]
    said = "nothing was changed: the object is locked; unlock it first"
    assert said in hand.window.notices.text
    assert hand.annotations.selected_ids
    assert hand.annotations.active_class == "Stroma"  # of what is drawn next
    hand.act("edit.unlock")
    hand.key(STROMA, ALT)
    assert classes_of(hand) == ["Stroma"]


@pytest.mark.parametrize("locked", [1, 2])
def test_what_is_not_locked_gets_its_class_and_the_rest_is_told(hand: Hand, locked: int) -> None:
    made = [square(number, locked=number < locked) for number in range(3)]
    select(hand, *made)
    hand.key(STROMA, ALT)
    assert classes_of(hand) == ["Tumor"] * locked + ["Stroma"] * (3 - locked)
    words = {1: "1 locked object kept its class", 2: "2 locked objects kept their class"}
    assert hand.window.status.currentMessage() == words[locked]
    assert hand.window.notices.text == ""
    hand.key(Qt.Key.Key_Z, CONTROL)
    assert classes_of(hand) == ["Tumor"] * 3


def test_locked_objects_of_that_class_already_are_not_told_of(hand: Hand) -> None:
    select(hand, square(0, locked=True), square(1, locked=False, class_name=None))
    hand.key(TUMOR, ALT)
    assert classes_of(hand) == ["Tumor", "Tumor"]
    assert hand.window.status.currentMessage() == ""
    hand.key(TUMOR, ALT)
    assert classes_of(hand) == ["Tumor", "Tumor"]
    assert hand.window.notices.text == ""


def test_the_panel_of_classes_heeds_locks(hand: Hand) -> None:
    select(hand, square(0, locked=True), square(1, locked=False))
    panel = hand.parts.classes
    panel.parentWidget().raise_()
    hand.wait()
    listed = panel._list
    stroma = listed.findItems("Stroma", Qt.MatchFlag.MatchExactly)[0]
    at = listed.visualItemRect(stroma).center()
    hand.qtbot.mouseClick(listed.viewport(), LEFT, NONE, QPoint(at.x(), at.y()))
    give = next(one for one in panel.findChildren(QPushButton) if one.text() == "Set")
    hand.qtbot.mouseClick(give, LEFT)
    assert classes_of(hand) == ["Tumor", "Stroma"]
    assert hand.window.status.currentMessage() == "1 locked object kept its class"
