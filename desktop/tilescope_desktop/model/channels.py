"""What a histogram of a band is, and what the channel controls do with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BINS = 128


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How often the values of one band occur in a sample.

    Attributes
    ----------
    low, high
        Ends of the range that is counted, ``low < high``.
    counts
        ``int64[bins]`` of equal width.
    """

    low: float
    high: float
    counts: NDArray[np.int64]


def histograms(sample: NDArray[Any]) -> tuple[Histogram, ...]:
    """Return one histogram per band.

    Parameters
    ----------
    sample
        ``[height, width, bands]`` of a coarse level.
    """
    return tuple(_histogram(sample[..., band]) for band in range(sample.shape[2]))


def _histogram(values: NDArray[Any]) -> Histogram:
    finite = values[np.isfinite(values)].ravel()
    if not finite.size:
        return Histogram(0.0, 1.0, np.zeros(_BINS, np.int64))
    low, high = float(finite.min()), float(finite.max())
    if high <= low:
        high = low + 1.0
    counts, _ = np.histogram(finite, bins=_BINS, range=(low, high))
    return Histogram(low, high, counts)
