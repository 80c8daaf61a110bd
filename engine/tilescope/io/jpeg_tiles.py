"""Tiles that are one JPEG stream each: one read and one decoder call, straight into the bands.

What any TIFF tile may need costs more than a tenth of the decoding itself; nearly all slides are
pages of plain 8-bit JPEG tiles, for which none of it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tilescope.io.bytefile import ByteFile
from tilescope.io.tiff_pixels import RGB, YCBCR

if TYPE_CHECKING:
    import tifffile

#: JPEG as of TIFF Technical Note 2, and the numbers of others for the same.
_NEW_JPEG = frozenset({7, 33007, 34892})

_VECTOR_BYTES = 32


@dataclass(frozen=True, slots=True, eq=False)
class JpegTiles:
    """The whole tiles of a page; those cut by its edge are not among them.

    Attributes
    ----------
    offsets, counts
        ``int64[n]``: place and length of each stream in the file.
    across
        Tiles per row of the page, the cut ones included.
    whole
        Columns and rows of whole tiles.
    shape
        Rows, columns and bands of a tile.
    call
        ``call(data, out=array)`` of the codec library, with all that the tiles share.
    """

    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    across: int
    whole: tuple[int, int]
    shape: tuple[int, int, int]
    call: Callable[..., Any]

    def read(self, file: ByteFile, col: int, row: int) -> NDArray[np.uint8] | None:
        """Return ``uint8[h, w, bands]``, None when the tile needs a closer look.

        That is so when it is missing or outside, and when its stream is not what the page
        promises: the codec compares the size that it declares with the array before it decodes.
        """
        if not (0 <= col < self.whole[0] and 0 <= row < self.whole[1]):
            return None
        index = row * self.across + col
        offset, count = self.offsets.item(index), self.counts.item(index)
        pixels = empty_tile(self.shape)
        if offset <= 0 or not 0 < count <= pixels.nbytes:
            return None
        try:
            self.call(file.read_at(offset, count), out=pixels)
        except Exception:  # noqa: BLE001 - the general way decodes it, or says what is wrong
            return None
        return pixels


def jpeg_tiles(
    page: tifffile.TiffPage, offsets: NDArray[np.int64], counts: NDArray[np.int64]
) -> JpegTiles | None:
    """Return the whole tiles of a page, None when they are no plain 8-bit JPEG.

    Parameters
    ----------
    page
        A ``tifffile.TiffPage``.
    offsets, counts
        Place and length of its tiles, row by row.
    """
    keyframe = page.keyframe
    samples = int(keyframe.samplesperpixel)
    kinds = {RGB, YCBCR} if samples == 3 else set()
    if keyframe.compression not in _NEW_JPEG or keyframe.photometric not in kinds:
        return None
    tiled = keyframe.tilewidth > 0 and keyframe.planarconfig == 1 and keyframe.jpegheader is None
    if not tiled or keyframe.bitspersample != 8 or keyframe.extrasamples:
        return None
    import imagecodecs

    # three components without a marker are taken for YCbCr otherwise: Aperio
    stored_rgb = keyframe.photometric == RGB and not keyframe.is_jfif
    stored = RGB if stored_rgb else None
    width, height = int(keyframe.tilewidth), int(keyframe.tilelength)
    return JpegTiles(
        offsets,
        counts,
        -(-keyframe.imagewidth // width),
        (keyframe.imagewidth // width, keyframe.imagelength // height),
        (height, width, samples),
        partial(
            imagecodecs.jpeg8_decode, tables=page.jpegtables, colorspace=stored, outcolorspace=RGB
        ),
    )


def empty_tile(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return memory for a tile that starts between two multiples of 32 bytes.

    libjpeg-turbo writes rows that start on one past the processor's cache, and decoding a tile
    then takes a quarter longer.
    """
    count = shape[0] * shape[1] * shape[2]
    memory = np.empty(count + _VECTOR_BYTES, np.uint8)
    address = memory.__array_interface__["data"][0]
    start = (_VECTOR_BYTES // 2 - address) % _VECTOR_BYTES
    return memory[start : start + count].reshape(shape)
