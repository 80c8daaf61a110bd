"""Which stored number types become which of the three that tiles have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: ``float32`` holds the narrow ones exactly and the wide ones to 24 bits.
_AS_FLOAT = frozenset({"int8", "int16", "int32", "uint32", "float16", "float64"})

_AS_THEY_ARE = frozenset({"uint8", "uint16", "float32"})


def tile_dtype(stored: np.dtype[Any]) -> str | None:
    """Return the dtype in which tiles hand out ``stored`` samples, None when there is none."""
    if stored.name in _AS_THEY_ARE:
        return stored.name
    if stored == np.bool_:
        return "uint8"
    return "float32" if stored.name in _AS_FLOAT else None


def as_tile_dtype(values: NDArray[Any]) -> NDArray[Any]:
    """Return ``values`` in their tile dtype and native byte order; truth becomes 0 and 255."""
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    return finite(values.astype(tile_dtype(values.dtype), copy=False))


def finite(tile: NDArray[Any]) -> NDArray[Any]:
    """Return the tile with 0 in place of what is not a finite number.

    One NaN would spread to every average that it is part of.
    """
    if tile.dtype != np.float32 or np.isfinite(tile).all():
        return tile
    return np.where(np.isfinite(tile), tile, np.float32(0))


def white_of(dtype: str) -> int:
    """Return the brightest value of a tile dtype."""
    return {"uint8": 255, "uint16": 65535}.get(dtype, 1)
