"""Colours as other programs write them."""

from __future__ import annotations

import re

from tilescope.exchange.palette import RGB

_HEX = re.compile(r"#?([0-9a-fA-F]{6})")


def colour_of_hex(text: str | None) -> RGB | None:
    """Return the colour of ``#rrggbb``, with or without the sign; None for anything else."""
    match = _HEX.fullmatch(text.strip()) if text else None
    if match is None:
        return None
    red, green, blue = bytes.fromhex(match[1])
    return red, green, blue


def hex_of_colour(colour: RGB) -> str:
    """Return ``#rrggbb``."""
    return "#" + bytes(colour).hex()


def colour_of_rgb_number(value: int) -> RGB:
    """Return the colour of ``0xAARRGGBB``, signed or not, as Java packs it."""
    return (value >> 16) & 255, (value >> 8) & 255, value & 255


def colour_of_bgr_number(text: str | None) -> RGB | None:
    """Return the colour of ``0x00BBGGRR`` as decimal text, as Windows packs it."""
    if not text or not text.strip().isdecimal():
        return None
    value = int(text.strip()[:10])
    return value & 255, (value >> 8) & 255, (value >> 16) & 255
