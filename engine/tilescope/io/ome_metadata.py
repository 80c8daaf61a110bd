"""The JSON documents of an OME-Zarr image, for versions 0.4 (Zarr 2) and 0.5 (Zarr 3).

Specifications: https://ngff.openmicroscopy.org/0.4/ and /0.5/ (axes, multiscales, omero),
https://zarr-specs.readthedocs.io/ (array and group metadata, sharding-indexed codec).

Every image has all five axes ``t, c, z, y, x``, also those of length one: whoever writes a program
against one slide can open any other with it, and bioformats2raw does the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.slide import Level, SlideInfo
from tilescope.io.sample_types import white_of
from tilescope.io.zarr_omero import channel_property

Pixels = NDArray[Any]
Version = Literal["0.4", "0.5"]
Compressor = Literal["blosc", "zstd", "none"]

#: Lengths or indices along t, c, z, y, x.
Extent = tuple[int, int, int, int, int]

_AXES = (("t", "time"), ("c", "channel"), ("z", "space"), ("y", "space"), ("x", "space"))
_RGB_COLOURS = ("FF0000", "00FF00", "0000FF")
_BAND_COLOURS = ("0000FF", "00FF00", "FF0000", "FF00FF", "00FFFF", "FFFF00", "FFFFFF")

#: Of photographs the lowest level stores a hundredth more than the third, several times faster.
COMPRESSION_LEVEL = 1

#: Percentiles that become black and white.
_WINDOW = (0.1, 99.9)


@dataclass(frozen=True, slots=True)
class StoredArray:
    """How the array of one level is cut and stored.

    Attributes
    ----------
    shape, chunk
        Along t, c, z, y, x.
    dtype
        ``uint8``, ``uint16`` or ``float32``; stored with the low byte first.
    fill
        Value of chunks that are not stored, and beyond the edge.
    compressor
        Of a chunk.
    shard
        Extent of a file when several chunks share one, a multiple of ``chunk``; else None.
    """

    shape: Extent
    chunk: Extent
    dtype: str
    fill: int
    compressor: Compressor = "none"
    shard: Extent | None = None

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Dtype of the stored values."""
        return np.dtype(self.dtype).newbyteorder("<")


@dataclass(frozen=True, slots=True)
class ChannelWindow:
    """Values a viewer shows as black and as white, and the range in which it lets the user move."""

    start: float
    end: float
    lowest: float
    highest: float


def fill_value(info: SlideInfo) -> int:
    """Return the background when it is the same in every band, else zero."""
    first = info.background[0]
    return first if set(info.background) == {first} else 0


def channel_windows(info: SlideInfo, samples: Sequence[Pixels]) -> list[ChannelWindow]:
    """Return a window for each band, from pixels that stand for the whole slide.

    Windows that the slide itself gives are kept. Photographs and 8-bit bands are shown as they are.

    Parameters
    ----------
    samples
        Arrays ``[h, w, bands]``; may be none.
    """
    white = float(white_of(info.dtype))
    full = ChannelWindow(0.0, white, 0.0, white)
    if info.is_rgb:
        return [full] * len(info.bands)
    given = [_given_window(info, band) for band in range(len(info.bands))]
    if info.dtype == "uint8" or not samples:
        return [window or full for window in given]
    values = np.concatenate([s.reshape(-1, len(info.bands)) for s in samples])
    limits = np.percentile(values, _WINDOW, axis=0)
    ranges = zip(*limits, values.min(axis=0), values.max(axis=0), strict=True)
    seen = [_window(info.dtype, *(float(v) for v in r)) for r in ranges]
    return [window or found for window, found in zip(given, seen, strict=True)]


def needs_samples(info: SlideInfo) -> bool:
    """Tell whether :func:`channel_windows` would look at pixels."""
    if info.is_rgb or info.dtype == "uint8":
        return False
    return any(_given_window(info, band) is None for band in range(len(info.bands)))


def image_attributes(
    info: SlideInfo, levels: Sequence[Level], windows: Sequence[ChannelWindow], version: Version
) -> dict[str, Any]:
    """Return the attributes of the group: multiscales and omero.

    Parameters
    ----------
    info
        Names, bands, planes and pixel size.
    levels
        Sizes and downsamples, finest first; level ``i`` is at path ``str(i)``.
    windows
        One per band.
    """
    um_y, um_x = (info.pixel_size.um_y, info.pixel_size.um_x) if info.pixel_size else (1.0, 1.0)
    name = Path(info.path).name
    multiscale: dict[str, Any] = {
        "name": name,
        "axes": [_axis(*axis, calibrated=info.pixel_size is not None) for axis in _AXES],
        "datasets": [_dataset(level, um_y, um_x) for level in levels],
    }
    omero = {
        "name": name,
        "channels": [
            _channel(label, colour, window)
            for label, colour, window in zip(info.bands, _colours(info), windows, strict=True)
        ],
        "rdefs": {"defaultT": 0, "defaultZ": info.z // 2, "model": "color"},
    }
    if version == "0.4":
        multiscale["version"] = version
        return {"multiscales": [multiscale], "omero": {**omero, "version": version}}
    return {"ome": {"version": version, "multiscales": [multiscale], "omero": omero}}


def group_document(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return ``zarr.json`` of a Zarr 3 group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def array_document(layout: StoredArray) -> dict[str, Any]:
    """Return ``zarr.json`` of a Zarr 3 array."""
    codecs = [_bytes_codec(layout), *_compressor(layout)]
    if layout.shard is not None:
        sharding = {
            "chunk_shape": list(layout.chunk),
            "codecs": codecs,
            "index_codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "crc32c"},
            ],
            "index_location": "end",
        }
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(layout.shape),
        "data_type": layout.dtype,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": list(layout.shard or layout.chunk)},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": layout.fill,
        "codecs": codecs,
        "attributes": {},
        "dimension_names": [name for name, _ in _AXES],
    }


def array_document_v2(layout: StoredArray) -> dict[str, Any]:
    """Return ``.zarray`` of a Zarr 2 array; it has no shards."""
    shuffled = int(layout.stored_dtype.itemsize > 1)
    compressors: dict[Compressor, dict[str, Any] | None] = {
        "none": None,
        "zstd": {"id": "zstd", "level": COMPRESSION_LEVEL},
        "blosc": {
            "id": "blosc",
            "cname": "zstd",
            "clevel": COMPRESSION_LEVEL,
            "shuffle": shuffled,
            "blocksize": 0,
        },
    }
    return {
        "zarr_format": 2,
        "shape": list(layout.shape),
        "chunks": list(layout.chunk),
        "dtype": np.dtype(layout.dtype).newbyteorder("<").str,
        "fill_value": layout.fill,
        "order": "C",
        "filters": None,
        "compressor": compressors[layout.compressor],
        "dimension_separator": "/",
    }


def json_bytes(document: dict[str, Any]) -> bytes:
    """Return a document as it is stored."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode()


def _window(dtype: str, start: float, end: float, least: float, most: float) -> ChannelWindow:
    # a constant band has no contrast: any window that is not empty will do
    end = end if end > start else start + 1
    if dtype == "float32":
        return ChannelWindow(start, end, min(least, start), max(most, end))
    return ChannelWindow(start, end, 0.0, max(float(white_of(dtype)), end))


def _axis(name: str, kind: str, *, calibrated: bool) -> dict[str, str]:
    # slides do not say how far their focal planes lie apart, so only y and x have a unit
    unit = {"unit": "micrometer"} if calibrated and name in {"y", "x"} else {}
    return {"name": name, "type": kind, **unit}


def _dataset(level: Level, um_y: float, um_x: float) -> dict[str, Any]:
    scale = {
        "type": "scale",
        "scale": [1.0, 1.0, 1.0, um_y * level.downsample_y, um_x * level.downsample_x],
    }
    # coordinates are those of pixel centres: the first pixel of a coarser level covers several of
    # level 0, and its centre lies between theirs
    y, x = um_y * (level.downsample_y - 1) / 2, um_x * (level.downsample_x - 1) / 2
    moved = [{"type": "translation", "translation": [0.0, 0.0, 0.0, y, x]}] if y or x else []
    return {"path": str(level.index), "coordinateTransformations": [scale, *moved]}


def _colours(info: SlideInfo) -> Sequence[str]:
    if info.is_rgb:
        return _RGB_COLOURS
    palette = _BAND_COLOURS if len(info.bands) > 1 else ("FFFFFF",)
    return [
        info.properties.get(channel_property(i, "color"), palette[i % len(palette)])
        for i in range(len(info.bands))
    ]


def _given_window(info: SlideInfo, band: int) -> ChannelWindow | None:
    names = ("window.start", "window.end", "window.min", "window.max")
    texts = [info.properties.get(channel_property(band, name)) for name in names]
    if None in texts:
        return None
    start, end, lowest, highest = (float(text or "nan") for text in texts)
    if not lowest <= start < end <= highest:
        return None
    return ChannelWindow(start, end, lowest, highest)


def _channel(label: str, colour: str, window: ChannelWindow) -> dict[str, Any]:
    return {
        "active": True,
        "coefficient": 1.0,
        "color": colour,
        "family": "linear",
        "inverted": False,
        "label": label,
        "window": {
            "min": window.lowest,
            "max": window.highest,
            "start": window.start,
            "end": window.end,
        },
    }


def _bytes_codec(layout: StoredArray) -> dict[str, Any]:
    if layout.stored_dtype.itemsize == 1:
        return {"name": "bytes"}
    return {"name": "bytes", "configuration": {"endian": "little"}}


def _compressor(layout: StoredArray) -> list[dict[str, Any]]:
    typesize = layout.stored_dtype.itemsize
    blosc = {
        "cname": "zstd",
        "clevel": COMPRESSION_LEVEL,
        "shuffle": "shuffle" if typesize > 1 else "noshuffle",
        "typesize": typesize,
        "blocksize": 0,
    }
    zstd = {"level": COMPRESSION_LEVEL, "checksum": False}
    chains: dict[Compressor, list[dict[str, Any]]] = {
        "none": [],
        "blosc": [{"name": "blosc", "configuration": blosc}],
        "zstd": [{"name": "zstd", "configuration": zstd}],
    }
    return chains[layout.compressor]
