"""Tiles straight from the chunks of a Zarr array, without zarr-python.

A tile is: name of the chunk, its bytes, one call of the codec into memory that becomes the tile.
Where the axes of a chunk are not those of a tile, the decoded samples are copied once more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope._native import _pixels
from tilescope.domain.geometry import Rect
from tilescope.io.scratch import Scratch
from tilescope.io.zarr_codecs import most_encoded_bytes
from tilescope.io.zarr_files import Span, ZarrFiles
from tilescope.io.zarr_nodes import ChunkLayout
from tilescope.io.zarr_shards import ShardIndices

Pixels = NDArray[Any]

#: Sample types that the C loop turns.
_TURNED_IN_C = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))

_ALL_AXES = "tzcyx"


@dataclass(frozen=True, slots=True)
class _Cut:
    """What one chunk gives to a tile along one axis.

    Attributes
    ----------
    number
        Position in the grid of chunks.
    source, target
        Samples of the chunk, and where in the tile they go.
    """

    number: int
    source: slice
    target: slice


#: One cut per axis of the array: what one chunk gives to a tile.
_Piece = tuple[_Cut, ...]


class ChunkArray:
    """An array whose layout and codecs are known; any thread may read.

    Parameters
    ----------
    files
        Where the chunks are.
    prefix
        Where the array lies in ``files``, empty or ending in ``/``.
    layout
        How its chunks are stored.
    axes
        One letter of ``tczyx`` per axis, in the array's order.
    scratch
        Where chunks are decoded whose axes are not those of a tile.
    """

    def __init__(
        self, files: ZarrFiles, prefix: str, layout: ChunkLayout, axes: str, scratch: Scratch
    ) -> None:
        self.shape = layout.shape
        self.chunks = layout.chunks
        self.dtype = layout.dtype
        self._files = files
        self._scratch = scratch
        self._layout = layout
        self._key_prefix = prefix + layout.key_prefix
        self._chunk_bytes = math.prod(layout.chunks) * layout.dtype.itemsize
        self._most_bytes = most_encoded_bytes(self._chunk_bytes)
        self._slots = tuple(_ALL_AXES.index(axis) for axis in axes)
        self._plane_axes = tuple(i for i, axis in enumerate(axes) if axis in "tz")
        self._y, self._x, self._c = (axes.find(axis) for axis in "yxc")
        self._bands = layout.shape[self._c] if self._c >= 0 else 1
        self._order = _order(axes)
        self._chunk_rows, self._chunk_columns = layout.chunks[self._y], layout.chunks[self._x]
        chunk_bands = layout.chunks[self._c] if self._c >= 0 else 1
        self._band_chunks, left_over = divmod(self._bands, chunk_bands)
        self._is_in_order = self._band_chunks == 1 and _lies_as("yxc", axes, layout.chunks)
        self._has_whole_tiles = left_over == 0 and (
            self._is_in_order or _lies_as("cyx", axes, layout.chunks)
        )
        shard = layout.shard
        self._shards = ShardIndices(files, shard, self._chunk_bytes) if shard else None

    def read(self, rect: Rect, time: int, depth: int) -> Pixels:
        """Return ``[height, width, bands]`` in the stored sample type.

        Parameters
        ----------
        rect
            Pixels of this array, inside it.
        time, depth
            The plane.

        Raises
        ------
        OSError, EOFError, ValueError, RuntimeError
            When a chunk cannot be read or decoded.
        """
        rows, columns = rect.y1 - rect.y0, rect.x1 - rect.x0
        tile = np.empty((rows, columns, self._bands), self.dtype)
        high, wide = self._chunk_rows, self._chunk_columns
        if self._has_whole_tiles and (rows, columns) == (high, wide):
            (row, below), (column, beside) = divmod(rect.y0, high), divmod(rect.x0, wide)
            if below == beside == 0:
                self._fill_from_whole(tile, time, depth, row, column)
                return tile
        self._fill_from_parts(tile, self._pieces(rect, time, depth))
        return tile

    def close(self) -> None:
        """Forget what was kept of shards."""
        if self._shards is not None:
            self._shards.clear()

    def _fill_from_whole(self, tile: Pixels, time: int, depth: int, row: int, column: int) -> None:
        """Decode chunks that follow each other along the bands and are as large as the tile."""
        places = ((time, depth, band, row, column) for band in range(self._band_chunks))
        stored = self._stored([[place[slot] for slot in self._slots] for place in places])
        if self._is_in_order:
            self._decode(next(stored), tile.reshape(-1).view(np.uint8))
            return
        octets = self._scratch.take(tile.nbytes)
        try:
            for index, data in enumerate(stored):
                start = index * self._chunk_bytes
                self._decode(data, octets[start : start + self._chunk_bytes])
            planes = octets[: tile.nbytes].view(self.dtype)
            _turn(planes.reshape(self._bands, *tile.shape[:2]), tile)
        finally:
            self._scratch.give(octets)

    def _fill_from_parts(self, tile: Pixels, pieces: Sequence[_Piece]) -> None:
        """Decode chunk after chunk and copy what each gives."""
        stored = self._stored([[cut.number for cut in piece] for piece in pieces])
        buffer = self._scratch.take(self._chunk_bytes)
        try:
            octets = buffer[: self._chunk_bytes]
            chunk = octets.view(self.dtype).reshape(self.chunks)
            for piece, data in zip(pieces, stored, strict=True):
                self._decode(data, octets)
                _place(self._source(chunk, piece), tile[self._target(piece)])
        finally:
            self._scratch.give(buffer)

    def _decode(self, data: bytes | None, octets: NDArray[np.uint8]) -> None:
        if data is None:
            octets.view(self.dtype)[...] = self._layout.fill
        else:
            self._layout.chain.decode(data, octets)

    def _pieces(self, rect: Rect, time: int, depth: int) -> list[_Piece]:
        starts = (time, depth, 0, rect.y0, rect.x0)
        stops = (time + 1, depth + 1, self._bands, rect.y1, rect.x1)
        cuts = [
            _cuts(starts[slot], stops[slot], length)
            for slot, length in zip(self._slots, self.chunks, strict=True)
        ]
        return list(itertools.product(*cuts))

    def _target(self, piece: _Piece) -> tuple[slice, slice, slice]:
        bands = piece[self._c].target if self._c >= 0 else slice(0, 1)
        return piece[self._y].target, piece[self._x].target, bands

    def _source(self, chunk: Pixels, piece: _Piece) -> Pixels:
        """Return rows, columns and bands (if any) of what a chunk gives."""
        places: list[int | slice] = [cut.source for cut in piece]
        for axis in self._plane_axes:
            places[axis] = piece[axis].source.start
        return chunk[tuple(places)].transpose(self._order)

    def _stored(self, chunks: Sequence[Sequence[int]]) -> Iterator[bytes | None]:
        """Yield each chunk as it is stored, None for those that are left out."""
        spans = [self._span(chunk) for chunk in chunks]
        found = iter(self._files.fetch([span for span in spans if span is not None]))
        for span in spans:
            yield None if span is None else next(found)

    def _span(self, chunk: Sequence[int]) -> Span | None:
        if self._shards is None or self._layout.shard is None:
            return Span(self._key(chunk), self._most_bytes)
        place, shard = 0, []
        for position, length in zip(chunk, self._layout.shard.grid, strict=True):
            whole, inner = divmod(position, length)
            place = place * length + inner
            shard.append(whole)
        return self._shards.span(self._key(shard), place)

    def _key(self, position: Sequence[int]) -> str:
        return self._key_prefix + self._layout.separator.join(map(str, position))


def _cuts(start: int, stop: int, length: int) -> list[_Cut]:
    """Return what every chunk of ``length`` gives to ``start..stop``."""
    cuts = []
    for number in range(start // length, -(-stop // length)):
        origin = number * length
        first, last = max(start, origin), min(stop, origin + length)
        source = slice(first - origin, last - origin)
        cuts.append(_Cut(number, source, slice(first - start, last - start)))
    return cuts


def _order(axes: str) -> tuple[int, ...]:
    """Return how to transpose a plane's samples to rows, columns and bands (if any)."""
    kept = [axis for axis in axes if axis not in "tz"]
    return tuple(kept.index(axis) for axis in "yxc" if axis in kept)


def _lies_as(order: str, axes: str, chunks: tuple[int, ...]) -> bool:
    """Tell whether a chunk is of one plane, and its samples lie in memory as ``order`` says."""
    longer = [axis for axis, length in zip(axes, chunks, strict=True) if length > 1]
    return longer == [axis for axis in order if axis in longer]


def _place(source: Pixels, target: Pixels) -> None:
    """Copy ``[h, w]`` or ``[h, w, bands]`` into ``[h, w, bands]``."""
    if source.ndim == 2:
        target[..., 0] = source
    else:
        _turn(np.moveaxis(source, 2, 0), target)


def _turn(planes: Pixels, tile: Pixels) -> None:
    """Fill ``[h, w, bands]`` from ``[bands, h, w]``."""
    is_known = tile.dtype in _TURNED_IN_C
    if is_known and tile.flags.c_contiguous and planes.flags.c_contiguous:
        _pixels.bands_last(planes, tile)
        return
    # band by band: numpy walks bands that lie far apart six times slower in one assignment
    for band, plane in enumerate(planes):
        tile[..., band] = plane
