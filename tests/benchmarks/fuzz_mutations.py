"""Damage done to files on purpose, the same for the same random numbers.

Headers are where readers believe sizes, so damage is drawn to the first and last kilobytes of a
file, to the entries of TIFF directories, to numbers in text and to values of JSON.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

_HEAD_BYTES = 2048

#: Where arithmetic on sizes goes wrong.
_NUMBERS = (
    0, 1, 2, 3, 7, 8, 16, 255, 256, 32767, 32768, 65535, 65536, 1 << 24, (1 << 31) - 1, 1 << 31,
    (1 << 32) - 1, 1 << 32, (1 << 63) - 1, (1 << 64) - 1,
)  # fmt: skip

_NUMBER_IN_TEXT = re.compile(rb"-?\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of a TIFF directory: where its parts are."""

    at: int
    big: bool

    def field(self, chance: Random) -> tuple[int, int]:
        """Return offset and width of the tag, the type, the count or the value."""
        width = 8 if self.big else 4
        choices = [(0, 2), (2, 2), (4, width), (4 + width, width), (4 + width, width)]
        offset, size = chance.choice(choices)
        return self.at + offset, size


def mutated(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """Return ``data`` damaged in one to four places.

    Parameters
    ----------
    data
        A good file.
    chance
        Where all choices come from.
    others
        Good files to take pieces of.
    """
    out = bytearray(data)
    if _is_json(data) and chance.random() < 0.8:
        return _json_swapped(data, chance)
    methods: list[Callable[[bytearray, Random], None]] = [
        _flip_bits, _set_bytes, _set_number, _set_number, _set_text_number, _cut_out, _repeat,
    ]  # fmt: skip
    entries = _tiff_entries(data)
    if entries:
        methods += [lambda o, c: _set_entry(o, c, entries)] * 6
    for _ in range(chance.choice((1, 1, 2, 4))):
        if len(out) > 1:
            chance.choice(methods)(out, chance)
    if chance.random() < 0.1:
        del out[chance.randrange(1, len(out) + 1) :]
    if chance.random() < 0.05:
        _splice(out, chance, chance.choice(others))
    return bytes(out)


def _place(length: int, chance: Random) -> int:
    """Return an offset, mostly near the beginning or the end."""
    roll = chance.random()
    if roll < 0.55:
        return chance.randrange(min(length, _HEAD_BYTES))
    if roll < 0.8:
        return length - 1 - chance.randrange(min(length, _HEAD_BYTES))
    return chance.randrange(length)


def _number(length: int, chance: Random) -> int:
    near = (length, length - 1, length + 1, chance.randrange(length + 1), chance.getrandbits(32))
    return chance.choice((*_NUMBERS, *near))


def _flip_bits(out: bytearray, chance: Random) -> None:
    for _ in range(chance.choice((1, 1, 3, 8))):
        out[_place(len(out), chance)] ^= 1 << chance.randrange(8)


def _set_bytes(out: bytearray, chance: Random) -> None:
    at, count = _place(len(out), chance), chance.choice((1, 1, 2, 4, 16))
    values = bytes(chance.choice((0, 1, 127, 128, 255, chance.randrange(256))) for _ in "x" * count)
    out[at : at + count] = values[: len(out) - at]


def _set_number(out: bytearray, chance: Random) -> None:
    _write_number(out, _place(len(out), chance), chance.choice((1, 2, 4, 8)), chance)


def _write_number(out: bytearray, at: int, width: int, chance: Random) -> None:
    value = _number(len(out), chance) & ((1 << 8 * width) - 1)
    order: Any = "little" if chance.random() < 0.7 else "big"
    out[at : at + width] = value.to_bytes(width, order)[: len(out) - at]


def _set_text_number(out: bytearray, chance: Random) -> None:
    """Write another number over one that is written in digits, in as many characters."""
    start = max(0, _place(len(out), chance) - _HEAD_BYTES // 2)
    found = list(_NUMBER_IN_TEXT.finditer(bytes(out[start : start + _HEAD_BYTES])))
    if not found:
        return
    match = chance.choice(found)
    width = match.end() - match.start()
    value = chance.choice(("0", "-1", "9" * width, "1e9", "nan", str(_number(len(out), chance))))
    text = value.encode()[:width].rjust(width, chance.choice((b"0", b" ")))
    out[start + match.start() : start + match.end()] = text


def _cut_out(out: bytearray, chance: Random) -> None:
    at = _place(len(out), chance)
    del out[at : at + chance.choice((1, 2, 8, 100, 1000))]
    if not out:
        out += b"\0"


def _repeat(out: bytearray, chance: Random) -> None:
    at, count = _place(len(out), chance), chance.choice((1, 4, 12, 20, 500))
    out[at:at] = out[at : at + count]


def _splice(out: bytearray, chance: Random, other: bytes) -> None:
    at, start = _place(len(out), chance), _place(len(other), chance)
    out[at:] = other[start:]


def _set_entry(out: bytearray, chance: Random, entries: Sequence[_Entry]) -> None:
    entry = chance.choice(entries)
    if chance.random() < 0.15:
        other, size = chance.choice(entries), 20 if entry.big else 12
        out[entry.at : entry.at + size] = out[other.at : other.at + size]
        return
    at, width = entry.field(chance)
    if at + width <= len(out):
        _write_number(out, at, width, chance)


def _tiff_entries(data: bytes) -> list[_Entry]:
    """Return all directory entries of a good TIFF or BigTIFF, none for other files."""
    if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return []
    order, big = ("<" if data[:2] == b"II" else ">"), b"+" in data[:4]
    count_as, size, link_as = ("Q", 20, "Q") if big else ("H", 12, "I")
    at = struct.unpack_from(order + link_as, data, 8 if big else 4)[0]
    entries: list[_Entry] = []
    while 0 < at < len(data) and len(entries) < 500:
        count = struct.unpack_from(order + count_as, data, at)[0]
        first = at + struct.calcsize(order + count_as)
        entries += [_Entry(first + size * i, big) for i in range(count)]
        at = struct.unpack_from(order + link_as, data, first + size * count)[0]
    return entries


def _is_json(data: bytes) -> bool:
    return data.lstrip()[:1] in (b"{", b"[")


def _json_swapped(data: bytes, chance: Random) -> bytes:
    """Return the document with one to three values swapped, dropped or made absurd."""
    try:
        document = json.loads(data)
    except ValueError:
        return data
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = list(_json_places(document))
        if not places:
            break
        holder, key = chance.choice(places)
        if chance.random() < 0.15:
            del holder[key]
            continue
        other, other_key = chance.choice(places)
        absurd = (
            None, True, -1, 0, 1, 1 << 31, 1 << 63, 1 << 70, 1e308, -0.5, "", "x" * 5000, "../..",
            "int64", "|b1", [], {}, [[]], [1] * 40, [1 << 40] * 3, {"name": "gzip"}, "\ud800",
            json.loads(json.dumps(other[other_key])),
        )  # fmt: skip
        holder[key] = chance.choice(absurd)
    return json.dumps(document).encode()


def _json_places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a document."""
    keys: Sequence[Any] = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    return [(value, k) for k in keys] + [p for k in keys for p in _json_places(value[k])]
