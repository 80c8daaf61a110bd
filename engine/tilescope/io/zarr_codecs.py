"""Decoding one chunk into memory that the caller has sized, whatever the chunk claims.

The decoders are those of imagecodecs: each measured at least as fast as its twin in numcodecs
(deflate five times), all release the interpreter lock, and none takes a lock of its own, where
numcodecs' blosc takes a global one. Formats: README_CHUNK_FORMAT of https://github.com/Blosc/c-blosc,
RFC 8878 (zstd), 1950 (zlib), 1952 (gzip), and LZ4 with numcodecs' four bytes of length in front.
"""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Octets = NDArray[np.uint8]

_BLOSC_HEADER = struct.Struct("<4xIII")
_BLOSC_HEADER_BYTES = 16
_CHECKSUM_BYTES = 4

#: No codec here makes data longer by more; a chunk file above it is not read.
_MOST_GROWTH = 2
_MOST_EXTRA_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class CodecChain:
    """From a chunk's stored bytes to its samples.

    Attributes
    ----------
    compressor
        A key of :data:`COMPRESSORS`, None for plain samples.
    has_checksum
        Whether a crc32c follows the bytes.
    """

    compressor: str | None = None
    has_checksum: bool = False

    def decode(self, data: bytes, out: Octets) -> None:
        """Fill ``out`` from ``data``.

        Parameters
        ----------
        data
            One chunk as it is stored.
        out
            ``uint8[n]``, contiguous, as long as the decoded chunk has to be.

        Raises
        ------
        ValueError, RuntimeError
            When the data are damaged, or make more or fewer bytes.
        """
        plain = without_checksum(data) if self.has_checksum else data
        if self.compressor is not None:
            made = COMPRESSORS[self.compressor](plain, out)
        else:
            made = len(plain)
            if made == out.size:
                out[:] = np.frombuffer(plain, np.uint8)
        if made != out.size:
            msg = f"a chunk of {made} bytes where {out.size} were expected"
            raise ValueError(msg)


def most_encoded_bytes(decoded_bytes: int) -> int:
    """Return how long the stored form of a chunk may be."""
    return _MOST_GROWTH * decoded_bytes + _MOST_EXTRA_BYTES


def chain_of_v2(compressor: Mapping[str, Any] | None) -> CodecChain | None:
    """Return the chain of a version 2 ``compressor``, None when it is not known here."""
    if compressor is None:
        return CodecChain()
    name = compressor["id"]
    return CodecChain(name) if name in COMPRESSORS else None


def chain_of_v3(codecs: Sequence[Mapping[str, Any]]) -> CodecChain | None:
    """Return the chain of version 3 codecs that follow ``bytes``, None when not known here."""
    names = [codec["name"] for codec in codecs]
    has_checksum = names[-1:] == ["crc32c"]
    if has_checksum:
        names.pop()
    if len(names) > 1 or not set(names) <= _V3_COMPRESSORS:
        return None
    return CodecChain(names[0] if names else None, has_checksum)


def without_checksum(data: bytes) -> memoryview:
    """Return ``data`` without the crc32c at its end.

    Raises
    ------
    ValueError
        When the checksum is not that of the data.
    """
    import google_crc32c

    if len(data) < _CHECKSUM_BYTES:
        msg = f"{len(data)} bytes are too few for a checksum"
        raise ValueError(msg)
    plain = memoryview(data)[:-_CHECKSUM_BYTES]
    if google_crc32c.value(bytes(plain)) != int.from_bytes(data[-_CHECKSUM_BYTES:], "little"):
        msg = "the bytes do not match their checksum"
        raise ValueError(msg)
    return plain


def _filled(
    decode: Callable[..., Any], data: bytes | memoryview, out: Octets, **options: int
) -> int:
    """Return how many bytes ``decode`` has put into ``out``."""
    return len(decode(data, out=out, **options))


def _blosc(data: bytes | memoryview, out: Octets) -> int:
    import imagecodecs

    if len(data) < _BLOSC_HEADER_BYTES:
        msg = f"a blosc chunk of {len(data)} bytes"
        raise ValueError(msg)
    # the decoder believes both lengths of the header
    decoded, _, encoded = _BLOSC_HEADER.unpack_from(data)
    if decoded != out.size or not _BLOSC_HEADER_BYTES <= encoded <= len(data):
        msg = f"a blosc chunk of {len(data)} bytes claims {encoded}, decoded {decoded}"
        raise ValueError(msg)
    return _filled(imagecodecs.blosc_decode, data, out, numthreads=1)


def _zstd(data: bytes | memoryview, out: Octets) -> int:
    import imagecodecs

    return _filled(imagecodecs.zstd_decode, data, out)


def _zlib(data: bytes | memoryview, out: Octets) -> int:
    import imagecodecs

    return _filled(imagecodecs.deflate_decode, data, out)


def _gzip(data: bytes | memoryview, out: Octets) -> int:
    import imagecodecs

    made = _filled(imagecodecs.gzip_decode, data, out)
    if made < out.size:
        # imagecodecs ends after the first of several members
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as members:
            made = members.readinto(out.data)
    return made


def _lz4(data: bytes | memoryview, out: Octets) -> int:
    import imagecodecs

    return _filled(imagecodecs.lz4_decode, data, out, header=True)


#: Name of a compressor in either version of Zarr, and what fills memory from its bytes.
COMPRESSORS: Mapping[str, Callable[[bytes | memoryview, Octets], int]] = {
    "blosc": _blosc,
    "zstd": _zstd,
    "gzip": _gzip,
    "zlib": _zlib,
    "lz4": _lz4,
}

_V3_COMPRESSORS = frozenset({"blosc", "zstd", "gzip"})
