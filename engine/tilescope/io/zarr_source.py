"""OME-Zarr 0.4 and 0.5: a folder, a zip file or a URL, any subset of t, c, z, y, x.

Specification: https://ngff.openmicroscopy.org/0.5/ (multiscales, omero, axes) and 0.4. Chunks of
the usual codecs are decoded here, sharded or not; zarr-python reads arrays that have others.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.slide import SlideId, SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope.errors import SlideError, SlideNotFound, UnsupportedFormat
from tilescope.io.faults import foreign_errors
from tilescope.io.identity import slide_id
from tilescope.io.sample_types import as_tile_dtype
from tilescope.io.scratch import Scratch
from tilescope.io.slide_reader import SlideReader
from tilescope.io.zarr_files import LocalFiles, ZarrFiles
from tilescope.io.zarr_layout import Place, ZarrImage, read_image
from tilescope.io.zarr_nodes import Node, read_node
from tilescope.io.zip_files import ZipFiles

Pixels = NDArray[Any]

#: Tiles of these are handed out as they were stored, without another look at them.
_AS_THEY_ARE = (np.dtype(np.uint8), np.dtype(np.uint16))

_WANTED = "zarr.json, .zgroup or .zarray"


class ZarrSource(SlideReader):
    """An open OME-Zarr image; tiles are read from any thread."""

    def __init__(self, place: Place, info: SlideInfo, image: ZarrImage) -> None:
        super().__init__(info)
        self._place = place
        self._image = image

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the first multiscale image of a folder or a zip file.

        Raises
        ------
        UnsupportedFormat
            When the folder or zip is no Zarr, or its axes or dtype have no place in a slide.
        CorruptSlide
            When its metadata contradict themselves.
        """
        with foreign_errors(path, "reading the Zarr metadata"):
            files = ZipFiles(path) if path.is_file() else LocalFiles(path)
            try:
                root = _root(files, UnsupportedFormat(path, _nothing_there(path)))
                place = Place(files, Scratch(), str(path), *slide_id(path))
                return cls(place, *read_image(place, root))
            except BaseException:
                files.close()
                raise

    @classmethod
    def open_url(cls, url: str) -> Self:
        """Return the first multiscale image below an ``http``, ``https`` or ``s3`` URL.

        Credentials for S3 are those of the AWS environment and configuration; without any, the
        bucket is read as a public one. The identity follows the metadata: chunks that change
        below the same metadata are not noticed.

        Raises
        ------
        SlideNotFound
            When the server has no Zarr there.
        UnsupportedFormat, CorruptSlide
            As for :meth:`open`; also when the server cannot be reached or refuses.
        """
        from tilescope.io.remote import connect, shown

        path = shown(url)
        with foreign_errors(path, "reading the Zarr metadata", UnsupportedFormat):
            files = connect(url)
            try:
                root = _root(files, SlideNotFound(path, f"the server has no {_WANTED} there"))
                place = Place(files, Scratch(), path, *_remote_id(path, root))
                return cls(place, *read_image(place, root))
            except BaseException:
                files.close()
                raise

    def _read(self, tile: TileKey, rect: Rect) -> Pixels:
        time, depth = divmod(tile.plane, self._info.z)
        pixels = self._image.arrays[tile.level].read(rect, time, depth)
        return pixels if pixels.dtype in _AS_THEY_ARE else as_tile_dtype(pixels)

    def close(self) -> None:
        """Give back the files; twice is fine."""
        self._place.files.close()
        self._place.scratch.clear()
        for array in self._image.arrays:
            array.close()


def _root(files: ZarrFiles, missing: SlideError) -> Node:
    root = read_node(files, "")
    if root is None:
        raise missing
    return root


def _nothing_there(path: Path) -> str:
    if path.is_file():
        return f"a zip file without {_WANTED} at its top"
    return f"a folder without {_WANTED}: open one of the files in it"


def _remote_id(path: str, root: Node) -> tuple[SlideId, int]:
    text = json.dumps([root.document, root.attributes], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return SlideId.of(f"{path}\0{digest}", size_bytes=len(text), mtime_ns=0), len(text)
