"""OME-Zarr 0.4 and 0.5: a folder or an unpacked-on-the-fly zip, any subset of t, c, z, y, x.

Specification: https://ngff.openmicroscopy.org/0.5/ (multiscales, omero, axes) and 0.4. Pixels
are read by zarr-python, which knows every codec chain and shard index.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.slide import SlideInfo
from tilescope.domain.tiles import tile_rect
from tilescope.errors import TileReadError, UnsupportedFormat
from tilescope.io.faults import foreign_errors
from tilescope.io.sample_types import as_tile_dtype
from tilescope.io.source import check_plane
from tilescope.io.zarr_layout import ZarrImage, read_image
from tilescope.runtime.closing import Closing

if TYPE_CHECKING:
    from zarr.abc.store import Store

Pixels = NDArray[Any]

#: JSON of a group; consolidated metadata of a plate can be long, a hostile one longer.
_LARGEST_JSON_BYTES = 64 << 20

_NO_ZARR = "a folder without zarr.json, .zgroup or .zarray: open one of the files in it"

_METADATA_FILES = ("zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata")


class ZarrSource(Closing):
    """An open OME-Zarr image; zarr-python reads chunks from any thread."""

    def __init__(self, info: SlideInfo, image: ZarrImage, store: Store) -> None:
        self._info = info
        self._image = image
        self._store = store

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the first multiscale image of a group.

        Raises
        ------
        UnsupportedFormat
            When the folder or zip is no Zarr, or its axes or dtype have no place in a slide.
        CorruptSlide
            When its metadata contradict themselves.
        """
        _check_metadata(path)
        with foreign_errors(path, "reading the Zarr metadata"):
            store = _store(path)
            try:
                info, image = read_image(path, store)
            except BaseException:
                store.close()
                raise
        return cls(info, image, store)

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide."""
        return self._info

    def read_tile(self, level: int, col: int, row: int, plane: int = 0) -> Pixels:
        """Return one tile; see :class:`~tilescope.io.source.SlideSource`."""
        rect = tile_rect(self._info.levels[level], col, row)
        check_plane(self._info, plane)
        time, depth = divmod(plane, self._info.z)
        place: dict[str, int | slice] = {
            "t": time,
            "z": depth,
            "c": slice(None),
            "y": slice(rect.y0, rect.y1),
            "x": slice(rect.x0, rect.x1),
        }
        where = f"reading tile ({col}, {row}) of level {level}"
        with foreign_errors(self._info.path, where, TileReadError):
            index = tuple(place[axis] for axis in self._image.axes)
            values = np.asarray(self._image.arrays[level][index])
        return as_tile_dtype(self._to_bands(values))

    def close(self) -> None:
        """Give back the store; twice is fine."""
        self._store.close()

    def _to_bands(self, values: Pixels) -> Pixels:
        kept = [axis for axis in self._image.axes if axis not in "tz"]
        order = [kept.index(axis) for axis in "yxc" if axis in kept]
        turned = np.transpose(values, order)
        return np.ascontiguousarray(turned if "c" in kept else turned[..., None])


def _check_metadata(path: Path) -> None:
    """Refuse what is no Zarr before zarr-python creates its event loop for it."""
    if path.is_file():
        return
    found = [path / name for name in _METADATA_FILES if (path / name).is_file()]
    if not found:
        raise UnsupportedFormat(path, _NO_ZARR)
    longest = max(p.stat().st_size for p in found)
    if longest > _LARGEST_JSON_BYTES:
        raise UnsupportedFormat(path, f"Zarr metadata of {longest >> 20} MiB")


def _store(path: Path) -> Store:
    from zarr.storage import LocalStore, ZipStore

    return ZipStore(path, mode="r") if path.is_file() else LocalStore(path, read_only=True)
