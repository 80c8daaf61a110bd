"""Vendor slides through OpenSlide: MRXS, SCN, BIF, VMS and whatever else it opens."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ctypes import POINTER, c_uint32
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tilescope._native import _pixels
from tilescope.domain.geometry import Rect, Size
from tilescope.domain.slide import SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope.errors import UnsupportedFormat
from tilescope.io.faults import closed_error, foreign_errors
from tilescope.io.icc import LARGEST_PROFILE_BYTES
from tilescope.io.identity import slide_id
from tilescope.io.levels import make_levels
from tilescope.io.slide_reader import SlideReader
from tilescope.io.tiff_directories import check_directories
from tilescope.io.tiff_metadata import number, plausible

Pixels = NDArray[Any]

#: OpenSlide keeps decoded vendor tiles that our tiles cut through; ours are cached elsewhere.
_HANDLE_CACHE_BYTES = 32 << 20

#: OpenSlide decodes a vendor's tile as a whole, four bytes per pixel.
_LARGEST_TILE_BYTES = 256 << 20

_SIDES = ("width", "height")
_TILE = Size(512, 512)
_TILE_RANGE_PX = (256, 2048)


class OpenSlideSource(SlideReader):
    """A slide that OpenSlide reads; its handle serves any number of threads."""

    def __init__(self, path: Path, handle: _Handle) -> None:
        super().__init__(_describe(path, handle))
        self._path = path
        self._lock = threading.Lock()
        self._handle: _Handle | None = handle
        self._closed = False
        self._steps = handle.downsamples()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the slide.

        Raises
        ------
        UnsupportedFormat
            When OpenSlide does not know the content.
        CorruptSlide
            When it knows the format and cannot open the file, or a TIFF claims the impossible.
        """
        with foreign_errors(path, "opening with OpenSlide"):
            from openslide import lowlevel

            check_directories(path)
            if lowlevel.detect_vendor(str(path)) is None:
                raise UnsupportedFormat(path, "not a format that OpenSlide knows")
            handle = _Handle(path)
            try:
                return cls(path, handle)
            except BaseException:
                handle.release()
                raise

    def _read(self, tile: TileKey, rect: Rect) -> Pixels:
        step = self._steps[tile.level]
        x_l0, y_l0 = round(rect.x0 * step), round(rect.y0 * step)
        words = np.empty((rect.height, rect.width), np.uint32)
        with self._borrowed() as handle:
            handle.read(words, x_l0, y_l0, tile.level)
        pixels = np.empty((rect.height, rect.width, 3), np.uint8)
        red, green, blue = self._info.background
        _pixels.argb_over(words, pixels, (red, green, blue))
        return pixels

    def close(self) -> None:
        """Give back the file once the last reader is through; twice is fine."""
        with self._lock:
            handle, self._handle, self._closed = self._handle, None, True
        if handle is not None:
            handle.release()

    @contextmanager
    def _borrowed(self) -> Iterator[_Handle]:
        """Lend the handle; one that failed is put aside, because its error never goes away."""
        with self._lock:
            if self._closed:
                raise closed_error()
            if self._handle is None:
                self._handle = _Handle(self._path)
            handle = self._handle
            handle.retain()
        try:
            yield handle
        except BaseException:
            self._put_aside(handle)
            raise
        finally:
            handle.release()

    def _put_aside(self, handle: _Handle) -> None:
        with self._lock:
            mine = self._handle is handle
            if mine:
                self._handle = None
        if mine:
            handle.release()


class _Handle:
    """One OpenSlide handle, closed when the last user lets go."""

    def __init__(self, path: Path) -> None:
        from openslide import lowlevel

        self._api: Any = lowlevel
        self._slide = lowlevel.open(str(path))
        self._users = 1
        self._lock = threading.Lock()
        # the binding's cache object lets go of its reference by itself; the slide keeps its own
        lowlevel.set_cache(self._slide, lowlevel.cache_create(_HANDLE_CACHE_BYTES))

    def retain(self) -> None:
        """Count one more user."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """Count one user less; the last one closes."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self._api.close(self._slide)

    def read(self, words: NDArray[np.uint32], x_l0: int, y_l0: int, level: int) -> None:
        """Fill ``uint32[h, w]`` with premultiplied ARGB."""
        # the public read_region undoes the premultiplication into an image object: slow and lossy
        buffer = words.ctypes.data_as(POINTER(c_uint32))
        height, width = words.shape
        self._api._read_region(self._slide, buffer, x_l0, y_l0, level, width, height)

    def sizes(self) -> list[Size]:
        """Return the size of every level."""
        count = self._api.get_level_count(self._slide)
        return [Size(*self._api.get_level_dimensions(self._slide, i)) for i in range(count)]

    def downsamples(self) -> list[float]:
        """Return the downsamples by which OpenSlide itself places level pixels."""
        count = self._api.get_level_count(self._slide)
        return [float(self._api.get_level_downsample(self._slide, i)) for i in range(count)]

    def properties(self) -> dict[str, str]:
        """Return the vendor metadata."""
        names = self._api.get_property_names(self._slide)
        values = {str(n): self._api.get_property_value(self._slide, n) for n in names}
        return {name: str(value)[:2000] for name, value in values.items()}

    def icc_profile(self) -> bytes | None:
        """Return the colour profile, None without one or with one too large to be meant."""
        size = self._api.get_icc_profile_size(self._slide)
        if not 0 < size <= LARGEST_PROFILE_BYTES:
            return None
        return bytes(self._api.read_icc_profile(self._slide))

    def associated(self) -> tuple[str, ...]:
        """Return the names of label, macro and thumbnail images."""
        return tuple(str(n) for n in self._api.get_associated_image_names(self._slide))


def _describe(path: Path, handle: _Handle) -> SlideInfo:
    identity, size_bytes = slide_id(path)
    properties = handle.properties()
    sizes = handle.sizes()
    _check_tiles(path, properties, len(sizes))
    um_x = number(properties.get("openslide.mpp-x"))
    um_y = number(properties.get("openslide.mpp-y")) or um_x
    pixel_size = plausible(um_x, um_y) if um_x and um_y else None
    return SlideInfo(
        id=identity,
        path=str(path),
        size_bytes=size_bytes,
        format=properties.get("openslide.vendor", "unknown"),
        reader="openslide",
        levels=make_levels(sizes, [_tile(properties, i) for i in range(len(sizes))]),
        bands=("R", "G", "B"),
        dtype="uint8",
        background=_background(properties.get("openslide.background-color", "")),
        pixel_size=pixel_size,
        pixel_size_source="openslide.mpp-x" if pixel_size else None,
        objective_power=number(properties.get("openslide.objective-power")),
        associated=handle.associated(),
        properties=properties,
        icc_profile=handle.icc_profile(),
    )


def _check_tiles(path: Path, properties: Mapping[str, str], levels: int) -> None:
    """Refuse tiles that OpenSlide could not allocate: its allocator ends the whole process."""
    for level in range(levels):
        sides = [properties.get(f"openslide.level[{level}].tile-{a}", "") for a in _SIDES]
        pixels = math.prod(int(side) if side.isdecimal() else 1 for side in sides)
        if 4 * pixels > _LARGEST_TILE_BYTES:
            raise UnsupportedFormat(path, f"tiles of {' x '.join(sides)} pixels are too large")


def _tile(properties: Mapping[str, str], level: int) -> Size:
    """Return the vendor's tile, several of them when it is small, or one of ours."""
    sides = []
    for axis in _SIDES:
        side = properties.get(f"openslide.level[{level}].tile-{axis}", "")
        pixels = int(side) if side.isdecimal() else 0
        if not 0 < pixels <= _TILE_RANGE_PX[1]:
            return _TILE
        sides.append(pixels * -(-_TILE_RANGE_PX[0] // pixels))
    return Size(*sides)


def _background(colour: str) -> tuple[int, int, int]:
    try:
        red, green, blue = bytes.fromhex(colour)
    except ValueError:
        return 255, 255, 255
    return red, green, blue
