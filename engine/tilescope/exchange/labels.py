"""Instances as an OME-Zarr label pyramid on the level-0 grid of the slide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.results import Detections
from tilescope.domain.scale import PixelSize
from tilescope.exchange.depth_first import DepthFirst
from tilescope.exchange.palette import instance_colour
from tilescope.exchange.staging import output_errors, staged_folder
from tilescope.ops import raster

if TYPE_CHECKING:
    import zarr

#: Gives the objects that touch a level-0 rectangle, and their numbers ``uint32[n]``.
ObjectsIn = Callable[[Rect], tuple[Detections, NDArray[np.uint32]]]

Version = Literal["0.4", "0.5"]

#: Side of a block of every level.
BLOCK = 1024
_SMALLEST_LEVEL = 512
#: Readers hold colours and properties in memory as objects, one per label.
_MAX_COLOURS = 10_000
_MAX_PROPERTIES = 100_000
_BLOSC: dict[str, Any] = {"compressor": "zstd", "level": 3, "shuffle": 1, "typesize": 4}


def write_labels(
    path: Path,
    objects_in: ObjectsIn,
    *,
    rect_l0: Rect,
    pixel_size: PixelSize | None,
    source: str,
    version: Version = "0.4",
) -> None:
    """Write every object's number into the pixels whose centre lies in it, and halve that down.

    Memory is bounded by one block of each level; blocks without objects are not stored.

    Parameters
    ----------
    path
        The label group, a folder; appears when it is whole and replaces an older one.
    objects_in
        Called once for every block of 1024 x 1024 level-0 pixels. It may give more objects than
        touch the block. Where objects overlap the higher number wins.
    rect_l0
        The level-0 pixels to write: the whole slide or the region that was analysed, which then
        is the translation of the pyramid.
    pixel_size
        Scale and translation are in micrometres, or in pixels without a unit when this is None.
    source
        Where the slide is, relative to ``path`` or absolute.
    version
        Of OME-Zarr: 0.4 is what most programs open, 0.5 is Zarr version 3.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    with staged_folder(path) as partial:
        sizes = level_sizes(Size(rect_l0.width, rect_l0.height))
        with output_errors(path):
            group = _create(partial, sizes, version)
        prefix = "" if version == "0.4" else "c/"
        store = _ZarrBlocks(path, [partial / f"{level}/{prefix}" for level in range(len(sizes))])
        pyramid = LabelPyramid(store, sizes, objects_in, rect_l0)
        pyramid.write()
        attributes = _attributes(path.name, len(sizes), rect_l0, pixel_size, version)
        attributes["image-label"] = {**pyramid.known.as_json(), "source": {"image": source}}
        attributes["image-label"]["version"] = version
        if version == "0.5":
            attributes = {"ome": {"version": version, **attributes}}
        with output_errors(path):
            group.update_attributes(attributes)


def level_sizes(size: Size) -> list[Size]:
    """Return the sizes of the levels: halved, rounded up, until the longer side is at most 512."""
    sizes = [size]
    while max(sizes[-1].width, sizes[-1].height) > _SMALLEST_LEVEL:
        sizes.append(Size(-(-sizes[-1].width // 2), -(-sizes[-1].height // 2)))
    return sizes


@dataclass(slots=True)
class _Known:
    """What is told of each label, until there are too many to tell."""

    properties: dict[int, tuple[str | None, float]] = field(default_factory=dict)
    complete: bool = True

    def add(self, detections: Detections, ids: NDArray[np.uint32]) -> None:
        if not self.complete:
            return
        names = detections.class_names
        for number, klass, score in zip(
            ids.tolist(), detections.classes.tolist(), detections.scores.tolist(), strict=True
        ):
            self.properties[number] = (names[klass] if names else None, score)
        if len(self.properties) > _MAX_PROPERTIES:
            self.properties.clear()
            self.complete = False

    def as_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if self.properties and len(self.properties) <= _MAX_COLOURS:
            told["colors"] = [
                {"label-value": n, "rgba": [*instance_colour(n), 255]}
                for n in sorted(self.properties)
            ]
        if self.properties:
            told["properties"] = [
                _property(n, *self.properties[n]) for n in sorted(self.properties)
            ]
        return told


def _property(number: int, name: str | None, score: float) -> dict[str, Any]:
    told: dict[str, Any] = {"label-value": number}
    if name is not None:
        told["class"] = name
    if np.isfinite(score):
        told["score"] = round(score, 4)
    return told


class BlockStore(Protocol):
    """Takes the blocks of all levels, in the order in which they are made."""

    def write(self, level: int, row: int, column: int, block: NDArray[np.uint32]) -> None:
        """Take one block; those at the right and lower edge are smaller than the others."""


class _ZarrBlocks:
    """Writes blocks as the files that zarr-python would write, without its threads per block."""

    def __init__(self, path: Path, folders: list[Path]) -> None:
        self._path = path
        self._folders = folders

    def write(self, level: int, row: int, column: int, block: NDArray[np.uint32]) -> None:
        """Write one block; those at the right and lower edge are stored in full size too."""
        import imagecodecs

        if block.shape != (BLOCK, BLOCK):
            whole = np.zeros((BLOCK, BLOCK), np.uint32)
            whole[: block.shape[0], : block.shape[1]] = block
            block = whole
        data = imagecodecs.blosc_encode(block.astype("<u4").tobytes(), numthreads=1, **_BLOSC)
        folder = self._folders[level] / str(row)
        with output_errors(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / str(column)).write_bytes(data)


class LabelPyramid:
    """Fills the levels block by block, each block from the four below it, depth first."""

    def __init__(
        self, store: BlockStore, sizes: list[Size], objects_in: ObjectsIn, rect_l0: Rect
    ) -> None:
        self._store = store
        self._sizes = sizes
        self._objects_in = objects_in
        self._rect_l0 = rect_l0
        self.known = _Known()

    def write(self) -> None:
        """Write every level."""
        DepthFirst(self._sizes, BLOCK, self._filled, _every_second, self._store.write).write()

    def _filled(self, rect: Rect) -> NDArray[np.uint32] | None:
        rect_l0 = rect.translated(self._rect_l0.x0, self._rect_l0.y0)
        detections, ids = self._objects_in(rect_l0)
        if not len(detections):
            return None
        self.known.add(detections, ids)
        # In the order of the numbers, or two blocks might disagree on who wins at their border.
        if (np.diff(ids.astype(np.int64)) < 0).any():
            order = np.argsort(ids)
            detections, ids = detections.select(order), ids[order]
        return raster.fill(detections, ids, rect_l0)


def _every_second(block: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return block[::2, ::2]


def _create(folder: Path, sizes: list[Size], version: Version) -> zarr.Group:
    """Make the group and its arrays without blocks."""
    import numcodecs
    import zarr
    from zarr.codecs import BloscCodec

    old = version == "0.4"
    # Blosc, because readers of Zarr version 2 outside Python know little else.
    codec: Any = (
        numcodecs.Blosc("zstd", clevel=_BLOSC["level"], shuffle=numcodecs.Blosc.SHUFFLE)
        if old
        else BloscCodec(typesize=4, cname="zstd", clevel=_BLOSC["level"], shuffle="shuffle")
    )
    group = zarr.open_group(folder, mode="w", zarr_format=2 if old else 3)
    for level, size in enumerate(sizes):
        group.create_array(
            str(level),
            shape=(size.height, size.width),
            chunks=(BLOCK, BLOCK),
            dtype="<u4",
            compressors=codec,
            fill_value=0,
            chunk_key_encoding={"name": "v2" if old else "default", "separator": "/"},
            dimension_names=None if old else ("y", "x"),
        )
    return group


def _attributes(
    name: str, levels: int, rect_l0: Rect, pixel_size: PixelSize | None, version: Version
) -> dict[str, Any]:
    """Return the multiscales metadata; the pixels of each level are every second of the one below.

    So the first pixel of every level has the same centre, and the translation is that of level 0.
    """
    um_y, um_x = (1.0, 1.0) if pixel_size is None else (pixel_size.um_y, pixel_size.um_x)
    unit = {} if pixel_size is None else {"unit": "micrometer"}
    translation = {"type": "translation", "translation": [rect_l0.y0 * um_y, rect_l0.x0 * um_x]}
    moved = [translation] if rect_l0.x0 or rect_l0.y0 else []
    multiscale = {
        "name": name,
        "type": "nearest",
        "axes": [{"name": axis, "type": "space", **unit} for axis in "yx"],
        "datasets": [
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [um_y * 2**level, um_x * 2**level]},
                    *moved,
                ],
            }
            for level in range(levels)
        ],
    }
    if version == "0.4":
        multiscale["version"] = version
    return {"multiscales": [multiscale]}
