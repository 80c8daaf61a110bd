"""NDPI files made on the fly: pages that are one JPEG, and the list of its restart intervals."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Starts = NDArray[np.uint32]

_QUALITY = 90

#: Types of TIFF's numbers.
_ASCII, _SHORT, _LONG, _FLOAT, _SLONG = 2, 3, 4, 11, 9

_PX_PER_CM = 43478


def jpeg_with_restarts(
    pixels: NDArray[np.uint8],
    interval: int,
    *,
    subsampling: str = "4:4:4",
    quality: int = _QUALITY,
) -> tuple[bytes, Starts]:
    """Return a JPEG and where in it each of its restart intervals starts.

    Parameters
    ----------
    pixels
        ``uint8[h, w, 3]``.
    interval
        Blocks between two restart markers.
    subsampling
        Of colour, as Pillow names it.
    quality
        Of the JPEG, 1 to 95.
    """
    from PIL import Image

    memory = io.BytesIO()
    Image.fromarray(pixels).save(
        memory, "jpeg", subsampling=subsampling, restart_marker_blocks=interval, quality=quality
    )
    data = memory.getvalue()
    scan = data.index(b"\xff\xda")
    starts = [scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")]
    at = starts[0]
    while (at := data.find(b"\xff", at) + 1) > 0:
        if 0xD0 <= data[at] <= 0xD7:
            starts.append(at + 1)
    return data, np.asarray(starts, np.uint32)


def write_ndpi(
    path: Path,
    pages: Iterable[NDArray[np.uint8]],
    interval: int,
    *,
    focus: Sequence[int] | None = None,
    starts: Callable[[Starts], Starts] = lambda found: found,
    subsampling: str = "4:4:4",
    quality: int = _QUALITY,
) -> Path:
    """Write pages ``uint8[h, w, 3]``, finest first, and return the file's path.

    Parameters
    ----------
    interval, subsampling, quality
        Of every page; see :func:`jpeg_with_restarts`.
    focus
        The height of each page's focal plane in nanometres; 0 for all by default.
    starts
        Returns what the file says of where intervals start, given where they do.
    """
    import tifffile

    pages = list(pages)
    with tifffile.TiffWriter(path) as writer:
        for pixels, offset in zip(pages, focus or [0] * len(pages), strict=True):
            data, found = jpeg_with_restarts(
                pixels, interval, subsampling=subsampling, quality=quality
            )
            said = starts(found)
            writer.write(
                iter([data]),
                shape=pixels.shape,
                dtype=np.uint8,
                photometric="ycbcr",
                compression="jpeg",
                rowsperstrip=pixels.shape[0],
                metadata=None,
                software="NDP.scan",
                resolution=(_PX_PER_CM, _PX_PER_CM),
                resolutionunit="CENTIMETER",
                extratags=[
                    (271, _ASCII, 0, "Hamamatsu", True),
                    (65420, _SHORT, 1, 1, True),
                    (65421, _FLOAT, 1, 20.0, True),
                    (65424, _SLONG, 1, offset, True),
                    (65426, _LONG, len(said), said, True),
                ],
            )
    return path
