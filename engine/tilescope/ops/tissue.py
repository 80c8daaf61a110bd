"""Where a slide holds something, and how bright it is: decided once, at low resolution."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.contrast import Contrast

#: Otsu's threshold on a slide without background cuts through the tissue itself; these bounds on
#: saturation and darkness keep pale tissue in and blank glass out.
_SATURATION_BOUNDS = (0.05, 0.10)
_DARKNESS_BOUNDS = (0.06, 0.15)
_HISTOGRAM_BINS = 256
_RGB_BANDS = 3


def otsu(values: NDArray[np.floating[Any]]) -> float:
    """Return the threshold that best separates the values into two classes.

    Otsu, "A threshold selection method from gray-level histograms", 1979. Values that are all
    equal are their own threshold.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low
    # In float32 the bins of values that differ in their last digits only would have no width.
    counts, edges = np.histogram(values.astype(np.float64), bins=_HISTOGRAM_BINS, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    weight = np.cumsum(counts)
    rest = weight[-1] - weight
    total = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = total / weight - (total[-1] - total) / rest
    between = np.nan_to_num(weight * rest * gap**2)
    return float(edges[int(np.argmax(between)) + 1])


def has_dark_background(pixels: NDArray[Any], full_scale: float) -> bool:
    """Tell whether most of the picture is darker than its middle grey, and nearly colourless.

    Parameters
    ----------
    pixels
        ``[height, width, bands]``, a low-resolution picture of the slide.
    full_scale
        Largest value that the dtype (or the sensor) has.
    """
    grey = pixels.max(axis=2).astype(np.float32)
    typical = float(np.median(grey))
    if pixels.shape[2] == _RGB_BANDS and pixels.dtype == np.uint8:
        # Stained tissue that fills the picture can be dark; an unlit background is far darker.
        return typical < 0.35 * full_scale and float(np.percentile(grey, 25)) < 0.25 * full_scale
    low, high = map(float, np.percentile(grey, [0.5, 99.5]))
    return typical < (low + high) / 2


def tissue_mask(pixels: NDArray[Any], contrast: Contrast, full_scale: float) -> NDArray[np.bool_]:
    """Return where the picture holds tissue or cells, ``bool[height, width]``.

    Bright field: saturated (Otsu on saturation) or dark (Otsu on darkness); fluorescence: brighter
    than the background by a part of Otsu's distance, so that dim cells count. The mask errs on the
    side of keeping: it is only used to leave out what surely holds nothing.

    Parameters
    ----------
    pixels
        ``[height, width, bands]``, a low-resolution picture of the slide.
    contrast
        The slide's contrast.
    full_scale
        Largest value that the dtype (or the sensor) has.
    """
    if contrast.dark_background:
        mask = _bright_parts(pixels)
    else:
        mask = _stained_parts(pixels.astype(np.float32) / np.float32(full_scale))
    return grown(mask, 1)


def _bright_parts(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    grey = pixels.max(axis=2).astype(np.float32)
    floor = float(np.percentile(grey, 5))
    noise = float(np.median(np.abs(grey - np.median(grey))))
    threshold = floor + max(0.15 * (otsu(grey) - floor), 3 * noise, 1e-6)
    # With little background the "noise" is tissue; Otsu bounds it.
    mask: NDArray[np.bool_] = grey > min(threshold, otsu(grey))
    return mask


def _stained_parts(rgb: NDArray[np.float32]) -> NDArray[np.bool_]:
    brightest, darkest = rgb.max(axis=2), rgb.min(axis=2)
    saturation = (brightest - darkest) / np.maximum(brightest, 1e-3)
    glass = float(np.percentile(brightest, 99))
    darkness = glass - rgb.mean(axis=2)
    mask: NDArray[np.bool_] = (saturation > np.clip(otsu(saturation), *_SATURATION_BOUNDS)) | (
        darkness > np.clip(otsu(darkness), *_DARKNESS_BOUNDS)
    )
    return mask


def grown(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return the mask with all that is at most ``reach`` rows and columns from a true pixel."""
    height, width = mask.shape
    rows, columns = np.arange(height), np.arange(width)
    counts = np.zeros((height + 1, width), np.int32)
    mask.cumsum(axis=0, out=counts[1:])
    mask = counts[np.minimum(rows + reach + 1, height)] > counts[np.maximum(rows - reach, 0)]
    counts = np.zeros((height, width + 1), np.int32)
    mask.cumsum(axis=1, out=counts[:, 1:])
    found: NDArray[np.bool_] = (
        counts[:, np.minimum(columns + reach + 1, width)]
        > counts[:, np.maximum(columns - reach, 0)]
    )
    return found


def intensity_window(
    samples: NDArray[Any], *, dark_background: bool, full_scale: float
) -> Contrast:
    """Return the slide's contrast from sampled pixels.

    Fluorescence is windowed from the 1st to the 99.8th percentile of each band, because exposure
    and bit depth say nothing; bright field from the 0.5th to the 99th, the darkest nuclei and the
    glass, but never to less than a quarter of the full scale: an empty slide stays empty.

    Parameters
    ----------
    samples
        ``[n, bands]``: pixels from all over the slide, at the resolution the model will see.
    """
    bands = samples.shape[1]
    if not dark_background:
        low, high = _percentiles(samples, (0.5, 99.0))
        low = np.minimum(low, high - np.maximum(0.25 * full_scale, np.abs(high) * 1e-3))
        return Contrast(False, tuple(map(float, low)), tuple(map(float, high)))
    low, high = _percentiles(samples, (1.0, 99.8))
    least = full_scale * 0.02 if samples.dtype == np.uint8 else 1e-6
    # A channel without signal would be windowed to its own noise. Red, green and blue of a camera
    # share one scale; channels exposed one by one may differ tenfold.
    shared = 1.0 if bands == _RGB_BANDS and samples.dtype == np.uint8 else 0.1
    least = max(least, shared * float((high - low).max()))
    high = np.maximum(high, low + np.maximum(least, np.abs(low) * 1e-3))
    return Contrast(True, tuple(map(float, low)), tuple(map(float, high)))


def _percentiles(samples: NDArray[Any], shares: tuple[float, float]) -> NDArray[np.float64]:
    """Return percentiles of each band of ``[n, bands]``; of bytes by counting, which is quick."""
    if samples.dtype != np.uint8:
        return np.asarray(np.percentile(samples.astype(np.float32), shares, axis=0), np.float64)
    place = np.array(shares) / 100 * (len(samples) - 1)
    below = np.floor(place)
    found = []
    for band in samples.T:
        counted = np.cumsum(np.bincount(band, minlength=256))
        low, high = (np.searchsorted(counted, at, "right") for at in (below, np.ceil(place)))
        found.append(low + (high - low) * (place - below))
    return np.stack(found, axis=1)
