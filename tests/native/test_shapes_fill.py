"""Filling and thinning against numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tilescope._native import _shapes


def fill(rings, shape, ids=None):
    """Return the label block of these rings, numbered from 1."""
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in rings])]).astype(np.int64)
    points = np.concatenate([*rings, np.zeros((0, 2))]).astype(np.float64)
    ids = np.arange(1, len(rings) + 1) if ids is None else ids
    out, flips = np.zeros(shape, np.uint32), np.zeros(shape, np.uint8)
    _shapes.fill(points, offsets, np.asarray(ids, np.uint32), flips, out)
    assert not flips.any()
    return out


def twin(ring, shape):
    """Return which pixel centres an odd number of sides pass to the left of or through."""
    y, x = np.indices(shape) + 0.5
    inside = np.zeros(shape, bool)
    for side in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        a, b = sorted(side, key=lambda p: p[1])
        if a[1] == b[1]:
            continue
        crossing = a[0] + (y - a[1]) * ((b[0] - a[0]) / (b[1] - a[1]))
        inside ^= (a[1] <= y) & (y < b[1]) & (np.ceil(crossing - 0.5) <= x - 0.5)
    return inside


shapes = st.tuples(st.integers(1, 15), st.integers(1, 15))
quarters = st.integers(-20, 80).map(lambda v: v / 4)
rings = st.integers(3, 9).flatmap(lambda n: arrays(np.float64, (n, 2), elements=quarters))


@given(rings, shapes)
@settings(max_examples=400, deadline=None)
def test_fills_what_numpy_fills(ring, shape):
    np.testing.assert_array_equal(fill([ring], shape) > 0, twin(ring, shape))


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=100, deadline=None)
def test_neighbours_leave_no_gap_and_share_no_pixel(seed, on_centres):
    rng = np.random.default_rng(seed)
    n, pitch = 6, 5
    y, x = np.indices((n + 1, n + 1)) * float(pitch)
    jitter = (
        rng.integers(-3, 4, (2, n - 1, n - 1)) / 2
        if on_centres
        else rng.uniform(-2, 2, (2, n - 1, n - 1))
    )
    x[1:-1, 1:-1] += jitter[0]
    y[1:-1, 1:-1] += jitter[1]
    p = np.stack([x, y], axis=-1)
    quads = [
        np.array([p[i, j], p[i, j + 1], p[i + 1, j + 1], p[i + 1, j]])
        for i in range(n)
        for j in range(n)
    ]
    claims = sum(
        (fill([q if k % 2 else q[::-1]], (n * pitch, n * pitch)) > 0).astype(int)
        for k, q in enumerate(quads)
    )
    assert (claims == 1).all()


def test_the_last_ring_wins_and_ids_are_32_bits():
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]], float)
    block = fill([square, square + 2], (6, 6), ids=[7, 2**32 - 1])
    assert block[0, 0] == 7
    assert block[3, 3] == 2**32 - 1
    assert (block > 0).sum() == 28


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e300])
@given(seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_absurd_coordinates_harm_nobody(value, seed):
    rng = np.random.default_rng(seed)
    ring = rng.uniform(-5, 15, (6, 2))
    ring[rng.random((6, 2)) < 0.3] = value
    square = np.array([[2, 2], [4, 2], [4, 4], [2, 4]], float)
    block = fill([ring, square], (9, 9))
    assert (block[2:4, 2:4] == 2).all()
    assert (block == 2).sum() == 4


@pytest.mark.parametrize("offsets", [[0, 9], [-1, 3], [3, 0], [0, 2**62]])
def test_wrong_offsets_raise(offsets):
    ring, offsets = np.zeros((4, 2)), np.array(offsets, np.int64)
    with pytest.raises(ValueError, match="offsets"):
        _shapes.fill(
            ring,
            offsets,
            np.ones(1, np.uint32),
            np.zeros((3, 3), np.uint8),
            np.zeros((3, 3), np.uint32),
        )
    with pytest.raises(ValueError, match="offsets"):
        _shapes.thin(ring, offsets, 0.1, np.zeros(4, np.uint8))


def test_wrong_shapes_raise():
    ring, offsets, ids = np.zeros((4, 2)), np.array([0, 4]), np.ones(1, np.uint32)
    flips, out = np.zeros((3, 3), np.uint8), np.zeros((3, 3), np.uint32)
    for wrong in (
        (np.zeros((4, 3)), offsets, ids, flips, out),
        (ring, offsets, np.ones(2, np.uint32), flips, out),
        (ring, offsets, ids, np.zeros((3, 4), np.uint8), out),
    ):
        with pytest.raises(ValueError, match="shapes"):
            _shapes.fill(*wrong)
    with pytest.raises(ValueError, match="tolerance"):
        _shapes.thin(ring, offsets, float("nan"), np.zeros(4, np.uint8))


def thin(ring, tolerance):
    keep = np.zeros(len(ring), np.uint8)
    _shapes.thin(ring, np.array([0, len(ring)]), tolerance, keep)
    return keep.astype(bool)


@given(rings, st.floats(0, 3))
@settings(max_examples=300, deadline=None)
def test_dropped_vertices_lie_within_the_tolerance(ring, tolerance):
    keep = thin(ring, tolerance)
    assert keep.sum() >= 3
    kept = np.flatnonzero(keep)
    for a, b in zip(kept, np.append(kept[1:], kept[0] + len(ring)), strict=True):
        start, chord = ring[a], ring[b % len(ring)] - ring[a]
        for i in range(a + 1, b):
            q = ring[i % len(ring)] - start
            along = np.clip(q @ chord / max(chord @ chord, 1e-30), 0, 1)
            assert np.hypot(*(q - along * chord)) <= tolerance + 1e-9


def test_a_straight_side_keeps_its_ends_only():
    ring = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [3, 3], [0, 3]], float)
    assert thin(ring, 0.0).tolist() == [True, False, False, True, True, True]
