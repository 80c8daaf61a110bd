"""The pointer that keys move: it stays in its view, and its button is up or down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope_desktop.model.key_pointer import Hold, KeyPointer, Room

ROOM = Room(400, 300)
rooms = st.builds(Room, st.integers(1, 2000), st.integers(1, 2000))
shares = st.floats(0, 1)
steps = st.sampled_from([-60.0, -10.0, -1.0, 0.0, 1.0, 10.0, 60.0])
#: Two presses sooner than this are a double click.
DOUBLE_S = 0.4


def test_it_begins_in_the_middle_with_its_button_up() -> None:
    pointer = KeyPointer.in_middle(Room(401, 300))
    assert (pointer.x_px, pointer.y_px) == (200, 150)
    assert not pointer.is_down


def test_a_step_is_as_long_as_it_is_wanted() -> None:
    pointer, right, down = KeyPointer.in_middle(ROOM).stepped(60, -10, ROOM)
    assert (pointer.x_px, pointer.y_px) == (260, 140)
    assert (right, down) == (0, 0)


def test_near_an_edge_the_rest_of_a_step_is_for_the_slide() -> None:
    pointer, right, down = KeyPointer(350, 45).stepped(60, -10, ROOM)
    assert (pointer.x_px, pointer.y_px) == (359, 40)
    assert (right, down) == (51, -5)


@given(rooms, shares, shares, steps, steps)
def test_a_step_loses_nothing_and_leads_nowhere_out(
    room: Room, across: float, down: float, right_px: float, down_px: float
) -> None:
    begin = KeyPointer(across * (room.width - 1), down * (room.height - 1))
    end, rest_right, rest_down = begin.stepped(right_px, down_px, room)
    assert end.x_px + rest_right == pytest.approx(begin.x_px + right_px)
    assert end.y_px + rest_down == pytest.approx(begin.y_px + down_px)
    assert (end.x_px - begin.x_px) * right_px >= 0
    assert (end.y_px - begin.y_px) * down_px >= 0
    assert end.at(end.x_px, end.y_px, room) == end


@pytest.mark.parametrize(
    ("x", "y", "expected"), [(-5, 20, (0, 20)), (400, 300, (399, 299)), (7.5, 8, (7.5, 8))]
)
def test_it_cannot_leave_the_view(x: float, y: float, expected: tuple[float, float]) -> None:
    pointer = KeyPointer(1, 1).at(x, y, ROOM)
    assert (pointer.x_px, pointer.y_px) == expected


def test_it_stays_over_the_same_part_of_a_view_that_grows() -> None:
    pointer = KeyPointer(100.5, 299).resized(ROOM, Room(800, 600))
    assert (pointer.x_px, pointer.y_px) == (201, 598)
    assert KeyPointer(100.5, 10).resized(ROOM, ROOM) == KeyPointer(100.5, 10)
    assert KeyPointer(399, 299).resized(ROOM, Room(1, 1)) == KeyPointer(0, 0)


def test_the_button_is_down_by_a_key_or_until_it_is_let_go() -> None:
    up = KeyPointer(50, 50)
    held = up.pressed(0.0, DOUBLE_S, has_shift=True)
    assert held.hold is Hold.BY_KEY
    assert held.kept().hold is Hold.KEPT
    assert held.kept().press == held.press
    assert held.press is not None
    assert (held.press.has_shift, held.press.has_alt) == (True, False)
    assert up.pressed(0.0, DOUBLE_S, is_kept=True).hold is Hold.KEPT
    assert not held.let_go().is_down
    assert up.kept() == up


def second(before: KeyPointer, at_s: float) -> bool:
    press = before.pressed(at_s, DOUBLE_S).press
    assert press is not None
    return press.is_second


def test_two_presses_at_one_place_soon_after_each_other_are_a_double_click() -> None:
    once = KeyPointer(50, 50).pressed(1.0, DOUBLE_S).let_go()
    assert not second(KeyPointer(50, 50), 1.0)
    assert second(once, 1.4)
    assert not second(once, 1.5)
    assert not second(once.at(51, 50, ROOM), 1.1)
    twice = once.pressed(1.1, DOUBLE_S).let_go()
    assert not second(twice, 1.2)


def test_it_is_told_in_words() -> None:
    pointer = KeyPointer(50, 50)
    assert pointer.words("10, 20 px   5.0, 10.0 µm") == (
        "Pointing by keys at 10, 20 px, 5.0, 10.0 µm"
    )
    held = pointer.pressed(0.0, DOUBLE_S)
    assert held.words("10, 20 px") == "Pointing by keys at 10, 20 px, button held"
