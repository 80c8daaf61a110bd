"""Outlines back to pixels, and polygon algebra."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tilescope.domain.geometry import Rect
from tilescope.domain.results import Detections
from tilescope.ops import contours, raster, shapes


def detections(*rings):
    n = len(rings)
    return Detections.of(rings, np.ones(n, np.float32), np.zeros(n, np.uint16), ("x",))


def square(x0, y0, side):
    return np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float) * side + (x0, y0)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_filling_outlines_gives_the_labels_back(seed):
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 2, (5, 5)), np.ones((7, 7), np.int32)).astype(np.int32)
    labels *= np.kron(np.arange(1, 26).reshape(5, 5), np.ones((7, 7), np.int32)).astype(np.int32)
    found = contours.outlines(labels)
    d = Detections(
        found.rings,
        found.offsets,
        np.ones(len(found), np.float32),
        np.zeros(len(found), np.uint16),
        ("x",),
    )
    block = raster.fill(d, found.values.astype(np.uint32), Rect(0, 0, 35, 35))
    # Corners are cut at 45 degrees, and the half-open rule decides on the centres on the line.
    assert (block != labels).sum() <= 4 * len(found)
    assert ((block == labels) | (block == 0)).all()


def test_fill_works_in_a_coarser_grid_with_an_origin():
    block = raster.fill(
        detections(square(108, 204, 8)), np.array([9], np.uint32), Rect(100, 200, 121, 213), 4
    )
    assert block.shape == (4, 6)
    assert block.dtype == np.uint32
    expected = np.zeros((4, 6), np.uint32)
    expected[1:3, 2:4] = 9
    np.testing.assert_array_equal(block, expected)


def test_blocks_join_to_the_whole():
    rng = np.random.default_rng(3)
    d = detections(*(rng.uniform(0, 60, 2) + rng.uniform(-9, 9, (5, 2)) for _ in range(40)))
    ids = np.arange(1, 41, dtype=np.uint32)
    whole = raster.fill(d, ids, Rect(0, 0, 64, 64))
    for y in (0, 32):
        for x in (0, 32):
            part = raster.fill(d, ids, Rect(x, y, x + 32, y + 32))
            np.testing.assert_array_equal(part, whole[y : y + 32, x : x + 32])


def test_one_id_per_object():
    with pytest.raises(ValueError, match="shapes"):
        raster.fill(detections(square(0, 0, 2)), np.ones(2, np.uint32), Rect(0, 0, 4, 4))


def test_union_joins_the_halves_and_fills_the_hole():
    ring = shapes.union_of([square(0, 0, 4), square(4, 0, 4), square(20, 20, 1)])
    assert shapely.Polygon(ring).equals(shapely.box(0, 0, 8, 4))
    frame = [
        np.array([[0, 0], [9, 0], [9, 2], [0, 2]], float),
        np.array([[0, 7], [9, 7], [9, 9], [0, 9]], float),
        np.array([[0, 0], [2, 0], [2, 9], [0, 9]], float),
        np.array([[7, 0], [9, 0], [9, 9], [7, 9]], float),
    ]
    assert shapely.Polygon(shapes.union_of(frame)).area == 81
    assert shapes.union_of([]) is None


def test_clip():
    np.testing.assert_allclose(
        shapely.Polygon(shapes.clip(square(-2, -2, 6), Rect(0, 0, 3, 9))).bounds, (0, 0, 3, 4)
    )
    assert shapes.clip(square(0, 0, 2), Rect(2, 0, 4, 2)) is None


def test_overlap():
    found = shapes.overlap(square(0, 0, 4), square(2, 0, 2))
    assert (found.area, found.of_smaller, found.iou) == (4, 1, 0.25)
    assert shapes.overlap(square(0, 0, 1), square(5, 5, 1)).area == 0
    assert shapes.overlap(square(0, 0, 1), np.zeros((2, 2))).iou == 0


@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
@settings(max_examples=200, deadline=None)
def test_valid_is_valid_or_nothing(seed, n):
    rng = np.random.default_rng(seed)
    ring = rng.integers(0, 6, (n, 2)).astype(float)
    if n and seed % 7 == 0:
        ring[0] = np.nan
    repaired = shapes.valid(ring)
    if repaired is not None:
        polygon = shapely.Polygon(repaired)
        assert polygon.is_valid
        assert polygon.area > 0
        assert polygon.exterior.is_ccw
        assert repaired.dtype == np.float64
        assert not (repaired[0] == repaired[-1]).all()
