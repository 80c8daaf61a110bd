"""What a histogram of a band is, and what the channel controls do with it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BINS = 128
#: Share of the pixels that may be darker than black and brighter than white.
_CUT_PERCENT = (0.5, 99.8)
#: Width of the narrowest histogram, as a share of its values.
_LEAST_SPAN = 1e-4
_SMALLEST = 1e-30
_FEWEST_DECIMALS = 3
#: A range is told to a thousandth of it, and stepped through in a few hundred steps.
_SHARE_DIGITS, _STEP_DIGITS = 3, 2


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How often the values of one band occur in a sample.

    Attributes
    ----------
    low, high
        Ends of the range that is counted, ``low < high``.
    counts
        ``int64[bins]``, of equal width.
    dark, bright
        Window in which nearly everything is seen, ``dark < bright``.
    are_whole
        Whether the values are whole numbers.
    """

    low: float
    high: float
    counts: NDArray[np.int64]
    dark: float
    bright: float
    are_whole: bool = False


def histograms(sample: NDArray[Any]) -> tuple[Histogram, ...]:
    """Return one histogram per band.

    Parameters
    ----------
    sample
        ``[height, width, bands]`` of a coarse level.
    """
    return tuple(_histogram(sample[..., band]) for band in range(sample.shape[2]))


def wide_enough(low: float, high: float) -> float:
    """Return the end of a range that can be cut into bins: values may be all but alike."""
    size = max(abs(low), abs(high))
    least = size * _LEAST_SPAN if size > _SMALLEST else 1.0
    return high if high - low > least else low + least


def decimals_of(span: float) -> int:
    """Return how many digits behind the point tell values apart that lie in a range so wide."""
    return max(_FEWEST_DECIMALS, ceil(-_magnitude(span)) + _SHARE_DIGITS)


def step_of(span: float, *, are_whole: bool) -> float:
    """Return the step, a power of ten, in which values of a range so wide are gone through."""
    step = float(10.0 ** (floor(_magnitude(span)) - _STEP_DIGITS))
    return max(1.0, step) if are_whole else step


def _magnitude(span: float) -> float:
    return log10(min(max(span, _SMALLEST), 1 / _SMALLEST))


def window_of(values: NDArray[Any], narrowest: float) -> tuple[float, float] | None:
    """Return black and white value between which nearly all values lie.

    Where these are alike nothing says which value is dark: bytes are shown as they are, and other
    values from zero on.

    Parameters
    ----------
    values
        Of one band, any shape.
    narrowest
        Width of the window when all of them are zero.

    Returns
    -------
    tuple or None
        None when no value is finite.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    dark, bright = (float(v) for v in np.percentile(finite, _CUT_PERCENT))
    if bright > dark:
        return dark, bright
    if finite.dtype == np.uint8:
        return 0.0, 255.0
    low, high = min(0.0, float(finite.min())), max(0.0, float(finite.max()))
    return (low, high) if high > low else (low, low + narrowest)


def _histogram(values: NDArray[Any]) -> Histogram:
    finite = values[np.isfinite(values)].ravel()
    if not finite.size:
        return Histogram(0.0, 1.0, np.zeros(_BINS, np.int64), 0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    high = wide_enough(low, high)
    # Whole numbers that share no bins show no gaps.
    are_whole = finite.dtype.kind in "ui"
    bins = min(_BINS, int(high - low) + 1) if are_whole else _BINS
    counts, _ = np.histogram(finite, bins=bins, range=(low, high))
    dark, bright = window_of(finite, (high - low) / _BINS) or (low, high)
    return Histogram(low, high, counts, dark, bright, are_whole)
