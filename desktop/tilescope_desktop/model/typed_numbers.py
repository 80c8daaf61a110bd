"""Numbers as people type them: with a point or a comma, and with an exponent where they like."""

from __future__ import annotations

import math
import re

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_BEGUN = re.compile(r"[+-]?\d*\.?\d*(e[+-]?\d*)?", re.ASCII | re.IGNORECASE)


def pointed(text: str) -> str:
    """Return a text with the decimal sign that is shown."""
    return text.replace(",", ".")


def number_of(text: str) -> float | None:
    """Return the number that a text says, None when it says none.

    A comma is a decimal sign as the point is, and nothing parts thousands: ``1.234,5`` is none.
    """
    clean = pointed(text.strip())
    if not _NUMBER.fullmatch(clean):
        return None
    number = float(clean) + 0.0  # no minus before nothing
    return number if math.isfinite(number) else None


def is_begun(text: str) -> bool:
    """Tell whether a text may become a number by what is typed after it."""
    return _BEGUN.fullmatch(pointed(text.strip())) is not None
