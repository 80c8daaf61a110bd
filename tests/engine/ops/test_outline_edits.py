"""Outlines simplified, smoothed and combined stay valid, whatever they are."""

from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tilescope.ops.combination import difference, intersection, union
from tilescope.ops.simplification import simplify
from tilescope.ops.smoothing import MOST_ROUNDS, smooth

AREAS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


@st.composite
def areas(draw):
    """Return a valid area, often with holes and several parts, thin places and sharp corners."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = 10.0 ** draw(st.integers(-1, 4))
    place = rng.uniform(-1e5, 1e5, 2)
    while True:
        points = rng.uniform(-1, 1, (rng.integers(4, 25), 2)) * scale + place
        area = shapely.make_valid(shapely.Polygon(points), method="structure")
        area = area.difference(shapely.Point(place).buffer(scale * rng.uniform(0.01, 0.3)))
        if area.geom_type in ("Polygon", "MultiPolygon") and area.area > 0:
            return shapely.orient_polygons(area)


def column(*geometries):
    found = np.empty(len(geometries), object)
    found[:] = geometries
    return found


@given(st.lists(areas(), min_size=1, max_size=5), st.floats(0, 3))
@settings(max_examples=60, deadline=None)
def test_what_is_simplified_stays_valid_and_near(given_ones, tolerance):
    before = column(*given_ones)
    scale = np.sqrt(shapely.area(before)).min()
    after = simplify(before, tolerance * scale)
    assert shapely.is_valid(after).all()
    assert (shapely.get_type_id(after) == shapely.get_type_id(before)).all()
    assert (shapely.get_num_coordinates(after) <= shapely.get_num_coordinates(before)).all()
    far = shapely.hausdorff_distance(shapely.boundary(before), shapely.boundary(after))
    assert (far <= tolerance * scale * (1 + 1e-9) + 1e-9).all()


def test_a_large_outline_is_simplified_too():
    circle = shapely.Point(0, 0).buffer(1000, quad_segs=5000)
    (few,) = simplify(column(circle), 1.0)
    assert shapely.get_num_coordinates(few) < 200
    assert shapely.hausdorff_distance(few.boundary, circle.boundary) <= 1.0


def test_a_fine_circle_gets_few_vertices():
    circle = shapely.Point(50, 50).buffer(10, quad_segs=64)
    (few,) = simplify(column(circle), 0.25)
    assert shapely.get_num_coordinates(few) < 30
    assert few.area == pytest.approx(circle.area, rel=0.05)


def test_holes_parts_lines_and_points_stay():
    ring = shapely.box(0, 0, 9, 9).difference(shapely.box(3, 3, 6, 6))
    given_ones = column(
        shapely.MultiPolygon([ring, shapely.box(20, 0, 29, 9)]),
        shapely.LineString([(0, 0), (5, 0.01), (9, 0)]),
        shapely.Point(1, 2),
    )
    area, line, point = simplify(given_ones, 1.0)
    assert area.equals(given_ones[0])
    assert line.equals(shapely.LineString([(0, 0), (9, 0)]))
    assert point.equals(given_ones[2])


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf")])
def test_a_tolerance_without_meaning_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        simplify(column(shapely.box(0, 0, 1, 1)), tolerance)


@given(st.lists(areas(), min_size=1, max_size=5), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_what_is_smoothed_stays_valid_and_keeps_its_area(given_ones, rounds):
    before = column(*given_ones)
    after = smooth(before, rounds)
    assert shapely.is_valid(after).all()
    assert (shapely.get_type_id(after) == shapely.get_type_id(before)).all()
    np.testing.assert_allclose(shapely.area(after), shapely.area(before), rtol=1e-6)
    assert (shapely.get_num_geometries(after) == shapely.get_num_geometries(before)).all()


def corners(area):
    """Return how far the boundary turns at each vertex of the outer ring, in degrees."""
    points = shapely.get_coordinates(area.exterior)[:-1]
    along = np.roll(points, -1, axis=0) - points
    heading = np.arctan2(along[:, 1], along[:, 0])
    turn = np.degrees(heading - np.roll(heading, 1))
    return np.abs((turn + 180) % 360 - 180)


def test_every_round_halves_the_sharpest_corner():
    square = column(shapely.box(0, 0, 8, 8))
    sharpest = [corners(smooth(square, rounds)[0]).max() for rounds in range(1, 5)]
    assert sharpest[0] == pytest.approx(45)
    assert all(b < 0.75 * a for a, b in pairwise(sharpest))


def test_a_hole_is_smoothed_too_and_stays_a_hole():
    ring = shapely.box(0, 0, 9, 9).difference(shapely.box(3, 3, 6, 6))
    (smoothed,) = smooth(column(ring), 2)
    assert len(smoothed.interiors) == 1
    assert len(smoothed.interiors[0].coords) == 17
    assert smoothed.area == pytest.approx(ring.area)


def test_neighbouring_parts_that_would_grow_together_stay_as_they_are():
    steps = shapely.MultiPolygon([shapely.box(0, 0, 10, 10), shapely.box(10.001, 2, 20, 8)])
    (same,) = smooth(column(steps), 3)
    assert shapely.equals_exact(same, steps)


def test_only_areas_are_smoothed():
    line, point = shapely.LineString([(0, 0), (1, 5), (2, 0)]), shapely.Point(3, 4)
    assert smooth(column(line, point), 2).tolist() == [line, point]
    assert smooth(column(), 2).tolist() == []


@pytest.mark.parametrize("rounds", [0, MOST_ROUNDS + 1])
def test_rounds_have_bounds(rounds):
    with pytest.raises(ValueError, match="rounds"):
        smooth(column(shapely.box(0, 0, 1, 1)), rounds)


@given(areas(), areas(), areas())
@settings(max_examples=60, deadline=None)
def test_areas_add_up(first, second, third):
    # Bring them together, or most would not meet.
    second, third = (
        shapely.transform(
            other,
            lambda points, other=other: (
                (points - other.centroid.coords[0]) * np.sqrt(first.area / other.area)
                + first.centroid.coords[0]
            ),
        )
        for other in (second, third)
    )
    second, third = (shapely.make_valid(a, method="structure") for a in (second, third))
    whole, common = union([first, second]), intersection([first, second])
    rest = difference(first, [second])
    sizes = [0.0 if found is None else found.area for found in (whole, common, rest)]
    tolerance = 1e-6 * (first.area + second.area)
    assert sizes[0] + sizes[1] == pytest.approx(first.area + second.area, abs=tolerance)
    assert sizes[1] + sizes[2] == pytest.approx(first.area, abs=tolerance)
    for found in (whole, common, rest, union([first, second, third])):
        if found is not None:
            assert found.is_valid
            assert shapely.get_type_id(found) in AREAS
            assert found.geom_type == "Polygon" or len(found.geoms) > 1
            parts = shapely.get_parts(found)
            assert shapely.is_ccw(shapely.get_exterior_ring(parts)).all()


def test_where_areas_only_touch_nothing_is_common():
    left, right, apart = shapely.box(0, 0, 4, 4), shapely.box(4, 0, 8, 2), shapely.box(9, 9, 10, 10)
    assert intersection([left, right]) is None
    assert intersection([left, apart]) is None
    assert intersection([]) is None
    assert union([]) is None
    assert difference(left, [left, right]) is None
    assert difference(left, []).equals(left)
    assert union([left, right]).geom_type == "Polygon"
    assert union([left, right, apart]).geom_type == "MultiPolygon"


def test_a_cut_through_the_middle_leaves_two_parts_and_a_bite_a_hole():
    area = shapely.box(0, 0, 9, 9)
    parts = difference(area, [shapely.box(-1, 4, 10, 5)])
    assert [part.area for part in parts.geoms] == [36, 36]
    holed = difference(area, [shapely.box(1, 1, 2, 2), shapely.box(4, 4, 6, 6)])
    assert len(holed.interiors) == 2
    assert holed.area == 76
