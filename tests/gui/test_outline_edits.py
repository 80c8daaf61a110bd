"""Outlines put together, cut and rounded by the commands of the window."""

from __future__ import annotations

import pytest
import shapely
from PySide6.QtCore import Qt
from tests.gui.hand import Hand

SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def two(hand: Hand) -> list[shapely.Geometry]:
    """Draw two rectangles that overlap and select both, the left one first."""
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    hand.deselect()
    hand.drag((120, 100), (260, 220))
    shapes = hand.shapes()
    hand.key(Qt.Key.Key_S)
    hand.click(70, 70)
    hand.wait()
    hand.click(250, 210, SHIFT)
    hand.wait()
    assert len(hand.annotations.selected_ids) == 2
    return sorted(shapes, key=lambda shape: shape.bounds[0])


def test_two_become_one_that_keeps_the_first_one_s_id(
    hand: Hand, two: list[shapely.Geometry]
) -> None:
    first = hand.annotations.selected_ids[0]
    hand.act("objects.unite")
    (one,) = hand.objects()
    assert one.id == first
    assert shapely.from_wkb(one.geometry).equals(two[0] | two[1])
    assert one.measurements["Area µm^2"] == pytest.approx((two[0] | two[1]).area * 0.499**2)
    hand.act("edit.undo")
    assert len(hand.objects()) == 2


def test_what_they_share_is_kept(hand: Hand, two: list[shapely.Geometry]) -> None:
    hand.act("objects.intersect")
    (shape,) = hand.shapes()
    assert shape.equals(two[0] & two[1])


def test_the_others_are_cut_out_of_the_first_and_stay(
    hand: Hand, two: list[shapely.Geometry]
) -> None:
    hand.act("objects.cut-out")
    left, right = sorted(hand.shapes(), key=lambda shape: shape.bounds[0])
    assert left.equals(two[0] - two[1])
    assert right.equals(two[1])


def test_corners_are_rounded_and_areas_stay(hand: Hand, two: list[shapely.Geometry]) -> None:
    hand.act("objects.smooth")
    rounded = sorted(hand.shapes(), key=lambda shape: shape.bounds[0])
    for before, after in zip(two, rounded, strict=True):
        assert len(shapely.get_coordinates(after)) > len(shapely.get_coordinates(before))
        assert after.area == pytest.approx(before.area)
        assert not after.contains(shapely.Point(before.bounds[:2]))


@pytest.mark.parametrize("name", ["unite", "intersect", "cut-out", "smooth"])
def test_a_locked_object_is_not_changed(hand: Hand, two: list[shapely.Geometry], name: str) -> None:
    hand.act("edit.lock")
    before = hand.objects()
    hand.act(f"objects.{name}")
    assert hand.objects() == before
    assert "unlock it first" in hand.window.notices.text


def test_one_alone_cannot_be_united(hand: Hand) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    before = hand.objects()
    hand.act("objects.unite")
    assert hand.objects() == before
    assert "two objects" in hand.window.notices.text


def test_lines_have_no_area_to_unite(hand: Hand) -> None:
    hand.key(Qt.Key.Key_L)
    hand.drag((60, 60), (160, 160))
    before = hand.objects()
    hand.act("objects.smooth")
    assert hand.objects() == before
    assert "lines and points" in hand.window.notices.text


def test_objects_apart_share_nothing_and_stay(hand: Hand) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (100, 100))
    hand.deselect()
    hand.drag((200, 200), (260, 260))
    hand.act("edit.all")
    hand.wait()
    hand.act("objects.intersect")
    assert len(hand.objects()) == 2
    assert "in common" in hand.window.notices.text
