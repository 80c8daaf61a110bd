"""Chunks of one Zarr array as files, one each or several in a shard, written without zarr-python.

Specifications: https://zarr-specs.readthedocs.io/ (v2 and v3 chunk keys, blosc, zstd, crc32c,
sharding_indexed with its index at the end). Nothing here takes a lock or starts a thread: who
writes a chunk or a shard is its only writer.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tilescope.errors import TileReadError
from tilescope.io.faults import foreign_errors
from tilescope.io.ome_metadata import COMPRESSION_LEVEL, Extent, StoredArray

Pixels = NDArray[Any]

#: Offset and length of a chunk that is not in its shard.
_ABSENT = 2**64 - 1
_CHECKSUM_BYTES = 4


class ChunkFiles:
    """The chunks of one array.

    Parameters
    ----------
    folder
        Where chunk keys begin: the array's folder, or ``c`` in it for Zarr 3.
    stored
        Shape, cut and compression.
    """

    def __init__(self, folder: Path, stored: StoredArray) -> None:
        self._folder = folder
        self._stored = stored
        shard = stored.shard or stored.chunk
        t, c, z, y, x = (whole // part for whole, part in zip(shard, stored.chunk, strict=True))
        self._in_shard: Extent = (t, c, z, y, x)

    @contextmanager
    def writer(self) -> Iterator[ChunkWriter]:
        """Give what writes chunks; shards are whole when the block ends without an error."""
        writer = ChunkWriter(self)
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()

    def read(self, t: int, z: int, row: int, col: int) -> Pixels:
        """Return the pixels ``[h, w, bands]`` that one column of chunks holds, in full size.

        Raises
        ------
        TileReadError
            When a chunk is not as it was written, as after a power failure.
        """
        _, bands, _, height, width = (*self._stored.shape[:3], *self._stored.chunk[3:])
        pixels = np.full((height, width, bands), self._stored.fill, self._stored.dtype)
        step = self._stored.chunk[1]
        for first in range(0, bands, step):
            place = (t, first // step, z, row, col)
            with foreign_errors(self._folder, f"reading back chunk {place}", TileReadError):
                data = self._stored_bytes(place)
                if data is not None:
                    values = self._decoded(data)
                    pixels[..., first : first + step] = np.moveaxis(values, 0, 2)
        return pixels

    def encoded(self, pixels: Pixels, band: int) -> bytes | None:
        """Return the stored form of one chunk, None when nothing but the fill value is in it.

        Parameters
        ----------
        pixels
            ``[h, w, bands]``, cut at the edge of the level.
        band
            First band of the chunk.
        """
        stored = self._stored
        bands, height, width = stored.chunk[1], *stored.chunk[3:]
        part = pixels[..., band : band + bands]
        if part[0, 0, 0] == stored.fill and (part == stored.fill).all():
            return None
        if part.shape[:2] == (height, width):
            values = np.ascontiguousarray(part.transpose(2, 0, 1), stored.stored_dtype)
        else:
            values = np.full((bands, height, width), stored.fill, stored.stored_dtype)
            values[:, : part.shape[0], : part.shape[1]] = part.transpose(2, 0, 1)
        return _compressed(values, stored)

    def place(self, t: int, c: int, z: int, row: int, col: int) -> tuple[Path, Extent]:
        """Return the file of a chunk, and its indices among the chunks of that file."""
        both = [divmod(i, n) for i, n in zip((t, c, z, row, col), self._in_shard, strict=True)]
        ft, fc, fz, fy, fx = (inner for _, inner in both)
        return self._folder.joinpath(*(str(outer) for outer, _ in both)), (ft, fc, fz, fy, fx)

    @property
    def stored(self) -> StoredArray:
        """Shape, cut and compression."""
        return self._stored

    @property
    def chunks_in_shard(self) -> Extent:
        """Chunks of a shard along t, c, z, y, x."""
        return self._in_shard

    def _stored_bytes(self, place: Extent) -> bytes | None:
        path, inner = self.place(*place)
        try:
            with path.open("rb") as file:
                return file.read() if self._stored.shard is None else self._of_shard(file, inner)
        except FileNotFoundError:
            return None

    def _of_shard(self, file: BinaryIO, inner: Extent) -> bytes | None:
        size_bytes = 16 * math.prod(self._in_shard)
        file.seek(-size_bytes - _CHECKSUM_BYTES, os.SEEK_END)
        index = np.frombuffer(file.read(size_bytes), "<u8").reshape(*self._in_shard, 2)
        offset, length = (int(v) for v in index[inner])
        if offset == _ABSENT:
            return None
        file.seek(offset)
        return file.read(length)

    def _decoded(self, data: bytes) -> Pixels:
        import imagecodecs

        bands, height, width = self._stored.chunk[1], *self._stored.chunk[3:]
        plain: bytes | bytearray = data
        match self._stored.compressor:
            case "blosc":
                plain = imagecodecs.blosc_decode(data, numthreads=1)
            case "zstd":
                plain = imagecodecs.zstd_decode(data)
            case "none":
                pass
        return np.frombuffer(plain, self._stored.stored_dtype).reshape(bands, height, width)


class ChunkWriter:
    """Writes chunks of an array; used by one thread, through :meth:`ChunkFiles.writer`."""

    def __init__(self, files: ChunkFiles) -> None:
        self._files = files
        self._shards: dict[Path, _Shard] = {}
        self.written_bytes = 0

    def write(self, t: int, z: int, row: int, col: int, pixels: Pixels) -> None:
        """Store ``pixels[h, w, bands]`` as chunks; what is all fill value is left out."""
        step = self._files.stored.chunk[1]
        for first in range(0, pixels.shape[2], step):
            data = self._files.encoded(pixels, first)
            if data is None:
                continue
            path, inner = self._files.place(t, first // step, z, row, col)
            if self._files.stored.shard is not None:
                self._shard(path).add(inner, data)
            else:
                _write_file(path, data)
            self.written_bytes += len(data)

    def finish(self) -> None:
        """Complete the shards with their indices."""
        for shard in self._shards.values():
            self.written_bytes += shard.finish()

    def close(self) -> None:
        """Close the files, whole or not."""
        for shard in self._shards.values():
            shard.close()
        self._shards.clear()

    def _shard(self, path: Path) -> _Shard:
        if path not in self._shards:
            self._shards[path] = _Shard(path, self._files.chunks_in_shard)
        return self._shards[path]


class _Shard:
    """A file under construction: chunks one after the other, then where each begins."""

    def __init__(self, path: Path, chunks: Extent) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._index = np.full((*chunks, 2), _ABSENT, "<u8")
        self._end = 0

    def add(self, inner: Extent, data: bytes) -> None:
        self._file.write(data)
        self._index[inner] = (self._end, len(data))
        self._end += len(data)

    def finish(self) -> int:
        import google_crc32c

        index = self._index.tobytes()
        self._file.write(index + google_crc32c.value(index).to_bytes(_CHECKSUM_BYTES, "little"))
        self._file.flush()
        return len(index) + _CHECKSUM_BYTES

    def close(self) -> None:
        # what finish could not write cannot be written now either, and has been reported
        with suppress(OSError):
            self._file.close()


def _write_file(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _compressed(values: Pixels, stored: StoredArray) -> bytes:
    import imagecodecs

    match stored.compressor:
        case "blosc":
            typesize = values.dtype.itemsize
            return bytes(
                imagecodecs.blosc_encode(
                    values.tobytes(),
                    level=COMPRESSION_LEVEL,
                    compressor="zstd",
                    shuffle=int(typesize > 1),
                    typesize=typesize,
                    numthreads=1,
                )
            )
        case "zstd":
            return bytes(imagecodecs.zstd_encode(values.tobytes(), level=COMPRESSION_LEVEL))
        case "none":
            return values.tobytes()
