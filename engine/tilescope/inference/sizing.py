"""The nuclear diameter of a slide, found by looking at it at several assumed sizes.

A network trained at one nuclear size is right only when the image is brought to it. Assume a
diameter, bring the image to the working size that would follow, and measure the nuclei found there.
Assumed too small, nuclei appear too large, and the other way round: over the assumed diameter, the
ratio of measured to expected size falls, and where it falls through one, assumption and measurement
agree. Between two candidates that point is interpolated, measured once more and interpolated again.

Far from the truth the curve may fall through one a second time, where large nuclei come apart into
pieces of the expected size. There the network is less sure of what it finds:

- Only good objects are measured, so a curve can be drawn through the few lucky ones among many
  doubtful pieces. A crossing is believed where at least half of the objects are good.
- Of the crossings that are believed, the one with the more confident objects, covering more of the
  image, is taken.

The truth itself may show no crossing: it lies outside the candidates, or the candidate above it
finds too few nuclei to measure. Without a believed crossing the best single candidate is corrected
by its own measurement: confident objects, much of the image covered, and about the expected size.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

LEAST_OBJECTS: Final = 3
"""Fewer good objects than this say nothing about size."""

GOOD_SCORE: Final = 0.5
"""Objects below this score are not measured."""

GOOD_SHARE: Final = 0.5
"""A crossing is believed when at least this share of the objects found there is good."""

SIZE_SPREAD: Final = 0.35
"""Without a crossing: how far, in log diameter, a candidate may miss before it is doubted."""


@dataclass(frozen=True, slots=True)
class SizeReading:
    """What was decoded at one assumed diameter.

    Parameters
    ----------
    diameters_px
        float[n], equivalent diameters of the objects on the working grid.
    scores
        float[n], 0..1.
    foreground_fraction
        Share of the looked-at pixels inside objects, 0..1.
    area_px
        Working pixels looked at.
    """

    diameters_px: NDArray[np.float64]
    scores: NDArray[np.float64]
    foreground_fraction: float
    area_px: int

    def __post_init__(self) -> None:
        if self.diameters_px.shape != self.scores.shape or self.diameters_px.ndim != 1:
            raise ValueError(f"{self.diameters_px.shape} diameters, {self.scores.shape} scores")
        if not 0.0 <= self.foreground_fraction <= 1.0 or self.area_px < 1:
            raise ValueError(f"{self.foreground_fraction} of {self.area_px} px")


@dataclass(frozen=True, slots=True)
class _Point:
    """One candidate: its log diameter, the log of measured over expected size, its trust.

    ``weight`` grows with confidence and coverage; ``good`` is the share of good objects, 0..1.
    """

    place: float
    excess: float
    weight: float
    good: float


def choose_diameter(
    measure: Callable[[float], SizeReading], candidates: Sequence[float], target_px: float
) -> float | None:
    """Return the nuclear diameter, in the candidates' unit; None when no nucleus shows anywhere.

    Parameters
    ----------
    measure
        Decodes the sample as if nuclei had the given diameter; called once per candidate and at
        most once more.
    candidates
        Assumed diameters, all positive, log-spaced over the range that is possible. The answer may
        lie outside.
    target_px
        Nuclear diameter on the working grid that the network was trained for.
    """
    readings = ((diameter, measure(diameter)) for diameter in sorted(candidates))
    curve = [p for d, r in readings if (p := _point(d, r, target_px)) is not None]
    if not curve:
        return None
    falls = ((a, b) for a, b in itertools.pairwise(curve) if a.excess >= 0.0 > b.excess)
    crossings = [(a, b) for a, b in falls if _good_share(a, b) >= GOOD_SHARE]
    if not crossings:
        best = max(curve, key=lambda p: p.weight * math.exp(-0.5 * (p.excess / SIZE_SPREAD) ** 2))
        return math.exp(best.place + best.excess)
    before, after = max(crossings, key=lambda pair: pair[0].weight * pair[1].weight)
    guess = _crossing(before, after)
    middle = _point(guess, measure(guess), target_px)
    if middle is None:
        return guess
    return _crossing(middle, after) if middle.excess >= 0.0 else _crossing(before, middle)


def measured_diameter(reading: SizeReading) -> float | None:
    """Return ``2 sqrt(A / pi)``, ``A`` the good objects' root mean square area; None if too few."""
    good = reading.diameters_px[reading.scores >= GOOD_SCORE]
    if good.size < LEAST_OBJECTS:
        return None
    return float(np.mean(good**4) ** 0.25)


def _point(diameter: float, reading: SizeReading, target_px: float) -> _Point | None:
    measured = measured_diameter(reading)
    if measured is None:
        return None
    areas = reading.diameters_px**2
    confidence = float(np.sum(areas * reading.scores) / np.sum(areas))
    weight = confidence**2 * reading.foreground_fraction
    good = float(np.mean(reading.scores >= GOOD_SCORE))
    return _Point(math.log(diameter), math.log(measured / target_px), weight, good)


def _crossing(before: _Point, after: _Point) -> float:
    """Return the diameter at which the line through both points has no excess."""
    return math.exp(before.place + _way(before, after) * (after.place - before.place))


def _good_share(before: _Point, after: _Point) -> float:
    """Return the share of good objects at the crossing, between those of both points."""
    return before.good + _way(before, after) * (after.good - before.good)


def _way(before: _Point, after: _Point) -> float:
    """Return how far along the line through both points the excess vanishes, 0..1."""
    return before.excess / (before.excess - after.excess)
