"""A small colour picture of a whole slide, whatever its bands are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.io.cache import TileCache
from tilescope.io.region import read_working, working_size
from tilescope.io.source import SlideSource

Pixels = NDArray[Any]

#: Colours of fluorescence bands, in the order of the bands: blue, green, red, then mixtures.
_BAND_COLOURS = np.array(
    [(0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 0), (1, 1, 1)], np.float32
)

#: Percentiles that become black and white in bands that are not photographs.
_WINDOW = (0.5, 99.8)


def thumbnail(
    source: SlideSource, cache: TileCache, max_side: int, *, plane: int = 0
) -> NDArray[np.uint8]:
    """Return the slide as ``uint8[h, w, 3]`` with its longer side at most ``max_side``.

    Colour and 8-bit grey are shown as they are; 16-bit, float and multi-band pixels are windowed
    by percentiles, several bands added up in fixed colours.

    Raises
    ------
    TileReadError
        When a tile cannot be read.
    """
    info = source.info
    factor = max(info.size.width, info.size.height) / max_side
    rect = Rect.of_size(working_size(info, max(factor, 1.0)))
    pixels = read_working(source, cache, rect, max(factor, 1.0), plane=plane)
    return as_rgb(pixels, is_rgb=info.is_rgb)


def as_rgb(pixels: Pixels, *, is_rgb: bool) -> NDArray[np.uint8]:
    """Return pixels of any dtype and number of bands as ``uint8[h, w, 3]`` to look at."""
    if is_rgb:
        return pixels if pixels.dtype == np.uint8 else _to_bytes(_unit(pixels, together=True))
    if pixels.shape[2] == 1:
        grey = pixels if pixels.dtype == np.uint8 else _to_bytes(_unit(pixels, together=True))
        return np.repeat(grey, 3, axis=2)
    colours = np.resize(_BAND_COLOURS, (pixels.shape[2], 3))
    return _to_bytes(np.minimum(_unit(pixels, together=False) @ colours, 1))


def _unit(pixels: Pixels, *, together: bool) -> NDArray[np.float32]:
    """Return pixels between 0 and 1, all bands windowed alike or each on its own."""
    values = np.nan_to_num(pixels.astype(np.float32), posinf=0, neginf=0)
    axes = None if together else (0, 1)
    low, high = np.percentile(values, _WINDOW, axis=axes)
    span = np.where(high > low, high - low, 1)
    unit: NDArray[np.float32] = np.clip((values - low) / span, 0, 1).astype(np.float32)
    return unit


def _to_bytes(unit: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (unit * 255 + 0.5).astype(np.uint8)
