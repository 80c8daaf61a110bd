"""Outlines read from their JSON text, a whole batch of them at once.

``json`` makes three Python objects of every vertex. Here the digits of all numbers of a batch are
added up column by column, which takes a third of the time and nothing for the garbage collector.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: More digits may not fit a float64 without rounding; one division by a power of ten then
#: rounds once, as ``float`` does.
_MOST_DIGITS = 15
_NUMERALS = b"0123456789.- \t\n\r"
_POWERS = 10.0 ** np.arange(_MOST_DIGITS + 1)
#: White space may stand around a number, not in it.
_TORN = re.compile(rb"[0-9.-][ \t\n\r]+[0-9.-]")
_COMMA, _DOT, _MINUS, _ZERO = b",.-0"


@dataclass(frozen=True, slots=True, eq=False)
class TextRings:
    """Outlines one after the other.

    Attributes
    ----------
    points
        ``float64[m, 2]``: x, y as the text says.
    offsets
        ``int64[n + 1]``: outline ``i`` is ``points[offsets[i]:offsets[i + 1]]``.
    """

    points: NDArray[np.float64]
    offsets: NDArray[np.int64]


def parse_rings(texts: list[str]) -> TextRings | None:
    """Return the outline in each text of the form ``[[[x,y],[x,y]]]``, the first vertex repeated.

    None when any text has another form, an exponent, or a number of more than 15 digits: whoever
    wants to know what is wrong with it parses it as JSON. Zeros in front of a number are taken.
    """
    if not texts:
        return TextRings(np.zeros((0, 2)), np.zeros(1, np.int64))
    whole = ",".join(texts)
    if not whole.isascii():
        return None
    data = whole.encode("ascii")
    lengths = [(text.count("[") - 2) for text in texts]
    skeletons = {n: b"[[" + b",".join([b"[,]"] * n) + b"]]" for n in set(lengths)}
    skeleton = b",".join([skeletons[n] for n in lengths])
    if min(lengths) < 1 or data.translate(None, _NUMERALS) != skeleton:
        return None
    bare = data.translate(None, b" \t\n\r")
    if len(bare) != len(data) and _TORN.search(data):
        return None
    numbers = _numbers(bare.translate(None, b"[]"))
    if numbers is None:
        return None
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return TextRings(numbers.reshape(-1, 2), offsets)


def _numbers(data: bytes) -> NDArray[np.float64] | None:
    """Return the numbers between commas exactly as ``float`` does; None for anything doubtful."""
    text = np.frombuffer(data, np.uint8)
    ends = np.append(np.flatnonzero(text == _COMMA), len(text)).astype(np.int32)
    dots = np.flatnonzero(text == _DOT).astype(np.int32)
    dots_before = np.searchsorted(dots, ends).astype(np.int32)
    fractional = np.diff(dots_before, prepend=np.int32(0))
    if fractional.max() > 1:
        return None
    decimals = np.zeros(len(ends), np.int32)
    decimals[fractional == 1] = ends[fractional == 1] - dots - 1
    if (decimals[fractional == 1] == 0).any():
        return None
    # Without the dots, and with room in front of the first number for the columns of a wider one.
    ends -= dots_before
    padded = np.frombuffer(b"0" * _MOST_DIGITS + data.translate(None, b"."), np.uint8)
    starts = np.append(np.int32(0), ends[:-1] + 1)
    negative = padded[_MOST_DIGITS:].take(starts, mode="clip") == _MINUS
    widths = ends - starts - negative
    if (widths <= decimals).any() or widths.max() > _MOST_DIGITS:
        return None
    if int(negative.sum()) != data.count(b"-"):
        return None
    signs = np.where(negative, -1.0, 1.0)
    numbers: NDArray[np.float64]
    numbers = _sums(padded - _ZERO, ends, widths) / _POWERS[decimals] * signs
    return numbers


def _sums(
    digits: NDArray[np.uint8], ends: NDArray[np.int32], widths: NDArray[np.int32]
) -> NDArray[Any]:
    """Return the whole numbers that end before ``ends``, counted behind the padding."""
    widest = int(widths.max())
    # The narrower type halves the time.
    dtype: type[np.unsignedinteger] = np.uint32 if widest <= 9 else np.uint64
    sums: NDArray[Any] = np.zeros(len(ends), dtype)
    for k in range(widest, 0, -1):
        digit = digits[_MOST_DIGITS - k :].take(ends)
        digit *= widths >= k
        sums *= 10
        sums += digit
    return sums
