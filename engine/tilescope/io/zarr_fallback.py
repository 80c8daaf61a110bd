"""Arrays that zarr-python has to read: filters, Fortran order, codecs that are rare in slides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from io import UnsupportedOperation
from typing import Any

import numpy as np
import zarr  # noqa: TID253 - this module is imported when such an array is met
from numpy.typing import NDArray
from zarr.abc.store import (  # noqa: TID253
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype  # noqa: TID253

from tilescope.domain.geometry import Rect
from tilescope.io.zarr_files import Span, ZarrFiles, fetch_one

Pixels = NDArray[Any]

#: The longest piece that is given to zarr-python, which decodes it without a bound of its own.
_LARGEST_PIECE_BYTES = 512 << 20

_UNLISTED = "the pieces of a slide are read by name and cannot be listed"


class FallbackArray:
    """A :class:`~tilescope.io.zarr_layout.PixelArray` that is read by zarr-python."""

    def __init__(self, files: ZarrFiles, prefix: str, version: int, axes: str) -> None:
        array = zarr.open_array(
            store=_FilesStore(files),
            path=prefix.rstrip("/"),
            mode="r",
            zarr_format=2 if version == 2 else 3,
        )
        self._array = array
        self._axes = axes
        self.shape = tuple(int(n) for n in array.shape)
        self.chunks = tuple(int(n) for n in array.chunks)
        self.dtype = np.dtype(array.dtype)

    def read(self, rect: Rect, time: int, depth: int) -> Pixels:
        """Return ``[height, width, bands]`` in the stored sample type."""
        place: dict[str, int | slice] = {
            "t": time,
            "z": depth,
            "c": slice(None),
            "y": slice(rect.y0, rect.y1),
            "x": slice(rect.x0, rect.x1),
        }
        values = np.asarray(self._array[tuple(place[axis] for axis in self._axes)])
        kept = [axis for axis in self._axes if axis not in "tz"]
        turned = np.transpose(values, [kept.index(axis) for axis in "yxc" if axis in kept])
        return np.ascontiguousarray(turned if "c" in kept else turned[..., None])

    def close(self) -> None:
        """Do nothing: the files belong to the slide."""


class _FilesStore(Store):
    """Pieces of bytes as zarr-python asks for them; nothing is written or listed."""

    def __init__(self, files: ZarrFiles) -> None:
        super().__init__(read_only=True)
        self._files = files

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _FilesStore) and other._files is self._files

    __hash__ = None  # type: ignore[assignment]

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        data = await asyncio.to_thread(fetch_one, self._files, _span(key, byte_range))
        if data is None:
            return None
        kept = data[byte_range.offset :] if isinstance(byte_range, OffsetByteRequest) else data
        return prototype.buffer.from_bytes(kept)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, wanted) for key, wanted in key_ranges]

    async def exists(self, key: str) -> bool:
        data = await asyncio.to_thread(fetch_one, self._files, _span(key, None))
        return data is not None

    @property
    def supports_writes(self) -> bool:
        return False

    @property
    def supports_deletes(self) -> bool:
        return False

    @property
    def supports_listing(self) -> bool:
        return False

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()

    async def delete(self, key: str) -> None:
        self._check_writable()

    def list(self) -> AsyncIterator[str]:
        raise UnsupportedOperation(_UNLISTED)

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise UnsupportedOperation(_UNLISTED)

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        raise UnsupportedOperation(_UNLISTED)


def _span(key: str, wanted: ByteRequest | None) -> Span:
    if isinstance(wanted, RangeByteRequest):
        return Span(key, wanted.end - wanted.start, wanted.start)
    if isinstance(wanted, SuffixByteRequest):
        return Span(key, wanted.suffix, -wanted.suffix)
    return Span(key, _LARGEST_PIECE_BYTES)
