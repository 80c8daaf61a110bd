"""Fluorescence as a window shows it: bands windowed, bent by gamma and added up in colour.

A value becomes ``((value - low) / (high - low)) ** gamma``, cut to 0-1 before the power; that
brightness times the band's colour is added to those of the other bands, and the sum is cut at
white. NaN is black.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope._native import _pixels

Pixels = NDArray[Any]

#: Beyond it a picture is all black or all white.
GAMMA_RANGE = (0.1, 10.0)

#: Full brightness and full colour as the C loop counts them.
_FULL_LEVEL = 255 << 7
_FULL_COLOUR = 65535 // 255

#: How many values a dtype has; floats are windowed without a table.
_VALUES = {"uint8": 256, "uint16": 65536, "float32": 0}


@dataclass(frozen=True, slots=True)
class ChannelStyle:
    """How one band is shown.

    Attributes
    ----------
    low, high
        Values that become black and full colour, in the slide's own units; ``low < high``.
    gamma
        Power of the brightness between: below one shows faint structures.
    color
        Red, green and blue of full brightness, 0-255.
    visible
        False leaves the band out.
    """

    low: float
    high: float
    gamma: float = 1.0
    color: tuple[int, int, int] = (255, 255, 255)
    visible: bool = True

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            msg = f"the window {self.low}..{self.high} is empty or not finite"
            raise ValueError(msg)
        if not GAMMA_RANGE[0] <= self.gamma <= GAMMA_RANGE[1]:
            msg = f"gamma = {self.gamma} is outside {GAMMA_RANGE[0]}-{GAMMA_RANGE[1]}"
            raise ValueError(msg)
        if not all(0 <= c <= 255 for c in self.color):
            msg = f"{self.color} is not red, green and blue from 0 to 255"
            raise ValueError(msg)


class Composer:
    """Shows the bands of tiles in one picture; made once per set of styles, for any thread.

    Parameters
    ----------
    styles
        One per band.
    dtype
        ``uint8``, ``uint16`` or ``float32``: that of the tiles.

    Raises
    ------
    TypeError
        When the dtype is another one.
    """

    def __init__(self, styles: Sequence[ChannelStyle], dtype: str) -> None:
        if dtype not in _VALUES:
            msg = f"pixels are uint8, uint16 or float32, not {dtype}"
            raise TypeError(msg)
        shown = [style for style in styles if style.visible]
        self._dtype = dtype
        self._count = len(styles)
        self._bands = np.flatnonzero([style.visible for style in styles]).astype(np.int32)
        self._colours = _rows([s.color for s in shown], np.uint16) * np.uint16(_FULL_COLOUR)
        self._windows = _rows([(s.low, 1 / (s.high - s.low), s.gamma) for s in shown], np.float32)
        self._levels = _levels(shown, _VALUES[dtype])

    def __call__(
        self, pixels: Pixels, *, out: NDArray[np.uint32] | None = None
    ) -> NDArray[np.uint32]:
        """Return the bands of ``pixels`` in one picture.

        Parameters
        ----------
        pixels
            ``[height, width, bands]`` with any strides: planes are shown without a copy as
            ``numpy.moveaxis(planes, 0, -1)``.
        out
            ``uint32[height, width]`` to fill instead of a new array.

        Returns
        -------
        numpy.ndarray
            ``uint32[height, width]``, ``0xffRRGGBB`` as ``QImage.Format_RGB32`` wants it. With up
            to 40 bands it is at most one grey level beside the formula.

        Raises
        ------
        ValueError
            When there are more or fewer bands than styles, or ``out`` does not fit.
        TypeError
            When the dtype is another one than promised.
        """
        if pixels.ndim != 3 or pixels.shape[2] != self._count:
            msg = f"{self._count} styles for pixels of shape {pixels.shape}"
            raise ValueError(msg)
        if pixels.dtype != self._dtype:
            msg = f"pixels are {pixels.dtype}, not {self._dtype}"
            raise TypeError(msg)
        words = np.empty(pixels.shape[:2], np.uint32) if out is None else out
        _pixels.compose(pixels, words, self._bands, self._colours, self._windows, self._levels)
        return words


def compose(
    pixels: Pixels, styles: Sequence[ChannelStyle], *, out: NDArray[np.uint32] | None = None
) -> NDArray[np.uint32]:
    """Return the bands of ``pixels`` in one picture; see :class:`Composer`, made for one use."""
    return Composer(styles, pixels.dtype.name)(pixels, out=out)


def _rows(rows: Sequence[Sequence[float]], dtype: type) -> NDArray[Any]:
    return np.array(rows, dtype).reshape(len(rows), 3)


def _levels(styles: Sequence[ChannelStyle], count: int) -> NDArray[np.uint16]:
    """Return the brightness of every one of ``count`` integers in every style."""
    levels = np.empty((len(styles), count), np.uint16)
    values = np.arange(count, dtype=np.float64)
    for row, style in zip(levels, styles, strict=True):
        unit = np.clip((values - style.low) / (style.high - style.low), 0, 1)
        row[:] = (unit if style.gamma == 1 else unit**style.gamma) * _FULL_LEVEL + 0.5
    return levels
