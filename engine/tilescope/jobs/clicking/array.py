"""A picture in memory as a slide."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.scale import PixelSize
from tilescope.domain.slide import Level, SlideId, SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope.errors import UsageError
from tilescope.io.slide_reader import SlideReader
from tilescope.ops.tissue import has_dark_background

_TILE_PX = 512
_RGB_BANDS = 3
_MOST_BANDS = 64
_DTYPES = {"uint8", "uint16", "float32"}
#: The look at how bright the picture is takes at most about so many pixels a side.
_LOOK_PX = 1024


class ArraySource(SlideReader):
    """One array as a slide of one level; the array is shared, not copied.

    Parameters
    ----------
    pixels
        ``[height, width]`` or ``[height, width, bands]`` of ``uint8``, ``uint16`` or ``float32``.
    um_per_px
        Size of a pixel, None when it is not known.
    name
        What errors call the picture.

    Raises
    ------
    UsageError
        For another shape or dtype, or a pixel size that no microscope has.
    """

    def __init__(
        self, pixels: NDArray[Any], *, um_per_px: float | None = None, name: str = "array"
    ) -> None:
        shaped = _with_bands(pixels)
        self._pixels: NDArray[Any] | None = shaped
        height, width, bands = shaped.shape
        size = Size(width, height)
        tile = Size(min(width, _TILE_PX), min(height, _TILE_PX))
        names = ("R", "G", "B") if bands == _RGB_BANDS else tuple(f"band {i}" for i in range(bands))
        super().__init__(
            SlideInfo(
                id=SlideId.of(str(uuid4()), size_bytes=shaped.nbytes, mtime_ns=0),
                path=name,
                size_bytes=shaped.nbytes,
                format="array",
                reader="array",
                levels=(Level(0, size, tile, 1.0, 1.0),),
                bands=names,
                dtype=shaped.dtype.name,
                background=_background(shaped),
                pixel_size=_pixel_size(um_per_px),
                pixel_size_source=None if um_per_px is None else "user",
            )
        )

    def _read(self, tile: TileKey, rect: Rect) -> NDArray[Any]:
        if self._pixels is None:
            raise ValueError("the picture is closed")
        return self._pixels[rect.y0 : rect.y1, rect.x0 : rect.x1].copy()

    def close(self) -> None:
        """Let go of the array."""
        self._pixels = None


def _with_bands(pixels: NDArray[Any]) -> NDArray[Any]:
    shaped = pixels[..., None] if pixels.ndim == 2 else pixels
    if shaped.ndim != 3 or not all(shaped.shape) or shaped.shape[2] > _MOST_BANDS:
        raise UsageError(f"an array of shape {pixels.shape} is no picture: it has to be [h, w, c]")
    if shaped.dtype.name not in _DTYPES:
        raise UsageError(f"an array of {pixels.dtype} cannot be read: use {', '.join(_DTYPES)}")
    return shaped


def _pixel_size(um_per_px: float | None) -> PixelSize | None:
    try:
        return None if um_per_px is None else PixelSize(um_per_px, um_per_px)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc


def _background(pixels: NDArray[Any]) -> tuple[int, ...]:
    """Return what lies beyond the edge: glass around a stained section, dark around light."""
    step = -(-max(pixels.shape[:2]) // _LOOK_PX)
    look = pixels[::step, ::step]
    full_scale = (
        float(look.max(initial=0)) if look.dtype.kind == "f" else float(np.iinfo(look.dtype).max)
    )
    percentile = 5 if has_dark_background(look, max(full_scale, 1e-6)) else 95
    values = np.percentile(look.reshape(-1, look.shape[2]), percentile, axis=0)
    return tuple(int(v) for v in np.nan_to_num(values))
