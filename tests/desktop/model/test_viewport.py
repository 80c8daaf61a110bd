"""A viewport maps both ways and moves as a hand expects."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.geometry import Point, Rect, Size
from tilescope_desktop.model.viewport import MOST_ENLARGED, Viewport

SLIDE = Size(80_000, 60_000)
coordinates = st.floats(-1e5, 1e5)
viewports = st.builds(
    Viewport,
    st.integers(1, 4000),
    st.integers(1, 3000),
    st.builds(Point, coordinates, coordinates),
    st.floats(1 / MOST_ENLARGED, 500),
    st.floats(0, 360),
    st.booleans(),
)


def near(a: Point, b: Point, tolerance: float) -> bool:
    return math.hypot(a.x - b.x, a.y - b.y) <= tolerance


@given(viewports, coordinates, coordinates)
def test_there_and_back(view: Viewport, x: float, y: float) -> None:
    assert near(view.to_l0(view.to_screen(Point(x, y))), Point(x, y), 1e-4)


@given(viewports, st.floats(0.1, 10), st.floats(0, 1), st.floats(0, 1))
def test_zooming_keeps_what_is_under_the_cursor(
    view: Viewport, factor: float, u: float, v: float
) -> None:
    cursor = Point(u * view.width, v * view.height)
    before = view.to_l0(cursor)
    after = view.zoomed(factor, cursor, slide=SLIDE)
    assert near(after.to_l0(cursor), before, 1e-6 * (1 + view.l0_per_px * 4000))


@given(viewports, st.floats(-360, 360), st.floats(0, 1), st.floats(0, 1))
def test_turning_keeps_what_is_under_the_cursor(
    view: Viewport, turn_deg: float, u: float, v: float
) -> None:
    cursor = Point(u * view.width, v * view.height)
    before = view.to_l0(cursor)
    after = view.rotated(view.rotation_deg + turn_deg, cursor)
    assert near(after.to_l0(cursor), before, 1e-6 * (1 + view.l0_per_px * 4000))
    assert after.rotation_deg == (view.rotation_deg + turn_deg) % 360
    assert after.l0_per_px == view.l0_per_px


@given(viewports, st.floats(-500, 500), st.floats(-500, 500))
def test_what_is_dragged_stays_under_the_hand(view: Viewport, dx: float, dy: float) -> None:
    grabbed = view.to_l0(Point(10, 10))
    assert near(view.panned(dx, dy).to_screen(grabbed), Point(10 + dx, 10 + dy), 1e-3)


@given(viewports)
def test_the_bounds_enclose_every_corner(view: Viewport) -> None:
    bounds = view.bounds_l0
    for x in (0, view.width):
        for y in (0, view.height):
            corner = view.to_l0(Point(x, y))
            assert bounds.x0 - 1e-6 <= corner.x <= bounds.x1 + 1e-6
            assert bounds.y0 - 1e-6 <= corner.y <= bounds.y1 + 1e-6


def test_a_quarter_turn_is_clockwise() -> None:
    view = Viewport(200, 100, Point(0, 0), 1.0, rotation_deg=90)
    assert near(view.to_screen(Point(10, 0)), Point(100, 60), 1e-9)


def test_a_flip_swaps_left_and_right() -> None:
    view = Viewport(200, 100, Point(0, 0), 1.0).flipped()
    assert near(view.to_screen(Point(10, 5)), Point(90, 55), 1e-9)


def test_the_whole_slide_fits() -> None:
    view = Viewport.fitted(SLIDE, 1000, 1000)
    assert view.bounds_l0.encloses(Rect.of_size(SLIDE))


@given(viewports, st.integers(-40, 40))
def test_the_scale_has_ends(view: Viewport, notches: int) -> None:
    zoomed = view.zoomed(1.5**notches, slide=SLIDE)
    assert zoomed.l0_per_px >= 1 / MOST_ENLARGED
    assert SLIDE.width / zoomed.l0_per_px >= view.width / 8 - 1e-6 or (
        SLIDE.height / zoomed.l0_per_px >= view.height / 8 - 1e-6
    )


@given(viewports)
def test_the_slide_cannot_be_lost(view: Viewport) -> None:
    centre = view.kept_on(SLIDE).centre_l0
    assert 0 <= centre.x <= SLIDE.width
    assert 0 <= centre.y <= SLIDE.height


def test_magnification_follows_the_convention() -> None:
    view = Viewport(100, 100, Point(0, 0), 2.0)
    assert view.magnification(0.25) == pytest.approx(20)


@pytest.mark.parametrize(
    "values", [(0, 10, 1.0), (10, 0, 1.0), (10, 10, 0.0), (10, 10, math.inf), (10, 10, math.nan)]
)
def test_a_viewport_shows_something(values: tuple[int, int, float]) -> None:
    width, height, scale = values
    with pytest.raises(ValueError, match=r"viewport|scale"):
        Viewport(width, height, Point(0, 0), scale)
