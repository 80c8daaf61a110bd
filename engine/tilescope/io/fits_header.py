"""Headers of a FITS file: keywords, and where each array lies.

FITS Standard 4.0 (2018), sections 3 and 4; tile compression, section 10.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tilescope.io.bytefile import ByteFile

BLOCK_BYTES = 2880
_CARD_BYTES = 80

#: A header that goes on for longer has no end.
_LARGEST_HEADER_BYTES = 4 << 20

_MOST_UNITS = 1000
_MOST_AXES = 999
_SAMPLE_BITS = frozenset({8, 16, 32, 64, -32, -64})


class HeaderError(ValueError):
    """A header contradicts the standard."""


@dataclass(frozen=True, slots=True)
class HeaderUnit:
    """A header and the array that follows it.

    Attributes
    ----------
    index
        0 is the primary one.
    cards
        Value of each keyword as written, strings with their quotes.
    offset, size_bytes
        Where the array lies and how long it is, without padding.
    """

    index: int
    cards: Mapping[str, str]
    offset: int
    size_bytes: int

    @property
    def axes(self) -> tuple[int, ...]:
        """Length of each axis, the fastest first."""
        return _axes(self.cards)

    @property
    def image_axes(self) -> tuple[int, ...]:
        """Length of each axis of the image, which a compressed one keeps apart."""
        return _axes(self.cards, "Z" if self.is_compressed_image else "")

    @property
    def bits(self) -> int:
        """Bits per sample, negative for floating point."""
        return _integer(self.cards, "BITPIX")

    @property
    def is_image(self) -> bool:
        """Tell whether it is an array of at least two axes, stored as it is."""
        kind = self.text("XTENSION")
        return kind in {"", "IMAGE"} and not self.flag("GROUPS") and _is_picture(self.axes)

    @property
    def is_compressed_image(self) -> bool:
        """Tell whether it is a table that holds an image compressed by tiles."""
        return (
            self.flag("ZIMAGE")
            and self.text("XTENSION") == "BINTABLE"
            and _is_picture(_axes(self.cards, "Z"))
        )

    def text(self, key: str) -> str:
        """Return a string value without quotes and trailing blanks, empty when there is none."""
        value = self.cards.get(key, "")
        if not value.startswith("'"):
            return ""
        return value[1:].rpartition("'")[0].replace("''", "'").rstrip()

    def integer(self, key: str, default: int | None = None) -> int:
        """Return a whole number of at least 0.

        Raises
        ------
        HeaderError
            When it is none, or missing without a default.
        """
        return _integer(self.cards, key, default)

    def number(self, key: str) -> float | None:
        """Return a finite number, None when there is none."""
        try:
            value = float(self.cards.get(key, "").upper().replace("D", "E"))
        except ValueError:
            return None
        return value if math.isfinite(value) else None

    def flag(self, key: str) -> bool:
        """Tell whether a logical keyword is true."""
        return self.cards.get(key) == "T"


def read_units(file: ByteFile) -> list[HeaderUnit]:
    """Return every header of the file up to the first that cannot be one.

    Raises
    ------
    HeaderError
        When the first header is none.
    """
    units: list[HeaderUnit] = []
    at = 0
    while at < file.size_bytes and len(units) < _MOST_UNITS:
        try:
            unit = _read_unit(file, len(units), at)
        except HeaderError:
            if not units:
                raise
            break  # rubbish after the last array is common, and allowed
        units.append(unit)
        at = unit.offset + -(-unit.size_bytes // BLOCK_BYTES) * BLOCK_BYTES
    return units


def _read_unit(file: ByteFile, index: int, at: int) -> HeaderUnit:
    cards: dict[str, str] = {}
    for start in range(at, min(file.size_bytes, at + _LARGEST_HEADER_BYTES), BLOCK_BYTES):
        if start + BLOCK_BYTES > file.size_bytes:
            break
        block = file.read_at(start, BLOCK_BYTES)
        if not block.isascii():
            break
        if start == at and not block.startswith((b"SIMPLE  =", b"XTENSION=")):
            break
        if _read_cards(block.decode("ascii"), cards):
            return HeaderUnit(index, cards, start + BLOCK_BYTES, _data_bytes(cards))
    msg = f"header {index} at byte {at} has no end"
    raise HeaderError(msg)


def _read_cards(block: str, cards: dict[str, str]) -> bool:
    """Add the keywords of a block; return whether it ends the header."""
    for at in range(0, BLOCK_BYTES, _CARD_BYTES):
        card = block[at : at + _CARD_BYTES]
        key = card[:8].rstrip()
        if key == "END":
            return True
        if card[8:10] == "= ":
            cards.setdefault(key, _value(card[10:]))
    return False


def _value(field: str) -> str:
    """Return the value of a card without its comment."""
    text = field.lstrip()
    if not text.startswith("'"):
        return text.partition("/")[0].strip()
    end = 1
    while end < len(text) and (text[end] != "'" or text[end : end + 2] == "''"):
        end += 2 if text[end] == "'" else 1
    return text[: end + 1]


def _data_bytes(cards: Mapping[str, str]) -> int:
    bits = _integer(cards, "BITPIX")
    if bits not in _SAMPLE_BITS:
        msg = f"BITPIX is {bits}"
        raise HeaderError(msg)
    axes = _axes(cards)
    if not axes:
        return 0
    if axes[0] == 0 and cards.get("GROUPS") == "T":
        axes = axes[1:]
    groups, parameters = _integer(cards, "GCOUNT", 1), _integer(cards, "PCOUNT", 0)
    return abs(bits) // 8 * groups * (parameters + math.prod(axes))


def _axes(cards: Mapping[str, str], prefix: str = "") -> tuple[int, ...]:
    count = _integer(cards, f"{prefix}NAXIS")
    if count > _MOST_AXES:
        msg = f"{count} axes"
        raise HeaderError(msg)
    return tuple(_integer(cards, f"{prefix}NAXIS{i + 1}") for i in range(count))


def _integer(cards: Mapping[str, str], key: str, default: int | None = None) -> int:
    text = cards.get(key, "" if default is None else str(default))
    digits = text.removeprefix("-") if key == "BITPIX" else text.removeprefix("+")
    if not digits.isdecimal() or len(digits) > 18:
        msg = f"{key} is {text[:40]!r}"
        raise HeaderError(msg)
    return int(text)


def _is_picture(axes: tuple[int, ...]) -> bool:
    return len(axes) >= 2 and all(axes) and axes[0] * axes[1] > 1
