"""What the click networks see of a patch, and how the object is taken out of their answer.

The network is shown five planes of a patch whose middle is where the user pointed: three of the
picture, made bright where there is stain or light, and two maps that hold small discs where the
user clicked on the object and where it is not.

Sources: clicks as extra channels after Xu et al. 2016 (arXiv 1603.04042) and, for nuclei with
inclusion and exclusion maps, Alemi Koohbanani et al. 2020 (NuClick, arXiv 2005.14511); discs of a
fixed radius rather than Gaussians or distances after Benenson et al. 2019 (arXiv 1903.10830).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tilescope.plugins.api import ClickMask, Clicks, TileImage
from tilescope_nuclick.maps import click_maps, distance_to
from tilescope_nuclick.regions import nearer_to, object_in, value_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

WINDOW_SHARE: Final = 0.625
"""Share of the patch's side, about its middle, that decides its brightness: the object and what is
near."""

WINDOW_PERCENTILES: Final = (1.0, 99.0)

LEAST_SPAN: Final = 0.12
"""Share of the slide's window below which a patch's contrast is not stretched to the full range.

Without it an empty patch would show its noise as if it were nuclei.
"""

BRIGHTNESS_BOUNDS: Final = (-0.25, 1.5)

NARROW_SHARE: Final = 1 / 16
"""A band of fluorescence with less than this share of the widest window holds noise."""

CUT_RADIUS_PX: Final = 2.5
"""What is taken away around every point that is not on the object."""

_RGB_BANDS: Final = 3


class NuClick:
    """Encoder and decoder of the click models; holds no state."""

    def encode(self, patch: TileImage, clicks: Clicks, /) -> Mapping[str, NDArray[np.float32]]:
        """Return ``image``, float32[1, 5, h, w]: three planes of the picture and the two maps.

        In fluorescence the three planes are alike, the brightest band of each pixel; in bright
        field they are how much red, green and blue light is missing. Each is stretched over its
        range in the middle of the patch, so that a pale nucleus looks like a dark one.
        """
        planes = stretch(picture_planes(patch))
        inside, outside = click_maps(clicks, patch.pixels.shape[:2])
        return {"image": np.concatenate([planes, inside[None], outside[None]])[None]}

    def decode(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        clicks: Clicks,
        parameters: Mapping[str, float],
        /,
    ) -> ClickMask:
        """Return the object that was pointed at.

        Parameters
        ----------
        outputs
            ``mask``, float32[1, 1, h, w]: probability of belonging to the object.
        clicks
            Of the prompt, in pixels of the patch.
        parameters
            ``threshold`` (probability), ``min_area_px`` on the working grid, and ``least_score``,
            the mean probability below which an object is doubted.
        """
        probability = outputs["mask"][0, 0]
        allowed = probability >= parameters["threshold"]
        off = distance_to(clicks.outside, allowed.shape) <= CUT_RADIUS_PX
        mask = object_in(allowed & ~off, clicks)
        enclosed = [point for point in clicks.outside if value_at(mask, point)]
        if enclosed:
            off |= nearer_to(np.array(enclosed), clicks, allowed.shape)
            mask = object_in(allowed & ~off, clicks)
        mask &= ~off
        area = int(mask.sum())
        if area < max(parameters["min_area_px"], 1.0):
            return ClickMask(np.zeros_like(mask), 0.0)
        score = float(probability[mask].mean())
        return ClickMask(mask, score, doubt(score, clicks, parameters["least_score"]))


def doubt(score: float, clicks: Clicks, least: float) -> str:
    """Return why an answer of this mean probability may be no object; empty when it is one.

    Who says what is not on the object, as a box does, says that there is one: no doubt then.
    """
    if score >= least or len(clicks.outside):
        return ""
    return f"the outline is too unsure ({score:.2f}, wanted {least:.2f}); a box makes it count"


def picture_planes(patch: TileImage) -> NDArray[np.float32]:
    """Return the patch in the slide's window, float32[3, h, w], bright where nuclei are."""
    low = np.asarray(patch.contrast.low, np.float32)
    high = np.asarray(patch.contrast.high, np.float32)
    pixels = patch.pixels.astype(np.float32)
    if patch.contrast.dark_background:
        bands = high - low >= NARROW_SHARE * (high - low).max()
        spread = (pixels[..., bands] - low[bands]) / (high - low)[bands]
        return np.repeat(spread.max(axis=2)[None], 3, axis=0)
    bands = np.arange(3) if pixels.shape[2] >= _RGB_BANDS else np.zeros(3, np.intp)
    missing = (high[bands] - pixels[..., bands]) / (high - low)[bands]
    return np.ascontiguousarray(missing.transpose(2, 0, 1))


def stretch(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each plane over its range in the middle of the patch, float32[3, h, w]."""
    height, width = planes.shape[1:]
    sides = [(n, round(WINDOW_SHARE * n)) for n in (height, width)]
    rows, columns = (slice((n - side) // 2, (n + side) // 2) for n, side in sides)
    middle = planes[:, rows, columns].reshape(len(planes), -1)
    low, high = np.percentile(middle, WINDOW_PERCENTILES, axis=1).astype(np.float32)
    span = np.maximum(high - low, np.float32(LEAST_SPAN))
    stretched = (planes - low[:, None, None]) / span[:, None, None]
    return np.asarray(np.clip(stretched, *BRIGHTNESS_BOUNDS), np.float32)
