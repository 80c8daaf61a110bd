"""Outlines of label images are valid, whole and measured right."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tilescope.domain.results import Detections
from tilescope.ops import contours


def as_detections(found):
    n = len(found)
    return Detections(
        found.rings, found.offsets, np.ones(n, np.float32), np.zeros(n, np.uint16), ("x",)
    )


def polygons(found):
    return [shapely.Polygon(ring) for ring in as_detections(found)]


def noise(seed):
    """Return a label image of one of several textures, one label per 4-connected component."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 50, 2))
    kind = rng.integers(4)
    if kind == 0:
        image = rng.integers(0, rng.integers(2, 6), shape)
    elif kind == 1:
        image = rng.random(shape) < rng.uniform(0.3, 0.8)
    elif kind == 2:
        image = ndimage.gaussian_filter(rng.random(shape), rng.uniform(0.3, 2)) > 0.5
    else:
        image = np.kron(rng.integers(0, 3, shape), np.ones((2, 2)))
    labels, count = np.zeros(image.shape, np.int32), 0
    for value in np.unique(image[image > 0]):
        components, found = ndimage.label(image == value)
        labels[components > 0] = components[components > 0] + count
        count += found
    return labels, count


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.2, contours.MAX_TOLERANCE_PX]))
@settings(max_examples=200, deadline=None)
def test_every_object_has_one_valid_outline(seed, tolerance_px):
    labels, count = noise(seed)
    found = contours.outlines(labels, tolerance_px=tolerance_px)
    assert found.values.tolist() == list(range(1, count + 1))
    for polygon in polygons(found):
        assert polygon.is_valid
        assert polygon.exterior.is_ccw  # positive in a y-down frame too: the same formula


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_outlines_are_half_a_pixel_smaller_and_neighbours_do_not_overlap(seed):
    labels, _ = noise(seed)
    found = contours.outlines(labels, tolerance_px=0)
    areas = contours.ring_areas(found.rings, found.offsets)
    for value, area in zip(found.values, areas, strict=True):
        outside, _ = ndimage.label(
            np.pad(labels != value, 1, constant_values=True), np.ones((3, 3))
        )
        assert area == pytest.approx((outside != outside[0, 0]).sum() - 0.5)
    without_holes = [p for p, a in zip(polygons(found), areas, strict=True) if a < 4]
    total = shapely.union_all(without_holes).area
    assert total == pytest.approx(sum(p.area for p in without_holes))


def test_only_the_largest_component_is_kept():
    labels = np.zeros((20, 20), np.int32)
    labels[0, 0] = labels[19, 19] = 7
    labels[5:12, 5:12] = 7
    labels[8, 8] = 0
    found = contours.outlines(labels)
    assert found.values.tolist() == [7]
    np.testing.assert_allclose(as_detections(found).boxes(), [[5, 5, 12, 12]])


def test_of_equal_components_the_first_is_kept():
    labels = np.array([[0, 0, 3], [0, 0, 0], [3, 0, 0]], np.int32)
    np.testing.assert_allclose(as_detections(contours.outlines(labels)).boxes(), [[2, 0, 3, 1]])


def test_a_pixel_is_a_diamond():
    found = contours.outlines(np.array([[0, 0], [0, 5]], np.int32))
    assert found.values.tolist() == [5]
    assert sorted(map(tuple, found.rings.tolist())) == [(1, 1.5), (1.5, 1), (1.5, 2), (2, 1.5)]


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (6, 5)])
def test_nothing_gives_nothing(shape):
    found = contours.outlines(np.zeros(shape, np.int32))
    assert (len(found), found.rings.shape, found.offsets.tolist()) == (0, (0, 2), [0])


def test_room_is_found_for_more_outlines_than_guessed():
    labels = np.zeros((200, 200), np.int32)
    labels[::2, ::2] = np.arange(1, 10_001).reshape(100, 100)
    assert len(contours.outlines(labels)) == 10_000


def test_a_nucleus_has_few_vertices_and_its_area():
    y, x = np.indices((40, 40)) + 0.5
    labels = (np.hypot(x - 20.2, y - 19.7) < 12).astype(np.int32)
    found = contours.outlines(labels)
    assert 16 <= len(found.rings) <= 40
    area = contours.ring_areas(found.rings, found.offsets)[0]
    assert area == pytest.approx(np.pi * 144, rel=0.01)
    perimeter = contours.ring_perimeters(found.rings, found.offsets)[0]
    assert perimeter == pytest.approx(2 * np.pi * 12, rel=0.05)
    np.testing.assert_allclose(
        contours.ring_centroids(found.rings, found.offsets), [[20.2, 19.7]], atol=0.1
    )


@pytest.mark.parametrize("tolerance_px", [-0.1, 0.5, float("nan")])
def test_a_tolerance_that_could_break_outlines_is_refused(tolerance_px):
    with pytest.raises(ValueError, match="tolerance"):
        contours.outlines(np.zeros((3, 3), np.int32), tolerance_px=tolerance_px)


def test_a_label_image_has_two_axes():
    with pytest.raises(ValueError, match="axes"):
        contours.outlines(np.zeros((3, 3, 3), np.int32))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_measurements_are_shapelys_far_from_the_origin(seed):
    rng = np.random.default_rng(seed)
    rings = []
    for _ in range(5):
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 20)))
        radius = rng.uniform(3, 12, len(angle))
        rings.append(
            np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1) + rng.uniform(0, 2e5, 2)
        )
    d = Detections.of(rings, np.ones(5, np.float32), np.zeros(5, np.uint16), ("x",))
    shapes = [shapely.Polygon(r) for r in rings]
    np.testing.assert_allclose(
        contours.ring_areas(d.rings, d.offsets), [p.area for p in shapes], rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
        contours.ring_perimeters(d.rings, d.offsets), [p.length for p in shapes], rtol=1e-9
    )
    fat = [i for i, p in enumerate(shapes) if p.area > 1]
    np.testing.assert_allclose(
        contours.ring_centroids(d.rings, d.offsets)[fat],
        np.array([(shapes[i].centroid.x, shapes[i].centroid.y) for i in fat]).reshape(-1, 2),
        atol=1e-3,
    )


def test_rings_without_vertices_or_area_measure_zero():
    rings, offsets = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0, 0, 2, 2])
    assert contours.ring_areas(rings, offsets).tolist() == [0, 0, 0]
    assert contours.ring_perimeters(rings, offsets)[0] == 0
    assert contours.ring_centroids(rings, offsets)[1].tolist() == [2, 3]


def test_to_level0():
    np.testing.assert_allclose(
        contours.to_level0(np.array([[1.0, 2.0]]), x0=10, y0=20, factor=2.5), [[27.5, 55]]
    )
