"""Bands that follow each other turned into pixels, against the plain numpy statement."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope._native import _pixels


@given(
    st.integers(1, 7),
    st.integers(0, 40),
    st.integers(0, 70),
    st.sampled_from(["uint8", "uint16", "float32"]),
)
def test_the_same_as_numpy(bands, height, width, dtype):
    src = np.random.default_rng(0).integers(0, 255, (bands, height, width)).astype(dtype)
    dst = np.zeros((height, width, bands), dtype)
    _pixels.bands_last(src, dst)
    np.testing.assert_array_equal(dst, np.moveaxis(src, 0, 2))


@pytest.mark.parametrize(
    ("src", "dst", "error"),
    [
        (np.zeros((3, 4, 5), "u1"), np.zeros((4, 5, 4), "u1"), ValueError),
        (np.zeros((3, 4, 5), "u1"), np.zeros((5, 4, 3), "u1"), ValueError),
        (np.zeros((3, 4), "u1"), np.zeros((4, 5, 3), "u1"), ValueError),
        (np.zeros((3, 4, 5), "u1"), np.zeros((4, 5, 3), "u2"), TypeError),
        (np.zeros((3, 4, 5), "f8"), np.zeros((4, 5, 3), "f8"), TypeError),
        (
            np.zeros((3, 4, 10), "u1")[..., ::2],
            np.zeros((4, 5, 3), "u1"),
            (ValueError, BufferError),
        ),
    ],
    ids=["bands", "sides", "axes", "types", "type", "stride"],
)
def test_what_does_not_fit(src, dst, error):
    with pytest.raises(error):
        _pixels.bands_last(src, dst)


def test_memory_that_overlaps():
    both = np.zeros(3 * 4 * 5, "u1")
    with pytest.raises(ValueError, match="overlaps"):
        _pixels.bands_last(both.reshape(3, 4, 5), both.reshape(4, 5, 3))
