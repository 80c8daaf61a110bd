"""From the samples a TIFF stores to bands: photometric interpretation, alpha, bit depth.

The numbers of tags and their meanings are those of TIFF 6.0, sections 4 to 8, 16, 18 and 20-21.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.io.sample_types import finite, tile_dtype, white_of

Pixels = NDArray[Any]

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6

_ASSOCIATED, _UNASSOCIATED = 1, 2

#: Compressions whose decoder already turns YCbCr into RGB.
_JPEG = frozenset({6, 7, 34892, 33007})


class SamplesError(ValueError):
    """These samples have no truthful rendering here; another reader may know better."""


class DamagedError(ValueError):
    """The tables of the file contradict each other; no reader can do better."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleModel:
    """How one page's samples become bands.

    Attributes
    ----------
    photometric, compression, bits, samples
        Values of the tags.
    stored
        Dtype of a decoded segment.
    alpha
        Meaning of the first extra sample, None without one.
    palette
        ``uint8[n, 3]`` for palette colour.
    dtype
        Dtype of the bands.
    """

    photometric: int
    compression: int
    bits: int
    samples: int
    stored: np.dtype[Any]
    alpha: int | None = None
    palette: NDArray[np.uint8] | None = None
    dtype: str = field(init=False)

    def __post_init__(self) -> None:
        # numpy makes the name of a dtype anew each time, as slowly as a small tile is decoded
        handed_out = tile_dtype(self.stored) or self.stored.name
        object.__setattr__(self, "dtype", "uint8" if self.palette is not None else handed_out)

    @property
    def bands(self) -> int:
        """Number of bands that one page yields."""
        if self.is_colour:
            return 3
        return 1 if self.is_grey_with_opacity else self.samples

    @property
    def is_grey_with_opacity(self) -> bool:
        """Tell whether the second of two samples says how opaque the first one is."""
        grey = self.photometric in {WHITE_IS_ZERO, BLACK_IS_ZERO} and self.samples == 2
        return grey and self.alpha in {_ASSOCIATED, _UNASSOCIATED}

    @property
    def is_colour(self) -> bool:
        """Tell whether the bands are red, green and blue."""
        return self.palette is not None or self.photometric in {RGB, CMYK, YCBCR}

    @property
    def white(self) -> int:
        """The brightest value, what lies behind transparent pixels."""
        return white_of(self.dtype)

    def check(self) -> None:
        """Refuse samples that would come out wrong.

        Raises
        ------
        SamplesError
            With the reason.
        """
        if tile_dtype(self.stored) is None:
            msg = f"samples of type {self.stored.name} are not supported"
            raise SamplesError(msg)
        known = {WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR}
        if self.photometric not in known:
            msg = f"photometric interpretation {self.photometric} is not supported"
            raise SamplesError(msg)
        needed = {RGB: 3, YCBCR: 3, CMYK: 4}.get(self.photometric, 1)
        if self.samples < needed:
            msg = f"{self.samples} samples per pixel are too few for the colour space"
            raise SamplesError(msg)
        if self.photometric in {CMYK, YCBCR} and self.dtype == "float32":
            msg = "colour of this kind is not supported with float samples"
            raise SamplesError(msg)

    def to_bands(self, segment: Pixels) -> Pixels:
        """Return ``[h, w, bands]`` for a decoded segment ``[h, w, samples]``."""
        if self.palette is not None:
            return self.palette[np.minimum(segment[..., 0], len(self.palette) - 1)]
        values = _full_range(segment, self.bits)
        if self.photometric == WHITE_IS_ZERO and values.dtype.kind == "u":
            values = self._white_is_zero(values)
        elif self.photometric == CMYK:
            values = _from_cmyk(values, self.white)
        elif self.photometric == YCBCR and self.compression not in _JPEG:
            values = _from_ycbcr(values[..., :3])
        elif self.photometric in {RGB, YCBCR}:
            values = self._without_alpha(values, 3)
        if self.is_grey_with_opacity:
            values = self._without_alpha(values, 1)
        return finite(np.ascontiguousarray(values, self.dtype))

    def _white_is_zero(self, values: Pixels) -> Pixels:
        # packed depths of 10 to 14 bits stay in their range, so white is its end
        top = (1 << self.bits) - 1 if 8 < self.bits < 16 else self.white
        inverted: Pixels = (top - values).astype(values.dtype)
        if self.is_grey_with_opacity:
            inverted[..., 1] = values[..., 1]
        return inverted

    def _without_alpha(self, values: Pixels, bands: int) -> Pixels:
        colour = values[..., :bands]
        if values.shape[2] <= bands or self.alpha not in {_ASSOCIATED, _UNASSOCIATED}:
            return colour
        opacity = values[..., bands : bands + 1]
        if (opacity == self.white).all():
            return colour
        return _over(colour, opacity, self.white, premultiplied=self.alpha == _ASSOCIATED)


def over_white(values: Pixels, white: int) -> Pixels:
    """Return the colour bands of ``[h, w, n + 1]`` laid over white by its last band, opacity."""
    return _over(values[..., :-1], values[..., -1:], white, premultiplied=False)


def _over(colour: Pixels, opacity: Pixels, white: int, *, premultiplied: bool) -> Pixels:
    share = opacity.astype(np.float32) / white
    front = colour.astype(np.float32) * (1 if premultiplied else share)
    laid = np.clip(front + (1 - share) * white, 0, white)
    return (laid + 0.5 if colour.dtype.kind == "u" else laid).astype(colour.dtype)


def _full_range(segment: Pixels, bits: int) -> Pixels:
    """Spread 1, 2 and 4 bits over a byte; wider samples stay as they are."""
    if segment.dtype == np.bool_ or bits < 8:
        return segment.astype(np.uint8) * np.uint8(255 // ((1 << bits) - 1))
    return segment


def _from_cmyk(values: Pixels, white: int) -> Pixels:
    ink = white - values[..., :3].astype(np.float32)
    black = white - values[..., 3:4].astype(np.float32)
    return (ink * black / white + 0.5).astype(values.dtype)


def _from_ycbcr(values: Pixels) -> Pixels:
    """Convert with the default coefficients and reference levels of TIFF 6.0, section 21."""
    luma, blue, red = np.moveaxis(values.astype(np.float32), 2, 0)
    middle = float(np.iinfo(values.dtype).max // 2 + 1)
    blue, red = blue - middle, red - middle
    rgb = np.stack(
        [luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=2
    )
    return np.clip(rgb + 0.5, 0, np.iinfo(values.dtype).max).astype(values.dtype)
