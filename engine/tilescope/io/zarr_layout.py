"""From OME-Zarr metadata to a slide's description; every field may be hostile."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.scale import PixelSize
from tilescope.domain.slide import SlideId, SlideInfo
from tilescope.errors import CorruptSlide, UnsupportedFormat
from tilescope.io.levels import make_levels
from tilescope.io.sample_types import tile_dtype, white_of
from tilescope.io.scratch import Scratch
from tilescope.io.tiff_metadata import number, plausible, um_per_unit
from tilescope.io.zarr_chunks import ChunkArray
from tilescope.io.zarr_files import ZarrFiles
from tilescope.io.zarr_nodes import LONGEST_SIDE, Node, chunk_layout, read_node
from tilescope.io.zarr_omero import channel_properties, channels_of, colour_of, labels_of

Pixels = NDArray[Any]

#: One chunk is decoded as a whole.
LARGEST_CHUNK_BYTES = 256 << 20

#: All bands of one tile are read together.
_LARGEST_TILE_BYTES = 256 << 20

#: Each chunk of a tile is a file to open.
_MOST_CHUNKS_PER_TILE = 4096
_MOST_CHUNKS_PER_SIDE = 16

#: The coarsest level is read once to make overviews of it.
_MOST_CHUNKS_WITHOUT_OVERVIEW = 1 << 20

_MOST_LEVELS = 64

#: One axis may be reduced more than the other, but not without end.
_MOST_UNEVEN = 64
_SMALL_TILE_PX = 256
_RGB_COLOURS = ("FF0000", "00FF00", "0000FF")

#: Units of length that OME-Zarr has and TIFF metadata have not.
_UM_PER_UNIT = {
    "attometer": 1e-12,
    "femtometer": 1e-9,
    "decimeter": 1e5,
    "dekameter": 1e7,
    "hectometer": 1e8,
    "kilometer": 1e9,
    "foot": 304_800.0,
    "yard": 914_400.0,
}


class PixelArray(Protocol):
    """One level; any thread may read."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, rect: Rect, time: int, depth: int) -> Pixels:
        """Return ``[height, width, bands]`` of one plane in the stored sample type."""
        ...

    def close(self) -> None:
        """Give back what is kept; twice is fine."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ZarrImage:
    """Arrays of one image, finest first, and their axes as a string such as ``"tczyx"``."""

    axes: str
    arrays: tuple[PixelArray, ...]

    def length(self, axis: str) -> int:
        """Return how many there are along ``axis`` of the finest level; 1 when it is absent."""
        found = self.axes.find(axis)
        return self.arrays[0].shape[found] if found >= 0 else 1


@dataclass(frozen=True, slots=True)
class Place:
    """What is being opened: its files, its path or URL for messages, its identity and size."""

    files: ZarrFiles
    scratch: Scratch
    path: str
    identity: SlideId
    size_bytes: int


def read_image(place: Place, root: Node) -> tuple[SlideInfo, ZarrImage]:
    """Return the description and the arrays of the first image below ``root``.

    Raises
    ------
    UnsupportedFormat, CorruptSlide
        When the metadata name no image that a slide can be, or contradict themselves.
    """
    if root.is_array:
        return _bare_array(place, root)
    node, prefix, properties = root, "", dict[str, str]()
    attributes = _ome_attributes(root)
    if "bioformats2raw.layout" in attributes:
        node, prefix, properties = _first_of_series(place, root)
        attributes = _ome_attributes(node)
    _check_is_image(place.path, attributes)
    scales = attributes.get("multiscales")
    if not isinstance(scales, list) or not scales or not isinstance(scales[0], dict):
        raise UnsupportedFormat(place.path, "a Zarr group without multiscales metadata")
    found = _Found(scales[0], attributes.get("omero"), properties)
    return _multiscale(place, prefix, node.version, found)


@dataclass(frozen=True, slots=True)
class _Found:
    """Metadata of one image: its first multiscale, its channels, properties found on the way."""

    scales: Mapping[str, Any]
    omero: object
    properties: Mapping[str, str]


def _ome_attributes(node: Node) -> Mapping[str, Any]:
    """Return the metadata of 0.5, under ``ome``, or of 0.4, at the top."""
    nested = node.attributes.get("ome")
    return nested if isinstance(nested, dict) else node.attributes


def _first_of_series(place: Place, root: Node) -> tuple[Node, str, dict[str, str]]:
    """Return the first image of a bioformats2raw container, where it lies, and how many it has."""
    table = read_node(place.files, "OME/", root.version)
    series = _ome_attributes(table).get("series") if table else None
    names = series if isinstance(series, list) and series else ["0"]
    prefix = _prefix(place.path, names[0])
    node = read_node(place.files, prefix, root.version)
    if node is None or node.is_array:
        raise CorruptSlide(place.path, f"image {prefix!r} of the container is missing")
    return node, prefix, {"bioformats2raw.series": str(len(names))}


def _check_is_image(path: str, attributes: Mapping[str, Any]) -> None:
    if "multiscales" in attributes:
        return
    for kind in ("plate", "well", "labels"):
        if kind in attributes:
            what = "list of label images" if kind == "labels" else kind
            example = _example(attributes[kind], kind)
            raise UnsupportedFormat(path, f"a {what}: open one of its images, such as {example}")


def _example(described: object, kind: str) -> str:
    """Return the path of an image below a plate, a well or a list of labels."""
    listed = {"plate": "wells", "well": "images"}.get(kind)
    members = described.get(listed) if isinstance(described, dict) else described
    first = members[0] if isinstance(members, list) and members else None
    name = first.get("path") if isinstance(first, dict) else first
    if not isinstance(name, str) or not _is_inside(name):
        name = {"plate": "A/1", "well": "0", "labels": "nuclei"}[kind]
    return f"{name[:80]}/0" if kind == "plate" else name[:80]


def _bare_array(place: Place, node: Node) -> tuple[SlideInfo, ZarrImage]:
    shape = node.document.get("shape")
    lengths = shape if isinstance(shape, list) else []
    axes = {2: "yx", 3: "cyx"}.get(len(lengths))
    if axes is None:
        reason = f"a Zarr array of {len(lengths)} axes without OME metadata"
        raise UnsupportedFormat(place.path, reason)
    if lengths[2:] in ([3], [4]) and lengths[0] > 4:
        axes = "yxc"
    image = ZarrImage(axes, (_pixel_array(place, "", node, axes),))
    _check_arrays(place.path, image)
    _check_pyramid(place.path, image)
    return _info(place, image, _Found({}, None, {})), image


def _multiscale(
    place: Place, prefix: str, version: int, found: _Found
) -> tuple[SlideInfo, ZarrImage]:
    axes = _axis_names(place.path, found.scales)
    datasets = found.scales.get("datasets")
    if not isinstance(datasets, list) or not 0 < len(datasets) <= _MOST_LEVELS:
        raise CorruptSlide(place.path, "multiscales without a list of datasets")
    arrays = [_level(place, prefix, version, dataset, axes) for dataset in datasets]
    _check_arrays(place.path, ZarrImage(axes, tuple(arrays)))
    order = sorted(range(len(arrays)), key=lambda i: -math.prod(arrays[i].shape))
    image = ZarrImage(axes, tuple(arrays[i] for i in order))
    _check_pyramid(place.path, image)
    scales = {**found.scales, "finest": datasets[order[0]]}
    return _info(place, image, _Found(scales, found.omero, found.properties)), image


def _axis_names(path: str, scales: Mapping[str, Any]) -> str:
    axes = scales.get("axes", ["t", "c", "z", "y", "x"])
    names = [a.get("name") if isinstance(a, dict) else a for a in axes]
    text = "".join(str(n).lower() for n in names)
    unique = len(set(text)) == len(text) == len(names)
    if not unique or not set(text) <= set("tczyx") or not {"y", "x"} <= set(text):
        raise UnsupportedFormat(path, f"axes {names} instead of some of t, c, z, y, x")
    return text


def _level(place: Place, prefix: str, version: int, dataset: object, axes: str) -> PixelArray:
    name = dataset.get("path") if isinstance(dataset, dict) else None
    below = prefix + _prefix(place.path, name)
    node = read_node(place.files, below, version)
    if node is None:
        raise CorruptSlide(place.path, f"level {name!r} is missing")
    if not node.is_array:
        raise CorruptSlide(place.path, f"level {name!r} is no array")
    return _pixel_array(place, below, node, axes)


def _prefix(path: str, name: object) -> str:
    """Return ``name`` with a slash at its end, for names that stay below where they are."""
    if not isinstance(name, str) or not _is_inside(name):
        raise CorruptSlide(path, f"a dataset path that is none: {str(name)[:80]!r}")
    return name.removesuffix("/") + "/"


def _is_inside(name: str) -> bool:
    # a path that climbs out would read files elsewhere on the machine
    parts = name.removesuffix("/").split("/")
    return not any(part in {"", ".", ".."} for part in parts) and not set(name) & set("\\:\0")


def _pixel_array(place: Place, prefix: str, node: Node, axes: str) -> PixelArray:
    layout = chunk_layout(node)
    if layout is not None and len(layout.shape) == len(axes):
        return ChunkArray(place.files, prefix, layout, axes, place.scratch)
    from tilescope.io.zarr_fallback import FallbackArray

    return FallbackArray(place.files, prefix, node.version, axes)


def _check_arrays(path: str, image: ZarrImage) -> None:
    finest = image.arrays[0]
    if tile_dtype(np.dtype(finest.dtype)) is None:
        raise UnsupportedFormat(path, f"samples of type {finest.dtype} are not supported")
    x, y = image.axes.find("x"), image.axes.find("y")
    for array in image.arrays:
        ndim = len(array.shape)
        is_possible = all(0 < n <= LONGEST_SIDE for n in array.shape)
        if ndim != len(image.axes) or array.dtype != finest.dtype or not is_possible:
            raise CorruptSlide(path, f"a level of shape {array.shape} and type {array.dtype}")
        same = [array.shape[i] == finest.shape[i] for i in range(ndim) if i not in {x, y}]
        if not all(same):
            raise UnsupportedFormat(path, "levels that differ in planes or channels")
        chunk_bytes = math.prod(array.chunks) * array.dtype.itemsize
        if chunk_bytes > LARGEST_CHUNK_BYTES:
            reason = (
                f"one chunk takes {chunk_bytes >> 20} MiB, more than "
                f"{LARGEST_CHUNK_BYTES >> 20} MiB; rewrite the Zarr with smaller chunks"
            )
            raise UnsupportedFormat(path, reason)
        _check_tile(path, image, array)


def _check_tile(path: str, image: ZarrImage, array: PixelArray) -> None:
    tile, bands = _tile(image.axes, array), image.length("c")
    tile_bytes = tile.area * bands * array.dtype.itemsize
    if tile_bytes > _LARGEST_TILE_BYTES:
        raise UnsupportedFormat(path, f"one tile of all channels takes {tile_bytes >> 20} MiB")
    taken = {"x": tile.width, "y": tile.height, "c": bands}
    chunks = math.prod(
        -(-taken.get(axis, 1) // length)
        for axis, length in zip(image.axes, array.chunks, strict=True)
    )
    if chunks > _MOST_CHUNKS_PER_TILE:
        reason = f"one tile of all channels takes {chunks} chunks; rewrite it with larger ones"
        raise UnsupportedFormat(path, reason)


def _check_pyramid(path: str, image: ZarrImage) -> None:
    """Refuse levels that cannot be the same picture, and ones that could never be looked at."""
    sizes = [_size(image.axes, array) for array in image.arrays]
    finest = sizes[0]
    for size in sizes[1:]:
        # sides are rounded up or down: a side of one pixel may stand for nearly two
        across, down = finest.width / size.width, finest.height / size.height
        uneven = max(across, down) / 2 > _MOST_UNEVEN * min(across, down)
        if size.width > finest.width or size.height > finest.height or uneven:
            shapes = " and ".join(f"{v.width} x {v.height}" for v in (finest, size))
            raise CorruptSlide(path, f"levels of {shapes} pixels contradict each other")
    coarsest = image.arrays[-1]
    chunks = math.prod(
        -(-length // chunk)
        for axis, length, chunk in zip(image.axes, coarsest.shape, coarsest.chunks, strict=True)
        if axis in "cyx"
    )
    if chunks > _MOST_CHUNKS_WITHOUT_OVERVIEW:
        size = sizes[-1]
        reason = (
            f"{size.width} x {size.height} pixels in {chunks} chunks and no smaller level: "
            "the size is damaged, or the file needs a pyramid"
        )
        raise UnsupportedFormat(path, reason)


def _size(axes: str, array: PixelArray) -> Size:
    return Size(array.shape[axes.index("x")], array.shape[axes.index("y")])


def _tile(axes: str, array: PixelArray) -> Size:
    """Return the chunk, several of them when it is small."""
    sides = []
    for axis in "xy":
        chunk = array.chunks[axes.index(axis)]
        sides.append(chunk * min(_MOST_CHUNKS_PER_SIDE, -(-_SMALL_TILE_PX // chunk)))
    return Size(*sides)


def _info(place: Place, image: ZarrImage, found: _Found) -> SlideInfo:
    scales = found.scales
    sizes = [_size(image.axes, array) for array in image.arrays]
    dtype = str(tile_dtype(np.dtype(image.arrays[0].dtype)))
    channels = channels_of(found.omero, image.length("c"))
    bands = _bands(image, channels)
    colour = bands == ("R", "G", "B")
    pixel_size = _pixel_size(image.axes, scales)
    return SlideInfo(
        id=place.identity,
        path=place.path,
        size_bytes=place.size_bytes,
        format="ome-zarr" if scales else "zarr",
        reader="zarr",
        levels=make_levels(sizes, [_tile(image.axes, a) for a in image.arrays]),
        bands=bands,
        dtype=dtype,
        background=(white_of(dtype) if colour else 0,) * len(bands),
        z=image.length("z"),
        t=image.length("t"),
        pixel_size=pixel_size,
        pixel_size_source="ome-zarr.scale" if pixel_size else None,
        properties={
            **found.properties,
            **_named(scales),
            **_z_step(image.axes, scales),
            **channel_properties(channels),
        },
    )


def _bands(image: ZarrImage, channels: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    colours = tuple(colour_of(c) for c in channels)
    if image.arrays[0].dtype == np.uint8 and colours == _RGB_COLOURS:
        return ("R", "G", "B")
    return labels_of(channels, image.length("c"))


def _named(scales: Mapping[str, Any]) -> dict[str, str]:
    name = scales.get("name")
    return {"ome-zarr.name": name[:200]} if isinstance(name, str) else {}


def _z_step(axes: str, scales: Mapping[str, Any]) -> dict[str, str]:
    step = _um_along(axes, scales, "z") if "z" in axes else None
    return {"ome-zarr.um_per_z": repr(step)} if step and math.isfinite(step) else {}


def _pixel_size(axes: str, scales: Mapping[str, Any]) -> PixelSize | None:
    x, y = (_um_along(axes, scales, axis) for axis in "xy")
    return plausible(x, y) if x and y else None


def _um_along(axes: str, scales: Mapping[str, Any], axis: str) -> float | None:
    """Return the micrometres between samples of the finest level along ``axis``."""
    finest = scales.get("finest")
    if not isinstance(finest, dict):
        return None
    units = [a.get("unit") if isinstance(a, dict) else None for a in scales.get("axes", [])]
    index = axes.index(axis)
    unit = str(units[index]) if index < len(units) else ""
    um = _UM_PER_UNIT.get(unit) or um_per_unit(unit)
    return _scale_along(finest, index) * _scale_along(scales, index) * um if um else None


def _scale_along(holder: Mapping[str, Any], index: int) -> float:
    """Return the product of the scale transformations of ``holder`` along one axis."""
    transforms = holder.get("coordinateTransformations")
    product = 1.0
    for transform in transforms if isinstance(transforms, Sequence) else ():
        scale = transform.get("scale") if isinstance(transform, dict) else None
        if isinstance(scale, list) and index < len(scale):
            product *= number(scale[index]) or math.nan
    return product
