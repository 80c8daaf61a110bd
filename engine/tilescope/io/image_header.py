"""Width and height as an encoded image declares them, read without decoding it.

PNG (ISO 15948, IHDR), JPEG (T.81, B.2.2), WebP (RFC 9649), BMP (BITMAPINFOHEADER), JPEG 2000
(T.800, A.5.1 and I.5.3.1).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_PNG = b"\x89PNG\r\n\x1a\n"
_JP2 = b"\x00\x00\x00\x0cjP  "
_J2K = b"\xff\x4f\xff\x51"

#: JPEG markers without a length: TEM, RST0-7, SOI.
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})

#: SOF0-15 without DHT, JPG and DAC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Kind, width and height as declared, and the bytes that a pixel takes while it is decoded."""

    kind: str
    width: int
    height: int
    bytes_per_pixel: int


def read_header(data: bytes) -> ImageHeader | None:
    """Return the declared size of an encoded image; None when ``data`` is no such image.

    Parameters
    ----------
    data
        The beginning of the file: 64 KiB for a JPEG with a long preamble, 64 bytes otherwise.
    """
    for magic, parse in (
        (_PNG, _png),
        (b"\xff\xd8\xff", _jpeg),
        (_J2K, _codestream),
        (_JP2, _jp2),
        (b"RIFF", _webp),
        (b"BM", _bmp),
    ):
        if data.startswith(magic):
            try:
                return parse(data)
            except (struct.error, IndexError):
                return None
    return None


def check_declared_size(data: bytes, expected_px: int) -> None:
    """Refuse an encoded tile that claims far more pixels than its place in the slide.

    Raises
    ------
    ValueError
        With both sizes: decoding it would take memory nobody planned for.
    """
    header = read_header(data)
    if header is not None and header.width * header.height > 2 * expected_px + 65536:
        msg = (
            f"a tile of {expected_px} pixels holds a {header.kind} image of "
            f"{header.width} x {header.height}"
        )
        raise ValueError(msg)


def keeps_ycbcr(data: bytes) -> bool:
    """Tell whether a JPEG 2000 codestream of YCbCr decodes to YCbCr.

    The decoder recognises subsampled chroma and converts it; full chroma looks like any colour.
    """
    if not data.startswith(_J2K) or len(data) < 51:
        return False
    components = struct.unpack_from(">H", data, 40)[0]
    steps = [tuple(data[43 + 3 * i : 45 + 3 * i]) for i in range(min(components, 3))]
    return len(steps) == 3 and len(set(steps)) == 1


def _png(data: bytes) -> ImageHeader | None:
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    samples = {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}.get(colour, 4)
    return ImageHeader("png", width, height, samples * max(1, depth // 8))


def _jpeg(data: bytes) -> ImageHeader | None:
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF or marker in _BARE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAMES:
            precision, height, width, samples = struct.unpack_from(">BHHB", data, at + 4)
            return ImageHeader("jpeg", width, height, samples * (2 if precision > 8 else 1))
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _codestream(data: bytes) -> ImageHeader | None:
    x1, y1, x0, y0 = struct.unpack_from(">IIII", data, 8)
    components = struct.unpack_from(">H", data, 40)[0]
    depth = (data[42] & 0x7F) + 1
    bytes_per_sample = 1 if depth <= 8 else 2 if depth <= 16 else 4
    # decoded to numbers of 32 bits, which are packed then
    return ImageHeader("jpeg2000", x1 - x0, y1 - y0, components * (4 + bytes_per_sample))


def _jp2(data: bytes) -> ImageHeader | None:
    start = data.find(_J2K)
    return _codestream(data[start:]) if start >= 0 else None


def _webp(data: bytes) -> ImageHeader | None:
    if data[8:12] != b"WEBP":
        return None
    chunk = data[12:16]
    if chunk == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
    elif chunk == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (v & 0x3FFF for v in struct.unpack_from("<HH", data, 26))
    return ImageHeader("webp", width, height, 4)


def _bmp(data: bytes) -> ImageHeader | None:
    header_size, width, height = struct.unpack_from("<Iii", data, 14)
    if header_size < 40:
        return None
    return ImageHeader("bmp", abs(width), abs(height), 4)
