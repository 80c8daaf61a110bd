"""From OME-Zarr metadata to a slide's description; every field may be hostile."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tilescope.domain.geometry import Size
from tilescope.domain.scale import PixelSize
from tilescope.domain.slide import SlideInfo
from tilescope.errors import CorruptSlide, UnsupportedFormat
from tilescope.io.identity import slide_id
from tilescope.io.levels import make_levels
from tilescope.io.sample_types import tile_dtype, white_of
from tilescope.io.tiff_metadata import number, plausible, um_per_unit

if TYPE_CHECKING:
    import zarr
    from zarr.abc.store import Store

#: One chunk is decoded as a whole.
LARGEST_CHUNK_BYTES = 256 << 20

#: All bands of one tile are read together.
_LARGEST_TILE_BYTES = 256 << 20

_MOST_LEVELS = 64
_SMALL_TILE_PX = 256
_RGB_COLOURS = ("FF0000", "00FF00", "0000FF")


@dataclass(frozen=True, slots=True, eq=False)
class ZarrImage:
    """Arrays of one image, finest first, and their axes as a string such as ``"tczyx"``."""

    axes: str
    arrays: tuple[zarr.Array[Any], ...]

    def length(self, axis: str) -> int:
        """Return how many there are along ``axis`` of the finest level; 1 when it is absent."""
        found = self.axes.find(axis)
        return int(self.arrays[0].shape[found]) if found >= 0 else 1


def read_image(path: Path, store: Store) -> tuple[SlideInfo, ZarrImage]:
    """Return the description and the arrays of the image in ``store``.

    Raises
    ------
    UnsupportedFormat, CorruptSlide
        When the metadata name no image that a slide can be, or contradict themselves.
    """
    import zarr

    node: Any = zarr.open(store=store, mode="r")
    if isinstance(node, zarr.Array):
        return _bare_array(path, node)
    attributes = _ome_attributes(node)
    if "bioformats2raw.layout" in attributes and "0" in node:
        node = node["0"]
        attributes = _ome_attributes(node)
    if "plate" in attributes or "well" in attributes:
        raise UnsupportedFormat(path, "a plate or well: open one of its fields, such as A/1/0")
    scales = attributes.get("multiscales")
    if not isinstance(scales, list) or not scales or not isinstance(scales[0], dict):
        raise UnsupportedFormat(path, "a Zarr group without multiscales metadata")
    return _multiscale(path, node, scales[0], attributes.get("omero"))


def _ome_attributes(group: zarr.Group) -> Mapping[str, Any]:
    """Return the metadata of 0.5, under ``ome``, or of 0.4, at the top."""
    attributes = dict(group.attrs)
    nested = attributes.get("ome")
    return nested if isinstance(nested, dict) else attributes


def _bare_array(path: Path, array: zarr.Array[Any]) -> tuple[SlideInfo, ZarrImage]:
    axes = {2: "yx", 3: "cyx"}.get(array.ndim)
    if axes is None:
        raise UnsupportedFormat(path, f"a Zarr array of {array.ndim} axes without OME metadata")
    if array.ndim == 3 and array.shape[2] in {3, 4} and array.shape[0] > 4:
        axes = "yxc"
    image = ZarrImage(axes, (array,))
    _check_arrays(path, image)
    return _info(path, image, {}, None), image


def _multiscale(
    path: Path, group: zarr.Group, scales: Mapping[str, Any], omero: object
) -> tuple[SlideInfo, ZarrImage]:
    axes = _axis_names(path, scales)
    datasets = scales.get("datasets")
    if not isinstance(datasets, list) or not 0 < len(datasets) <= _MOST_LEVELS:
        raise CorruptSlide(path, "multiscales without a list of datasets")
    arrays = [_array(path, group, dataset) for dataset in datasets]
    image = ZarrImage(axes, tuple(arrays))
    _check_arrays(path, image)
    order = sorted(range(len(arrays)), key=lambda i: -math.prod(arrays[i].shape))
    image = ZarrImage(axes, tuple(arrays[i] for i in order))
    return _info(path, image, {**scales, "finest": datasets[order[0]]}, omero), image


def _axis_names(path: Path, scales: Mapping[str, Any]) -> str:
    axes = scales.get("axes", ["t", "c", "z", "y", "x"])
    names = [a.get("name") if isinstance(a, dict) else a for a in axes]
    text = "".join(str(n).lower() for n in names)
    unique = len(set(text)) == len(text) == len(names)
    if not unique or not set(text) <= set("tczyx") or not {"y", "x"} <= set(text):
        raise UnsupportedFormat(path, f"axes {names} instead of some of t, c, z, y, x")
    return text


def _array(path: Path, group: zarr.Group, dataset: object) -> zarr.Array[Any]:
    import zarr

    name = dataset.get("path") if isinstance(dataset, dict) else None
    # a path that climbs out would read files elsewhere on the machine
    if not isinstance(name, str) or name.startswith("/") or ".." in name.split("/"):
        raise CorruptSlide(path, f"a dataset path that is none: {str(name)[:80]!r}")
    try:
        array = group[name]
    except KeyError as error:
        raise CorruptSlide(path, f"level {name!r} is missing") from error
    if not isinstance(array, zarr.Array):
        raise CorruptSlide(path, f"level {name!r} is no array")
    return array


def _check_arrays(path: Path, image: ZarrImage) -> None:
    finest = image.arrays[0]
    if tile_dtype(np.dtype(finest.dtype)) is None:
        raise UnsupportedFormat(path, f"samples of type {finest.dtype} are not supported")
    x, y = image.axes.find("x"), image.axes.find("y")
    for array in image.arrays:
        if array.ndim != len(image.axes) or array.dtype != finest.dtype or 0 in array.shape:
            raise CorruptSlide(path, f"a level of shape {array.shape} and type {array.dtype}")
        same = [array.shape[i] == finest.shape[i] for i in range(array.ndim) if i not in {x, y}]
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


def _check_tile(path: Path, image: ZarrImage, array: zarr.Array[Any]) -> None:
    tile_bytes = _tile(image.axes, array).area * image.length("c") * array.dtype.itemsize
    if tile_bytes > _LARGEST_TILE_BYTES:
        raise UnsupportedFormat(path, f"one tile of all channels takes {tile_bytes >> 20} MiB")


def _tile(axes: str, array: zarr.Array[Any]) -> Size:
    """Return the chunk, several of them when it is small."""
    sides = []
    for axis in "xy":
        chunk = int(array.chunks[axes.index(axis)])
        sides.append(chunk * max(1, -(-_SMALL_TILE_PX // chunk)))
    return Size(*sides)


def _info(path: Path, image: ZarrImage, scales: Mapping[str, Any], omero: object) -> SlideInfo:
    identity, size_bytes = slide_id(path)
    x, y = image.axes.index("x"), image.axes.index("y")
    sizes = [Size(int(a.shape[x]), int(a.shape[y])) for a in image.arrays]
    dtype = str(tile_dtype(np.dtype(image.arrays[0].dtype)))
    bands = _bands(image, omero)
    colour = bands == ("R", "G", "B")
    pixel_size = _pixel_size(image.axes, scales)
    name = scales.get("name")
    return SlideInfo(
        id=identity,
        path=str(path),
        size_bytes=size_bytes,
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
        properties={"ome-zarr.name": name[:200]} if isinstance(name, str) else {},
    )


def _bands(image: ZarrImage, omero: object) -> tuple[str, ...]:
    count = image.length("c")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    known = channels if isinstance(channels, list) and len(channels) == count else []
    described = [c for c in known if isinstance(c, dict)]
    colours = tuple(str(c.get("color", "")).upper() for c in described)
    if image.arrays[0].dtype == np.uint8 and colours == _RGB_COLOURS:
        return ("R", "G", "B")
    labels = [str(c.get("label") or "")[:80] for c in described]
    if len(labels) != count:
        labels = [""] * count
    unnamed = "grey" if count == 1 else "channel {}"
    return tuple(label or unnamed.format(i) for i, label in enumerate(labels))


def _pixel_size(axes: str, scales: Mapping[str, Any]) -> PixelSize | None:
    finest = scales.get("finest")
    if not isinstance(finest, dict):
        return None
    units = [a.get("unit") if isinstance(a, dict) else None for a in scales.get("axes", [])]
    found = []
    for axis in "xy":
        index = axes.index(axis)
        unit = um_per_unit(str(units[index])) if index < len(units) else None
        step = _scale_along(finest, index) * _scale_along(scales, index)
        found.append(step * unit if unit else None)
    x, y = found
    return plausible(x, y) if x and y else None


def _scale_along(holder: Mapping[str, Any], index: int) -> float:
    """Return the product of the scale transformations of ``holder`` along one axis."""
    transforms = holder.get("coordinateTransformations")
    product = 1.0
    for transform in transforms if isinstance(transforms, Sequence) else ():
        scale = transform.get("scale") if isinstance(transform, dict) else None
        if isinstance(scale, list) and index < len(scale):
            product *= number(scale[index]) or math.nan
    return product
