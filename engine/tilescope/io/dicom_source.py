"""DICOM whole slides through wsidicom: full and sparse tilings, concatenations, focal planes.

A slide is a series: one file per level, or several. Pixels are the stored total pixel matrix; the
orientation on the glass is kept as a property and not applied. DICOM PS3.3 A.32.8.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.slide import SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope.errors import UnsupportedFormat
from tilescope.io.dicom_header import Instance, slide_instances, srgb_of_lab
from tilescope.io.extras import extra
from tilescope.io.faults import (
    Contradiction,
    Unchecked,
    closed_error,
    collected_log,
    foreign_errors,
    one_line,
)
from tilescope.io.identity import files_id
from tilescope.io.image_header import check_declared_size
from tilescope.io.levels import make_levels
from tilescope.io.slide_reader import SlideReader
from tilescope.io.tiff_metadata import number, plausible

if TYPE_CHECKING:
    import wsidicom

Pixels = NDArray[Any]

#: Frames may be this much longer than their pixels: headers, tables, incompressible noise.
_FRAME_SLACK_BYTES = 1 << 20

_COLOUR_SAMPLES = 3

#: Levels of fewer pixels show nothing, and their sides do not say by how much they are smaller.
_SMALLEST_LEVEL_PX = 64

_KEPT = (
    "Manufacturer",
    "ManufacturerModelName",
    "SeriesDescription",
    "PhotometricInterpretation",
    "DimensionOrganizationType",
    "ImageOrientationSlide",
)


class DicomSource(SlideReader):
    """An open series; wsidicom reads frames, which are decoded in the calling thread."""

    def __init__(self, info: SlideInfo, slide: wsidicom.WsiDicom, grid: _Grid) -> None:
        super().__init__(info)
        self._slide = slide
        self._grid = grid
        self._closed = False

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the slide that a file belongs to, or that a folder holds.

        Raises
        ------
        UnsupportedFormat
            When wsidicom is not installed, or the files are no whole slide it can read.
        CorruptSlide
            When they contradict themselves.
        """
        # by its smaller part: importing it all takes a second
        with extra(path, "wsidicom", "dicom", Unchecked):
            import pydicom.filereader  # noqa: F401 - what the headers are read with
        instances = slide_instances(path)
        with extra(path, "wsidicom", "dicom"):
            import wsidicom
        from wsidicom.errors import WsiDicomNotFoundError, WsiDicomNotSupportedError
        from wsidicom.file import WsiDicomFileSource

        # damaged files are not left to OpenSlide, which crashes on some
        with (
            foreign_errors(path, "opening with wsidicom", Contradiction),
            collected_log("wsidicom"),
            collected_log("pydicom"),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            # tiles are cached elsewhere, and levels of other tile sizes are as good
            settings = wsidicom.Settings(
                strict_tile_size_check=False,
                encoded_frame_cache_size=0,
                decoded_frame_cache_size=0,
            )
            with wsidicom.use_settings(settings):
                files = WsiDicomFileSource.open([i.path for i in instances])
                try:
                    slide = wsidicom.WsiDicom(files, settings=settings)
                    grid = _Grid.of(path, slide, files)
                    return cls(_describe(path, instances, grid), slide, grid)
                except (WsiDicomNotFoundError, WsiDicomNotSupportedError) as error:
                    files.close()
                    raise UnsupportedFormat(path, one_line(error)) from error
                except BaseException:
                    files.close()
                    raise

    def _read(self, tile: TileKey, rect: Rect) -> Pixels:
        if self._closed:
            raise closed_error()
        parts = [self._frame(tile, rect, band) for band in self._grid.bands_of(tile.plane)]
        return np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2))

    def close(self) -> None:
        """Give back the files; twice is fine."""
        self._closed = True
        self._slide.close()

    def _frame(self, tile: TileKey, rect: Rect, band: tuple[str, float]) -> Pixels:
        from wsidicom.geometry import Point

        path, z = band
        image = self._grid.levels[tile.level].instance_at(path, z).image_data
        point = Point(tile.col, tile.row)
        if image.is_sparse(point, z, path):
            background = np.asarray(self._info.background[: image.samples_per_pixel], image.dtype)
            return np.tile(background, (rect.height, rect.width, 1))
        frame = image.get_encoded_tile(point, z, path)
        check_declared_size(frame, image.tile_size.area)
        decoded = image.decoder.decode(frame)
        pixels: Pixels = decoded if decoded.ndim == 3 else decoded[..., None]
        pixels = pixels[: rect.height, : rect.width]
        expected = (rect.height, rect.width, image.samples_per_pixel)
        if pixels.shape != expected or pixels.dtype != image.dtype:
            msg = f"a frame of shape {decoded.shape} and type {decoded.dtype}"
            raise ValueError(msg)
        return pixels


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """Levels, focal planes in micrometres, and the optical paths that are bands."""

    levels: tuple[Any, ...]
    depths: tuple[float, ...]
    paths: tuple[str, ...]
    samples: int

    @classmethod
    def of(cls, path: Path, slide: wsidicom.WsiDicom, files: Any) -> Self:  # noqa: ANN401
        base = slide.pyramids[0].base_level
        there = set(base.image_data_map)
        levels = [v for v in slide.pyramids[0] if v is base or _is_useful(v, there)]
        depths = tuple(base.focal_planes)
        paths = sorted(base.optical_paths, key=lambda name: (len(name), name))
        if len(there) != len(depths) * len(paths):
            raise UnsupportedFormat(path, "optical paths that differ in their focal planes")
        for reader in files.readers:
            _check_frames(path, reader)
        samples = int(base.default_instance.image_data.samples_per_pixel)
        if samples not in {1, _COLOUR_SAMPLES}:
            raise UnsupportedFormat(path, f"{samples} samples per pixel")
        return cls(tuple(levels), depths, tuple(paths), samples)

    def bands_of(self, plane: int) -> list[tuple[str, float]]:
        """Return the optical path and focal plane of each band of a plane."""
        chosen = self.paths[:1] if self.samples == _COLOUR_SAMPLES else self.paths
        return [(name, self.depths[plane]) for name in chosen]


def _is_useful(level: Any, planes: set[tuple[str, float]]) -> bool:  # noqa: ANN401
    """Tell whether a level is large enough and has every plane of the finest one."""
    return min(level.size.to_tuple()) >= _SMALLEST_LEVEL_PX and planes <= set(level.image_data_map)


def _check_frames(path: Path, reader: Any) -> None:  # noqa: ANN401
    """Refuse a file with a frame far longer than its pixels: it would be read as a whole."""
    tile = reader.dataset.tile_size
    most = 4 * tile.area * reader.dataset.samples_per_pixel + _FRAME_SLACK_BYTES
    longest = max((length for _, length in reader.frame_index), default=0)
    if longest > most:
        raise UnsupportedFormat(path, f"a frame of {longest} bytes in tiles of {tile.area} pixels")


def _describe(path: Path, instances: list[Instance], grid: _Grid) -> SlideInfo:
    folder = path if path.is_dir() else path.parent
    files = [i.path for i in instances]
    identity, size_bytes = files_id(folder, files, instances[0].series)
    header = _base_header(instances)
    spacing = grid.levels[0].mpp
    pixel_size = plausible(float(spacing.width), float(spacing.height))
    sizes = [Size(*level.size.to_tuple()) for level in grid.levels]
    images = [level.default_instance.image_data for level in grid.levels]
    optics = list(header.get("OpticalPathSequence") or ())
    bands = _bands(grid, optics)
    return SlideInfo(
        id=identity,
        path=str(path),
        size_bytes=size_bytes,
        format="dicom",
        reader="dicom",
        levels=make_levels(sizes, [Size(*i.tile_size.to_tuple()) for i in images]),
        bands=bands,
        dtype=images[0].dtype.name,
        background=_background(header, bands),
        z=len(grid.depths),
        pixel_size=pixel_size,
        pixel_size_source="dicom.PixelSpacing" if pixel_size else None,
        objective_power=number(optics[0].get("ObjectiveLensPower")) if optics else None,
        associated=_associated(instances),
        properties=_properties(header, grid),
        icc_profile=bytes(optics[0].get("ICCProfile") or b"") or None if optics else None,
    )


def _base_header(instances: list[Instance]) -> Any:  # noqa: ANN401
    volumes = [i.header for i in instances if i.is_volume]
    return max(volumes, key=lambda h: int(h.TotalPixelMatrixColumns))


def _bands(grid: _Grid, optics: list[Any]) -> tuple[str, ...]:
    if grid.samples == _COLOUR_SAMPLES:
        return ("R", "G", "B")
    described = {
        str(o.get("OpticalPathIdentifier", "")): str(o.get("OpticalPathDescription") or "")[:80]
        for o in optics
    }
    names = [described.get(path) or f"path {path}" for path in grid.paths]
    if len(grid.paths) == 1:
        return (described.get(grid.paths[0]) or "grey",)
    return tuple(names) if len(set(names)) == len(names) else grid.paths


def _background(header: Any, bands: tuple[str, ...]) -> tuple[int, ...]:  # noqa: ANN401
    """Return the colour that the file recommends for missing tiles, or white; dark for light."""
    if bands != ("R", "G", "B"):
        return (0,) * len(bands)
    stored = header.get("RecommendedAbsentPixelCIELabValue")
    if stored is None or len(stored) != len(bands):
        return (255, 255, 255)
    light, a, b = (int(v) for v in stored)
    return srgb_of_lab((light, a, b))


def _associated(instances: list[Instance]) -> tuple[str, ...]:
    there = {i.flavour for i in instances}
    return tuple(name for name in ("label", "overview", "thumbnail") if name in there)


def _properties(header: Any, grid: _Grid) -> dict[str, str]:  # noqa: ANN401
    found = {f"dicom.{key}": str(header.get(key))[:200] for key in _KEPT if header.get(key)}
    if len(grid.depths) > 1:
        found["dicom.focal_planes_um"] = ", ".join(f"{z:g}" for z in grid.depths)
    if len(grid.paths) > 1:
        found["dicom.optical_paths"] = ", ".join(grid.paths)
    return found
