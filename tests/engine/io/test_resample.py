import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilescope.domain.geometry import Rect, Size
from tilescope.ops.resample import Scale, halve, resample, scaled_size, source_rect

factors = st.one_of(
    st.floats(0.2, 9),
    st.sampled_from([0.25, 0.5, 0.499 / 0.25, 1.0, 1.5, 2.0, 3.0, 4.0, 7.999999]),
)


def window(pixels, rect):
    return pixels[rect.y0 : rect.y1, rect.x0 : rect.x1]


def scaled(pixels, scale, rect_dst):
    bounds = Size(pixels.shape[1], pixels.shape[0])
    rect = source_rect(rect_dst, scale, bounds)
    return resample(window(pixels, rect), rect, scale=scale, rect_dst=rect_dst, bounds=bounds)


@st.composite
def rects_in(draw, size):
    x0 = draw(st.integers(0, size.width - 1))
    y0 = draw(st.integers(0, size.height - 1))
    return Rect(
        x0,
        y0,
        draw(st.integers(x0 + 1, size.width)),
        draw(st.integers(y0 + 1, size.height)),
    )


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_overlapping_requests_agree_bit_for_bit(data):
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16, np.float32]))
    size = Size(data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60)))
    bands = data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    pixels = (rng.random((size.height, size.width, bands)) * 255).astype(dtype)
    scale = Scale(data.draw(factors), data.draw(factors))
    whole = scaled_size(size, scale)
    first, second = data.draw(rects_in(whole)), data.draw(rects_in(whole))
    common = first.intersect(second)
    everything = scaled(pixels, scale, Rect.of_size(whole))
    for rect in (first, second, common):
        if rect is not None:
            np.testing.assert_array_equal(scaled(pixels, scale, rect), window(everything, rect))


@given(st.floats(1, 9), st.integers(1, 50))
def test_shrinking_keeps_the_mean_of_whole_intervals(factor, length):
    rng = np.random.default_rng(0)
    row = rng.random((1, length, 1)).astype(np.float32)
    out = scaled(
        row, Scale(factor, 1), Rect(0, 0, scaled_size(Size(length, 1), Scale(factor, 1)).width, 1)
    )
    fine = np.repeat(row[0, :, 0].astype(np.float64), 2520)
    for i, value in enumerate(out[0, :, 0]):
        low, high = i * factor, min((i + 1) * factor, length)
        if high - low > 0.01:
            cut = fine[round(low * 2520) : round(high * 2520)]
            assert abs(cut.mean() - value) < 2e-2 / (high - low)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("factor", [0.3, 0.5, 1.0, 1.7, 2.0, 5.3])
def test_a_flat_picture_stays_flat(dtype, factor):
    pixels = np.full((31, 29, 3), 200, dtype)
    out = scaled(pixels, Scale(factor, factor), Rect(0, 0, 5, 5))
    np.testing.assert_allclose(out, 200, rtol=1e-6)


def test_enlarging_registers_pixel_centres():
    ramp = np.arange(8, dtype=np.float32)[None, :, None]
    out = scaled(ramp, Scale(0.5, 1), Rect(0, 0, 16, 1))[0, :, 0]
    np.testing.assert_allclose(out[1:-1], (np.arange(16)[1:-1] + 0.5) / 2 - 0.5)
    assert out[0] == 0
    assert out[-1] == 7


def test_a_whole_factor_is_the_box_mean():
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(scaled(pixels, Scale(2, 2), Rect(0, 0, 32, 32)), halve(pixels))


def test_factor_one_changes_nothing():
    pixels = np.random.default_rng(1).integers(0, 65536, (20, 30, 2), np.uint16)
    np.testing.assert_array_equal(scaled(pixels, Scale(1, 1), Rect(0, 0, 30, 20)), pixels)


def test_nan_does_not_spread_beyond_its_interval():
    pixels = np.ones((1, 8, 1), np.float32)
    pixels[0, 4] = np.nan
    out = scaled(pixels, Scale(2, 1), Rect(0, 0, 4, 1))[0, :, 0]
    assert np.isnan(out).tolist() == [False, False, True, False]


def test_source_is_never_asked_for_outside_the_slide():
    rect = source_rect(Rect(0, 0, 5, 4), Scale(3.3, 3.3), Size(14, 11))
    assert rect == Rect(0, 0, 14, 11)


def test_far_from_the_origin_intervals_stay_aligned():
    rect = source_rect(Rect(1_000_000, 7, 1_000_002, 8), Scale(4, 4), Size(8_000_000, 100))
    assert rect == Rect(4_000_000, 28, 4_000_008, 32)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_is_positive_and_finite(bad):
    with pytest.raises(ValueError, match="positive and finite"):
        Scale(bad, 1)


def test_missing_source_pixels_are_refused():
    pixels = np.zeros((4, 4, 1), np.uint8)
    with pytest.raises(ValueError, match="does not hold"):
        resample(
            pixels,
            Rect(0, 0, 4, 4),
            scale=Scale(2, 2),
            rect_dst=Rect(1, 1, 3, 3),
            bounds=Size(9, 9),
        )
    with pytest.raises(ValueError, match="do not fill"):
        resample(
            pixels,
            Rect(0, 0, 5, 4),
            scale=Scale(2, 2),
            rect_dst=Rect(0, 0, 1, 1),
            bounds=Size(9, 9),
        )
