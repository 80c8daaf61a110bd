"""What lies in objects that are united lies in the one that they become."""

from __future__ import annotations

from uuid import UUID

import pytest
import shapely
from tests.gui.hand import Hand

from tilescope.domain.annotation import Annotation

LEFT, RIGHT, LOOSE = (str(UUID(int=number)) for number in (1, 2, 3))


def box(number: int, x: int, parent: str | None = None, *, locked: bool = False) -> Annotation:
    outline = shapely.to_wkb(shapely.box(x, 800, x + 60, 860), byte_order=1)
    return Annotation(str(UUID(int=number)), outline, parent_id=parent, locked=locked)


def add(hand: Hand, *objects: Annotation) -> None:
    slide = hand.parts.bench.front_slide
    assert slide is not None
    hand.annotations.add(slide, objects, "add")
    hand.wait()


def unite(hand: Hand, *names: str) -> None:
    slide = hand.parts.bench.front_slide
    assert slide is not None
    hand.annotations.select(slide, names)
    hand.wait()
    hand.act("objects.unite")


def parents(hand: Hand) -> dict[str, str | None]:
    return {one.id: one.parent_id for one in hand.objects()}


def test_children_of_all_of_them_lie_in_the_united_object(hand: Hand) -> None:
    children = [box(10, 700, LEFT), box(11, 740, RIGHT), box(12, 750, RIGHT)]
    grandchild = box(13, 750, children[2].id)
    add(hand, box(1, 700), box(2, 740), *children, grandchild)
    before = hand.objects()
    unite(hand, LEFT, RIGHT)
    below = {one.id: LEFT for one in children}
    assert parents(hand) == {LEFT: None, **below, grandchild.id: children[2].id}
    hand.act("edit.undo")
    assert hand.objects() == before
    hand.act("edit.redo")
    assert parents(hand)[children[1].id] == LEFT


def test_one_that_lay_in_another_takes_its_place(hand: Hand) -> None:
    between = box(20, 720, RIGHT)
    add(hand, box(3, 690), box(2, 740, LOOSE), between, box(1, 700, between.id))
    unite(hand, LEFT, RIGHT)
    assert parents(hand) == {LOOSE: None, LEFT: LOOSE, between.id: LEFT}


def test_nothing_is_united_around_a_locked_object(hand: Hand) -> None:
    add(hand, box(1, 700), box(2, 740), box(10, 750, RIGHT, locked=True))
    before = hand.objects()
    unite(hand, LEFT, RIGHT)
    assert hand.objects() == before
    assert "an object in them is locked; unlock it first" in hand.window.notices.text


@pytest.mark.parametrize("name", ["unite", "intersect"])
def test_the_united_object_does_not_lie_in_itself(hand: Hand, name: str) -> None:
    add(hand, box(1, 700), box(2, 740, LEFT), box(10, 750, RIGHT))
    slide = hand.parts.bench.front_slide
    assert slide is not None
    hand.annotations.select(slide, [RIGHT, LEFT])
    hand.wait()
    hand.act(f"objects.{name}")
    assert parents(hand) == {RIGHT: None, str(UUID(int=10)): RIGHT}
