"""Histograms of bands, and the window in which nearly everything is seen."""

from __future__ import annotations

import numpy as np
import pytest

from tilescope_desktop.model.channels import histograms, wide_enough, window_of


def test_a_few_hot_pixels_do_not_widen_the_window(rng: np.random.Generator) -> None:
    sample = rng.integers(100, 900, (300, 300, 1)).astype(np.uint16)
    sample[:5, :5] = 65_535
    (counted,) = histograms(sample)
    assert (counted.low, counted.high) == (100, 65_535)
    assert 100 <= counted.dark < 120
    assert 880 < counted.bright < 900
    assert counted.counts.sum() == 300 * 300


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 7.0, -3.5e8, 1e-20])
def test_values_that_are_alike_or_all_but_alike_can_be_counted(value: float, dtype: type) -> None:
    other = float(np.nextafter(dtype(value), dtype(np.inf)))
    for values in ([value, value], [value, other]):
        sample = np.array(values, dtype).reshape(1, 2, 1)
        (counted,) = histograms(sample)
        assert counted.counts.sum() == sample.size
        assert counted.low < counted.high
        assert counted.dark < counted.bright
    assert wide_enough(value, other) > other


def test_what_is_no_number_is_not_counted() -> None:
    sample = np.array([[[np.nan, 1.0], [np.inf, 2.0]]])
    empty, full = histograms(sample)
    assert empty.counts.sum() == 0
    assert full.counts.sum() == 2
    assert window_of(sample[..., 0], 1.0) is None


def test_whole_numbers_of_a_narrow_range_leave_no_gaps(rng: np.random.Generator) -> None:
    (counted,) = histograms(rng.integers(5, 60, (200, 200, 1)).astype(np.uint8))
    assert len(counted.counts) == 55
    assert counted.counts.min() > 0
