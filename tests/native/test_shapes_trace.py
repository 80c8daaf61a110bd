"""Tracing against scipy's labelling and hole filling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from tilescope._native import _shapes

ALL_AROUND = np.ones((3, 3), bool)


def trace(labels, n_loops=4096, n_vertices=65536):
    """Return corners, ends, owners and areas, and the counts that the extension reports."""
    corners = np.empty((n_vertices, 2), np.int32)
    ends, areas = np.empty(n_loops, np.int64), np.empty(n_loops, np.int64)
    owners = np.empty(n_loops, np.int32)
    seen = np.zeros(labels.shape, np.uint8)
    loops, vertices = _shapes.trace(labels, seen, corners, ends, owners, areas)
    return corners[:vertices], ends[:loops], owners[:loops], areas[:loops], (loops, vertices)


def twin(labels):
    """Return label and filled area of every 4-connected component, sorted."""
    found = []
    for value in np.unique(labels[labels > 0]):
        components, count = ndimage.label(labels == value)
        for k in range(1, count + 1):
            # The hole of a 4-connected object is closed to diagonal steps from outside as well.
            outside = np.pad(components != k, 1, constant_values=True)
            around, _ = ndimage.label(outside, ALL_AROUND)
            found.append((int(value), int((around != around[0, 0]).sum())))
    return sorted(found)


label_images = arrays(
    np.int32,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.integers(-1, 3),
)


@given(label_images)
@settings(max_examples=300, deadline=None)
def test_components_and_areas_are_scipys(labels):
    _, _, owners, areas, _ = trace(labels)
    assert sorted(zip(owners.tolist(), areas.tolist(), strict=True)) == twin(labels)


@given(label_images)
@settings(max_examples=200, deadline=None)
def test_corners_enclose_the_stated_area_and_turn_at_every_vertex(labels):
    corners, ends, _, areas, _ = trace(labels)
    for ring, area in zip(np.split(corners.astype(np.int64), ends[:-1]), areas, strict=False):
        x, y = ring.T
        assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() == 2 * area
        sides = np.roll(ring, -1, axis=0) - ring
        assert ((sides == 0).sum(axis=1) == 1).all()
        following = np.roll(sides, -1, axis=0)
        assert ((sides * following).sum(axis=1) == 0).all()


def test_a_ring_of_pixels_has_no_inner_outline():
    labels = np.ones((5, 5), np.int32)
    labels[1:4, 1:4] = 0
    corners, _, _, areas, _ = trace(labels)
    assert areas.tolist() == [25]
    assert sorted(map(tuple, corners.tolist())) == [(0, 0), (0, 5), (5, 0), (5, 5)]


def test_pixels_that_touch_at_a_corner_are_two_components():
    labels = np.array([[1, 0], [0, 1]], np.int32)
    assert trace(labels)[3].tolist() == [1, 1]


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (7, 0)])
def test_nothing_in_an_image_without_pixels(shape):
    assert trace(np.zeros(shape, np.int32))[4] == (0, 0)


def test_counts_are_right_when_there_is_no_room():
    labels = np.random.default_rng(0).integers(0, 3, (40, 40)).astype(np.int32)
    assert trace(labels, 0, 0)[4] == trace(labels)[4]
    partial = trace(labels, 7, 30)
    assert partial[4] == trace(labels)[4]
    np.testing.assert_array_equal(partial[3][:7], trace(labels)[3][:7])


def test_a_million_single_pixels_take_linear_time():
    labels = (np.indices((1500, 1500)).sum(axis=0) % 2).astype(np.int32)
    loops, vertices = trace(labels, 0, 0)[4]
    assert (loops, vertices) == (1_125_000, 4_500_000)


def test_a_spiral_is_one_outline():
    labels = np.zeros((101, 101), np.int32)
    y, x, dy, dx = 0, 0, 0, 1
    labels[0, 0] = 1
    for length in range(100, 0, -2):
        for _ in range(2):
            for _ in range(length):
                y, x = min(max(y + dy, 0), 100), min(max(x + dx, 0), 100)
                labels[y, x] = 1
            dy, dx = dx, -dy
    _, _, _, areas, _ = trace(labels)
    assert sorted(zip([1] * len(areas), areas.tolist(), strict=True)) == twin(labels)


def arguments():
    return {
        "labels": np.ones((4, 4), np.int32),
        "seen": np.zeros((4, 4), np.uint8),
        "vertices": np.empty((9, 2), np.int32),
        "ends": np.empty(3, np.int64),
        "owners": np.empty(3, np.int32),
        "areas": np.empty(3, np.int64),
    }


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("labels", np.ones((4, 4), np.int64), TypeError),
        ("labels", np.ones((4, 4), np.float32), TypeError),
        ("labels", np.ones(16, np.int32), TypeError),
        ("labels", np.ones((4, 4), ">i4"), TypeError),
        ("labels", np.ones((4, 8), np.int32)[:, ::2], BufferError),
        ("labels", None, TypeError),
        ("labels", np.ones((4, 5), np.int32), ValueError),
        ("seen", np.zeros((5, 4), np.uint8), ValueError),
        ("seen", np.zeros((4, 4), np.int8), TypeError),
        ("seen", bytes(16), (TypeError, BufferError)),
        ("vertices", np.empty((9, 3), np.int32), ValueError),
        ("ends", np.empty(2, np.int64), ValueError),
        ("areas", np.empty(4, np.int64), ValueError),
    ],
)
def test_wrong_arguments_raise(name, value, error):
    with pytest.raises((error, ValueError) if error is BufferError else error):
        _shapes.trace(*(arguments() | {name: value}).values())


def test_read_only_outputs_are_refused():
    given = arguments()
    given["ends"].flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        _shapes.trace(*given.values())


def test_a_side_that_could_overflow_is_refused():
    given = arguments() | {
        "labels": np.zeros((1, 2**20 + 1), np.int32),
        "seen": np.zeros((1, 2**20 + 1), np.uint8),
    }
    with pytest.raises(ValueError, match="1048576"):
        _shapes.trace(*given.values())
