"""Measurements against shapes whose measures are known."""

import numpy as np
import pytest
import shapely
import shapely.affinity
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.scale import PixelSize
from tilescope.ops.measures import measure


def column(*geometries):
    whole = np.empty(len(geometries), object)
    whole[:] = geometries
    return whole


@given(st.floats(2, 500), st.floats(0.1, 1), st.floats(0, 180), st.floats(-1e5, 1e5))
def test_an_ellipse(half, flat, turn, place):
    circle = shapely.Point(0, 0).buffer(1, quad_segs=200)
    shape = shapely.affinity.rotate(shapely.affinity.scale(circle, half, half * flat), turn)
    m = measure(column(shapely.affinity.translate(shape, place, -place)), None)
    assert m.major_axis[0] == pytest.approx(2 * half, rel=1e-3)
    assert m.minor_axis[0] == pytest.approx(2 * half * flat, rel=1e-3)
    assert m.area[0] == pytest.approx(np.pi * half**2 * flat, rel=1e-3)
    assert m.centroid_x[0] == pytest.approx(place, abs=1e-3)
    assert m.centroid_y[0] == pytest.approx(-place, abs=1e-3)
    if flat == 1:
        assert m.circularity[0] == pytest.approx(1, rel=1e-3)


def test_rectangles_holes_and_parts():
    side = 9.0
    hole = shapely.box(0, 0, side, side) - shapely.box(3, 3, 6, 6)
    two = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(3, 0, 4, 1)])
    m = measure(column(shapely.box(0, 0, 4, 2), hole, two), None)
    assert m.unit == "px"
    assert m.area.tolist() == [8, 72, 2]
    assert m.perimeter.tolist() == [12, 48, 8]
    moments = np.array(
        [(8 * 16 / 12, 8 * 4 / 12), ((9**4 - 3**4) / 12,) * 2, (2 / 12 + 4.5, 1 / 6)]
    )
    axes = 4 * np.sqrt(moments / m.area[:, None])
    np.testing.assert_allclose(np.stack([m.major_axis, m.minor_axis], axis=1), axes)


def test_micrometres_on_oblong_pixels():
    line = shapely.LineString([(0, 0), (6, 16)])
    m = measure(column(shapely.box(0, 0, 4, 2), line), PixelSize(0.5, 0.25))
    assert m.unit == "µm"
    assert m.area[0] == 1
    assert m.length[1] == 5
    assert (m.centroid_x[0], m.centroid_y[0]) == (1, 0.25)
    assert "Area µm^2" in m.named()


def test_points_and_lines_have_no_area():
    m = measure(column(shapely.Point(1, 2), shapely.LineString([(0, 0), (3, 4)])), None)
    for name in ("area", "perimeter", "circularity", "major_axis", "minor_axis"):
        assert np.isnan(getattr(m, name)).all()
    assert m.length.tolist()[1] == 5
    assert np.isnan(m.length[0])
    assert m.centroid_y.tolist() == [2, 2]


def test_nothing():
    assert all(len(values) == 0 for values in measure(column(), None).named().values())


def test_the_geometries_stay_as_they_were():
    shapes = column(shapely.box(0, 0, 1, 1))
    measure(shapes, PixelSize(0.5, 0.5))
    assert shapes[0].area == 1
