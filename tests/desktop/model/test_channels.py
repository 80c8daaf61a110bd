"""Histograms of bands, and the window in which nearly everything is seen."""

from __future__ import annotations

import numpy as np
import pytest

from tilescope_desktop.model.channels import (
    decimals_of,
    histograms,
    step_of,
    wide_enough,
    window_of,
)


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


@pytest.mark.parametrize(
    ("span", "decimals", "step", "whole_step"),
    [
        (255.0, 3, 1.0, 1.0),
        (65_535.0, 3, 100.0, 100.0),
        (20.0, 3, 0.1, 1.0),
        (1.0, 3, 0.01, 1.0),
        (4e-6, 9, 1e-8, 1.0),
        (0.0, 33, 1e-32, 1.0),
        (float("inf"), 3, 1e28, 1e28),
    ],
)
def test_digits_and_steps_follow_the_range(
    span: float, decimals: int, step: float, whole_step: float
) -> None:
    assert decimals_of(span) == decimals
    assert step_of(span, are_whole=False) == pytest.approx(step)
    assert step_of(span, are_whole=True) == pytest.approx(whole_step)


def test_whole_numbers_are_known_as_such() -> None:
    for dtype, are_whole in ((np.uint8, True), (np.uint16, True), (np.float32, False)):
        (counted,) = histograms(np.arange(12, dtype=dtype).reshape(3, 4, 1))
        assert counted.are_whole == are_whole
