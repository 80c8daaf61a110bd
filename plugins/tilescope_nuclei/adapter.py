"""Nuclei from the four maps of ``nuclei-unet``, by rules that look no further than 48 px.

Why centres and offsets, and no watershed: a flooding floods as far as the basin goes, in an order
that depends on the whole tile, so two tiles disagree about a nucleus on their border. Here

1. a peak is a local maximum of the centre heat within ``PEAK_RADIUS_PX``, above a threshold; of
   equal neighbours the first in reading order stays,
2. a foreground pixel ``p`` belongs to the peak nearest to ``p + offset(p)``, at most
   ``ASSIGN_RADIUS_PX`` away, the offset clipped to ``OFFSET_LIMIT_PX`` per axis,
3. a pixel with fewer than ``LEAST_NEIGHBOURS`` neighbours of the same nucleus is let go,

and nothing else decides. A pixel's label depends on maps at most
``OFFSET_LIMIT_PX + ASSIGN_RADIUS_PX + PEAK_RADIUS_PX + 1`` = 48 px away on either axis, and a
nucleus owned by its peak is complete, in shape, area and score, as soon as 48 px around the peak
are known.
Offsets are rounded before they are added to the position, so that float rounding cannot differ
between tiles.

Sources: centre and offset voting as in Panoptic-DeepLab (Cheng et al. 2020, arXiv 1911.10194) and
Neven et al. 2019 (arXiv 1906.11109), restricted to a finite reach; equal nuclear size on the
working grid after Kromp et al. 2021 (doi 10.1109/TMI.2021.3069558).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tilescope.plugins.api import Instances, TileImage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

OFFSET_LIMIT_PX: Final = 27
"""Largest distance, per axis, from a pixel to its nucleus's centre: 2.3 usual radii."""

ASSIGN_RADIUS_PX: Final = 12
"""How far an offset may miss its peak: half a nucleus, for the loose ends of long ones."""

PEAK_RADIUS_PX: Final = 8
"""Two centres are further apart than this on one axis; with less, long nuclei fall apart."""

LEAST_NEIGHBOURS: Final = 4
"""A pixel with fewer of its eight neighbours in the same nucleus is a thread or a speck."""

NARROW_SHARE: Final = 1 / 16
"""A band whose window is narrower than this share of the widest one holds noise, not nuclei.

Fluorescence stored as RGB has such bands: spread over 0..1, the coding noise of an empty red
channel looks like a field of faint nuclei.
"""

GLASS: Final = np.float32(0.06)
"""Darkness, as a share of the slide's window, up to which bright field is empty glass.

Its coding noise would otherwise look like a field of faint nuclei.
"""

DECODE_MARGIN_PX: Final = OFFSET_LIMIT_PX + ASSIGN_RADIUS_PX + PEAK_RADIUS_PX + 1


class NucleiUNet:
    """Encoder and decoder of the model ``nuclei-unet``; holds no state."""

    def encode(self, tile: TileImage, /) -> Mapping[str, NDArray[np.float32]]:
        """Return ``image``, float32[1, 3, h, w] in 0..1: one picture, bright where nuclei are.

        In fluorescence that is the brightest band after the slide-wide window of each; a band of
        hardly any contrast is left out. In bright field it is how much darker than glass the first
        band is within the slide's window: haematoxylin absorbs red and eosin hardly does (Ruifrok
        and Johnston 2001), so that H&E looks like fluorescence to the network. What it learnt of
        nuclei in one serves the other, and the colour of a laboratory's stains is left out.
        """
        low, high = tile.contrast.low, tile.contrast.high
        if tile.contrast.dark_background:
            signal = _brightest(tile.pixels, low, high)
        else:
            red = tile.pixels[..., 0].astype(np.float32)
            signal = np.clip((high[0] - red) / np.float32(high[0] - low[0]), 0.0, 1.0)
            signal = np.maximum(signal - GLASS, 0.0) / np.float32(1.0 - GLASS)
        planes = np.broadcast_to(signal, (1, 3, *signal.shape))
        return {"image": np.ascontiguousarray(planes, np.float32)}

    def decode(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        parameters: Mapping[str, float],
        /,
    ) -> Instances:
        """Return the nuclei of one tile.

        Parameters
        ----------
        outputs
            ``maps``, float32[1, 4, h, w]: foreground and centre probability, dx and dy to the
            centre in px.
        parameters
            ``foreground`` and ``peak`` thresholds (probabilities) and ``min_area_px`` on the
            working grid.

        Returns
        -------
        Instances
            Labels in reading order of the peaks; a score is the mean foreground probability times
            the peak's height.
        """
        foreground, heat, dx, dy = outputs["maps"][0]
        peaks = find_peaks(heat, parameters["peak"])
        pixels = np.flatnonzero(foreground >= parameters["foreground"])
        owned = np.zeros(foreground.shape, np.int32)
        owned.reshape(-1)[pixels] = _assign(pixels, peaks, dx, dy)
        owned[_is_loose(owned)] = 0
        owners = owned.reshape(-1)[pixels]
        count = len(peaks)
        areas = np.bincount(owners, minlength=count + 1)
        kept = areas >= max(parameters["min_area_px"], 1.0)
        kept[0] = False
        sums = np.bincount(owners, foreground.ravel()[pixels], minlength=count + 1)
        scores = sums[1:] / np.maximum(areas[1:], 1) * heat[peaks[:, 0], peaks[:, 1]]
        numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
        return Instances(
            labels=numbers[owned],
            scores=scores[kept[1:]].astype(np.float32),
            classes=np.zeros(int(kept.sum()), np.uint16),
        )


def find_peaks(heat: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Return the local maxima from ``threshold`` up, intp[n, 2] as (row, column), in reading order.

    A pixel is one if none in the square of ``PEAK_RADIUS_PX`` around it is higher, nor equally high
    and before it in reading order.
    """
    highest = _window_maximum(heat, PEAK_RADIUS_PX)
    peaks = np.argwhere((heat == highest) & (heat >= threshold))
    return peaks[~_has_earlier_twin(peaks, heat)]


def _has_earlier_twin(peaks: NDArray[np.intp], heat: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return before which maxima an equal pixel lies in the window, bool[n]."""
    radius = PEAK_RADIUS_PX
    padded = np.pad(heat, radius, constant_values=-np.inf).reshape(-1)
    width = heat.shape[1] + 2 * radius
    places = (peaks[:, 0] + radius) * width + peaks[:, 1] + radius
    height = padded[places]
    twin = np.zeros(len(peaks), np.bool_)
    for down in range(-radius, 1):
        for right in range(-radius, radius + 1 if down else 0):
            twin |= padded[places + (down * width + right)] == height
    return twin


def _window_maximum(values: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Return the maximum over the square window of side ``2 radius + 1``; outside counts as none.

    Rows, then columns, each by windows of doubled length: few passes over the memory.
    """
    for _ in range(2):
        values = np.pad(values, ((radius, radius), (0, 0)), constant_values=-np.inf)
        length, wanted = 1, 2 * radius + 1
        while length < wanted:
            step = min(length, wanted - length)
            values = np.maximum(values[:-step], values[step:])
            length += step
        values = np.ascontiguousarray(values.T)
    return values


def _assign(
    pixels: NDArray[np.intp],
    peaks: NDArray[np.intp],
    dx: NDArray[np.float32],
    dy: NDArray[np.float32],
) -> NDArray[np.int32]:
    """Return the number (1..n) of the peak that each pixel points at, 0 for none, int32[m].

    ``pixels`` are flat indices into the tile.
    """
    height, width = dx.shape
    nearest = _nearest_peak(peaks, (height, width))
    rows, columns = np.divmod(pixels.astype(np.int32), np.int32(width))
    pad = ASSIGN_RADIUS_PX + 1
    rows += _whole_steps(dy.ravel()[pixels])
    columns += _whole_steps(dx.ravel()[pixels])
    np.clip(rows, -pad, height + pad - 1, out=rows)
    np.clip(columns, -pad, width + pad - 1, out=columns)
    return np.asarray(nearest[rows + pad, columns + pad], np.int32)


def _is_loose(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which pixels share their label with fewer than ``LEAST_NEIGHBOURS`` of eight."""
    alike = np.zeros(labels.shape, np.uint8)
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        here = np.s_[: labels.shape[0] - down, max(0, -right) : labels.shape[1] - max(0, right)]
        there = np.s_[down:, max(0, right) : labels.shape[1] + min(0, right)]
        same = labels[here] == labels[there]
        alike[here] += same
        alike[there] += same
    return np.asarray(alike < LEAST_NEIGHBOURS, np.bool_)


def _whole_steps(offsets: NDArray[np.float32]) -> NDArray[np.int32]:
    return np.rint(np.clip(offsets, -OFFSET_LIMIT_PX, OFFSET_LIMIT_PX)).astype(np.int32)


def _nearest_peak(peaks: NDArray[np.intp], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return for every position the number of the peak nearest within ``ASSIGN_RADIUS_PX``, or 0.

    int32, padded by the radius and one more ring of zeros, to which anything further out points.
    Discs are stamped from their rim inwards, so the nearest peak writes last; of two at the same
    distance the one in the later direction wins, everywhere alike.
    """
    radius = ASSIGN_RADIUS_PX
    pad = radius + 1
    grid = np.zeros((shape[0] + 2 * pad, shape[1] + 2 * pad), np.int32)
    numbers = np.arange(1, len(peaks) + 1, dtype=np.int32)
    start = (peaks[:, 0] + pad) * grid.shape[1] + peaks[:, 1] + pad
    steps = np.mgrid[-radius : radius + 1, -radius : radius + 1].reshape(2, -1)
    distance = (steps**2).sum(axis=0)
    flat = grid.reshape(-1)
    for step in np.argsort(-distance, kind="stable"):
        if distance[step] <= radius**2:
            flat[start + (steps[0, step] * grid.shape[1] + steps[1, step])] = numbers
    return grid


def _brightest(
    pixels: NDArray[Any], low: tuple[float, ...], high: tuple[float, ...]
) -> NDArray[np.float32]:
    """Return the windowed bands' maximum, float32[h, w] in 0..1; narrow bands are left out."""
    bottom, span = np.asarray(low, np.float32), np.subtract(high, low)
    bands = np.flatnonzero(span >= NARROW_SHARE * span.max())
    spread = (pixels[..., bands].astype(np.float32) - bottom[bands]) / span[bands]
    return np.asarray(np.clip(spread.max(axis=2), 0.0, 1.0), np.float32)
