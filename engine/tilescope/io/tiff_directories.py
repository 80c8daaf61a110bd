"""What the directories of a TIFF claim, held against the file before a library believes it.

OpenSlide takes memory for as many numbers as a tag or the size of a page calls for, and ends the
whole process when there is none. TIFF 6.0, BigTIFF, and Hamamatsu's mixture of the two.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tilescope.errors import CorruptSlide

_MAGICS = {b"II*\0": ("<", False), b"MM\0*": (">", False),
           b"II+\0": ("<", True), b"MM\0+": (">", True)}  # fmt: skip

#: Bytes of the types 1 to 18; 14 and 15 are not in use.
_TYPE_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)

_MOST_DIRECTORIES, _MOST_TAGS, _LONGEST_CHAIN = 10_000, 4096, 100_000

_WIDTH, _LENGTH, _COMPRESSION = 256, 257, 259
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS = 322, 323, 324

#: How many bytes each strip and each tile has.
_BYTE_COUNTS = (279, 325)
_JPEG = 7

#: What every directory of a file of Hamamatsu's has, and how many tags are looked at for it.
_HAMAMATSU_FORMAT, _MOST_HAMAMATSU_TAGS = 65420, 1000

#: Where the intervals of Hamamatsu's JPEG start; what lies before the first is read at once.
_INTERVAL_STARTS, _INTERVAL_UPPER_HALVES = 65426, 65432

_LONG, _LONG8 = 4, 16

#: Two bits for each block of 64 pixels are the least that baseline JPEG stores; four times that.
_MOST_PIXELS_PER_BYTE = 1024


@dataclass(frozen=True, slots=True)
class _Form:
    """How the numbers of a directory are laid out."""

    first: int
    count: str
    entry: str
    offset: str
    is_wide: bool


@dataclass(frozen=True, slots=True)
class _Tag:
    """One tag: how many numbers of which type, and what is stored in the tag itself."""

    kind: int
    count: int
    stored: bytes
    order: str

    @property
    def width(self) -> int:
        """Bytes of one number, 1 where the type is not known."""
        return _TYPE_BYTES[self.kind] if self.kind < len(_TYPE_BYTES) else 1

    @property
    def size_bytes(self) -> int:
        """Bytes of all numbers."""
        return self.count * self.width

    @property
    def first(self) -> int:
        """The first whole number of what is stored here, often an offset; 0 without one."""
        if not 0 < self.width <= len(self.stored):
            return 0
        return int.from_bytes(self.stored[: self.width], "little" if self.order == "<" else "big")


def check_directories(path: Path) -> None:
    """Refuse a TIFF that claims more than its length allows; other files pass.

    Raises
    ------
    CorruptSlide
        When a tag, a tile or a strip holds more bytes than the file, a JPEG without tiles more
        pixels than fit, or a page has fewer tiles than its size needs.
    OSError
        When the file cannot be read.
    """
    with path.open("rb") as file:
        form = _form_of(path, file)
        if form is None:
            return
        size_bytes = os.fstat(file.fileno()).st_size
        for tags in _directories(file, form):
            for code, tag in tags.items():
                if tag.size_bytes > size_bytes:
                    reason = f"tag {code} claims {tag.size_bytes} bytes of a file of {size_bytes}"
                    raise CorruptSlide(path, reason)
            _check_pixels(path, tags, size_bytes)
            _check_intervals(path, file, tags, size_bytes)
            for code in _BYTE_COUNTS:
                _check_lengths(path, file, tags.get(code), form, size_bytes)


def check_chain(path: Path) -> None:
    """Refuse a TIFF whose directories lead back to one before: reading them would not end.

    Raises
    ------
    CorruptSlide
        When they do.
    OSError
        When the file cannot be read.
    """
    with path.open("rb") as file:
        form = _form_of(path, file)
        if form is None:
            return
        count_bytes, entry_bytes = struct.calcsize(form.count), struct.calcsize(form.entry)
        seen: set[int] = set()
        file.seek(form.first)
        offset = _number(file, form.offset)
        while 0 < offset < 1 << 63 and len(seen) < _LONGEST_CHAIN:
            if offset in seen:
                raise CorruptSlide(path, f"its directory at byte {offset} comes round again")
            seen.add(offset)
            file.seek(offset)
            count = _number(file, form.count)
            if count > _MOST_TAGS:
                return
            file.seek(offset + count_bytes + count * entry_bytes)
            offset = _number(file, form.offset)


def has_wide_offsets(path: Path) -> bool:
    """Tell whether a file is laid out as Hamamatsu's scanners do, whatever it is called.

    They write a TIFF of 32 bits whose offsets have 64; only their own tags tell the two apart.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if len(head) < 12 or not head.startswith(b"II*\0"):
            return False
        start = struct.unpack_from("<Q", head, 4)[0]
        if start > path.stat().st_size:
            return False
        file.seek(start)
        count = int.from_bytes(file.read(2), "little")
        entries = file.read(12 * min(count, _MOST_HAMAMATSU_TAGS))
    tags = {entries[at : at + 2] for at in range(0, len(entries), 12)}
    return struct.pack("<H", _HAMAMATSU_FORMAT) in tags


def _check_pixels(path: Path, tags: dict[int, _Tag], size_bytes: int) -> None:
    width, length, compression, across, down = (
        tags[code].first if code in tags else 0
        for code in (_WIDTH, _LENGTH, _COMPRESSION, _TILE_WIDTH, _TILE_LENGTH)
    )
    if across and down:
        needed = -(-width // across) * -(-length // down)
        listed = tags[_TILE_OFFSETS].count if _TILE_OFFSETS in tags else 0
        if listed < needed:
            raise CorruptSlide(path, f"the page needs {needed} tiles and lists {listed}")
        return
    if compression != _JPEG:
        return
    if width * length > _MOST_PIXELS_PER_BYTE * size_bytes:
        reason = f"{size_bytes} bytes are too few for {width} x {length} pixels of JPEG"
        raise CorruptSlide(path, reason)


def _check_intervals(path: Path, file: BinaryIO, tags: dict[int, _Tag], size_bytes: int) -> None:
    """Refuse what a scanner never writes, for a library reads as many bytes as it says."""
    if _HAMAMATSU_FORMAT not in tags:
        return
    first = 0
    for code, shift in ((_INTERVAL_STARTS, 0), (_INTERVAL_UPPER_HALVES, 32)):
        tag = tags.get(code)
        if tag is None:
            continue
        if tag.kind != _LONG:
            raise CorruptSlide(path, f"restart intervals as numbers of type {tag.kind}")
        if tag.count > 1:
            file.seek(tag.first)
        first += (_number(file, "<I") if tag.count > 1 else tag.first) << shift
    if first > size_bytes:
        raise CorruptSlide(path, f"restart intervals from byte {first} of {size_bytes}")


def _check_lengths(
    path: Path, file: BinaryIO, tag: _Tag | None, form: _Form, size_bytes: int
) -> None:
    """Refuse a tile or strip that is longer than the file."""
    if tag is None or tag.kind not in (_LONG, _LONG8):
        return
    stored = tag.stored
    if tag.size_bytes > len(stored):
        if form.is_wide:  # the upper half of the offset is elsewhere
            return
        offset = int.from_bytes(stored, "little" if tag.order == "<" else "big")
        if offset > size_bytes:
            return
        file.seek(offset)
        stored = file.read(tag.size_bytes)
    kind = np.dtype(f"{tag.order}u{tag.width}")
    lengths = np.frombuffer(stored, kind, min(tag.count, len(stored) // tag.width))
    if lengths.size and lengths.max() > size_bytes:
        reason = f"a tile or strip claims {lengths.max()} bytes of a file of {size_bytes}"
        raise CorruptSlide(path, reason)


def _form_of(path: Path, file: BinaryIO) -> _Form | None:
    """Return how a file's directories are laid out, None where it is no TIFF."""
    magic = _MAGICS.get(file.read(4))
    if magic is None:
        return None
    order, is_big = magic
    if is_big:
        return _Form(8, order + "Q", order + "HHQ8s", order + "Q", is_wide=False)
    wide = has_wide_offsets(path)
    return _Form(4, order + "H", order + "HHI4s", order + ("Q" if wide else "I"), is_wide=wide)


def _directories(file: BinaryIO, form: _Form) -> Iterator[dict[int, _Tag]]:
    """Yield the tags of each directory by their codes, until one is damaged."""
    seen: set[int] = set()
    file.seek(form.first)
    offset = _number(file, form.offset)
    while offset and offset not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(offset)
        if offset >= 1 << 63:
            return
        file.seek(offset)
        count = min(_number(file, form.count), _MOST_TAGS)
        length = struct.calcsize(form.entry)
        data = file.read(count * length)
        if len(data) < count * length:
            return
        offset = _number(file, form.offset)
        yield {
            code: _Tag(kind, number, value, form.entry[0])
            for code, kind, number, value in struct.iter_unpack(form.entry, data)
        }


def _number(file: BinaryIO, form: str) -> int:
    """Return the next number; zero, which ends everything, where the file ends."""
    data = file.read(struct.calcsize(form))
    return struct.unpack(form, data)[0] if len(data) == struct.calcsize(form) else 0
