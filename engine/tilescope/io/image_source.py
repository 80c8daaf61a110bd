"""Plain images as a slide of one level: PNG, JPEG, WebP, BMP and JPEG 2000.

Such files decode as a whole, so the size they declare is checked before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.slide import SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope.errors import CorruptSlide, UnsupportedFormat
from tilescope.io.bmp import decode_bmp
from tilescope.io.faults import closed_error, foreign_errors
from tilescope.io.identity import slide_id
from tilescope.io.image_chunks import icc_profile, image_orientation
from tilescope.io.image_header import ImageHeader, read_header
from tilescope.io.levels import make_levels
from tilescope.io.sample_types import as_tile_dtype, tile_dtype, white_of
from tilescope.io.slide_reader import SlideReader
from tilescope.io.tiff_pixels import over_white

Pixels = NDArray[Any]

#: A decoded image may take this much.
LARGEST_IMAGE_BYTES = 512 << 20

#: Deflate packs 1032 bytes into one, a byte has at most eight pixels of PNG, and JPEG is less
#: dense than that. Blank JPEG 2000 may be denser, pictures of something are not.
_MOST_PIXELS_PER_BYTE = 8 * 1032

#: Below this the file may be as short as it likes; blank WebP needs next to nothing.
_ALWAYS_DECODED_PX = 1 << 20
_ANY_DENSITY = frozenset({"webp"})

_TILE = Size(512, 512)

_JPEG_PREAMBLE_BYTES = 1 << 16


class ImageSource(SlideReader):
    """A decoded image held in memory until it is closed."""

    def __init__(self, info: SlideInfo, pixels: Pixels) -> None:
        super().__init__(info)
        self._pixels = pixels

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the image as a slide.

        Raises
        ------
        UnsupportedFormat
            When it is no image of these kinds, or too large to decode at once.
        CorruptSlide
            When it cannot be decoded.
        """
        identity, size_bytes = slide_id(path)
        if size_bytes > LARGEST_IMAGE_BYTES:
            raise UnsupportedFormat(path, _too_large(f"the file takes {size_bytes >> 20} MiB"))
        with foreign_errors(path, "reading the image"):
            data = path.read_bytes()
        header = read_header(data)
        if header is None:
            raise UnsupportedFormat(path, "not a PNG, JPEG, WebP, BMP or JPEG 2000 image")
        _check_size(path, header, size_bytes)
        with foreign_errors(path, f"decoding the {header.kind} image"):
            decoded = _decode(header.kind, data)
            if header.kind == "jpeg" and decoded.shape[2:] == (4,):
                decoded = _from_ink(decoded, inverted=b"Adobe" in data[:_JPEG_PREAMBLE_BYTES])
            pixels = _bands_of(path, decoded)
            orientation = image_orientation(header.kind, data)
            pixels = pixels if orientation is None else orientation.upright(pixels)
        size = Size(pixels.shape[1], pixels.shape[0])
        colour = pixels.shape[2] == 3
        white = white_of(pixels.dtype.name)
        info = SlideInfo(
            id=identity,
            path=str(path),
            size_bytes=size_bytes,
            format=header.kind,
            reader="image",
            levels=make_levels([size], [_TILE]),
            bands=("R", "G", "B") if colour else ("grey",),
            dtype=pixels.dtype.name,
            background=(white,) * 3 if colour else (0,),
            icc_profile=icc_profile(header.kind, data),
        )
        return cls(info, pixels)

    def _read(self, tile: TileKey, rect: Rect) -> Pixels:
        del tile  # the only level and plane
        if not self._pixels.size:
            raise closed_error()
        return self._pixels[rect.y0 : rect.y1, rect.x0 : rect.x1].copy()

    def close(self) -> None:
        """Give back the memory; twice is fine."""
        self._pixels = np.empty((0, 0, len(self._info.bands)), self._info.dtype)


def _check_size(path: Path, header: ImageHeader, size_bytes: int) -> None:
    if header.width <= 0 or header.height <= 0:
        raise CorruptSlide(path, f"a {header.kind} image of {header.width} x {header.height}")
    needed = header.width * header.height * header.bytes_per_pixel
    if needed > LARGEST_IMAGE_BYTES:
        pixels = f"{header.width} x {header.height} pixels take {needed >> 20} MiB"
        raise UnsupportedFormat(path, _too_large(pixels))
    held = max(_ALWAYS_DECODED_PX, size_bytes * _MOST_PIXELS_PER_BYTE)
    if header.width * header.height > held and header.kind not in _ANY_DENSITY:
        sides = f"{header.width} x {header.height}"
        raise CorruptSlide(path, f"{size_bytes} bytes are too few for {sides} {header.kind} pixels")


def _too_large(what: str) -> str:
    return (
        f"{what}, more than the {LARGEST_IMAGE_BYTES >> 20} MiB that an untiled image may have; "
        "convert it to a tiled format (pyramidal TIFF or OME-Zarr)"
    )


def _decode(kind: str, data: bytes) -> Pixels:
    import imagecodecs

    decoders: dict[str, Callable[[bytes], Pixels]] = {
        "png": imagecodecs.png_decode,
        "jpeg": imagecodecs.jpeg_decode,
        "webp": imagecodecs.webp_decode,
        "bmp": decode_bmp,
        "jpeg2000": imagecodecs.jpeg2k_decode,
    }
    return decoders[kind](data)


def _from_ink(decoded: Pixels, *, inverted: bool) -> Pixels:
    """Return RGB of a CMYK JPEG; Adobe's, which is nearly all, store 255 for no ink."""
    light = decoded if inverted else 255 - decoded
    return (light[..., :3] * (light[..., 3:].astype(np.float32) / 255) + 0.5).astype(np.uint8)


def _bands_of(path: Path, decoded: Pixels) -> Pixels:
    """Return ``[h, w, 1 or 3]`` without alpha."""
    if decoded.size == 0:
        raise CorruptSlide(path, f"an image of shape {decoded.shape}")
    pixels = decoded if decoded.ndim == 3 else decoded[..., None]
    if pixels.ndim != 3 or tile_dtype(pixels.dtype) is None or not 1 <= pixels.shape[2] <= 4:
        reason = f"an image of shape {decoded.shape} and type {decoded.dtype} is not supported"
        raise UnsupportedFormat(path, reason)
    if pixels.shape[2] in {2, 4}:
        pixels = over_white(pixels, white_of(pixels.dtype.name))
    return np.ascontiguousarray(as_tile_dtype(pixels))
