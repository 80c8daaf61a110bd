"""Lines around rings in C against the formula in numpy, and hostile arguments."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tilescope._native import _shapes

PLENTY = 1 << 20


def twin(points, offsets, size, width_px):
    """How much of each pixel lines cover, before it is cut at one; no side leaves the picture."""
    cover = np.zeros(size)
    for a, b in pairwise(offsets):
        ring = points[a:b] - 0.5
        for start, end in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            step = end - start
            length = np.hypot(*step)
            if length == 0:
                continue
            count = max(1, int(np.ceil(length)))
            for share in (np.arange(count) + 0.5) / count:
                for line in range(width_px):
                    away = (line - (width_px - 1) / 2) / length
                    x, y = start + step * share + np.array([-step[1], step[0]]) * away
                    spread(cover, x, y, length / count)
    return cover


def spread(cover, x, y, weight):
    left, top = int(np.floor(x)), int(np.floor(y))
    for column, row in ((0, 0), (1, 0), (0, 1), (1, 1)):
        part = abs(1 - column - (x - left)) * abs(1 - row - (y - top))
        if 0 <= left + column < cover.shape[1] and 0 <= top + row < cover.shape[0]:
            cover[top + row, left + column] += weight * part


def drawn(points, offsets, size=(20, 30), *, opacity=1.0, width_px=1, most=PLENTY, n=None):
    cover, owners = np.full(size, 9, np.float32), np.full(size, -7, np.int32)
    picture = np.zeros(size, np.uint32)
    colors = np.arange(1, len(offsets) if n is None else n + 1, dtype=np.uint32)
    _shapes.draw(points, offsets, colors, opacity, width_px, most, cover, owners, picture)
    return cover, owners, picture


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
@example(0, 1)
@settings(max_examples=60, deadline=None)
def test_covers_pixels_as_the_formula_says(seed, width_px):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 6, 4)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    points = rng.uniform((0.5, 0.5), (29.5, 19.5), (offsets[-1], 2))
    cover, owners, picture = drawn(points, offsets, width_px=width_px)
    expected = twin(points, offsets, (20, 30), width_px)
    np.testing.assert_allclose(cover, expected, atol=1e-4)
    alpha = (np.minimum(cover, 1) * np.float32(256)).astype(np.uint32)
    np.testing.assert_array_equal(picture >> 24, 255 * alpha >> 8)
    assert np.isin(owners[cover > 0], np.flatnonzero(counts)).all()


def test_a_side_that_leaves_the_picture_shows_what_lies_on_it():
    ring = np.array([[-500.0, -300.0], [530.0, 320.0], [-500.0, -300.0]])
    cover, _, _ = drawn(ring, np.array([0, 3]), width_px=1)
    y, x = np.nonzero(cover)
    assert len(y) > 20
    np.testing.assert_allclose(y + 0.5, (x + 0.5 + 500) * 620 / 1030 - 300, atol=2)


def test_no_more_dots_than_allowed_are_painted():
    ring = np.array([[1.0, 1.0], [25.0, 1.0], [25.0, 15.0]])
    for most in (0, 7, 20):
        assert drawn(ring, np.array([0, 3]), most=most)[0].sum() == pytest.approx(most)


@pytest.mark.parametrize("hostile", [np.nan, np.inf, -np.inf, 1e308, -1e308, 1e-320])
def test_hostile_numbers_stay_on_the_picture(hostile):
    ring = np.array([[5.0, 5.0], [hostile, 6.0], [7.0, hostile], [hostile, -hostile]])
    cover, _, _ = drawn(ring, np.array([0, 4]), width_px=3)
    assert np.isfinite(cover).all()


@pytest.mark.parametrize("offsets", [[0, 5], [-1, 3], [2, 1], [0, 2**62]])
def test_offsets_beyond_the_points_are_refused(offsets):
    with pytest.raises(ValueError, match="offsets must rise"):
        drawn(np.ones((4, 2)), np.array(offsets))


@pytest.mark.parametrize(
    "wrong",
    [{"opacity": 1.5}, {"opacity": np.nan}, {"opacity": -0.1}, {"width_px": 0}, {"n": 2}],
)
def test_what_does_not_belong_together_is_refused(wrong):
    with pytest.raises(ValueError, match="draw: needs"):
        drawn(np.ones((4, 2)), np.array([0, 4]), **wrong)


def test_images_of_other_sizes_and_types_are_refused():
    points, offsets, colors = np.ones((4, 2)), np.array([0, 4]), np.ones(1, np.uint32)
    cover, owners = np.zeros((8, 9), np.float32), np.zeros((8, 9), np.int32)
    picture = np.zeros((8, 9), np.uint32)
    for images in ((cover[:4], owners, picture), (cover, owners[:4], picture)):
        with pytest.raises(ValueError, match="draw: needs"):
            _shapes.draw(points, offsets, colors, 1.0, 1, 9, *images)
    with pytest.raises(TypeError, match="cover"):
        _shapes.draw(points, offsets, colors, 1.0, 1, 9, owners, owners, picture)
    with pytest.raises((BufferError, ValueError), match="contiguous"):
        _shapes.draw(points, offsets, colors, 1.0, 1, 9, cover, owners, picture[:, ::2])
