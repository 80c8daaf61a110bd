"""How bright a slide is, as a whole."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contrast:
    """The intensity window of a slide, one entry per band.

    Attributes
    ----------
    dark_background
        True for fluorescence and other bright-on-dark images.
    low, high
        Values that become black and white, in the slide's own units; ``low < high``.
    mean, deviation
        Mean and standard deviation of the sampled pixels, in the slide's own units; empty where
        they were not measured.
    """

    dark_background: bool
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high) or not self.low:
            msg = f"{len(self.low)} lows and {len(self.high)} highs"
            raise ValueError(msg)
        for low, high in zip(self.low, self.high, strict=True):
            if not low < high:
                msg = f"the window {low}..{high} is empty"
                raise ValueError(msg)
        for measured in (self.mean, self.deviation):
            if len(measured) not in {0, len(self.low)}:
                msg = f"{len(measured)} measured values for {len(self.low)} bands"
                raise ValueError(msg)
