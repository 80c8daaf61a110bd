"""Pictures of the sky: the brightness scale in which faint and bright things both show.

Lupton, Blanton, Fekete, Hogg, O'Mullane, Szalay & Wherry (2004), PASP 116, 133, equations 1 and 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

#: Share of the sample that is not brighter than white.
_WHITE_PERCENTILE = 99.9

#: The standard deviation of a normal distribution per median absolute deviation.
_SIGMA_PER_MAD = 1.4826

#: White over softness when the sample has no noise to tell the softness from.
_NOISELESS_RANGE = 100.0


@dataclass(frozen=True, slots=True)
class AsinhStretch:
    """How brightness becomes ``uint8``.

    With ``I`` the mean over the planes of ``plane - black[plane]``, a plane is shown as
    ``(plane - black) * F(I) / I`` with ``F(I) = asinh(I / softness) / asinh(white / softness)``:
    all planes by the same factor, so that colours do not depend on brightness. What exceeds 1 is
    scaled back to 1, all planes together.

    Attributes
    ----------
    black
        Sky of each plane, in the file's units.
    softness
        Below it the scale is linear, above it logarithmic; the paper's ``1 / (alpha * Q)``.
    white
        Brightness above the sky that becomes 255.
    """

    black: tuple[float, ...]
    softness: float
    white: float

    @classmethod
    def measured(cls, sample: NDArray[Any]) -> Self:
        """Return the stretch that suits a sample of the picture.

        Black is the median of each plane, softness the noise of the brightness by its median
        absolute deviation, white its 99.9th percentile.

        Parameters
        ----------
        sample
            ``float[n, planes]``; what is not finite is left out.
        """
        with np.errstate(all="ignore"):  # samples as large as the type allows
            return cls._measured(sample[np.isfinite(sample).all(axis=1)].astype(np.float64))

    @classmethod
    def _measured(cls, known: NDArray[np.float64]) -> Self:
        if not len(known):
            return cls((0.0,) * known.shape[1], 1.0, 1.0)
        black = np.median(known, axis=0)
        brightness = (known - black).mean(axis=1)
        middle = np.median(brightness)
        noise = _SIGMA_PER_MAD * float(np.median(np.abs(brightness - middle)))
        white = float(np.percentile(brightness, _WHITE_PERCENTILE))
        if not white > 0:
            white = float(brightness.max())
        if not white > 0:
            white = 1.0
        softness = noise if noise > 0 else white / _NOISELESS_RANGE
        return cls(tuple(float(b) for b in black), softness, max(white, softness))

    def picture(self, planes: NDArray[Any]) -> NDArray[np.uint8]:
        """Return ``uint8`` of the shape of ``planes``, ``float[h, w, planes]``.

        What is not finite is shown as black.
        """
        with np.errstate(all="ignore"):
            return self._picture(planes)

    def _picture(self, planes: NDArray[Any]) -> NDArray[np.uint8]:
        above = np.nan_to_num(planes - np.array(self.black), nan=0.0, posinf=0.0, neginf=0.0)
        brightness = above.mean(axis=2, keepdims=True)
        positive = np.maximum(brightness, np.finfo(np.float64).tiny)
        scale = np.arcsinh(positive / self.softness) / np.arcsinh(self.white / self.softness)
        shown = np.where(brightness > 0, above * (scale / positive), 0.0)
        shown = np.maximum(shown, 0)
        shown = np.nan_to_num(shown / np.maximum(shown.max(axis=2, keepdims=True), 1))
        picture: NDArray[np.uint8] = (shown * 255 + 0.5).astype(np.uint8)
        return picture
