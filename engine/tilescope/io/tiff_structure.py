"""From a TIFF file to a slide's description and its tables of segments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tilescope.domain.slide import SlideInfo
from tilescope.errors import CorruptSlide, UnsupportedFormat
from tilescope.io.faults import Contradiction, collected_log, foreign_errors
from tilescope.io.identity import slide_id
from tilescope.io.levels import make_levels
from tilescope.io.tiff_layout import (
    Page,
    PageGrid,
    check_segment,
    page_grid,
    page_segments,
    sample_model,
)
from tilescope.io.tiff_metadata import Metadata, read_metadata
from tilescope.io.tiff_pixels import DamagedError, SamplesError

if TYPE_CHECKING:
    import tifffile

#: Formats whose tiles overlap, are offset or padded: OpenSlide knows their geometry.
_LEFT_TO_OPENSLIDE = frozenset({"scn", "bif", "philips", "ndpi", "avs"})

_FORMATS = {"svs": "aperio", "ome": "ome-tiff", "imagej": "imagej", "qpi": "perkin-elmer-qptiff"}

_MOST_PAGES = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class TiffLevel:
    """One resolution: its grid, and per plane the pages whose bands follow each other."""

    grid: PageGrid
    planes: tuple[tuple[Page | None, ...], ...]
    byteorder: Literal["<", ">"]


@dataclass(frozen=True, slots=True)
class _Stack:
    """How the pages of a series are counted: channels, focal planes, time points."""

    axes: str
    lengths: tuple[int, ...]

    @property
    def channels(self) -> int:
        return self._length("C")

    @property
    def times(self) -> int:
        return self._length("T")

    @property
    def depths(self) -> int:
        """Focal planes; axes of no known meaning are stepped through like them."""
        return math.prod(self.lengths) // (self.channels * self.times)

    def page_index(self, plane: int, channel: int) -> int:
        """Return the index of a page in the series."""
        time, rest = divmod(plane, self.depths)
        index, steps = 0, {"C": channel, "T": time}
        others = [(a, n) for a, n in zip(self.axes, self.lengths, strict=True) if a not in "CT"]
        for axis, length in reversed(others):
            rest, steps[axis] = divmod(rest, length)
        for axis, length in zip(self.axes, self.lengths, strict=True):
            index = index * length + steps[axis]
        return index

    def _length(self, axis: str) -> int:
        found = self.axes.find(axis)
        return self.lengths[found] if found >= 0 else 1


def read_structure(path: Path, *, vendor: bool) -> tuple[SlideInfo, tuple[TiffLevel, ...]]:
    """Return the description of a TIFF slide and where its tiles lie.

    Raises
    ------
    UnsupportedFormat
        When the file is left to another reader, with the reason.
    CorruptSlide
        When its structure contradicts itself.
    """
    import tifffile

    with foreign_errors(path, "reading the TIFF structure"), collected_log("tifffile") as log:
        try:
            with tifffile.TiffFile(path) as tif:
                return _structure(path, tif, vendor=vendor)
        except SamplesError as error:
            raise UnsupportedFormat(path, str(error)) from error
        except DamagedError as error:
            raise Contradiction(path, f"damaged TIFF: {error}") from error
        except ValueError as error:
            hint = f" ({log[0]})" if log else ""
            raise CorruptSlide(path, f"damaged TIFF: {error}{hint}") from error


def _structure(
    path: Path, tif: tifffile.TiffFile, *, vendor: bool
) -> tuple[SlideInfo, tuple[TiffLevel, ...]]:
    series = _main_series(tif)
    if series.kind in _LEFT_TO_OPENSLIDE and not vendor:
        msg = f"{series.kind.upper()} files are left to OpenSlide"
        raise SamplesError(msg)
    levels = [_level(tif, level) for level in series.levels]
    levels = [levels[0], *(v for v in levels[1:] if _belongs(levels[0], v))]
    levels.sort(key=lambda v: -v.grid.size.area)
    stack = _stack(series)
    return _info(path, tif, series, levels, stack), tuple(levels)


def _main_series(tif: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    if not tif.series:
        msg = "the file holds no image"
        raise SamplesError(msg)
    if tif.series[0].kind in {"generic", "uniform"}:
        return max(tif.series, key=lambda s: _area(s.keyframe))
    return tif.series[0]


def _area(page: tifffile.TiffPage) -> int:
    return int(page.imagewidth) * int(page.imagelength)


def _level(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> TiffLevel:
    keyframe = series.keyframe
    if keyframe.imagewidth <= 0 or keyframe.imagelength <= 0:
        msg = f"an image of {keyframe.imagewidth} x {keyframe.imagelength} pixels"
        raise DamagedError(msg)
    _check_compression(keyframe)
    stack = _stack(series)
    model = sample_model(keyframe, keep_indices=stack.channels > 1 or series.kind == "ome")
    grid = page_grid(keyframe, model)
    check_segment(grid)
    pages = _pages(tif, series, stack, grid)
    planes = tuple(
        tuple(pages[stack.page_index(plane, c)] for c in range(stack.channels))
        for plane in range(stack.times * stack.depths)
    )
    return TiffLevel(grid, planes, tif.byteorder)


def _check_compression(page: tifffile.TiffPage) -> None:
    from tifffile import TIFF

    # tifffile looks its decoders up when the first tile is read; a slide that cannot be decoded
    # must not open
    if page.compression != 1 and page.compression not in TIFF.DECOMPRESSORS:
        msg = f"TIFF compression {int(page.compression)} is not known"
        raise SamplesError(msg)


def _stack(series: tifffile.TiffPageSeries) -> _Stack:
    inner = len(series.keyframe.axes)
    axes, lengths = series.get_axes(False), series.get_shape(False)
    if axes.endswith("S") and not series.keyframe.axes.endswith("S"):
        axes, lengths = axes[:-1], lengths[:-1]
    if len(series.pages) == 1:
        return _Stack("", ())
    outer = len(axes) - inner
    return _Stack(axes[:outer], tuple(int(n) for n in lengths[:outer]))


def _pages(
    tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, stack: _Stack, grid: PageGrid
) -> list[Page | None]:
    expected = math.prod(stack.lengths)
    total = math.prod(series.shape) // max(1, math.prod(series.keyframe.shape))
    if expected != len(series.pages) or total != expected or expected > _MOST_PAGES:
        msg = f"a stack of {total} images behind {len(series.pages)} pages is not supported"
        raise SamplesError(msg)
    pages = list(series.pages)
    # OME-TIFF may spread an image over files; offsets into another one would read rubbish here
    if any(page is not None and page.parent is not tif for page in pages):
        msg = "the image is spread over several files; convert it to one OME-TIFF or OME-Zarr"
        raise SamplesError(msg)
    return [None if page is None else page_segments(page, grid) for page in pages]


def _belongs(finest: TiffLevel, level: TiffLevel) -> bool:
    same_bands = level.grid.model.bands == finest.grid.model.bands
    same_type = level.grid.model.dtype == finest.grid.model.dtype
    same_stack = len(level.planes) == len(finest.planes)
    return same_bands and same_type and same_stack and level.grid.size != finest.grid.size


def _info(
    path: Path,
    tif: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    levels: Sequence[TiffLevel],
    stack: _Stack,
) -> SlideInfo:
    identity, size_bytes = slide_id(path)
    model = levels[0].grid.model
    found = read_metadata(tif, series.keyframe)
    bands = _band_names(found, levels[0], stack)
    white = model.white if model.is_colour and stack.channels == 1 else 0
    return SlideInfo(
        id=identity,
        path=str(path),
        size_bytes=size_bytes,
        format=_FORMATS.get(series.kind, "tiff"),
        reader="tiff",
        levels=make_levels([v.grid.size for v in levels], [v.grid.tile for v in levels]),
        bands=bands,
        dtype=model.dtype,
        background=(white,) * len(bands),
        z=stack.depths,
        t=stack.times,
        pixel_size=found.pixel_size,
        pixel_size_source=found.pixel_size_source,
        objective_power=found.objective_power,
        associated=tuple(s.name or f"image {s.index}" for s in tif.series if s is not series),
        properties=found.properties,
    )


def _band_names(found: Metadata, level: TiffLevel, stack: _Stack) -> tuple[str, ...]:
    model = level.grid.model
    if model.is_colour and stack.channels == 1:
        return ("R", "G", "B")
    count = model.bands * stack.channels
    if count == 1:
        return (found.channels[0] if found.channels and found.channels[0] else "grey",)
    names = list(found.channels) if len(found.channels) == count else [""] * count
    return tuple(name or f"channel {i}" for i, name in enumerate(names))
