"""The nuclear diameter of a slide, found by looking at it at several assumed sizes.

A network trained at one nuclear size is right only when the image is brought to it. Assume a
diameter, let the network find nuclei at that scale, and measure them: near the truth the measured
size agrees with the working size, far from it the network finds little, with little confidence, or
parts and clumps whose size disagrees. The most self-consistent candidate is taken and corrected
once by what was measured there.
"""

from __future__ import annotations

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

SIZE_SPREAD: Final = 0.35
"""How far, in log diameter, measured and working size may differ before a candidate is doubted."""


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


def choose_diameter(
    measure: Callable[[float], SizeReading], candidates: Sequence[float], target_px: float
) -> float | None:
    """Return the nuclear diameter, in the candidates' unit; None when no nucleus shows anywhere.

    Parameters
    ----------
    measure
        Decodes the sample as if nuclei had the given diameter; called once per candidate and once
        more to refine.
    candidates
        Assumed diameters, all positive, log-spaced over the range that is possible.
    target_px
        Nuclear diameter on the working grid that the network was trained for.
    """
    readings = [(candidate, measure(candidate)) for candidate in candidates]
    graded = [(consistency(r, target_px), c, r) for c, r in readings]
    best, candidate, reading = max(graded, key=lambda entry: entry[0], default=(0.0, 0.0, None))
    if reading is None or best <= 0.0:
        return None
    refined = _corrected(candidate, reading, target_px)
    again = measure(refined)
    return _corrected(refined, again, target_px) if consistency(again, target_px) > 0.0 else refined


def consistency(reading: SizeReading, target_px: float) -> float:
    """Return how well a reading agrees with its own assumption, from 0 (not at all) up.

    The area covered by good objects, weighted by their scores, falls off with the distance between
    measured and working size.
    """
    measured = measured_diameter(reading)
    if measured is None:
        return 0.0
    miss = math.log(measured / target_px) / SIZE_SPREAD
    weights = reading.diameters_px**2
    confidence = float(np.sum(weights * reading.scores) / np.sum(weights))
    return confidence**2 * reading.foreground_fraction * math.exp(-0.5 * miss**2)


def measured_diameter(reading: SizeReading) -> float | None:
    """Return ``2 sqrt(A / pi)``, ``A`` the root mean square area of good objects; None if too few."""
    good = reading.diameters_px[reading.scores >= GOOD_SCORE]
    if good.size < LEAST_OBJECTS:
        return None
    return float(np.mean(good**4) ** 0.25)


def _corrected(assumed: float, reading: SizeReading, target_px: float) -> float:
    measured = measured_diameter(reading)
    return assumed if measured is None else assumed * measured / target_px
