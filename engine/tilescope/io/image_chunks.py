"""What a plain image says beside its pixels: colour profile and which way up it is.

PNG (W3C PNG 3, iCCP and eXIf), JPEG (ICC.1 B.4, Exif 2.3 4.5.4) and WebP (RFC 9649, 2.7.1).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from tilescope.io.icc import LARGEST_PROFILE_BYTES
from tilescope.io.tiff_orientation import Orientation, orientation_of

_ORIENTATION_TAG, _SHORT = 274, 3
_MOST_CHUNKS = 10_000


def icc_profile(kind: str, data: bytes) -> bytes | None:
    """Return the ICC profile of an encoded image, None when it has none that can be read.

    Parameters
    ----------
    kind
        ``"png"``, ``"jpeg"`` or ``"webp"``; other kinds have none.
    data
        The whole file.
    """
    if kind == "png":
        return _inflated(next((v for name, v in _png(data) if name == b"iCCP"), b""))
    if kind == "webp":
        return next((v for name, v in _webp(data) if name == b"ICCP"), None)
    if kind != "jpeg":
        return None
    parts = sorted(
        (body[12], body[14:])
        for marker, body in _jpeg(data)
        if marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14
    )
    profile = b"".join(part for _, part in parts)
    return profile if 0 < len(profile) <= LARGEST_PROFILE_BYTES else None


def image_orientation(kind: str, data: bytes) -> Orientation | None:
    """Return how to turn the pixels of an encoded image, None when they are upright."""
    exif = b""
    if kind == "png":
        exif = next((v for name, v in _png(data) if name == b"eXIf"), b"")
    elif kind == "webp":
        exif = next((v for name, v in _webp(data) if name == b"EXIF"), b"")
    elif kind == "jpeg":
        found = (body for marker, body in _jpeg(data) if marker == 0xE1)
        exif = next((body for body in found if body.startswith(b"Exif\0\0")), b"")
    try:
        return orientation_of(_exif_orientation(exif.removeprefix(b"Exif\0\0")))
    except struct.error:
        return None


def _exif_orientation(exif: bytes) -> int | None:
    """Return the tag's value in the first directory of what is laid out like a TIFF."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return None
    start = struct.unpack_from(order + "I", exif, 4)[0]
    for index in range(struct.unpack_from(order + "H", exif, start)[0]):
        entry = start + 2 + 12 * index
        tag, kind, count, value = struct.unpack_from(order + "HHIH", exif, entry)
        if (tag, kind, count) == (_ORIENTATION_TAG, _SHORT, 1):
            return int(value)
    return None


def _inflated(chunk: bytes) -> bytes | None:
    """Return the profile of an iCCP chunk: a name, a zero, the method, a zlib stream."""
    name, _, rest = chunk.partition(b"\0")
    if not 0 < len(name) < 80 or rest[:1] != b"\0":
        return None
    stream = zlib.decompressobj()
    try:
        profile = stream.decompress(rest[1:], LARGEST_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if stream.eof and profile else None


def _png(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks before the pixels, and those behind them up to a bound."""
    at = 8
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, data[at + 8 : at + 8 + length] if name in {b"iCCP", b"eXIf"} else b""
        at += 12 + length


def _webp(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            return
        name, length = struct.unpack_from("<4sI", data, at)
        wanted = name in {b"ICCP", b"EXIF"} and length <= LARGEST_PROFILE_BYTES
        yield name, data[at + 8 : at + 8 + length] if wanted else b""
        at += 8 + length + length % 2


def _jpeg(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of the segments before the first scan."""
    at = 2
    for _ in range(_MOST_CHUNKS):
        if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] == 0xDA:
            return
        length = struct.unpack_from(">H", data, at + 2)[0]
        if length < 2:
            return
        yield data[at + 1], data[at + 4 : at + 2 + length]
        at += 2 + length
