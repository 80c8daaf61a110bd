"""Instances as a tiled TIFF pyramid of 32-bit labels on the level-0 grid of the slide."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.scale import PixelSize
from tilescope.exchange.labels import BLOCK, LabelPyramid, ObjectsIn, level_sizes
from tilescope.exchange.staging import output_errors

_ZLIB_LEVEL = 6
_LARGEST_CLASSIC_BYTES = 3 << 30


def write_label_tiff(
    path: Path, objects_in: ObjectsIn, *, rect_l0: Rect, pixel_size: PixelSize | None
) -> None:
    """Write every object's number into the pixels whose centre lies in it, and halve that down.

    Memory is bounded by one block of each level. The levels are sub-images of the first, each a
    half of the one before; blocks are packed by Deflate. Packed blocks wait in a temporary file
    until their level is written.

    Parameters
    ----------
    path
        Appears when it is whole.
    objects_in
        Called once for every block of 1024 x 1024 level-0 pixels; see ``labels.write_labels``.
    rect_l0
        The level-0 pixels to write; where they begin is told in the description.
    pixel_size
        Becomes the resolution; None leaves it out.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    sizes = level_sizes(Size(rect_l0.width, rect_l0.height))
    partial = path.with_name(f".{path.name}.partial")
    with output_errors(path):
        stream = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with stream:
            spool = _Spool(path, stream)
            LabelPyramid(spool, sizes, objects_in, rect_l0).write()
            with output_errors(path):
                _write(partial, spool, sizes, rect_l0, pixel_size)
                partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


class _Spool:
    """Packed blocks in the order they were made."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        import imagecodecs

        self._path = path
        self._stream = stream
        self._places: dict[tuple[int, int, int], tuple[int, int]] = {}
        self._encode: Callable[..., Any] = imagecodecs.zlib_encode
        self._empty = self._packed(np.zeros((BLOCK, BLOCK), "<u4"))

    def _packed(self, block: NDArray[np.uint32]) -> bytes:
        return bytes(self._encode(block, level=_ZLIB_LEVEL))

    @property
    def size_bytes(self) -> int:
        """Of all blocks that hold something."""
        return sum(length for _, length in self._places.values())

    @property
    def empty_bytes(self) -> int:
        """Of a block that holds nothing."""
        return len(self._empty)

    def write(self, level: int, row: int, column: int, block: NDArray[np.uint32]) -> None:
        """Pack one block."""
        whole = np.zeros((BLOCK, BLOCK), "<u4")
        whole[: block.shape[0], : block.shape[1]] = block
        data = self._packed(whole)
        with output_errors(self._path):
            self._places[level, row, column] = (self._stream.tell(), len(data))
            self._stream.write(data)

    def tiles(self, level: int, size: Size) -> Iterator[bytes]:
        """Yield the packed blocks of a level row by row."""
        for row in range(-(-size.height // BLOCK)):
            for column in range(-(-size.width // BLOCK)):
                place = self._places.get((level, row, column))
                if place is None:
                    yield self._empty
                else:
                    self._stream.seek(place[0])
                    yield self._stream.read(place[1])


def _write(
    path: Path, spool: _Spool, sizes: list[Size], rect_l0: Rect, pixel_size: PixelSize | None
) -> None:
    import tifffile

    blocks = sum(-(-s.height // BLOCK) * -(-s.width // BLOCK) for s in sizes)
    total = spool.size_bytes + blocks * spool.empty_bytes
    with tifffile.TiffWriter(path, bigtiff=total > _LARGEST_CLASSIC_BYTES) as tiff:
        for level, size in enumerate(sizes):
            resolution = {}
            if pixel_size is not None:
                per_cm = (1e4 / pixel_size.um_x / 2**level, 1e4 / pixel_size.um_y / 2**level)
                resolution = {"resolution": per_cm, "resolutionunit": "CENTIMETER"}
            first = level == 0
            tiff.write(
                spool.tiles(level, size),
                shape=(size.height, size.width),
                dtype="<u4",
                tile=(BLOCK, BLOCK),
                photometric="minisblack",
                compression="adobe_deflate",
                subfiletype=0 if first else 1,
                subifds=len(sizes) - 1 if first else None,
                description=f"labels from level-0 pixel {rect_l0.x0}, {rect_l0.y0}"
                if first
                else None,
                metadata=None,
                software="Tilescope",
                **resolution,
            )
