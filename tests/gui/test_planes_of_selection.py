"""What commands on a selection change: what of it lies on the planes that are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely
import tifffile
from PySide6.QtCore import Qt
from tests.gui.hand import ALT, NONE, SHIFT, Hand

from tilescope.domain.annotation import Annotation
from tilescope_desktop.model import project_tasks
from tilescope_desktop.view.comparing import compare_with_itself

_KEY = Qt.Key
UP, DOWN = _KEY.Key_PageUp, _KEY.Key_PageDown
CONTROL = Qt.KeyboardModifier.ControlModifier
DEPTH = 4


@pytest.fixture
def slide_in_hand(tmp_path: Path) -> Path:
    """Focal planes and time points of one grey each."""
    path = tmp_path / "stack.ome.tif"
    planes = np.full((2, DEPTH, 600, 900), 60, np.uint8)
    tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": "TZYX"})
    return path


@pytest.fixture
def stack(hand: Hand) -> Iterator[Hand]:
    """A window with a stack in front, seen as a whole, on its third focal plane."""
    hand.act("view.fit")
    hand.window.activateWindow()
    hand.view.setFocus()
    assert hand.window.tab is not None
    assert hand.window.tab.planes.place == (2, 0)
    yield hand
    hand.window.status.clearMessage()


def add(hand: Hand, *places: tuple[int, int]) -> list[Annotation]:
    """Add one square per plane, side by side, and select them all."""
    slide = hand.parts.bench.front_slide
    assert slide is not None
    made = [square(number, plane) for number, plane in enumerate(places)]
    hand.annotations.add(slide, made, "add")
    hand.wait()
    assert len(hand.annotations.selected_ids) == len(made)
    return made


def square(number: int, plane: tuple[int, int]) -> Annotation:
    x = 100 + 100 * number
    outline = shapely.to_wkb(shapely.box(x, 200, x + 60, 260), byte_order=1)
    return Annotation(str(UUID(int=number + 1)), outline, z=plane[0], t=plane[1])


def said(hand: Hand) -> str:
    hand.wait()
    return hand.window.status.currentMessage()


def delete(hand: Hand) -> None:
    hand.key(_KEY.Key_Delete)


def take_back(hand: Hand) -> None:
    hand.key(_KEY.Key_Backspace)


def give_class(hand: Hand) -> None:
    hand.key(_KEY.Key_2, ALT)


def lock(hand: Hand) -> None:
    hand.key(_KEY.Key_K, CONTROL)


def copy(hand: Hand) -> None:
    hand.key(_KEY.Key_D, SHIFT)


def smooth(hand: Hand) -> None:
    hand.act("objects.smooth")


EDITS = [delete, take_back, give_class, lock, copy, smooth]


@pytest.mark.parametrize("edit", EDITS)
def test_nothing_on_a_plane_that_is_not_shown_is_changed(
    stack: Hand, edit: Callable[[Hand], None]
) -> None:
    (made,) = add(stack, (2, 0))
    before = stack.objects()
    stack.key(UP)
    stack.wait()
    edit(stack)
    assert said(stack) == (
        "Nothing was changed: the selected object is on focal plane 3, time point 1; go there first"
    )
    assert stack.objects() == before
    assert stack.annotations.selected_ids == (made.id,)
    stack.key(DOWN)
    stack.wait()
    edit(stack)
    assert stack.objects() != before


@pytest.mark.parametrize("edit", EDITS)
def test_of_several_planes_what_is_on_the_one_shown_is_changed(
    stack: Hand, edit: Callable[[Hand], None]
) -> None:
    here, above, later = add(stack, (2, 0), (3, 0), (2, 1))
    before = stack.objects()
    edit(stack)
    after = stack.objects()
    assert [one for one in after if one in before and one.id != here.id] == [
        one for one in before if one.id in (above.id, later.id)
    ]
    assert after != before
    if edit is copy:
        assert [(one.z, one.t) for one in after if one not in before] == [(2, 0)]
    if edit in (delete, take_back):
        assert set(stack.annotations.selected_ids) == {above.id, later.id}
        assert said(stack) == "1 deleted; what is selected on other planes stays"
    elif edit is not copy:
        assert set(stack.annotations.selected_ids) == {here.id, above.id, later.id}
        assert said(stack) == "What is selected on other planes stays as it is"


def test_objects_of_the_plane_shown_are_united_whatever_else_is_selected(stack: Hand) -> None:
    _, _, above = add(stack, (2, 0), (2, 0), (3, 0))
    stack.act("objects.unite")
    planes = [(one.z, one.t) for one in stack.objects()]
    assert sorted(planes) == [(2, 0), (3, 0)]
    assert above.id in stack.annotations.selected_ids


def test_either_plane_of_two_views_of_a_slide_is_meant(stack: Hand) -> None:
    first, second, third = add(stack, (2, 0), (3, 0), (1, 0))
    front = stack.window.tab
    assert front is not None
    compare_with_itself(stack.window, front)
    stack.qtbot.waitUntil(lambda: stack.window.tabs.pair is not None, timeout=20_000)
    stack.wait()
    stack.key(UP)
    stack.wait()
    shown = {tab.planes.place for tab in stack.window.tabs.in_sight}
    assert shown == {(2, 0), (3, 0)}
    slide = stack.parts.bench.front_slide
    assert slide is not None
    stack.annotations.select(slide, [first.id, second.id, third.id])
    stack.wait()
    delete(stack)
    assert [one.id for one in stack.objects()] == [third.id]


def test_an_object_on_no_plane_of_the_slide_can_be_deleted_where_one_goes_to_it(
    stack: Hand,
) -> None:
    add(stack, (2**40, 0))
    delete(stack)
    assert said(stack) == (
        "Nothing was changed: the selected object is on focal plane 4, time point 1; go there first"
    )
    stack.act("objects.fly")
    delete(stack)
    assert stack.objects() == []


def test_of_more_than_are_marked_those_of_the_plane_shown_are_changed(
    stack: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_tasks, "_MOST_MARKED", 1)
    made = add(stack, (3, 0), (2, 0), (3, 0), (2, 0))
    lock(stack)
    assert [one.locked for one in stack.objects()] == [False, True, False, True]
    stack.act("edit.unlock")
    delete(stack)
    left = [made[0].id, made[2].id]
    assert [one.id for one in stack.objects()] == left
    stack.wait()
    assert list(stack.annotations.selected_ids) == left
    stack.qtbot.keyClick(stack.view, _KEY.Key_Delete, NONE)
    assert [one.id for one in stack.objects()] == left
    assert list(stack.annotations.selected_ids) == left
