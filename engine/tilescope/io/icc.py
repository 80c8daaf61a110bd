"""ICC colour profiles: how large they may be, and what they call themselves.

ICC.1:2022, 7.3 and 10.15; ICC.1:2001-04, 6.5.17.
"""

from __future__ import annotations

import struct

#: A larger one is damage: profiles of cameras and scanners take some hundred kilobytes.
LARGEST_PROFILE_BYTES = 16 << 20

_TAG_TABLE_AT = 128
_MOST_TAGS = 200
_LONGEST_NAME = 100


def profile_name(profile: bytes) -> str | None:
    """Return the description of a profile, None when it has none that can be read."""
    try:
        return _printable(_description(profile))
    except (struct.error, UnicodeDecodeError):
        return None


def _description(profile: bytes) -> str:
    (count,) = struct.unpack_from(">I", profile, _TAG_TABLE_AT)
    for index in range(min(count, _MOST_TAGS)):
        name, offset, size = struct.unpack_from(">4sII", profile, _TAG_TABLE_AT + 4 + 12 * index)
        if name == b"desc":
            return _text(profile[offset : offset + size])
    return ""


def _text(tag: bytes) -> str:
    if tag.startswith(b"mluc"):
        length, start = struct.unpack_from(">II", tag, 20)
        return tag[start : start + length].decode("utf-16-be")
    (length,) = struct.unpack_from(">I", tag, 8)
    return tag[12 : 12 + length].decode("ascii")


def _printable(text: str) -> str | None:
    kept = "".join(c for c in text[:_LONGEST_NAME] if c.isprintable())
    return kept.strip() or None
