"""Two slides side by side: what is seen at one place of both views belongs together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.geometry import Point, Size
from tilescope_desktop.model.alignment import Alignment, Measured
from tilescope_desktop.model.viewport import Viewport

places = st.builds(Point, st.floats(-1e5, 1e5), st.floats(-1e5, 1e5))
views = st.builds(
    Viewport,
    st.integers(50, 4000),
    st.integers(50, 4000),
    places,
    st.floats(0.02, 500),
    st.floats(0, 360, exclude_max=True),
    st.booleans(),
)


def seen_at(view: Viewport, dx: float, dy: float) -> Point:
    """Return what a view shows beside its middle."""
    return view.to_l0(Point(view.width / 2 + dx, view.height / 2 + dy))


def near(a: Point, b: Point, tolerance: float) -> bool:
    return abs(a.x - b.x) <= tolerance and abs(a.y - b.y) <= tolerance


@given(views, views, st.floats(-900, 900), st.floats(-900, 900))
def test_as_they_stand_each_pixel_belongs_to_the_one_beside_it(
    here: Viewport, there: Viewport, dx: float, dy: float
) -> None:
    alignment = Alignment.as_seen(here, there)
    found = alignment.place(seen_at(here, dx, dy))
    assert near(found, seen_at(there, dx, dy), 1e-6 * (1e5 + 1000 * there.l0_per_px))


@given(views, views, views, st.floats(-900, 900), st.floats(-900, 900))
def test_a_view_that_follows_shows_the_same_place_at_the_same_pixel(
    here: Viewport, there: Viewport, gone: Viewport, dx: float, dy: float
) -> None:
    alignment = Alignment.as_seen(here, there)
    follower = alignment.view(gone, there)
    assert (follower.width, follower.height) == (there.width, there.height)
    tolerance = 1e-6 * (1e6 * alignment.scale + 1e5 + 1000 * follower.l0_per_px)
    assert near(alignment.place(seen_at(gone, dx, dy)), seen_at(follower, dx, dy), tolerance)


@given(views, views)
def test_linking_moves_nothing(here: Viewport, there: Viewport) -> None:
    still = Alignment.as_seen(here, there).view(here, there)
    assert still.is_flipped == there.is_flipped
    assert still.l0_per_px == pytest.approx(there.l0_per_px)
    assert near(still.centre_l0, there.centre_l0, 1e-6)
    turned = (still.rotation_deg - there.rotation_deg + 180) % 360 - 180
    assert abs(turned) < 1e-6


@given(views, views, places)
def test_the_way_back_leads_back(here: Viewport, there: Viewport, point: Point) -> None:
    alignment = Alignment.as_seen(here, there)
    assert near(alignment.inverse.place(alignment.place(point)), point, 1e-3)


def test_a_micrometre_is_as_long_on_both_when_both_are_calibrated() -> None:
    fine = Measured(Size(4000, 2000), 0.25)
    coarse = Measured(Size(1000, 800), 0.5)
    alignment = Alignment.at_same_size(fine, coarse)
    assert alignment.scale == 0.5
    assert alignment.place(Point(2000, 1000)) == Point(500, 400)
    # 100 µm to the right are 400 pixels of the one and 200 of the other.
    assert near(alignment.place(Point(2400, 1000)), Point(700, 400), 1e-9)


@pytest.mark.parametrize(("um_here", "um_there"), [(None, 0.5), (0.25, None), (None, None)])
def test_a_pixel_is_as_long_on_both_when_one_is_not_calibrated(
    um_here: float | None, um_there: float | None
) -> None:
    here, there = Measured(Size(100, 100), um_here), Measured(Size(60, 40), um_there)
    alignment = Alignment.at_same_size(here, there)
    assert alignment.scale == 1.0
    assert alignment.place(Point(53, 50)) == Point(33, 20)


def test_a_pan_by_whole_pixels_pans_the_other_by_as_many() -> None:
    """Whole pixels are what a view paints quickly."""
    here = Viewport(800, 600, Point(5000, 4000), 3.7, 30.0)
    there = Viewport(700, 600, Point(90, 70), 0.9, 75.0)
    alignment = Alignment.as_seen(here, there)
    panned = alignment.view(here.panned(17, -5), there)
    assert near(panned.centre_l0, there.panned(17, -5).centre_l0, 1e-9)


def test_a_scale_is_positive() -> None:
    with pytest.raises(ValueError, match="no scale"):
        replace(Alignment(Point(0, 0), Point(0, 0)), scale=0.0)
