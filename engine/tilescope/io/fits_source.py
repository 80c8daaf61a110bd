"""Images of the sky: FITS, shown as a stretched picture; FITS Standard 4.0.

A slide is one array of two axes, or of three planes that are red, green and blue. Rows are counted
from the top as in every other slide, so FITS row ``j`` (from 1, at the bottom) is level-0 row
``height - j``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.slide import SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope.errors import CorruptSlide, UnsupportedFormat
from tilescope.io.asinh import AsinhStretch
from tilescope.io.bytefile import ByteFile
from tilescope.io.faults import foreign_errors
from tilescope.io.fits_header import HeaderError, HeaderUnit, read_units
from tilescope.io.identity import slide_id
from tilescope.io.levels import make_levels
from tilescope.io.slide_reader import SlideReader

Pixels = NDArray[Any]

_TILE = Size(512, 512)
_COLOURS = 3

#: The stretch is measured on this many squares per axis of this side.
_SAMPLE_SQUARES = 9
_SAMPLE_SIDE_PX = 56
_WIDEST_BAND_PX = 1 << 16

_DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}

#: Filters of sky surveys, the bluest first.
_FILTERS = "ugrizy"

_KEPT = ("OBJECT", "TELESCOP", "INSTRUME", "FILTER", "BANDS", "BUNIT", "CTYPE1", "CTYPE2")


class FitsArray(Protocol):
    """Samples of one FITS array in the file's units; may be called from any thread."""

    def read(self, plane: int, rect: Rect) -> NDArray[np.float64]:
        """Return ``[h, w]`` of one plane; ``rect`` counts rows as the file does, from 0."""
        ...

    def close(self) -> None:
        """Give back the file; twice is fine."""
        ...


class FitsSource(SlideReader):
    """An open FITS image; tiles are read and stretched in the calling thread."""

    def __init__(self, info: SlideInfo, array: FitsArray, look: _Look) -> None:
        super().__init__(info)
        self._array = array
        self._look = look

    @classmethod
    def open(cls, path: Path, *, hdu: int | None = None) -> Self:
        """Return an image as a slide.

        Parameters
        ----------
        path
            The file.
        hdu
            Which header unit, 0 being the primary one; None takes the first that is an image.

        Raises
        ------
        UnsupportedFormat
            When the file has no such image, or it is neither grey nor of three planes.
        CorruptSlide
            When its headers contradict themselves or its array is cut off.
        """
        with foreign_errors(path, "opening the file"):
            file = ByteFile(path)
        try:
            unit = _image_unit(path, file, hdu)
            array = _array(path, file, unit)
        except BaseException:
            file.close()
            raise
        try:
            with foreign_errors(path, "reading the FITS image"):
                look = _look(path, unit, array)
                return cls(_describe(path, unit, look), array, look)
        except BaseException:
            array.close()
            raise

    def _read(self, tile: TileKey, rect: Rect) -> Pixels:
        del tile  # the only level and plane
        return self._look.stretch.picture(_from_top(self._array, self._look, rect))

    def close(self) -> None:
        """Give back the file; twice is fine."""
        self._array.close()


@dataclass(frozen=True, slots=True)
class _Look:
    """Size, which planes become which bands, and how bright."""

    size: Size
    planes: tuple[int, ...]
    stretch: AsinhStretch


class _StoredArray:
    """An array stored as it is."""

    def __init__(self, file: ByteFile, unit: HeaderUnit) -> None:
        self._file = file
        self._offset = unit.offset
        self._width, self._height = unit.axes[:2]
        self._dtype = np.dtype(_DTYPES[unit.bits])
        self._scale = 1.0 if (scale := unit.number("BSCALE")) is None else scale
        self._zero = unit.number("BZERO") or 0.0
        self._blank = unit.number("BLANK") if unit.bits > 0 else None

    def read(self, plane: int, rect: Rect) -> NDArray[np.float64]:
        bytes_per_row = self._width * self._dtype.itemsize
        start = self._offset + (plane * self._height + rect.y0) * bytes_per_row
        if rect.width == self._width:
            data = self._file.read_at(start, rect.height * bytes_per_row)
        else:
            left, count = rect.x0 * self._dtype.itemsize, rect.width * self._dtype.itemsize
            rows = range(rect.height)
            data = b"".join(
                self._file.read_at(start + r * bytes_per_row + left, count) for r in rows
            )
        raw = np.frombuffer(data, self._dtype).reshape(rect.height, rect.width)
        with np.errstate(all="ignore"):  # scales as large as the type allows
            values = raw.astype(np.float64) * self._scale + self._zero
        if self._blank is not None:
            values[raw == self._blank] = np.nan
        return values

    def close(self) -> None:
        self._file.close()


def _image_unit(path: Path, file: ByteFile, hdu: int | None) -> HeaderUnit:
    try:
        units = read_units(file)
        wanted = units if hdu is None else units[hdu : hdu + 1]
        found = next((u for u in wanted if u.is_image or u.is_compressed_image), None)
    except (HeaderError, EOFError) as error:
        raise CorruptSlide(path, f"damaged FITS: {error}") from error
    if not wanted:
        raise UnsupportedFormat(path, f"the FITS file has {len(units)} header units, no {hdu}")
    if found is None:
        what = "no header unit" if hdu is None else f"header unit {hdu} is none that"
        raise UnsupportedFormat(path, f"{what} holds an image of two axes")
    return found


def _array(path: Path, file: ByteFile, unit: HeaderUnit) -> FitsArray:
    if unit.is_compressed_image:
        from tilescope.io.fits_compressed import CompressedArray

        return CompressedArray.open(path, file, unit)
    if unit.offset + unit.size_bytes > file.size_bytes:
        raise CorruptSlide(path, f"the file ends before its array of {unit.size_bytes} bytes")
    return _StoredArray(file, unit)


def _look(path: Path, unit: HeaderUnit, array: FitsArray) -> _Look:
    width, height, *rest = unit.image_axes
    count = math.prod(rest)
    if count not in {1, _COLOURS}:
        raise UnsupportedFormat(path, f"a cube of {count} planes; a slide has one or three")
    planes = _colour_order(unit) if count == _COLOURS else (0,)
    size = Size(width, height)
    return _Look(size, planes, AsinhStretch.measured(_sample(array, size, planes)))


def _colour_order(unit: HeaderUnit) -> tuple[int, ...]:
    """Return which planes are red, green and blue: the first three, or by their filters."""
    names = unit.text("BANDS").lower()
    if len(names) != _COLOURS or len(set(names)) != _COLOURS or not set(names) <= set(_FILTERS):
        return (0, 1, 2)
    reddest_first = sorted(range(_COLOURS), key=lambda i: -_FILTERS.index(names[i]))
    return tuple(reddest_first)


def _sample(array: FitsArray, size: Size, planes: Sequence[int]) -> NDArray[np.float64]:
    """Return ``[n, planes]`` from squares spread over the image; small ones are taken whole."""
    parts = []
    for y0, y1 in _stretches(size.height):
        for bounds, columns in _bands(size.width):
            band = [array.read(plane, Rect(bounds[0], y0, bounds[1], y1)) for plane in planes]
            stacked = np.stack(band, axis=2)
            parts += [stacked[:, x0:x1].reshape(-1, len(planes)) for x0, x1 in columns]
    return np.concatenate(parts)


def _bands(width: int) -> list[tuple[tuple[int, int], list[tuple[int, int]]]]:
    """Return what to read of some rows at once, and the squares in it.

    Compressed images are mostly compressed by rows: a whole row costs as much as a part of it.
    """
    squares = _stretches(width)
    if width <= _WIDEST_BAND_PX:
        return [((0, width), squares)]
    return [((x0, x1), [(0, x1 - x0)]) for x0, x1 in squares]


def _stretches(length: int) -> list[tuple[int, int]]:
    if length <= _SAMPLE_SQUARES * _SAMPLE_SIDE_PX:
        return [(0, length)]
    last = length - _SAMPLE_SIDE_PX
    starts = [last * i // (_SAMPLE_SQUARES - 1) for i in range(_SAMPLE_SQUARES)]
    return [(start, start + _SAMPLE_SIDE_PX) for start in starts]


def _from_top(array: FitsArray, look: _Look, rect: Rect) -> NDArray[np.float64]:
    """Return ``[h, w, planes]`` of a rectangle whose rows are counted from the top."""
    height = look.size.height
    turned = Rect(rect.x0, height - rect.y1, rect.x1, height - rect.y0)
    planes = [array.read(plane, turned) for plane in look.planes]
    return np.stack(planes, axis=2)[::-1]


def _describe(path: Path, unit: HeaderUnit, look: _Look) -> SlideInfo:
    identity, size_bytes = slide_id(path, f"hdu={unit.index}")
    colour = len(look.planes) == _COLOURS
    return SlideInfo(
        id=identity,
        path=str(path),
        size_bytes=size_bytes,
        format="fits",
        reader="fits",
        levels=make_levels([look.size], [_TILE]),
        bands=("R", "G", "B") if colour else ("grey",),
        dtype="uint8",
        background=(0,) * len(look.planes),
        properties=_properties(unit, look.stretch),
    )


def _properties(unit: HeaderUnit, stretch: AsinhStretch) -> dict[str, str]:
    found = {f"fits.{key}": unit.text(key)[:200] for key in _KEPT if unit.text(key)}
    found["fits.hdu"] = str(unit.index)
    found["fits.stretch.black"] = ", ".join(f"{b:.7g}" for b in stretch.black)
    found["fits.stretch.softness"] = f"{stretch.softness:.7g}"
    found["fits.stretch.white"] = f"{stretch.white:.7g}"
    arcsec = _arcsec_per_px(unit)
    if arcsec is not None:
        found["fits.arcsec_per_px"] = f"{arcsec:.7g}"
    return found


def _arcsec_per_px(unit: HeaderUnit) -> float | None:
    """Return the pixel scale of a celestial image, the geometric mean of both directions.

    Greisen & Calabretta (2002), A&A 395, 1061: CDi_j, or CDELTi times PCi_j; degrees.
    """
    if not unit.text("CTYPE1").startswith(("RA", "DEC", "GLON", "GLAT", "ELON", "ELAT")):
        return None
    if any(unit.text(f"CUNIT{axis}") not in {"", "deg"} for axis in (1, 2)):
        return None
    has_cd = any(f"CD{i}_{j}" in unit.cards for i in (1, 2) for j in (1, 2))
    name, diagonal = ("CD", 0.0) if has_cd else ("PC", 1.0)
    found = [unit.number(f"{name}{i}_{j}") for i in (1, 2) for j in (1, 2)]
    unset = (diagonal, 0.0, 0.0, diagonal)
    a, b, c, d = (u if v is None else v for v, u in zip(found, unset, strict=True))
    area = abs(a * d - b * c)
    if not has_cd:
        area *= abs((unit.number("CDELT1") or 1.0) * (unit.number("CDELT2") or 1.0))
    return 3600 * math.sqrt(area) if area > 0 else None
