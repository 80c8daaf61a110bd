"""From a TIFF file to a slide's description and its tables of segments."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tilescope.domain.geometry import Size
from tilescope.domain.scale import PixelSize
from tilescope.domain.slide import SlideInfo
from tilescope.errors import CorruptSlide, UnsupportedFormat
from tilescope.io.faults import Contradiction, collected_log, foreign_errors, one_line
from tilescope.io.icc import LARGEST_PROFILE_BYTES
from tilescope.io.identity import slide_id
from tilescope.io.levels import make_levels
from tilescope.io.tiff_description import read_metadata
from tilescope.io.tiff_directories import check_chain, check_directories, has_wide_offsets
from tilescope.io.tiff_layout import (
    Page,
    PageGrid,
    check_segment,
    page_grid,
    page_segments,
    sample_model,
)
from tilescope.io.tiff_metadata import Metadata
from tilescope.io.tiff_orientation import Orientation, orientation_of
from tilescope.io.tiff_pixels import DamagedError, SamplesError
from tilescope.io.tiff_qptiff import qptiff_picture, qptiff_series

if TYPE_CHECKING:
    import tifffile

#: Formats whose tiles overlap, are offset or padded: OpenSlide knows their geometry.
_TRESTLE = "trestle"
_LEFT_TO_OPENSLIDE = frozenset({"scn", "bif", "avs", _TRESTLE})

_FORMATS = {
    "svs": "aperio",
    "ome": "ome-tiff",
    "imagej": "imagej",
    "qpi": "perkin-elmer-qptiff",
    "ndpi": "hamamatsu",
    "philips": "philips",
}

#: What tifffile calls files of no particular scanner.
_WITHOUT_VENDOR = frozenset({"generic", "uniform", "shaped"})

_MOST_PAGES = 100_000

_ICC_TAG = 34675
_NDPI_FOCUS = 65424


@dataclass(frozen=True, slots=True, eq=False)
class TiffLevel:
    """One resolution: its grid, and per plane the pages whose bands follow each other."""

    grid: PageGrid
    planes: tuple[tuple[Page | None, ...], ...]
    byteorder: Literal["<", ">"]
    orientation: Orientation | None

    @property
    def size(self) -> Size:
        """Pixels of the upright level."""
        return self._upright(self.grid.size)

    @property
    def tile(self) -> Size:
        """Pixels of a tile of the upright level."""
        return self._upright(self.grid.tile)

    def _upright(self, stored: Size) -> Size:
        return stored if self.orientation is None else self.orientation.upright_size(stored)


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


def read_structure(
    path: Path, *, vendor: bool, picture: str | None = None
) -> tuple[SlideInfo, tuple[TiffLevel, ...]]:
    """Return the description of a TIFF slide and where its tiles lie.

    Parameters
    ----------
    path
        The file.
    vendor
        Take vendor formats too whose geometry OpenSlide knows better.
    picture
        One of the slide's associated pictures, to be described in its place.

    Raises
    ------
    UnsupportedFormat
        When the file is left to another reader, with the reason.
    CorruptSlide
        When its structure contradicts itself.
    """
    with foreign_errors(path, "reading the TIFF structure"), collected_log("tifffile") as log:
        try:
            with _opened(path) as tif:
                return _structure(path, tif, vendor=vendor, picture=picture)
        except SamplesError as error:
            raise UnsupportedFormat(path, str(error)) from error
        except DamagedError as error:
            raise Contradiction(path, f"damaged TIFF: {error}") from error
        except ValueError as error:
            hint = f" ({log[0]})" if log else ""
            raise CorruptSlide(path, f"damaged TIFF: {error}{hint}") from error


@contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """Lend the file; tifffile would tell by its name whether its offsets are Hamamatsu's."""
    import tifffile

    check_chain(path)
    wide = has_wide_offsets(path)
    if wide or path.suffix.lower() == ".ndpi":
        check_directories(path)
    if wide == (path.suffix.lower() == ".ndpi"):
        with tifffile.TiffFile(path) as tif:
            yield tif
    elif wide:
        with tifffile.TiffFile(path, is_ndpi=True) as tif:
            yield tif
    else:
        with path.open("rb") as file, tifffile.TiffFile(file, name=path.stem) as tif:
            yield tif


def _structure(
    path: Path, tif: tifffile.TiffFile, *, vendor: bool, picture: str | None
) -> tuple[SlideInfo, tuple[TiffLevel, ...]]:
    series, associated = _main_series(tif)
    if picture is not None:
        series, associated = _picture(tif, series, picture), ()
    kind = _TRESTLE if tif.pages.first.software.startswith("MedScan") else series.kind
    if kind in _LEFT_TO_OPENSLIDE and not vendor:
        msg = f"{kind.upper()} files are left to OpenSlide"
        raise SamplesError(msg)
    levels = [_level(tif, level) for level in series.levels]
    levels = [levels[0], *(v for v in levels[1:] if _belongs(levels[0], v))]
    levels.sort(key=lambda v: -v.grid.size.area)
    stack = _stack(series)
    info = _info(path, tif, series, levels, stack)
    return replace(info, associated=associated), tuple(levels)


def _main_series(
    tif: tifffile.TiffFile,
) -> tuple[tifffile.TiffPageSeries, tuple[str, ...]]:
    """Return the slide's pages, and the names of the other pictures in the file."""
    if not tif.series:
        msg = "the file holds no image"
        raise SamplesError(msg)
    found = qptiff_series(tif) if tif.series[0].kind == "qpi" else None
    if found is not None:
        return found
    slide = tif.series[0]
    if slide.kind in {"generic", "uniform"}:
        slide = max(tif.series, key=lambda s: _area(s.keyframe))
    return slide, tuple(s.name or f"image {s.index}" for s in tif.series if s is not slide)


def _picture(
    tif: tifffile.TiffFile, slide: tifffile.TiffPageSeries, name: str
) -> tifffile.TiffPageSeries:
    if slide.kind == "qpi":
        return qptiff_picture(tif, name)
    others = [s for s in tif.series if s is not slide]
    return next(s for s in others if name in {s.name, f"image {s.index}"})


def _area(page: tifffile.TiffPage) -> int:
    return int(page.imagewidth) * int(page.imagelength)


def _level(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> TiffLevel:
    keyframe = series.keyframe
    if keyframe.imagewidth <= 0 or keyframe.imagelength <= 0:
        msg = f"an image of {keyframe.imagewidth} x {keyframe.imagelength} pixels"
        raise DamagedError(msg)
    _check_decodable(keyframe)
    stack = _stack(series)
    model = sample_model(keyframe, keep_indices=stack.channels > 1 or series.kind == "ome")
    grid = page_grid(keyframe, model)
    check_segment(grid)
    pages = _pages(tif, series, stack, grid)
    planes = tuple(
        tuple(pages[stack.page_index(plane, c)] for c in range(stack.channels))
        for plane in range(stack.times * stack.depths)
    )
    return TiffLevel(grid, planes, tif.byteorder, _orientation(tif, series))


def _orientation(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Orientation | None:
    """Return how to turn a level; one that does not say is stored like the first page.

    The software of scanners does not look at the tag, and the pixels are what it shows.
    """
    if series.kind not in _WITHOUT_VENDOR:
        return None
    tag = series.keyframe.tags.get(274) or tif.pages.first.tags.get(274)
    return None if tag is None else orientation_of(tag.value)


def _check_decodable(page: tifffile.TiffPage) -> None:
    from tifffile import TIFF

    # tifffile looks its decoders up when the first tile is read; a slide that cannot be decoded
    # must not open
    if page.compression != 1 and page.compression not in TIFF.DECOMPRESSORS:
        msg = f"TIFF compression {int(page.compression)} is not known"
        raise SamplesError(msg)
    decode = page.decode
    if decode.__name__.startswith("decode_raise"):
        try:
            decode(b"", 0)
        except Exception as error:
            raise SamplesError(one_line(error)) from error


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
    if series.kind == "ndpi":
        pages.sort(key=_focus)
    return [None if page is None else page_segments(page, grid) for page in pages]


def _focus(page: tifffile.TiffPage) -> int:
    """Return the offset of an NDPI page's focal plane; pages stand in the order of scanning."""
    offset = page.tags.valueof(_NDPI_FOCUS)
    return offset if isinstance(offset, int) else 0


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
    found = read_metadata(tif, series.keyframe, series)
    bands = _band_names(found, levels[0], stack)
    white = model.white if model.is_colour and stack.channels == 1 else 0
    return SlideInfo(
        id=identity,
        path=str(path),
        size_bytes=size_bytes,
        format=_FORMATS.get(series.kind, "tiff"),
        reader="tiff",
        levels=make_levels([v.size for v in levels], [v.tile for v in levels]),
        bands=bands,
        dtype=model.dtype,
        background=(white,) * len(bands),
        z=stack.depths,
        t=stack.times,
        pixel_size=_upright_pixel_size(found.pixel_size, levels[0].orientation),
        pixel_size_source=found.pixel_size_source,
        objective_power=found.objective_power,
        properties=found.properties,
        icc_profile=_icc_profile(series.keyframe),
    )


def _icc_profile(page: tifffile.TiffPage) -> bytes | None:
    tag = page.tags.get(_ICC_TAG)
    if tag is None or not 0 < tag.count <= LARGEST_PROFILE_BYTES:
        return None
    return tag.value if isinstance(tag.value, bytes) else None


def _upright_pixel_size(
    size: PixelSize | None, orientation: Orientation | None
) -> PixelSize | None:
    if size is None or orientation is None or not orientation.swapped:
        return size
    return PixelSize(size.um_y, size.um_x)


def _band_names(found: Metadata, level: TiffLevel, stack: _Stack) -> tuple[str, ...]:
    model = level.grid.model
    if model.is_colour and stack.channels == 1:
        return ("R", "G", "B")
    count = model.bands * stack.channels
    if count == 1:
        return (found.channels[0] if found.channels and found.channels[0] else "grey",)
    names = list(found.channels) if len(found.channels) == count else [""] * count
    return tuple(name or f"channel {i}" for i, name in enumerate(names))
