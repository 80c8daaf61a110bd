"""TIFF slides: Aperio, Hamamatsu, Philips, QPTIFF, OME, ImageJ and any tiled or striped TIFF.

tifffile reads the structure once; from then on a tile is one positioned read and one decode.
Layouts: TIFF 6.0, BigTIFF, OME-TIFF 6 (SubIFD pyramids), Aperio SVS (33003, 33005).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.slide import SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope.io.bytefile import ByteFile
from tilescope.io.faults import foreign_errors
from tilescope.io.image_header import check_declared_size
from tilescope.io.slide_reader import SlideReader
from tilescope.io.tiff_layout import Page, PageGrid
from tilescope.io.tiff_structure import TiffLevel, read_structure

Pixels = NDArray[Any]

#: Encoded data may be this much longer than decoded: headers, tables, incompressible noise.
_ENCODED_SLACK_BYTES = 1 << 20


class TiffSource(SlideReader):
    """An open TIFF; reads and decodes tiles in the calling thread, without a lock."""

    def __init__(self, info: SlideInfo, levels: tuple[TiffLevel, ...], file: ByteFile) -> None:
        super().__init__(info)
        self._levels = levels
        self._file = file
        self._held = _HeldSegment()
        self._jpegs = {
            (index, plane): pages[0].jpeg
            for index, level in enumerate(levels)
            for plane, pages in enumerate(level.planes)
            if level.orientation is None and len(pages) == 1 and pages[0] and pages[0].jpeg
        }

    @classmethod
    def open(cls, path: Path, *, vendor: bool = False) -> Self:
        """Return the slide.

        Parameters
        ----------
        path
            A file that begins like a TIFF.
        vendor
            Take vendor formats too whose geometry OpenSlide knows better.

        Raises
        ------
        UnsupportedFormat
            When its samples or layout are left to another reader.
        CorruptSlide
            When its structure contradicts itself.
        """
        info, levels = read_structure(path, vendor=vendor)
        with foreign_errors(path, "opening the file"):
            return cls(info, levels, ByteFile(path))

    def read_tile(self, level: int, col: int, row: int, plane: int = 0) -> Pixels:
        """Return one tile; see :class:`~tilescope.io.source.SlideSource`."""
        jpegs = self._jpegs.get((level, plane))
        quick = None if jpegs is None else jpegs.read(self._file, col, row)
        return super().read_tile(level, col, row, plane) if quick is None else quick

    def _read(self, tile: TileKey, rect: Rect) -> Pixels:
        stored = self._levels[tile.level]
        if stored.orientation is None:
            return self._checked(self._plane_pixels(stored, tile.plane, rect), rect)
        turned = stored.orientation.stored_rect(rect, self._info.levels[tile.level].size)
        upright = stored.orientation.upright(self._across_tiles(stored, tile.plane, turned))
        return self._checked(upright, rect)

    def _checked(self, tile: Pixels, rect: Rect) -> Pixels:
        """Return a tile that is what the slide promises; what decoders return is up to the file."""
        promised = (rect.height, rect.width, len(self._info.bands))
        if tile.shape != promised or tile.dtype != self._info.dtype:
            msg = f"decoded to shape {tile.shape} and type {tile.dtype}"
            raise ValueError(msg)
        return tile

    def close(self) -> None:
        """Give back the file; twice is fine."""
        self._held.clear()
        self._file.close()

    def _across_tiles(self, level: TiffLevel, plane: int, rect: Rect) -> Pixels:
        """Return any rectangle of the stored frame: the tiles of a turned page lie across ours."""
        bands = len(self._info.bands)
        out = np.empty((rect.height, rect.width, bands), self._info.dtype)
        across, down = level.grid.tile.width, level.grid.tile.height
        for y in range(rect.y0 // down * down, rect.y1, down):
            for x in range(rect.x0 // across * across, rect.x1, across):
                tile = Rect(x, y, x + across, y + down).intersect(Rect.of_size(level.grid.size))
                common = None if tile is None else tile.intersect(rect)
                if tile is None or common is None:
                    continue
                pixels = self._plane_pixels(level, plane, tile)
                out[
                    common.y0 - rect.y0 : common.y1 - rect.y0,
                    common.x0 - rect.x0 : common.x1 - rect.x0,
                ] = pixels[
                    common.y0 - tile.y0 : common.y1 - tile.y0,
                    common.x0 - tile.x0 : common.x1 - tile.x0,
                ]
        return out

    def _plane_pixels(self, level: TiffLevel, plane: int, tile: Rect) -> Pixels:
        """Return ``[h, w, bands]`` of one tile of the stored frame."""
        parts = [self._page_pixels(level.grid, page, tile) for page in level.planes[plane]]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def _page_pixels(self, grid: PageGrid, page: Page | None, rect: Rect) -> Pixels:
        """Return ``[h, w, bands]`` of one page, put together from the segments it touches."""
        if page is None:
            return self._nothing(grid, rect)
        if page.intervals is not None:
            return page.intervals.read(self._file, rect)
        samples = [self._plane_samples(grid, page, rect, k) for k in range(grid.separate)]
        present = [s for s in samples if s is not None]
        if len(present) < grid.separate:
            return self._nothing(grid, rect)
        stacked = present[0] if grid.separate == 1 else np.concatenate(present, axis=2)
        pixels = grid.model.to_bands(stacked)
        for rows in grid.absent_rows(page, rect):
            pixels[rows] = self._background(grid)
        return pixels

    def _nothing(self, grid: PageGrid, rect: Rect) -> Pixels:
        """Return a tile that the file leaves out."""
        return np.tile(self._background(grid), (rect.height, rect.width, 1))

    def _background(self, grid: PageGrid) -> Pixels:
        return np.asarray(self._info.background[: grid.model.bands], grid.model.dtype)

    def _plane_samples(
        self, grid: PageGrid, page: Page, rect: Rect, separate: int
    ) -> Pixels | None:
        """Return the samples of ``rect`` in one sample plane, None when the file has none."""
        if grid.raw_row_bytes is not None:
            return self._raw_rows(grid, page, rect, separate)
        if grid.tile == grid.segment:
            col, row = rect.x0 // grid.segment.width, rect.y0 // grid.segment.height
            index = separate * grid.count + row * grid.across + col
            segment = self._segment(grid, page, index)
            return None if segment is None else segment[: rect.height, : rect.width]
        return self._from_strips(grid, page, rect, separate)

    def _from_strips(self, grid: PageGrid, page: Page, rect: Rect, separate: int) -> Pixels | None:
        strip_height = grid.segment.height
        out: Pixels | None = None
        for strip in range(rect.y0 // strip_height, -(-rect.y1 // strip_height)):
            rows = self._strip(grid, page, separate * grid.count + strip)
            if rows is None:
                continue
            if out is None:
                out = np.zeros((rect.height, rect.width, grid.samples), rows.dtype)
            top = strip * strip_height
            first, last = max(rect.y0, top), min(rect.y1, top + len(rows))
            out[first - rect.y0 : last - rect.y0] = rows[
                first - top : last - top, rect.x0 : rect.x1
            ]
        return out

    def _strip(self, grid: PageGrid, page: Page, index: int) -> Pixels | None:
        if grid.tile.height % grid.segment.height == 0:
            return self._segment(grid, page, index)
        # a strip much higher than a tile serves many tiles: keep the last one
        return self._held.get((id(page), index), lambda: self._segment(grid, page, index))

    def _segment(self, grid: PageGrid, page: Page, index: int) -> Pixels | None:
        data = self._stored(grid, page, index)
        if data is None:
            return None
        check_declared_size(data, grid.segment.width * grid.segment.height)
        segment, _, _ = page.decode(data, index, **page.tables)
        decoded: Pixels = segment[0]
        return decoded

    def _stored(self, grid: PageGrid, page: Page, index: int) -> bytes | None:
        """Return the bytes of a segment, None when the file leaves it out."""
        if not page.holds(index):
            return None
        offset, count = page.offsets.item(index), page.counts.item(index)
        if count > 2 * grid.segment_bytes + _ENCODED_SLACK_BYTES:
            msg = f"a tile of {grid.segment_bytes} bytes is stored in {count}"
            raise ValueError(msg)
        return self._file.read_at(offset, count)

    def _raw_rows(self, grid: PageGrid, page: Page, rect: Rect, separate: int) -> Pixels:
        """Read rows that are stored as they are, from the strips that hold them."""
        assert grid.raw_row_bytes is not None
        parts: list[bytes] = []
        strip_height = grid.segment.height
        for strip in range(rect.y0 // strip_height, -(-rect.y1 // strip_height)):
            index = separate * grid.count + strip
            top = strip * strip_height
            first, last = max(rect.y0, top) - top, min(rect.y1, top + strip_height) - top
            parts.extend(self._raw_parts(grid, page, index, Rect(rect.x0, first, rect.x1, last)))
        order = self._levels[0].byteorder
        samples = np.frombuffer(bytearray().join(parts), grid.model.stored.newbyteorder(order))
        native = samples.astype(grid.model.stored, copy=False)
        return native.reshape(rect.height, rect.width, grid.samples)

    def _raw_parts(
        self, grid: PageGrid, page: Page, index: int, rect_strip: Rect
    ) -> Iterator[bytes]:
        """Yield the bytes of a rectangle of one strip, in one piece when it is as wide."""
        assert grid.raw_row_bytes is not None
        pixel_bytes = grid.raw_row_bytes // grid.size.width
        if not page.holds(index):
            yield bytes(rect_strip.area * pixel_bytes)
            return
        start = page.offsets.item(index) + rect_strip.x0 * pixel_bytes
        if rect_strip.width == grid.size.width:
            start += rect_strip.y0 * grid.raw_row_bytes
            yield self._file.read_at(start, rect_strip.area * pixel_bytes)
            return
        for row in range(rect_strip.y0, rect_strip.y1):
            at = start + row * grid.raw_row_bytes
            yield self._file.read_at(at, rect_strip.width * pixel_bytes)


class _HeldSegment:
    """The last decoded strip, for pages whose strips are far higher than a tile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[int, int] | None = None
        self._segment: Pixels | None = None

    def get(self, key: tuple[int, int], load: Callable[[], Pixels | None]) -> Pixels | None:
        """Return the strip of ``key``; one thread decodes while others wait for it."""
        with self._lock:
            if self._key != key:
                self._key, self._segment = None, None
                self._segment = load()
                self._key = key
            return self._segment

    def clear(self) -> None:
        """Forget it."""
        with self._lock:
            self._key, self._segment = None, None
