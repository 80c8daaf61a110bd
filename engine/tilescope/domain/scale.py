"""How large a pixel is, and at which scale a model wants to see the slide."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: A scanner's pixel lies between a tenth of a micrometre and a coarse overview; a tag outside
#: this window is a mistake (a reciprocal, a wrong unit) and is not believed.
PLAUSIBLE_UM_PER_PX = (0.02, 50.0)


def _require_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        msg = f"{name} = {value} is not a positive number"
        raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class PixelSize:
    """Micrometres per level-0 pixel; a slide that does not say has None instead."""

    um_x: float
    um_y: float

    def __post_init__(self) -> None:
        low, high = PLAUSIBLE_UM_PER_PX
        if not (low <= self.um_x <= high and low <= self.um_y <= high):
            msg = f"{self.um_x} x {self.um_y} um/px is outside the plausible {low}-{high}"
            raise ValueError(msg)

    @property
    def mean_um(self) -> float:
        """Geometric mean of both directions."""
        return float((self.um_x * self.um_y) ** 0.5)


@dataclass(frozen=True, slots=True)
class Native:
    """The model takes level-0 pixels as they are."""


@dataclass(frozen=True, slots=True)
class AtPixelSize:
    """The model wants ``um`` micrometres per pixel."""

    um: float

    def __post_init__(self) -> None:
        _require_positive("um", self.um)


@dataclass(frozen=True, slots=True)
class AtObjectSize:
    """The model wants its objects about ``diameter_px`` across.

    ``diameter_um`` is their usual diameter, used on a calibrated slide; without calibration the
    engine measures the objects first.
    """

    diameter_px: float
    diameter_um: float

    def __post_init__(self) -> None:
        _require_positive("diameter_px", self.diameter_px)
        _require_positive("diameter_um", self.diameter_um)


@dataclass(frozen=True, slots=True)
class FitWithin:
    """The model takes the whole image, shrunk until its longer side fits."""

    max_side_px: int

    def __post_init__(self) -> None:
        _require_positive("max_side_px", self.max_side_px)


Sampling = Native | AtPixelSize | AtObjectSize | FitWithin
