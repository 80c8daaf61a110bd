"""Tiles of a Hamamatsu NDPI page, which is one JPEG of the whole slide cut at its restart markers.

Between two restart markers the stream depends on nothing before (T.81, E.2.4), and the file lists
where each such interval starts (tag 65426, high words in 65432). Some intervals behind a header
that declares their size are therefore a JPEG of their own, of a size that JPEG can declare.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.io.bytefile import ByteFile
from tilescope.io.jpeg_tiles import empty_tile
from tilescope.io.tiff_pixels import RGB, YCBCR, SamplesError

if TYPE_CHECKING:
    import tifffile

_START_OF_FRAME, _START_OF_SCAN, _RESTART_INTERVAL = 0xC0, 0xDA, 0xDD
_RESTART = 0xD0
_END_OF_IMAGE = b"\xff\xd9"

#: A tile is a square of this side, or has as many pixels.
_TILE_SIDE_PX = 512

#: Wide intervals are gathered into at least so many rows, or reading a square would take dozens.
_LEAST_ROWS_PX = 64

_WIDEST_JPEG = 65500

#: Encoded data may be this much longer than decoded.
_SLACK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class _Header:
    """A JPEG header up to the first interval.

    Attributes
    ----------
    data
        The header itself.
    size_at
        Where height and width stand in it, two bytes each.
    mcu
        Pixels of a minimum coded unit.
    per_interval
        Minimum coded units between two restart markers.
    """

    data: bytes
    size_at: int
    mcu: Size
    per_interval: int

    def of(self, size: Size) -> bytes:
        """Return the header of an image of another size."""
        sides = struct.pack(">HH", size.height, size.width)
        return self.data[: self.size_at] + sides + self.data[self.size_at + 4 :]


@dataclass(frozen=True, slots=True, eq=False)
class RestartIntervals:
    """The intervals of a page, row by row.

    Attributes
    ----------
    offsets, counts
        ``int64[n]``: place and length of each in the file, its restart marker included.
    across
        Intervals per row.
    interval
        Pixels of one; the last ones may reach over the page's edge.
    header
        What stands before the first.
    call
        ``call(data, out=array)`` of the codec library.
    """

    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    across: int
    interval: Size
    header: _Header
    call: Callable[..., Any]

    def read(self, file: ByteFile, rect: Rect) -> NDArray[np.uint8]:
        """Return ``uint8[h, w, 3]`` of a rectangle that starts and ends between intervals.

        Raises
        ------
        ValueError
            When the file's list of intervals makes no sense.
        """
        intervals = [v for row in self._rows(rect) for v in self._row_intervals(file, *row)]
        # markers count to eight and around, from the first interval of each image
        parts = [
            part
            for index, data in enumerate(intervals)
            for part in (data, bytes((0xFF, _RESTART + index % 8)))
        ]
        header = self.header.of(Size(rect.width, rect.height))
        pixels = empty_tile((rect.height, rect.width, 3))
        self.call(b"".join((header, *parts[:-1], _END_OF_IMAGE)), out=pixels)
        return pixels

    def _rows(self, rect: Rect) -> Iterator[tuple[int, int]]:
        """Yield the indices of the first interval and the one behind the last of every row."""
        first, last = rect.x0 // self.interval.width, -(-rect.x1 // self.interval.width)
        for row in range(rect.y0 // self.interval.height, -(-rect.y1 // self.interval.height)):
            yield row * self.across + first, row * self.across + last

    def _row_intervals(self, file: ByteFile, first: int, last: int) -> Iterator[bytes]:
        """Read neighbours in one go and yield each without the marker behind it."""
        starts, counts = self.offsets[first:last].tolist(), self.counts[first:last].tolist()
        most = 2 * self.interval.area * 3 + _SLACK_BYTES
        ends = [start + count for start, count in zip(starts, counts, strict=True)]
        if starts[1:] != ends[:-1] or not all(0 < count <= most for count in counts):
            msg = f"restart intervals of {counts} bytes at {starts}"
            raise ValueError(msg)
        data = file.read_at(starts[0], ends[-1] - starts[0])
        for start, end in zip(starts, ends, strict=True):
            interval = data[start - starts[0] : end - starts[0]]
            yield interval[:-2] if interval[-2:-1] == b"\xff" else interval


def interval_tile(page: tifffile.TiffPage) -> Size:
    """Return pixels of a tile made of whole intervals.

    Parameters
    ----------
    page
        A ``tifffile.TiffPage`` that has a ``jpegheader``.

    Raises
    ------
    SamplesError
        When no JPEG can be made of its intervals.
    """
    header = _header(page)
    interval = Size(header.per_interval * header.mcu.width, header.mcu.height)
    mcus = -(-page.imagewidth // header.mcu.width)
    if mcus % header.per_interval or interval.width > _WIDEST_JPEG:
        msg = f"NDPI restart intervals of {header.per_interval} units in rows of {mcus}"
        raise SamplesError(msg)
    return gathered(interval, page.imagewidth)


def gathered(interval: Size, page_width: int) -> Size:
    """Return whole intervals that make about a square, as near as their width allows."""
    columns = min(-(-page_width // interval.width), max(1, _TILE_SIDE_PX // interval.width))
    width = columns * interval.width
    height = max(_LEAST_ROWS_PX, min(_TILE_SIDE_PX, _TILE_SIDE_PX**2 // width))
    return Size(width, max(1, height // interval.height) * interval.height)


def restart_intervals(
    page: tifffile.TiffPage, offsets: NDArray[np.int64], counts: NDArray[np.int64]
) -> RestartIntervals | None:
    """Return the intervals of a page that tifffile lists as tiles, None when it lists none.

    Parameters
    ----------
    page
        A ``tifffile.TiffPage`` of an NDPI file.
    offsets, counts
        Place and length of each interval.
    """
    page = page.keyframe
    if page.jpegheader is None:
        return None
    import imagecodecs

    header = _header(page)
    interval = Size(page.tilewidth, page.tilelength)
    across = -(-page.imagewidth // interval.width)

    def call(data: bytes, out: NDArray[np.uint8]) -> None:
        imagecodecs.jpeg8_decode(data, outcolorspace=RGB, out=out)

    return RestartIntervals(offsets, counts, across, interval, header, call)


def _header(page: tifffile.TiffPage) -> _Header:
    header = _parse(page.jpegheader)
    samples = (page.photometric, page.samplesperpixel, page.bitspersample)
    if header is None or samples != (YCBCR, 3, 8):
        msg = "an NDPI page of unusual samples"
        raise SamplesError(msg)
    return header


def _parse(data: bytes) -> _Header | None:
    """Return what a baseline header of three components says, None when it is another."""
    at, size_at, mcu, per_interval = 2, 0, None, 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if marker == _RESTART_INTERVAL:
            per_interval = struct.unpack_from(">H", data, at + 4)[0]
        elif marker == _START_OF_FRAME and data[at + 9 : at + 10] == b"\x03":
            size_at = at + 5
            factors = [data[at + 11 + 3 * k] for k in range(3)]
            mcu = Size(8 * max(f >> 4 for f in factors), 8 * max(f & 15 for f in factors))
        elif marker == _START_OF_SCAN:
            break
        at += 2 + length
    if mcu is None or per_interval == 0:
        return None
    return _Header(data, size_at, mcu, per_interval)
