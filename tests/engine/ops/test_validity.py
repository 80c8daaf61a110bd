"""Geometry from elsewhere becomes valid, or the reason is told."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tilescope.ops.validity import FARTHEST, MOST_VERTICES, clean


def cleaned(*geometries):
    column = np.empty(len(geometries), object)
    column[:] = geometries
    return clean(column)


BOX = shapely.box(0, 0, 2, 2)
BOW = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
NESTED = shapely.GeometryCollection(
    [shapely.Point(9, 9), shapely.GeometryCollection([BOX, shapely.LineString([(0, 0), (1, 1)])])]
)


@pytest.mark.parametrize(
    ("given_one", "expected", "changed"),
    [
        (BOX, BOX, None),
        (BOX.reverse(), BOX, None),
        (shapely.force_3d(BOX, 7), BOX, None),
        (shapely.MultiPolygon([BOX]), BOX, None),
        (shapely.MultiPoint([(1, 2)]), shapely.Point(1, 2), None),
        (NESTED, BOX, "collection"),
        (shapely.LinearRing([(0, 0), (2, 0), (2, 2), (0, 2)]), BOX, "collection"),
        (shapely.MultiPolygon([BOX, shapely.box(1, 0, 3, 2)]), shapely.box(0, 0, 3, 2), "repaired"),
    ],
)
def test_what_can_be_had(given_one, expected, changed):
    result = cleaned(given_one)
    (geometry,) = result.geometries
    assert geometry.equals(expected)
    assert not geometry.has_z
    assert geometry.geom_type == expected.geom_type
    assert result.refused == {}
    assert (changed is None) == (result.changed == {})
    assert changed is None or changed in result.changed[0]


@pytest.mark.parametrize(
    ("given_one", "reason"),
    [
        (None, "no geometry"),
        (shapely.Polygon(), "no geometry"),
        (shapely.GeometryCollection(), "no geometry"),
        (shapely.Point(np.nan, 1), "not finite"),
        (shapely.LineString([(0, 0), (np.inf, 1)]), "not finite"),
        (shapely.Point(FARTHEST, 0), "beyond"),
        (shapely.Polygon([(0, 0), (1, 1), (2, 2)]), "encloses nothing"),
        (shapely.LineString([(1, 1), (1, 1)]), "no extent"),
        (shapely.LineString(np.zeros((MOST_VERTICES + 1, 2))), "more than 1,000,000"),
    ],
)
def test_what_cannot_be_had(given_one, reason):
    result = cleaned(BOX, given_one, BOW)
    assert reason in result.refused[1]
    assert result.geometries[1] is None
    assert result.geometries[0].equals(BOX)
    assert result.geometries[2].area == 2
    assert list(result.changed) == [2]


def test_a_tangle_is_refused_at_once(rng):
    for n in (2_000, 40_000):
        result = cleaned(shapely.Polygon(rng.uniform(0, 1000, (n, 2))))
        assert "too often" in result.refused[0]


def test_a_large_outline_that_touches_itself_once_is_repaired():
    angle = np.arange(30_000) * (2 * np.pi / 30_000)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) * 10_000
    ring[[100, 101]] = ring[[101, 100]]
    result = cleaned(shapely.Polygon(ring))
    assert result.geometries[0].is_valid
    assert result.geometries[0].area == pytest.approx(np.pi * 1e8, rel=1e-3)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=12),
        min_size=1,
        max_size=5,
    )
)
def test_polygons_come_out_valid_or_not_at_all(rings):
    result = cleaned(*(shapely.Polygon(ring) for ring in rings))
    for i, geometry in enumerate(result.geometries):
        assert (geometry is None) == (i in result.refused)
        assert not (i in result.refused and i in result.changed)
        if geometry is not None:
            assert geometry.is_valid
            assert geometry.area > 0
            parts = shapely.get_parts(geometry)
            assert shapely.is_ccw(shapely.get_exterior_ring(parts)).all()
