"""FITS images compressed by tiles (``.fits.fz``), read tile by tile through astropy.

FITS Standard 4.0, section 10; White, Greenfield, Pence, Seaman & Tody (2012). What a decoder would
allocate is checked first: tile sizes by the header, deflated tiles by their stored length, since a
deflated byte can become a thousand.
"""

from __future__ import annotations

import math
import re
import threading
import warnings
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.errors import CorruptSlide, UnsupportedFormat
from tilescope.io.bytefile import ByteFile
from tilescope.io.extras import extra
from tilescope.io.faults import closed_error, foreign_errors
from tilescope.io.fits_header import HeaderError, HeaderUnit

_LARGEST_TILE_BYTES = 64 << 20

#: A deflated tile longer than its samples plus this is none; a thousandfold of both is bounded.
_DEFLATE_SLACK_BYTES = 4096
_LARGEST_DEFLATED_TILE_BYTES = 1 << 18

#: Descriptors of all tiles.
_LARGEST_TABLE_BYTES = 64 << 20

_DEFLATED = frozenset({"GZIP_1", "GZIP_2"})
_KNOWN = _DEFLATED | {"RICE_1", "RICE_ONE", "NOCOMPRESS"}

_FIELD = re.compile(r"(\d{0,9})([LXBIJKAEDCMPQ])")
_FIELD_BYTES = dict(zip("LBIJKAEDCMPQ", (1, 1, 2, 4, 8, 1, 4, 8, 8, 16, 8, 16), strict=True))
_DESCRIPTORS = {"P": ">u4", "Q": ">u8"}


class CompressedArray:
    """An array compressed by tiles; one thread decodes at a time."""

    def __init__(self, stream: BinaryIO, hdus: Any, index: int) -> None:  # noqa: ANN401
        self._stream = stream
        self._hdus = hdus
        self._section = hdus[index].section
        self._planes = len(hdus[index].shape) - 2
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, file: ByteFile, unit: HeaderUnit) -> Self:
        """Return the array of ``unit``; ``file`` is closed, because astropy opens its own.

        Raises
        ------
        UnsupportedFormat
            When astropy is not installed, or tiles are too large or of another compression.
        CorruptSlide
            When its table contradicts itself.
        """
        try:
            _check(path, file, unit)
        except HeaderError as error:
            raise CorruptSlide(path, f"damaged FITS: {error}") from error
        file.close()
        with extra(path, "astropy", "fits"):
            from astropy.io import fits
        with foreign_errors(path, "opening the compressed FITS image"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stream = path.open("rb")  # astropy would leave its own open when it fails
            try:
                return cls(stream, fits.open(stream, mode="readonly", memmap=True), unit.index)
            except BaseException:
                stream.close()
                raise

    def read(self, plane: int, rect: Rect) -> NDArray[np.float64]:
        """Return ``[h, w]`` of one plane; ``rect`` counts rows as the file does, from 0."""
        first = np.unravel_index(plane, self._section.shape[: self._planes]) if self._planes else ()
        place = (*map(int, first), slice(rect.y0, rect.y1), slice(rect.x0, rect.x1))
        with self._lock:
            if self._hdus is None:
                raise closed_error()
            values = np.asarray(self._section[place], np.float64)
        if values.shape != (rect.height, rect.width):
            msg = f"samples of shape {values.shape} for {rect.width} x {rect.height}"
            raise ValueError(msg)
        return values

    def close(self) -> None:
        """Give back the file; twice is fine."""
        with self._lock:
            hdus, self._hdus, self._section = self._hdus, None, None
            if hdus is not None:
                hdus.close()
                self._stream.close()


def _check(path: Path, file: ByteFile, unit: HeaderUnit) -> None:
    kind = unit.text("ZCMPTYPE")
    if kind not in _KNOWN:
        reason = f"an image compressed by {kind[:20] or 'nothing known'}; unpack it with funpack"
        raise UnsupportedFormat(path, reason)
    axes = unit.image_axes
    tile = [unit.integer(f"ZTILE{i + 1}", n if i == 0 else 1) for i, n in enumerate(axes)]
    tile_bytes = 8 * math.prod(tile)
    if not 0 < tile_bytes <= _LARGEST_TILE_BYTES:
        raise UnsupportedFormat(path, f"tiles of {tile_bytes >> 20} MiB; unpack it with funpack")
    if unit.offset + unit.size_bytes > file.size_bytes:
        raise CorruptSlide(path, f"the file ends before its table of {unit.size_bytes} bytes")
    tiles = math.prod(-(-n // t) for n, t in zip(axes, tile, strict=True))
    rows, row_bytes = unit.integer("NAXIS2"), unit.integer("NAXIS1")
    if rows != tiles or rows * row_bytes > _LARGEST_TABLE_BYTES:
        raise CorruptSlide(path, f"a table of {rows} rows of {row_bytes} bytes for {tiles} tiles")
    deflated = {"GZIP_COMPRESSED_DATA"} | ({"COMPRESSED_DATA"} if kind in _DEFLATED else set())
    longest = max((_longest(file, unit, name) for name in deflated), default=0)
    most = min(tile_bytes, _LARGEST_DEFLATED_TILE_BYTES) + _DEFLATE_SLACK_BYTES
    if longest > most:
        reason = f"a deflated tile of {longest} bytes for {tile_bytes}; unpack it with funpack"
        raise UnsupportedFormat(path, reason)


def _longest(file: ByteFile, unit: HeaderUnit, column: str) -> int:
    """Return the most bytes that a cell of a variable-length column holds."""
    found = _column(unit, column)
    if found is None:
        return 0
    start, code = found
    rows, row_bytes = unit.integer("NAXIS2"), unit.integer("NAXIS1")
    dtype = np.dtype(_DESCRIPTORS[code])
    if start + 2 * dtype.itemsize > row_bytes:
        msg = f"column {column} lies outside its rows"
        raise HeaderError(msg)
    table = np.frombuffer(file.read_at(unit.offset, rows * row_bytes), np.uint8)
    cells = table.reshape(rows, row_bytes)[:, start : start + dtype.itemsize]
    return int(np.ascontiguousarray(cells).view(dtype).max(initial=0))


def _column(unit: HeaderUnit, name: str) -> tuple[int, str] | None:
    """Return where a column begins in a row and its descriptor's kind, None when there is none."""
    at = 0
    for index in range(1, unit.integer("TFIELDS") + 1):
        field = _FIELD.match(unit.text(f"TFORM{index}"))
        if field is None:
            msg = f"TFORM{index} is {unit.text(f'TFORM{index}')[:40]!r}"
            raise HeaderError(msg)
        repeat, code = int(field[1] or 1), field[2]
        if unit.text(f"TTYPE{index}").upper() == name:
            return (at, code) if code in _DESCRIPTORS and repeat else None
        at += -(-repeat // 8) if code == "X" else repeat * _FIELD_BYTES[code]
    return None
