"""Where the tiles of a TIFF lie in the file: plain values taken from tifffile once.

A page is stored in *segments*, tiles or strips. Segments larger than the bound are refused; long
uncompressed strips are cut, as libtiff does, because any run of their rows is readable by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.io.image_header import keeps_ycbcr
from tilescope.io.jpeg_tiles import JpegTiles, jpeg_tiles
from tilescope.io.ndpi_tiles import RestartIntervals, interval_tile, restart_intervals
from tilescope.io.tiff_pixels import PALETTE, RGB, YCBCR, DamagedError, SampleModel, SamplesError

if TYPE_CHECKING:
    import tifffile

#: A tile or strip may take this much when decoded.
LARGEST_SEGMENT_BYTES = 256 << 20

#: Strips are gathered into, or cut to, tiles of about this size.
_STRIP_TILE_BYTES = 2 << 20

_WINDOW_TILE = Size(1024, 1024)

#: Aperio wrote YCbCr in JPEG 2000 under a number of its own, whatever the photometric tag says.
_APERIO_YCBCR = 33003
_JPEG2000 = frozenset({_APERIO_YCBCR, 33004, 33005, 34712})

#: Tiles first: a page that lists both is read by its tiles.
_OFFSET_TAGS, _COUNT_TAGS = (324, 273), (325, 279)

#: SHORT, LONG and LONG8 as numpy names them.
_STORED_TYPES = {3: "u2", 4: "u4", 16: "u8"}
_MANY = 4096

#: Uncompressed rows of these depths can be read from any row on.
_WHOLE_BYTES = frozenset({8, 16, 32, 64})


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Segments of one page.

    Attributes
    ----------
    offsets, counts
        ``int64[n]``: place and length of each segment in the file; a zero count means missing.
    decode
        ``decode(data, index, **tables)`` of tifffile: array, position and shape of a segment.
    tables
        Keyword arguments of ``decode``: what JPEG segments share.
    jpeg
        The same tiles, where they can be decoded straight to bands.
    intervals
        The same tiles, where they are parts of one JPEG.
    """

    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    decode: Callable[..., Any]
    tables: dict[str, bytes | None]
    jpeg: JpegTiles | None
    intervals: RestartIntervals | None

    def holds(self, index: int) -> bool:
        """Tell whether the file holds a segment at all."""
        return bool(self.offsets[index] and self.counts[index])


@dataclass(frozen=True, slots=True, eq=False)
class PageGrid:
    """How segments of every page of one level are arranged.

    Attributes
    ----------
    size
        Pixels of the level.
    segment
        Pixels of one segment; the last ones may be shorter.
    tile
        Pixels of one tile as handed out.
    separate
        Number of sample planes stored one after the other; 1 when samples are interleaved.
    samples
        Samples per pixel of one segment.
    raw_row_bytes
        Bytes of a row when rows can be read one by one, None otherwise.
    """

    size: Size
    segment: Size
    tile: Size
    separate: int
    samples: int
    raw_row_bytes: int | None
    model: SampleModel

    @property
    def across(self) -> int:
        """Segments per row."""
        return -(-self.size.width // self.segment.width)

    @property
    def count(self) -> int:
        """Segments per page and sample plane."""
        return self.across * -(-self.size.height // self.segment.height)

    @property
    def segment_bytes(self) -> int:
        """Bytes of a decoded segment, at most."""
        return self.segment.area * self.samples * self.model.stored.itemsize

    def absent_rows(self, page: Page, rect: Rect) -> Iterator[slice]:
        """Yield the rows of a tile, counted from its top, whose strips the file leaves out."""
        if self.tile == self.segment or page.intervals is not None:
            return
        height = self.segment.height
        for strip in range(rect.y0 // height, -(-rect.y1 // height)):
            if not all(page.holds(k * self.count + strip) for k in range(self.separate)):
                first, last = max(rect.y0, strip * height), min(rect.y1, (strip + 1) * height)
                yield slice(first - rect.y0, last - rect.y0)


def sample_model(page: tifffile.TiffPage, *, keep_indices: bool) -> SampleModel:
    """Return how the samples of a tifffile page become bands.

    Parameters
    ----------
    page
        A ``tifffile.TiffPage``.
    keep_indices
        Leave palette indices alone: channels of an OME-TIFF are intensities with a display table.

    Raises
    ------
    SamplesError
        When they cannot.
    """
    if page.dtype is None or not isinstance(page.bitspersample, int):
        msg = f"samples of {page.bitspersample} bits are not supported"
        raise SamplesError(msg)
    extra = tuple(page.extrasamples)
    palette = _palette(page) if page.photometric == PALETTE and not keep_indices else None
    model = SampleModel(
        photometric=_photometric(page),
        compression=int(page.compression),
        bits=page.bitspersample,
        samples=int(page.samplesperpixel),
        stored=np.dtype(page.dtype),
        alpha=int(extra[0]) if extra else None,
        palette=palette,
    )
    model.check()
    return model


def page_grid(page: tifffile.TiffPage, model: SampleModel) -> PageGrid:
    """Return the arrangement of a tifffile page's segments.

    Raises
    ------
    SamplesError
        When pages have depth, or an NDPI page cannot be cut.
    DamagedError
        When the file does not say whether samples lie together.
    """
    size = Size(page.imagewidth, page.imagelength)
    if page.imagedepth != 1 or page.tiledepth != 1:
        msg = "pages with depth are not supported"
        raise SamplesError(msg)
    if model.samples > 1 and page.planarconfig not in {1, 2}:
        msg = f"PlanarConfiguration is {str(page.planarconfig)[:20]}, neither 1 nor 2"
        raise DamagedError(msg)
    separate = model.samples if page.planarconfig == 2 else 1
    samples = 1 if separate > 1 else model.samples
    tiled = page.tilewidth > 0 and page.tilelength > 0
    # tiles are decoded whole, strips end where the page does
    segment = (
        Size(page.tilewidth, page.tilelength)
        if tiled
        else Size(size.width, min(page.rowsperstrip, size.height))
    )
    row_bytes = None if tiled else _raw_row_bytes(page, size.width * samples)
    tile = segment if page.jpegheader is None else interval_tile(page)
    grid = PageGrid(size, segment, tile, separate, samples, row_bytes, model)
    return grid if tiled else _with_strip_tiles(grid)


def page_segments(page: tifffile.TiffPage, grid: PageGrid) -> Page:
    """Return the segments of a tifffile page or frame.

    Raises
    ------
    DamagedError
        When the page lists fewer segments than its size needs.
    """
    needed = grid.count * grid.separate
    offsets, counts = page.dataoffsets, page.databytecounts
    if min(len(offsets), len(counts)) < needed:
        msg = f"the page needs {needed} tiles or strips and lists {min(len(offsets), len(counts))}"
        raise DamagedError(msg)
    keyframe = page.keyframe
    tables: dict[str, bytes | None] = {}
    if keyframe.compression in {6, 7, 34892, 33007}:
        tables = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
    places = _column(page, offsets, _OFFSET_TAGS)[:needed]
    lengths = _column(page, counts, _COUNT_TAGS)[:needed]
    return Page(
        places,
        lengths,
        keyframe.decode,
        tables,
        jpeg_tiles(page, places, lengths),
        restart_intervals(page, places, lengths),
    )


def check_segment(grid: PageGrid) -> None:
    """Refuse segments above the bound.

    Raises
    ------
    SamplesError
        With the remedy.
    """
    if grid.raw_row_bytes is None and grid.segment_bytes > LARGEST_SEGMENT_BYTES:
        mib = grid.segment_bytes >> 20
        msg = (
            f"one tile or strip takes {mib} MiB when decoded, more than "
            f"{LARGEST_SEGMENT_BYTES >> 20} MiB; convert the file to a tiled TIFF or OME-Zarr"
        )
        raise SamplesError(msg)


def _column(
    page: tifffile.TiffPage, values: Sequence[int], codes: tuple[int, int]
) -> NDArray[np.int64]:
    """Return offsets or counts as an array.

    A large slide has some hundred thousand; from the file that takes a tenth of the time that
    it takes from tifffile's numbers, as long as these are what the file says.
    """
    tags = getattr(page, "tags", None)  # further pages of a stack have none
    tag = None if tags is None else next((tags[code] for code in codes if code in tags), None)
    kind = None if tag is None else _STORED_TYPES.get(int(tag.dtype))
    if tag is None or kind is None or tag.value is not values or len(values) < _MANY:
        return np.fromiter(values, np.int64, len(values))
    stored = np.dtype(page.parent.byteorder + kind)
    file = page.parent.filehandle
    file.seek(tag.valueoffset)
    return np.frombuffer(file.read(len(values) * stored.itemsize), stored).astype(np.int64)


def _photometric(page: tifffile.TiffPage) -> int:
    """Return the interpretation of decoded samples, which for JPEG 2000 is not that of the tag."""
    photometric = int(page.photometric)
    if page.compression not in _JPEG2000 or page.samplesperpixel < 3:
        return photometric
    if photometric != YCBCR and page.compression != _APERIO_YCBCR:
        return photometric
    stored = [(at, n) for at, n in zip(page.dataoffsets, page.databytecounts, strict=False) if n]
    file = page.parent.filehandle
    file.seek(stored[0][0] if stored else 0)
    return YCBCR if keeps_ycbcr(file.read(64)) else RGB


def _with_strip_tiles(grid: PageGrid) -> PageGrid:
    row_bytes = grid.size.width * grid.samples * grid.separate * grid.model.stored.itemsize
    rows = max(1, _STRIP_TILE_BYTES // row_bytes)
    strip = grid.segment.height
    across = min(_WINDOW_TILE.width, grid.size.width)
    pixel_bytes = row_bytes // grid.size.width
    down = max(1, min(_WINDOW_TILE.height, 4 * _STRIP_TILE_BYTES // (across * pixel_bytes)))
    window = Size(across, min(down, grid.size.height))
    if grid.raw_row_bytes is not None:
        tile = window if rows < window.height else Size(grid.size.width, window.height)
    elif strip <= 4 * rows:
        gathered = strip * max(1, rows // strip)
        tile = Size(grid.size.width, min(gathered, grid.size.height))
    else:
        tile = window
    return PageGrid(
        grid.size, grid.segment, tile, grid.separate, grid.samples, grid.raw_row_bytes, grid.model
    )


def _raw_row_bytes(page: tifffile.TiffPage, row_samples: int) -> int | None:
    plain = page.compression == 1 and page.predictor == 1 and page.fillorder == 1
    if not plain or page.bitspersample not in _WHOLE_BYTES or page.is_subsampled:
        return None
    return int(row_samples * page.bitspersample // 8)


def _palette(page: tifffile.TiffPage) -> NDArray[np.uint8]:
    table = page.colormap
    if table is None or table.ndim != 2 or table.shape[0] != 3 or page.samplesperpixel != 1:
        msg = "palette colour without a colour map"
        raise SamplesError(msg)
    # some writers store bytes where the tag holds 16-bit values
    shift = 8 if int(table.max()) > 255 else 0
    return np.ascontiguousarray((table >> shift).T.astype(np.uint8))
