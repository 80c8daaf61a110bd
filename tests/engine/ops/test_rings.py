"""Rings in ragged arrays."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tilescope.ops.rings import reversed_where, rings_of_wkb, star_shaped, wkb_polygons

RINGS = st.lists(
    st.lists(st.tuples(st.integers(-6, 6), st.integers(-6, 6)), max_size=9),
    max_size=6,
)


def ragged(rings, *, close=True):
    closed = [[*ring, ring[0]] if ring and close else ring for ring in rings]
    points = np.array([p for ring in closed for p in ring], float).reshape(-1, 2)
    return points, np.concatenate([[0], np.cumsum([len(r) for r in closed])]).astype(np.int64)


@given(RINGS)
def test_star_shaped_rings_are_valid_and_turn_as_told(rings):
    points, offsets = ragged(rings)
    star = star_shaped(points, offsets)
    for i in np.flatnonzero(star):
        polygon = shapely.Polygon(points[offsets[i] : offsets[i + 1]])
        assert polygon.is_valid
        assert polygon.area > 0
        assert polygon.exterior.is_ccw == (star[i] > 0)


@given(st.integers(3, 40), st.booleans(), st.integers(0, 2**32 - 1))
def test_convex_rings_are_star_shaped(n, clockwise, seed):
    rng = np.random.default_rng(seed)
    hull = shapely.MultiPoint(rng.uniform(-100, 100, (n, 2))).convex_hull
    ring = shapely.get_coordinates(hull)
    points = ring if hull.exterior.is_ccw else ring[::-1]
    points = points[::-1] if clockwise else points
    assert star_shaped(points, np.array([0, len(points)])) == (-1 if clockwise else 1)


def test_what_is_not_star_shaped():
    square = [(0, 0), (4, 0), (4, 4), (0, 4)]
    assert star_shaped(*ragged([square], close=False)) == 0
    assert star_shaped(*ragged([[*square, (np.nan, 1)]])) == 0
    assert star_shaped(*ragged([[*square, *square]])) == 0
    assert star_shaped(*ragged([[], square])).tolist() == [0, 1]


@given(RINGS, st.integers(0, 63))
def test_turning_twice_is_nothing(rings, bits):
    points, offsets = ragged(rings)
    which = np.array([bits >> i & 1 for i in range(len(rings))], bool)
    turned = reversed_where(points, offsets, which)
    for i, turn in enumerate(which):
        ring = points[offsets[i] : offsets[i + 1]]
        expected = ring[::-1] if turn else ring
        assert (turned[offsets[i] : offsets[i + 1]] == expected).all()
    assert (reversed_where(turned, offsets, which) == points).all()


def test_wkb_there_and_back(rng):
    rings = [rng.uniform(-9, 9, (n, 2)) for n in (3, 7, 4)]
    points, offsets = ragged([list(map(tuple, ring)) for ring in rings])
    whole = wkb_polygons(points, offsets)
    shapes = [shapely.Polygon(ring) for ring in rings]
    assert whole == [shapely.to_wkb(shape, byte_order=1) for shape in shapes]
    others = [shapely.Point(1, 1), shapely.box(0, 0, 9, 9) - shapely.box(1, 1, 2, 2)]
    mixed = [shapely.to_wkb(other, byte_order=1) for other in others]
    index, back, ends = rings_of_wkb([whole[0], *mixed, whole[1], whole[2]])
    assert index.tolist() == [0, 3, 4]
    assert (back == points).all()
    assert (ends == offsets).all()


def test_rings_that_do_not_fit_are_refused():
    points, offsets = ragged([[(0, 0), (4, 0), (4, 4)]])
    for wrong in (offsets + 1, offsets[::-1], offsets - 1):
        with pytest.raises(ValueError, match="offsets"):
            star_shaped(points, wrong)
    with pytest.raises(ValueError, match="two columns"):
        star_shaped(points.reshape(-1, 4), offsets)


@given(RINGS)
def test_the_way_back_turns_the_other_way(rings):
    points, offsets = ragged(rings)
    back = reversed_where(points, offsets, np.ones(len(rings), bool))
    assert (star_shaped(back, offsets) == -star_shaped(points, offsets)).all()
