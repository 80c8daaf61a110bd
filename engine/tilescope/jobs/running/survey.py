"""One look at the whole slide before a run: how bright it is, and where it holds something."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.contrast import Contrast
from tilescope.domain.geometry import Rect, Size
from tilescope.errors import TileReadError
from tilescope.io.cache import TileCache
from tilescope.io.region import read_working
from tilescope.io.source import SlideSource
from tilescope.jobs.whole_picture import whole_picture
from tilescope.ops.tissue import has_dark_background, intensity_window, tissue_mask

#: Longer side of the picture that the decisions are made on.
PICTURE_PX = 1024
_SAMPLES = 9
_SAMPLE_PX = 256


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What one look at the slide says.

    Attributes
    ----------
    contrast
        Slide-wide intensity window.
    mask
        ``bool[h, w]``: where there is tissue, one pixel per ``mask_factor`` level-0 pixels.
    interest
        ``float32[h, w]``: where cells are likely, from 0; nuclear stains absorb red, eosin does
        not, and in fluorescence nuclei are bright.
    mask_factor
        Level-0 pixels per pixel of the mask.
    slide
        Level-0 pixels of the slide.
    """

    contrast: Contrast
    mask: NDArray[np.bool_]
    interest: NDArray[np.float32]
    mask_factor: float
    slide: Size

    @property
    def tissue_fraction(self) -> float:
        """Share of the slide that holds something."""
        return float(self.mask.mean())

    def holds_something(self, rect_l0: tuple[float, float, float, float]) -> bool:
        """Tell whether any tissue lies in x0, y0, x1, y1 (level-0 pixels)."""
        f, (height, width) = self.mask_factor, self.mask.shape
        # Beyond the last pixel of the mask is what the last one is.
        x0, y0 = (
            min(max(0, floor(v / f)), last - 1)
            for v, last in zip(rect_l0[:2], (width, height), strict=True)
        )
        x1, y1 = (ceil(v / f) for v in rect_l0[2:])
        return bool(self.mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].any())

    def mask_at(self, x_l0: NDArray[np.float64], y_l0: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return ``bool[len(y_l0), len(x_l0)]``: where the points of a lattice lie on tissue."""
        rows, columns = (
            np.clip((places / self.mask_factor).astype(np.int64), 0, length - 1)
            for places, length in zip((y_l0, x_l0), self.mask.shape, strict=True)
        )
        return self.mask[np.ix_(rows, columns)]

    def spots(self, count: int, within: Rect | None = None) -> list[tuple[float, float]]:
        """Return level-0 centres of up to ``count`` places full of cells, spread over the slide.

        The cells of a coarse lattice compete; the order is fixed, so that the same slide always
        gives the same places.
        """
        mask = np.where(self.mask, self.interest, 0)
        if within is not None:
            outside = np.ones(mask.shape, bool)
            f = self.mask_factor
            rows = slice(floor(within.y0 / f), ceil(within.y1 / f))
            columns = slice(floor(within.x0 / f), ceil(within.x1 / f))
            outside[rows, columns] = False
            mask[outside] = 0
        side = max(1, ceil(max(mask.shape) / 8))
        found: list[tuple[float, float, float]] = []
        for y in range(0, mask.shape[0], side):
            for x in range(0, mask.shape[1], side):
                cell = mask[y : y + side, x : x + side]
                weight = float(cell.sum())
                if weight:
                    ys, xs = np.indices(cell.shape)
                    cx, cy = (float((axis * cell).sum()) / weight + 0.5 for axis in (xs, ys))
                    found.append((-weight, x + cx, y + cy))
        found.sort()
        return [(x * self.mask_factor, y * self.mask_factor) for _, x, y in found[:count]]


def full_scale_of(dtype: str, picture: NDArray[Any]) -> float:
    """Return the value that means white: the dtype's largest, or the picture's for floats."""
    if dtype.startswith("float"):
        return max(float(picture.max(initial=0.0)), 1e-6)
    return float(np.iinfo(np.dtype(dtype)).max)


def survey_slide(source: SlideSource, cache: TileCache, plane: int = 0) -> Survey:
    """Return the survey of an open slide.

    Raises
    ------
    TileReadError
        When nothing of the slide can be read.
    """
    size = source.info.size
    factor = max(1.0, max(size.width, size.height) / PICTURE_PX)
    shrunk = Size(max(1, floor(size.width / factor)), max(1, floor(size.height / factor)))
    whole = whole_picture(source, cache, shrunk, factor, plane)
    picture = whole.pixels
    scale = full_scale_of(source.info.dtype, picture)
    dark = has_dark_background(picture, scale)
    rough = intensity_window(whole.readable(), dark_background=dark, full_scale=scale)
    # What cannot be read may hold something: the run tries, and says what is wrong with it.
    mask = tissue_mask(picture, rough, scale) | whole.missing
    first = Survey(rough, mask, _interest(picture, rough), factor, size)
    seen = picture[mask & ~whole.missing]
    if factor == 1.0:
        return replace(first, contrast=_measured(rough, seen))
    samples = list(_samples(source, cache, first, plane))
    values = np.concatenate([whole.readable(), *samples])
    contrast = intensity_window(values, dark_background=dark, full_scale=scale)
    return replace(first, contrast=_measured(contrast, np.concatenate([seen, *samples])))


def _measured(contrast: Contrast, values: NDArray[Any]) -> Contrast:
    """Return the contrast with mean and deviation of ``[n, bands]``, none of no values."""
    if values.dtype != np.uint8:
        values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        return contrast
    if values.dtype == np.uint8:
        mean, deviation = _counted(values)
    else:
        mean = values.mean(axis=0, dtype=np.float64)
        deviation = values.std(axis=0, dtype=np.float64)
    return replace(contrast, mean=tuple(mean.tolist()), deviation=tuple(deviation.tolist()))


def _counted(values: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of each band of ``uint8[n, bands]``; counting takes a tenth."""
    levels = np.arange(256, dtype=np.float64)
    counts = np.stack([np.bincount(band, minlength=256) for band in values.T])
    mean = counts @ levels / len(values)
    square = (counts * (levels - mean[:, None]) ** 2).sum(axis=1) / len(values)
    return mean, np.sqrt(square)


def _interest(picture: NDArray[Any], contrast: Contrast) -> NDArray[np.float32]:
    low, high = np.asarray(contrast.low, np.float32), np.asarray(contrast.high, np.float32)
    unit = np.clip((picture.astype(np.float32) - low) / (high - low), 0, 1)
    interest = unit.max(axis=2) if contrast.dark_background else 1 - unit[..., 0]
    return np.asarray(interest, np.float32)


def _samples(
    source: SlideSource, cache: TileCache, survey: Survey, plane: int
) -> Iterator[NDArray[Any]]:
    """Yield pixels ``[n, bands]`` of places with tissue, at full resolution."""
    for x, y in survey.spots(_SAMPLES):
        rect = window_around(x, y, _SAMPLE_PX, source.info.size)
        # A place that cannot be read is left out; the run will say so.
        with suppress(TileReadError):
            pixels = read_working(source, cache, rect, 1.0, plane=plane)
            yield pixels.reshape(-1, pixels.shape[2])


def window_around(x: float, y: float, side: int, bounds: Size) -> Rect:
    """Return a square of ``side`` pixels about a point, moved and cut to lie inside ``bounds``."""
    x0 = min(max(0, round(x) - side // 2), max(0, bounds.width - side))
    y0 = min(max(0, round(y) - side // 2), max(0, bounds.height - side))
    return Rect(x0, y0, min(x0 + side, bounds.width), min(y0 + side, bounds.height))
