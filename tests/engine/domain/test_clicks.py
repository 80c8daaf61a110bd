"""Prompts: what they refuse, and that what is stored is what was said."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.clicks import Clicks, Prompt

NONE = np.zeros((0, 2))
PLACE = st.floats(-1e6, 1e6, allow_nan=False)
POINTS = st.lists(st.tuples(PLACE, PLACE), max_size=5)


def array(points: list[tuple[float, float]]) -> np.ndarray:
    return np.asarray(points, np.float64).reshape(-1, 2)


@given(st.tuples(PLACE, PLACE), POINTS, POINTS, POINTS)
def test_a_stored_prompt_is_the_same_prompt(
    first: tuple[float, float],
    inside: list[tuple[float, float]],
    outside: list[tuple[float, float]],
    stroke: list[tuple[float, float]],
) -> None:
    strokes = (array(stroke),) if stroke else ()
    prompt = Prompt(Clicks(array([first, *inside]), array(outside), strokes), 12.5, 0.3)
    again = Prompt.of(json.loads(json.dumps(prompt.as_dict())))
    np.testing.assert_array_equal(again.clicks.inside, prompt.clicks.inside)
    np.testing.assert_array_equal(again.clicks.outside, prompt.clicks.outside)
    np.testing.assert_array_equal(again.clicks.on_object, prompt.clicks.on_object)
    assert (again.diameter_px, again.factor) == (12.5, 0.3)


def test_a_prompt_points_at_something() -> None:
    with pytest.raises(ValueError, match="on the object"):
        Clicks(NONE, np.array([[1.0, 2.0]]))
    with pytest.raises(ValueError, match="on the object"):
        Clicks(NONE, NONE, (NONE,))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_click_is_at_a_finite_place(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Prompt.at(bad, 1.0)
    with pytest.raises(ValueError, match="finite"):
        Prompt.at(1.0, 1.0).excluding(1.0, bad)


@pytest.mark.parametrize("bad", [0.0, -3.0, math.nan, math.inf])
def test_sizes_and_scales_are_positive(bad: float) -> None:
    clicks = Prompt.at(1.0, 1.0).clicks
    with pytest.raises(ValueError, match="diameter_px"):
        Prompt(clicks, diameter_px=bad)
    with pytest.raises(ValueError, match="factor"):
        Prompt(clicks, factor=bad)


@pytest.mark.parametrize(
    "values", [{}, {"inside": 3}, {"inside": [[1]]}, {"inside": [[1, 2]], "strokes": 5}, [1, 2]]
)
def test_what_is_no_prompt_is_refused(values: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any reason will do
        Prompt.of(values)


def test_points_are_added_to_the_object_that_is_meant() -> None:
    prompt = Prompt.at(10, 20).adding(12, 22).excluding(30, 40)
    assert prompt.clicks.inside.tolist() == [[10, 20], [12, 22]]
    assert prompt.clicks.outside.tolist() == [[30, 40]]
    assert prompt.clicks.middle == (11, 21)


def test_a_box_is_its_middle_and_points_around_it() -> None:
    prompt = Prompt.in_box(10, 20, 30, 60)
    assert prompt.clicks.inside.tolist() == [[20, 40]]
    assert prompt.diameter_px == pytest.approx(math.sqrt(20 * 40))
    x, y = prompt.clicks.outside.T
    assert len(x) == 8
    assert not ((x >= 10) & (x <= 30) & (y >= 20) & (y <= 60)).any()
    with pytest.raises(ValueError, match="empty"):
        Prompt.in_box(10, 20, 10, 60)


def test_clicks_move_into_the_frame_of_a_patch() -> None:
    clicks = Clicks(array([(100, 40)]), array([(90, 44)]), (array([(98, 40), (102, 48)]),))
    moved = clicks.moved(40, 10, 2.0)
    assert moved.inside.tolist() == [[10, 10]]
    assert moved.outside.tolist() == [[5, 12]]
    assert moved.strokes[0].tolist() == [[9, 10], [11, 14]]
