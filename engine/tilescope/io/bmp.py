"""Uncompressed Windows bitmaps; the codec library trusts their header more than their length.

BITMAPFILEHEADER and BITMAPINFOHEADER of the Windows SDK: rows from the bottom up unless the
height is negative, padded to four bytes, blue first.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_UNCOMPRESSED = 0
_BITFIELDS = 3


def decode_bmp(data: bytes) -> NDArray[np.uint8]:
    """Return ``uint8[h, w, 3]`` of a bitmap of 8 (palette), 24 or 32 bits.

    Raises
    ------
    ValueError
        When it is of another kind, or ends too early.
    """
    start, header_size, width, signed_height = struct.unpack_from("<IIii", data, 10)
    bits, compression = struct.unpack_from("<HI", data, 28)
    plain = compression == _UNCOMPRESSED or (compression == _BITFIELDS and bits == 32)
    if not plain or bits not in {8, 24, 32}:
        msg = f"a bitmap of {bits} bits and compression {compression} is not supported"
        raise ValueError(msg)
    height = abs(signed_height)
    row_bytes = (width * bits + 31) // 32 * 4
    if width <= 0 or height == 0 or start + row_bytes * height > len(data):
        msg = f"{len(data)} bytes do not hold {width} x {height} pixels"
        raise ValueError(msg)
    rows = np.frombuffer(data, np.uint8, row_bytes * height, start).reshape(height, row_bytes)
    pixels = rows[:, : width * bits // 8].reshape(height, width, bits // 8)
    if bits == 8:
        pixels = _palette(data, 14 + header_size)[pixels[..., 0]]
    upright = pixels if signed_height < 0 else pixels[::-1]
    return np.ascontiguousarray(upright[..., 2::-1])


def _palette(data: bytes, start: int) -> NDArray[np.uint8]:
    """Return ``uint8[256, 4]``, blue first; entries the file leaves out are black."""
    used = struct.unpack_from("<I", data, 46)[0] or 256
    count = max(0, min(used, 256, (len(data) - start) // 4))
    table = np.zeros((256, 4), np.uint8)
    table[:count] = np.frombuffer(data, np.uint8, count * 4, start).reshape(count, 4)
    return table
