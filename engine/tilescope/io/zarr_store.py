"""Any slide as a read-only Zarr 3 store: ``zarr.open_group(SlideStore(source), mode="r")``.

The store holds an OME-Zarr 0.5 image. A chunk is one tile of the slide, with all bands of one
plane, uncompressed; it is read when somebody asks for it. Tiles at the edge are filled up with
background.

This module imports zarr-python, whose class a store must extend: nothing else may import it at its
top.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import (  # noqa: TID253 - the base of a store
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)

from tilescope.domain.slide import Level, SlideId, SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope.errors import CorruptSlide, TileReadError
from tilescope.io.cache import TileCache, shared_cache
from tilescope.io.ome_metadata import (
    Extent,
    StoredArray,
    array_document,
    channel_windows,
    fill_value,
    group_document,
    image_attributes,
    json_bytes,
    needs_samples,
)
from tilescope.io.registry import open_slide
from tilescope.io.source import SlideSource
from tilescope.io.zarr_keys import PyramidKeys

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer, BufferPrototype

Pixels = NDArray[Any]

#: Tiles that stand for a slide when display windows are chosen, as parts of its width and height.
_SAMPLED = ((0.5, 0.5), (0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))

#: Every so many pixels of a sampled tile are looked at.
_SAMPLE_STEP = 4


class SlideStore(Store):
    """The tiles and the description of an open slide under the names of a Zarr group.

    Closing the store leaves the slide open, which is its caller's. A copy made by pickling, for a
    worker process, opens the slide at the same path, and closes it when it is itself closed or
    forgotten.
    """

    supports_writes: bool = False
    supports_deletes: bool = False
    supports_listing: bool = True

    def __init__(
        self, source: SlideSource, *, cache: TileCache | None = None, read_only: bool = True
    ) -> None:
        """Present ``source``; it must stay open as long as pixels are read.

        Parameters
        ----------
        source
            An open slide.
        cache
            Where its tiles are kept; by default 32 MiB of the store's own.
        read_only
            Must be true; zarr-python passes it.

        Raises
        ------
        ValueError
            When ``read_only`` is false.
        """
        if not read_only:
            msg = "a slide cannot be written: open the store with read_only=True"
            raise ValueError(msg)
        super().__init__(read_only=True)
        self._source = source
        self._cache = shared_cache() if cache is None else cache
        self._close_source: Callable[[], object] | None = None
        info = source.info
        self._layouts = tuple(_layout(info, level) for level in info.levels)
        self._keys = PyramidKeys([_grid(info, level) for level in info.levels])
        self._group: bytes | None = None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SlideStore)
            and self._source.info.id == other._source.info.id
            and self._source.info.levels == other._source.info.levels
        )

    def __hash__(self) -> int:
        return hash((self._source.info.id, self._source.info.levels))

    def __repr__(self) -> str:
        return f"SlideStore({self._source.info.path!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        info = self._source.info
        return _reopened, (type(self), info.path, info.id, self._cache.use.max_bytes)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the value of ``key`` or a part of it, None when there is none.

        Tiles are decoded in a thread, so that requests of one event loop run side by side.

        Raises
        ------
        TileReadError
            When a tile cannot be decoded.
        """
        await self._ensure_open()
        return await asyncio.to_thread(
            self.get_sync, key, prototype=prototype, byte_range=byte_range
        )

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return what :meth:`get` does, in the calling thread."""
        from zarr.core.buffer import default_buffer_prototype

        size_bytes = self._size(key)
        if size_bytes is None:
            return None
        part = _slice(byte_range, size_bytes)
        value = self._value(key)[part]
        return (prototype or default_buffer_prototype()).buffer.from_array_like(value)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return several values or parts of values, in the order asked for."""
        requests = [self.get(key, prototype, byte_range) for key, byte_range in key_ranges]
        return list(await asyncio.gather(*requests))

    async def exists(self, key: str) -> bool:
        """Tell whether there is such a key; reads nothing."""
        return self._keys.array_of(key) is not None or self._keys.place_of(key) is not None

    async def getsize(self, key: str) -> int:
        """Return the bytes of a value; reads no pixels of a chunk.

        Raises
        ------
        FileNotFoundError
            When there is no such key.
        """
        size_bytes = await asyncio.to_thread(self._size, key)
        if size_bytes is None:
            raise FileNotFoundError(key)
        return size_bytes

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse, as a slide is never written."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refuse, as a slide is never written."""
        self._check_writable()

    async def list(self) -> AsyncIterator[str]:
        """Yield every key."""
        for key in self._keys.beginning_with(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that begin with ``prefix``."""
        for key in self._keys.beginning_with(prefix):
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names directly under ``prefix``, as a folder would list them."""
        folder = tuple(prefix.rstrip("/").split("/")) if prefix.strip("/") else ()
        for name in self._keys.children(folder):
            yield name

    def close(self) -> None:
        """End the store; twice is fine."""
        super().close()
        if self._close_source is not None:
            self._close_source()

    @classmethod
    def _reopen(cls, path: str, identity: SlideId, cache_bytes: int) -> Self:
        cache = TileCache(cache_bytes)
        source = open_slide(path, cache=cache)
        if source.info.id != identity:
            source.close()
            raise CorruptSlide(path, "the file has changed since its store was copied")
        store = cls(source, cache=cache)
        # whoever unpickles a store, as dask does to name it, will hardly close it
        store._close_source = weakref.finalize(store, source.close)
        return store

    def _value(self, key: str) -> NDArray[np.uint8]:
        place = self._keys.place_of(key)
        if place is not None:
            return self._chunk(*place)
        return np.frombuffer(self._document(key), np.uint8)

    def _size(self, key: str) -> int | None:
        place = self._keys.place_of(key)
        if place is not None:
            layout = self._layouts[place[0]]
            return int(np.prod(layout.chunk)) * layout.stored_dtype.itemsize
        return None if self._keys.array_of(key) is None else len(self._document(key))

    def _document(self, key: str) -> bytes:
        array = self._keys.array_of(key)
        if array is None:
            raise FileNotFoundError(key)
        if array >= 0:
            return json_bytes(array_document(self._layouts[array]))
        if self._group is None:
            info = self._source.info
            windows = channel_windows(info, self._samples())
            attributes = image_attributes(info, info.levels, windows, "0.5")
            self._group = json_bytes(group_document(attributes))
        return self._group

    def _samples(self) -> Sequence[Pixels]:
        """Return some tiles of level 0: the coarsest level may have to be made from all of it."""
        info = self._source.info
        if not needs_samples(info):
            return []
        level = info.levels[0]
        plane = info.z // 2
        places = {(int(level.columns * x), int(level.rows * y)) for x, y in _SAMPLED}
        samples = []
        for col, row in sorted(places):
            try:
                tile = self._tile(TileKey(info.id, 0, col, row, plane))
            except TileReadError:
                continue
            samples.append(tile[::_SAMPLE_STEP, ::_SAMPLE_STEP])
        return samples

    def _tile(self, key: TileKey) -> Pixels:
        return self._cache.get(
            key, lambda: self._source.read_tile(key.level, key.col, key.row, key.plane)
        )

    def _chunk(self, level: int, place: Extent) -> NDArray[np.uint8]:
        t, _, z, row, col = place
        info, layout = self._source.info, self._layouts[level]
        tile = self._tile(TileKey(info.id, level, col, row, t * info.z + z))
        planar = tile.transpose(2, 0, 1)
        if planar.shape != (len(info.bands), *layout.chunk[3:]):
            whole = np.empty((len(info.bands), *layout.chunk[3:]), info.dtype)
            whole[:] = np.asarray(info.background, info.dtype)[:, None, None]
            whole[:, : tile.shape[0], : tile.shape[1]] = planar
            planar = whole
        values = np.ascontiguousarray(planar, layout.stored_dtype)
        return values.reshape(-1).view(np.uint8)


def _reopened(kind: type[SlideStore], path: str, identity: SlideId, cache_bytes: int) -> SlideStore:
    return kind._reopen(path, identity, cache_bytes)


def _layout(info: SlideInfo, level: Level) -> StoredArray:
    bands = len(info.bands)
    height = min(level.tile.height, level.size.height)
    width = min(level.tile.width, level.size.width)
    return StoredArray(
        shape=(info.t, bands, info.z, level.size.height, level.size.width),
        chunk=(1, bands, 1, height, width),
        dtype=info.dtype,
        fill=fill_value(info),
    )


def _grid(info: SlideInfo, level: Level) -> Extent:
    return info.t, 1, info.z, level.rows, level.columns


def _slice(byte_range: object, size_bytes: int) -> slice:
    match byte_range:
        case None:
            return slice(None)
        case RangeByteRequest(start, end):
            return slice(start, end)
        case OffsetByteRequest(offset):
            return slice(offset, None)
        case SuffixByteRequest(suffix):
            return slice(max(0, size_bytes - suffix), None)
        case _:
            msg = f"Unexpected byte_range, got {byte_range}."
            raise TypeError(msg)
