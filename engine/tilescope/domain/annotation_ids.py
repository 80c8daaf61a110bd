"""Ids of objects: UUIDs as text, as bytes, and as keys of 64 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tilescope.errors import UsageError


def id_bytes(text: str) -> bytes:
    """Return the 16 bytes of a UUID.

    Raises
    ------
    UsageError
        When it is not one.
    """
    try:
        found = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        found = b""
    if len(found) != 16:
        raise UsageError(f"the id of an object is a UUID, not {text[:80]!r}")
    return found


def id_text(data: bytes) -> str:
    """Return a UUID as text."""
    return _dashed(data.hex(), 0)


def id_texts(data: bytes) -> list[str]:
    """Return the UUIDs that follow each other in ``data``, 16 bytes each, as text."""
    digits = data.hex()
    return [_dashed(digits, at) for at in range(0, len(digits), 32)]


def _dashed(h: str, at: int) -> str:
    """Return the UUID that begins at a place of a text of hexadecimal digits."""
    b, c, d, e = at + 8, at + 12, at + 16, at + 20
    return f"{h[at:b]}-{h[b:c]}-{h[c:d]}-{h[d:e]}-{h[e : at + 32]}"


def id_keys(ids: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return ``int64[n]``: a hash of each row of ``uint8[n, 16]``; part of the project format."""
    halves = np.ascontiguousarray(ids).view("<u8").reshape(-1, 2)
    # UUIDs that count upwards differ in a few bits only; the product spreads them.
    mixed = (halves[:, 0] * np.uint64(0x9E3779B97F4A7C15)) ^ (
        halves[:, 1] * np.uint64(0xC2B2AE3D27D4EB4F)
    )
    keys: NDArray[np.int64] = mixed.view(np.int64)
    return keys
