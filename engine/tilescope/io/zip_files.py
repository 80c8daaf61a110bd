"""Pieces of a zip file, read by position from any thread, whatever the file claims.

Format: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3 (ZIP64). The standard library's reader keeps
half a kilobyte per piece and one lock around all reads; a slide has hundreds of thousands.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tilescope.io.bytefile import ByteFile
from tilescope.io.zarr_files import Span, placed

_END = struct.Struct("<4s4H2LH")
_END_MAGIC = b"PK\5\6"
_LONGEST_COMMENT = 0xFFFF

_LOCATOR = struct.Struct("<4sLQL")
_LOCATOR_MAGIC = b"PK\6\7"

_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_MAGIC = b"PK\6\6"

_ENTRY = struct.Struct("<4s4x2H8x2L3H8xL")
_ENTRY_MAGIC = b"PK\1\2"

_LOCAL = struct.Struct("<4s22x2H")
_LOCAL_MAGIC = b"PK\3\4"

_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1
_IN_ZIP64 = 0xFFFFFFFF
_ZIP64_EXTRA = 1

#: Almost a million pieces, which take half a gigabyte at worst; more belong into shards.
_LARGEST_DIRECTORY_BYTES = 64 << 20

#: A deflated piece is unpacked as a whole, even for a part of it.
_LARGEST_UNPACKED_BYTES = 512 << 20

#: Offset of its header, bytes in the file, bytes unpacked, method of packing and flags.
_Entry = tuple[int, int, int, int, int]


class ZipFiles:
    """An open zip file; holds one file descriptor and the table of its pieces."""

    def __init__(self, path: Path) -> None:
        """Read the table.

        Raises
        ------
        ValueError, EOFError
            When the file is no zip or its tables contradict each other.
        """
        self._file = ByteFile(path)
        try:
            self._entries = _entries(self._file)
        except BaseException:
            self._file.close()
            raise

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def fetch(self, spans: Sequence[Span]) -> Iterator[bytes | None]:
        """Yield the bytes of each span; see :class:`~tilescope.io.zarr_files.ZarrFiles`."""
        for span in spans:
            entry = self._entries.get(span.key)
            yield None if entry is None else self._read(span, entry)

    def close(self) -> None:
        """Close the file once the last reader is through; twice is fine."""
        self._file.close()

    def _read(self, span: Span, entry: _Entry) -> bytes:
        header_at, packed_bytes, size_bytes, method, flags = entry
        if flags & _ENCRYPTED:
            msg = f"{span.key!r} is encrypted"
            raise ValueError(msg)
        start, count = placed(span, size_bytes)
        data_at = self._data_at(span.key, header_at)
        if method == _STORED:
            if packed_bytes != size_bytes:
                msg = f"{span.key!r} is stored as it is and has two sizes"
                raise ValueError(msg)
            return self._file.read_at(data_at + start, count)
        if method != _DEFLATED:
            msg = f"{span.key!r} is packed by method {method}; only stored and deflated are read"
            raise ValueError(msg)
        return _inflated(span.key, self._file.read_at(data_at, packed_bytes), size_bytes)[
            start : start + count
        ]

    def _data_at(self, key: str, header_at: int) -> int:
        magic, name_bytes, extra_bytes = _LOCAL.unpack(self._file.read_at(header_at, _LOCAL.size))
        if magic != _LOCAL_MAGIC:
            msg = f"the zip has no header for {key!r} where its table says"
            raise ValueError(msg)
        return header_at + _LOCAL.size + int(name_bytes) + int(extra_bytes)


def _inflated(key: str, packed: bytes, size_bytes: int) -> bytes:
    import imagecodecs
    import numpy as np

    if size_bytes > _LARGEST_UNPACKED_BYTES:
        msg = f"{key!r} unpacks to {size_bytes >> 20} MiB; store it instead of deflating it"
        raise ValueError(msg)
    out = np.empty(size_bytes, np.uint8)
    inflate: Any = imagecodecs.deflate_decode
    made = inflate(packed, raw=True, out=out) if size_bytes else out
    if len(made) != size_bytes:
        msg = f"{key!r} unpacks to {len(made)} of {size_bytes} bytes"
        raise ValueError(msg)
    return out.tobytes()


def _entries(file: ByteFile) -> dict[str, _Entry]:
    count, size_bytes, start, shift = _directory(file)
    if size_bytes > _LARGEST_DIRECTORY_BYTES:
        msg = f"a zip with a table of {size_bytes >> 20} MiB; put the chunks into shards"
        raise ValueError(msg)
    table = file.read_at(start, size_bytes)
    entries: dict[str, _Entry] = {}
    at = 0
    for _ in range(count):
        fields = _ENTRY.unpack_from(table, at)
        magic, flags, method, packed, size, name_bytes, extra_bytes, comment_bytes, where = fields
        name_at = at + _ENTRY.size
        extra_at = name_at + name_bytes
        at = extra_at + extra_bytes + comment_bytes
        if magic != _ENTRY_MAGIC or at > len(table):
            msg = "the table of the zip is damaged"
            raise ValueError(msg)
        if _IN_ZIP64 in (size, packed, where):
            extra = table[extra_at : extra_at + extra_bytes]
            size, packed, where = _wide(extra, size, packed, where)
        name = table[name_at:extra_at].decode("utf-8", "replace")
        entries[name] = (where + shift, packed, size, method, flags)
    return entries


def _directory(file: ByteFile) -> tuple[int, int, int, int]:
    """Return entries, bytes and offset of the table, and what to add to offsets in it.

    A zip may have other bytes in front, which its offsets do not count.
    """
    tail_bytes = min(file.size_bytes, _END.size + _LONGEST_COMMENT)
    tail_at = file.size_bytes - tail_bytes
    tail = file.read_at(tail_at, tail_bytes)
    end_at = tail_at + _end_in(tail)
    _, _, _, _, count, size_bytes, start, _ = _END.unpack_from(tail, end_at - tail_at)
    locator_at = end_at - _LOCATOR.size
    if locator_at >= 0:
        magic, _, end64_at, _ = _LOCATOR.unpack(file.read_at(locator_at, _LOCATOR.size))
        if magic == _LOCATOR_MAGIC:
            fields = _END64.unpack(file.read_at(end64_at, _END64.size))
            if fields[0] != _END64_MAGIC:
                msg = "the zip has no ZIP64 table where it says"
                raise ValueError(msg)
            count, size_bytes, start = fields[7:10]
            end_at = end64_at
    shift = end_at - size_bytes - start
    if shift < 0:
        msg = "the table of the zip lies outside"
        raise ValueError(msg)
    return int(count), int(size_bytes), int(start + shift), int(shift)


def _end_in(tail: bytes) -> int:
    """Return where the end record begins; a comment may hold what looks like one."""
    at = len(tail)
    while (at := tail.rfind(_END_MAGIC, 0, at)) >= 0:
        comment_at = at + _END.size
        if comment_at <= len(tail) and _END.unpack_from(tail, at)[-1] == len(tail) - comment_at:
            return at
    msg = "no table at the end of the zip: it is cut off, or no zip"
    raise ValueError(msg)


def _wide(extra: bytes, size: int, packed: int, where: int) -> tuple[int, int, int]:
    """Return the sizes and the offset with those that did not fit into 32 bits."""
    at = 0
    while at + 4 <= len(extra):
        kind, count = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64_EXTRA:
            values = iter(struct.unpack(f"<{min(count, 24) // 8}Q", _cut(extra, at + 4, count)))
            size, packed, where = (
                next(values) if value == _IN_ZIP64 else value for value in (size, packed, where)
            )
            break
        at += 4 + count
    return size, packed, where


def _cut(extra: bytes, at: int, count: int) -> bytes:
    return extra[at : at + min(count, 24) // 8 * 8]
