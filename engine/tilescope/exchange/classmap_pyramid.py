"""Maps as Zarr pyramids: filled block by block, each level from the one below, depth first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.scale import PixelSize
from tilescope.exchange.depth_first import Block, DepthFirst
from tilescope.exchange.labels import BLOCK, level_sizes
from tilescope.exchange.staging import output_errors

#: Gives the values of a rectangle of the map, None where all are zero.
ReadMap = Callable[[Rect], Block | None]
#: Gives a block of half the size, rounded up.
Halve = Callable[[Block], Block]

_VERSION = "0.4"
_CLEVEL = 3
#: Name of our own attributes in a group; see :meth:`MapPlace.as_json`.
ATTRIBUTE = "tilescope"


@dataclass(frozen=True, slots=True)
class MapPlace:
    """Where a map lies on its slide.

    Attributes
    ----------
    size
        Pixels of the map.
    factor
        Level-0 pixels per pixel of the map, along x and along y.
    origin_l0
        Level-0 position of the map's top left corner, x then y.
    pixel_size
        Of the slide; without one, metadata are in level-0 pixels without a unit.
    slide_size
        Level-0 pixels of the slide, None when they are not known.
    plane
        Focal plane and time point, each from 0; None when they are not known.
    """

    size: Size
    factor: tuple[float, float]
    origin_l0: tuple[float, float]
    pixel_size: PixelSize | None
    slide_size: Size | None = None
    plane: tuple[int, int] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return where the map lies in level-0 pixels, x before y, for the attributes of a group.

        Lengths in micrometres do not say that by themselves: the pixel size may have been stated
        by whoever ran the model. ``plane`` is ``{"z": 2, "t": 0}``, each from 0; without it the
        map is of no plane in particular.
        """
        size = self.slide_size
        slide = {} if size is None else {"slide_size": [size.width, size.height]}
        plane = {} if self.plane is None else {"plane": dict(zip("zt", self.plane, strict=True))}
        return {"factor": list(self.factor), "origin_l0": list(self.origin_l0), **slide, **plane}

    def transformations(self, scale: int, centred_on: int) -> list[dict[str, Any]]:
        """Return scale and translation of a level, y before x.

        Coordinates are those of pixel centres, as everywhere in OME-Zarr: 0 is the centre of the
        first pixel of the slide.

        Parameters
        ----------
        scale
            Pixels of the map per pixel of the level.
        centred_on
            Pixels of the map over which the first pixel of the level is centred.
        """
        sizes = self._unit_sizes()
        steps = [um * factor * scale for um, factor in zip(sizes, self.factor, strict=True)]
        places = [
            um * (begin + (factor * centred_on - 1) / 2)
            for um, factor, begin in zip(sizes, self.factor, self.origin_l0, strict=True)
        ]
        return [
            {"type": "scale", "scale": steps[::-1]},
            {"type": "translation", "translation": places[::-1]},
        ]

    def _unit_sizes(self) -> tuple[float, float]:
        size = self.pixel_size
        return (1.0, 1.0) if size is None else (size.um_x, size.um_y)

    def axes(self, names: str) -> list[dict[str, str]]:
        """Return the axes, ``c`` being the channels."""
        unit = {} if self.pixel_size is None else {"unit": "micrometer"}
        return [
            {"name": name, "type": "channel"}
            if name == "c"
            else {"name": name, "type": "space", **unit}
            for name in names
        ]


def multiscale(
    name: str, kind: str, place: MapPlace, axes: str, centres: list[int]
) -> dict[str, Any]:
    """Return the metadata of a pyramid whose levels halve.

    Parameters
    ----------
    kind
        How the levels were made, as ``nearest``.
    axes
        Names of the axes, ``yx`` or ``cyx``.
    centres
        Of every level, the pixels of the map that its first pixel is centred over.
    """
    datasets = []
    for level, centred_on in enumerate(centres):
        scale, translation = place.transformations(2**level, centred_on)
        if "c" in axes:
            scale = {**scale, "scale": [1.0, *scale["scale"]]}
            translation = {**translation, "translation": [0.0, *translation["translation"]]}
        datasets.append({"path": str(level), "coordinateTransformations": [scale, translation]})
    return {
        "version": _VERSION,
        "name": name,
        "type": kind,
        "axes": place.axes(axes),
        "datasets": datasets,
    }


def write_levels(
    folder: Path, path: Path, read: ReadMap, halve: Halve, *, size: Size, dtype: str, axes: str
) -> int:
    """Write the levels of a pyramid into a group and return how many there are.

    Memory is bounded by one block of each level; blocks of zeros are not stored.

    Parameters
    ----------
    folder
        Of the group under construction.
    path
        What it will be, for messages.
    read
        Called once for every block of 1024 x 1024 pixels of the map.

    Raises
    ------
    OutputError
        When the folder cannot be written.
    """
    sizes = level_sizes(size)
    with output_errors(path):
        create_levels(folder, sizes, dtype, axes)
    DepthFirst(sizes, BLOCK, read, halve, _Blocks(folder, path, axes).store).write()
    return len(sizes)


class _Blocks:
    """Puts blocks into the arrays of a group."""

    def __init__(self, folder: Path, path: Path, axes: str) -> None:
        self._folder = folder
        self._path = path
        self._channel = "0/" if "c" in axes else ""

    def store(self, level: int, row: int, column: int, block: Block) -> None:
        """Write one block; those at the right and lower edge are stored in full size too."""
        if block.shape != (BLOCK, BLOCK):
            whole = np.zeros((BLOCK, BLOCK), block.dtype)
            whole[: block.shape[0], : block.shape[1]] = block
            block = whole
        data = encoded(block, _CLEVEL)
        folder = self._folder / str(level) / f"{self._channel}{row}"
        with output_errors(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / str(column)).write_bytes(data)


def encoded(block: Block, level: int) -> bytes:
    """Return a block as it is stored."""
    import imagecodecs

    data = imagecodecs.blosc_encode(
        block.astype(block.dtype.newbyteorder("<")).tobytes(),
        compressor="zstd",
        level=level,
        shuffle=1,
        typesize=block.dtype.itemsize,
        numthreads=1,
    )
    return bytes(data)


def create_levels(
    folder: Path, sizes: list[Size], dtype: str, axes: str, side: int = BLOCK
) -> None:
    """Make the group and its arrays without blocks, which are ``side`` pixels wide and high."""
    import numcodecs
    import zarr

    # Blosc, because readers of Zarr version 2 outside Python know little else.
    codec: Any = numcodecs.Blosc("zstd", clevel=_CLEVEL, shuffle=numcodecs.Blosc.SHUFFLE)
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    channel = (1,) if "c" in axes else ()
    for level, size in enumerate(sizes):
        group.create_array(
            str(level),
            shape=(*channel, size.height, size.width),
            chunks=(*channel, side, side),
            dtype=dtype,
            compressors=codec,
            fill_value=0,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )


def set_attributes(folder: Path, attributes: dict[str, Any]) -> None:
    """Write the attributes of a group."""
    import zarr

    zarr.open_group(folder, mode="r+").update_attributes(attributes)
