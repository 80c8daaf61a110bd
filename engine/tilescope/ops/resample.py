"""Resampling that is exact per tile: a pixel's value never depends on the rectangle it came in.

The working grid divides the plane into squares of ``factor`` source pixels: destination pixel
``i`` covers ``[i * factor, (i + 1) * factor)``, counted from the scale's origin. Shrinking averages
over that interval with exact fractional weights; enlarging interpolates linearly between pixel
centres. Taps are a function of the global index alone, so two requests that overlap agree bit for
bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope._native import _pixels
from tilescope.domain.geometry import Rect, Size

Pixels = NDArray[Any]

#: Interval ends this close to a whole source pixel are that pixel's edge: rounding of the
#: product would otherwise ask for one more pixel with no weight.
_SNAP = 1e-6


@dataclass(frozen=True, slots=True)
class Scale:
    """How destination pixels lie on source pixels.

    Attributes
    ----------
    x, y
        Source pixels per destination pixel along each axis; below one the result is larger than
        the source.
    x0, y0
        Where the left and top edge of destination pixel 0 lie, in source pixels.
    """

    x: float
    y: float
    x0: float = 0.0
    y0: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.x < math.inf and 0 < self.y < math.inf):
            msg = f"a scale must be positive and finite, not {self.x} x {self.y}"
            raise ValueError(msg)
        if not (math.isfinite(self.x0) and math.isfinite(self.y0)):
            msg = f"a picture cannot begin at {self.x0}, {self.y0}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class _Taps:
    """First source index and weights of each destination index, weights ending at a zero."""

    start: NDArray[np.int64]
    weights: NDArray[np.float32]

    @property
    def lowest(self) -> int:
        """First source index that any destination needs."""
        return int(self.start.min())

    @property
    def end(self) -> int:
        """One past the last source index that any destination needs."""
        used = np.count_nonzero(self.weights, axis=1)
        return int((self.start + used).max())


@dataclass(frozen=True, slots=True)
class _Axis:
    """One direction of a scale, in a source of ``length`` pixels."""

    factor: float
    origin: float
    length: int


def scaled_size(size: Size, scale: Scale) -> Size:
    """Return how many destination pixels touch a source of ``size`` pixels."""
    return Size(_scaled(size.width, scale.x), _scaled(size.height, scale.y))


def source_rect(rect_dst: Rect, scale: Scale, bounds: Size) -> Rect:
    """Return the source pixels that :func:`resample` needs for ``rect_dst``.

    Parameters
    ----------
    rect_dst
        Destination pixels, global indices on the working grid.
    scale
        Source pixels per destination pixel.
    bounds
        Size of the whole source; nothing outside it is asked for.
    """
    x = _taps(rect_dst.x0, rect_dst.x1, _Axis(scale.x, scale.x0, bounds.width))
    y = _taps(rect_dst.y0, rect_dst.y1, _Axis(scale.y, scale.y0, bounds.height))
    return Rect(x.lowest, y.lowest, x.end, y.end)


def resample(
    pixels: Pixels, rect_src: Rect, *, scale: Scale, rect_dst: Rect, bounds: Size
) -> Pixels:
    """Return the destination pixels of ``rect_dst``.

    Parameters
    ----------
    pixels
        ``[height, width, bands]`` of ``uint8``, ``uint16`` or ``float32``: the source pixels of
        ``rect_src``.
    rect_src
        Where ``pixels`` lies in the source; must enclose :func:`source_rect`.
    scale
        Source pixels per destination pixel.
    rect_dst
        Destination pixels, global indices on the working grid.
    bounds
        Size of the whole source: its border, and only it, is extended by its edge pixels.

    Returns
    -------
    numpy.ndarray
        ``[rect_dst.height, rect_dst.width, bands]`` in the dtype of ``pixels``.

    Raises
    ------
    ValueError
        When ``rect_src`` does not hold what is needed or does not match ``pixels``.
    TypeError
        When the dtype is another one.
    """
    if pixels.shape[:2] != (rect_src.height, rect_src.width):
        msg = f"pixels of shape {pixels.shape} do not fill {rect_src}"
        raise ValueError(msg)
    x = _taps(rect_dst.x0, rect_dst.x1, _Axis(scale.x, scale.x0, bounds.width))
    y = _taps(rect_dst.y0, rect_dst.y1, _Axis(scale.y, scale.y0, bounds.height))
    if not rect_src.encloses(Rect(x.lowest, y.lowest, x.end, y.end)):
        msg = f"{rect_src} does not hold the source pixels of {rect_dst}"
        raise ValueError(msg)
    source = np.ascontiguousarray(pixels)
    out = np.empty((rect_dst.height, rect_dst.width, source.shape[2]), source.dtype)
    scratch = np.empty(source.shape[1] * source.shape[2], np.float32)
    x_start = (x.start - rect_src.x0).astype(np.int32)
    y_start = (y.start - rect_src.y0).astype(np.int32)
    _pixels.resample(source, out, x_start, x.weights, y_start, y.weights, scratch)
    return out


def halve(pixels: Pixels) -> Pixels:
    """Return the means of 2 x 2 pixels, of what exists at odd edges; integers round half up.

    Parameters
    ----------
    pixels
        ``[height, width, bands]`` of ``uint8``, ``uint16`` or ``float32``.
    """
    height, width, bands = pixels.shape
    out = np.empty((-(-height // 2), -(-width // 2), bands), pixels.dtype)
    _pixels.box2(np.ascontiguousarray(pixels), out)
    return out


def _scaled(length: int, factor: float) -> int:
    return max(1, int(np.ceil(length / factor - _SNAP)))


def _taps(first: int, last: int, axis: _Axis) -> _Taps:
    """Return the taps of destination indices ``[first, last)``."""
    index = np.arange(first, last, dtype=np.float64)
    taps = _area_taps(index, axis) if axis.factor >= 1 else _linear_taps(index, axis)
    return _Taps(taps.start, np.ascontiguousarray(taps.weights))


def _area_taps(index: NDArray[np.float64], axis: _Axis) -> _Taps:
    low = np.clip(_snapped(axis.origin + index * axis.factor), 0, axis.length)
    high = np.clip(_snapped(axis.origin + (index + 1) * axis.factor), 0, axis.length)
    # an interval wholly outside takes the nearest pixel: levels may be cut a little short
    outside = high <= low
    start = np.minimum(np.floor(low), axis.length - 1)
    low = np.where(outside, start, low)
    high = np.where(outside, start + 1, high)
    count = int(np.max(np.ceil(high) - start))
    cell = start[:, None] + np.arange(count)
    overlap = np.minimum(cell + 1, high[:, None]) - np.maximum(cell, low[:, None])
    weights = np.maximum(overlap, 0) / (high - low)[:, None]
    return _Taps(start.astype(np.int64), weights.astype(np.float32))


def _linear_taps(index: NDArray[np.float64], axis: _Axis) -> _Taps:
    centre = np.clip(axis.origin + (index + 0.5) * axis.factor - 0.5, 0, axis.length - 1)
    start = np.minimum(np.floor(centre), axis.length - 1)
    share = (centre - start).astype(np.float32)
    # single precision may round a share up to one, which is the next pixel alone
    start, share = np.where(share < 1, start, start + 1), np.where(share < 1, share, 0)
    share = np.where(start >= axis.length - 1, 0, share).astype(np.float32)
    return _Taps(start.astype(np.int64), np.stack([1 - share, share], axis=1))


def _snapped(position: NDArray[np.float64]) -> NDArray[np.float64]:
    whole = np.round(position)
    return np.where(np.abs(position - whole) < _SNAP, whole, position)
