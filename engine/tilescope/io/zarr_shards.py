"""Where chunks lie within shards: the sharding codec's indices, read once and kept for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from tilescope.io.zarr_codecs import most_encoded_bytes, without_checksum
from tilescope.io.zarr_files import Span, ZarrFiles, fetch_one
from tilescope.io.zarr_nodes import ShardLayout

#: Indices of one array kept in memory.
_MOST_INDEX_BYTES = 16 << 20

#: What a shard that does not exist costs in the account.
_LEAST_ENTRY_BYTES = 64

_ABSENT = 2**64 - 1

#: ``uint64[chunks, 2]``: first byte and number of bytes of each chunk, row-major.
Index = NDArray[np.uint64]


class ShardIndices:
    """Indices of an array's shards, least recently used out first; for any number of threads."""

    def __init__(self, files: ZarrFiles, layout: ShardLayout, chunk_bytes: int) -> None:
        self._files = files
        self._layout = layout
        self._most_bytes = most_encoded_bytes(chunk_bytes)
        self._lock = threading.Lock()
        self._held: OrderedDict[str, Index | None] = OrderedDict()
        self._held_bytes = 0

    def span(self, key: str, place: int) -> Span | None:
        """Return where chunk ``place`` of shard ``key`` lies, None when it is left out.

        Raises
        ------
        ValueError
            When the index makes no sense.
        """
        index = self._index(key)
        if index is None:
            return None
        start, count = (int(n) for n in index[place])
        if start == _ABSENT and count == _ABSENT:
            return None
        if count > self._most_bytes or start >= 1 << 62:
            msg = f"the index of shard {key!r} claims {count} bytes at {start} for one chunk"
            raise ValueError(msg)
        return Span(key, count, start)

    def clear(self) -> None:
        """Forget all indices."""
        with self._lock:
            self._held.clear()
            self._held_bytes = 0

    def _index(self, key: str) -> Index | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        index = self._read(key)
        with self._lock:
            if key not in self._held:
                self._held[key] = index
                self._held_bytes += _cost(index)
            while self._held_bytes > _MOST_INDEX_BYTES and len(self._held) > 1:
                self._held_bytes -= _cost(self._held.popitem(last=False)[1])
        return index

    def _read(self, key: str) -> Index | None:
        count = self._layout.index_bytes
        start = -count if self._layout.index_at_end else 0
        data = fetch_one(self._files, Span(key, count, start))
        if data is None:
            return None
        plain = without_checksum(data) if self._layout.index_has_checksum else data
        return np.frombuffer(plain, "<u8").reshape(-1, 2)


def _cost(index: Index | None) -> int:
    return _LEAST_ENTRY_BYTES + (0 if index is None else index.nbytes)
