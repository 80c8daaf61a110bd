"""TIFF slides: Aperio SVS, OME-TIFF, ImageJ and any tiled or striped TIFF.

tifffile reads the structure once; from then on a tile is one positioned read and one decode.
Layouts: TIFF 6.0, BigTIFF, OME-TIFF 6 (SubIFD pyramids), Aperio SVS (33003, 33005).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.slide import SlideInfo
from tilescope.domain.tiles import tile_rect
from tilescope.errors import TileReadError
from tilescope.io.bytefile import ByteFile
from tilescope.io.faults import foreign_errors
from tilescope.io.image_header import check_declared_size
from tilescope.io.source import check_plane
from tilescope.io.tiff_layout import Page, PageGrid
from tilescope.io.tiff_structure import TiffLevel, read_structure
from tilescope.runtime.closing import Closing

Pixels = NDArray[Any]

#: Encoded data may be this much longer than decoded: headers, tables, incompressible noise.
_ENCODED_SLACK_BYTES = 1 << 20


class TiffSource(Closing):
    """An open TIFF; reads and decodes tiles in the calling thread, without a lock."""

    def __init__(self, info: SlideInfo, levels: tuple[TiffLevel, ...], file: ByteFile) -> None:
        self._info = info
        self._levels = levels
        self._file = file
        self._held = _HeldSegment()

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

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide."""
        return self._info

    def read_tile(self, level: int, col: int, row: int, plane: int = 0) -> Pixels:
        """Return one tile; see :class:`~tilescope.io.source.SlideSource`."""
        rect = tile_rect(self._info.levels[level], col, row)
        check_plane(self._info, plane)
        where = f"decoding tile ({col}, {row}) of level {level}"
        with foreign_errors(self._info.path, where, TileReadError):
            grid, pages = self._levels[level].grid, self._levels[level].planes[plane]
            parts = [self._page_pixels(grid, page, rect) for page in pages]
            return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def close(self) -> None:
        """Give back the file; twice is fine."""
        self._held.clear()
        self._file.close()

    def _page_pixels(self, grid: PageGrid, page: Page | None, rect: Rect) -> Pixels:
        """Return ``[h, w, bands]`` of one page, put together from the segments it touches."""
        background = np.asarray(self._info.background[: grid.model.bands], grid.model.dtype)
        if page is None:
            return np.tile(background, (rect.height, rect.width, 1))
        samples = [self._plane_samples(grid, page, rect, k) for k in range(grid.separate)]
        present = [s for s in samples if s is not None]
        if len(present) < grid.separate:
            return np.tile(background, (rect.height, rect.width, 1))
        stacked = present[0] if grid.separate == 1 else np.concatenate(present, axis=2)
        return grid.model.to_bands(stacked)

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
        offset, count = int(page.offsets[index]), int(page.counts[index])
        if count == 0 or offset == 0:
            return None
        if count > 2 * grid.segment_bytes + _ENCODED_SLACK_BYTES:
            msg = f"a tile of {grid.segment_bytes} bytes is stored in {count}"
            raise ValueError(msg)
        data = self._file.read_at(offset, count)
        check_declared_size(data, grid.segment.width * grid.segment.height)
        segment, _, _ = page.decode(data, index, **page.tables)
        decoded: Pixels = segment[0]
        return decoded

    def _raw_rows(self, grid: PageGrid, page: Page, rect: Rect, separate: int) -> Pixels | None:
        """Read rows that are stored as they are, from the strips that hold them."""
        assert grid.raw_row_bytes is not None
        parts = []
        strip_height = grid.segment.height
        for strip in range(rect.y0 // strip_height, -(-rect.y1 // strip_height)):
            index = separate * grid.count + strip
            if page.offsets[index] == 0 or page.counts[index] == 0:
                return None
            top = strip * strip_height
            first, last = max(rect.y0, top), min(rect.y1, top + strip_height)
            offset = int(page.offsets[index]) + (first - top) * grid.raw_row_bytes
            parts.append(self._file.read_at(offset, (last - first) * grid.raw_row_bytes))
        order = self._levels[0].byteorder
        samples = np.frombuffer(b"".join(parts), grid.model.stored.newbyteorder(order))
        native = samples.astype(grid.model.stored, copy=False)
        return native.reshape(rect.height, grid.size.width, grid.samples)[:, rect.x0 : rect.x1]


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
