"""Slides made on the fly, whose pixels can be predicted by arithmetic.

A *coordinate slide* encodes in every level-0 pixel where it is, so any read at any scale can be
checked without a reference image. A *repeated slide* is tens of thousands of pixels wide and
small on disk: its tiles share the same few byte ranges.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.ops.resample import Scale, halve, resample, scaled_size

Pixels = NDArray[Any]

_QUALITY = 85

#: Label and colour of each channel.
_RGB_CHANNELS = (("R", "FF0000"), ("G", "00FF00"), ("B", "0000FF"))


def coordinate_pixels(rect_l0: Rect, *, dtype: str = "uint8") -> Pixels:
    """Return ``[h, w, 3]`` of level-0 pixels that say where they are.

    ``uint8``: red and green are ``x`` and ``y`` modulo 256, blue counts both in steps of 256.
    ``uint16`` and ``float32``: red is ``x``, green is ``y``, blue is their sum.
    """
    x = np.arange(rect_l0.x0, rect_l0.x1)[None, :]
    y = np.arange(rect_l0.y0, rect_l0.y1)[:, None]
    shape = (rect_l0.height, rect_l0.width)
    if dtype == "uint8":
        bands = (x % 256, y % 256, (x // 256 + 16 * (y // 256)) % 256)
    else:
        bands = (x, y, x + y)
    return np.stack([np.broadcast_to(b, shape) for b in bands], axis=2).astype(dtype)


def pyramid(pixels: Pixels, levels: int, *, drop_odd: bool = False) -> list[Pixels]:
    """Return ``levels`` arrays, each the 2 x 2 means of the one before.

    Parameters
    ----------
    pixels
        ``[h, w, bands]``.
    levels
        Number of arrays, the first being ``pixels``.
    drop_odd
        Drop the last row and column of an odd size, as Aperio does, instead of keeping half.
    """
    made = [pixels]
    while len(made) < levels:
        finer = made[-1]
        if drop_odd:
            finer = finer[: finer.shape[0] // 2 * 2, : finer.shape[1] // 2 * 2]
        made.append(halve(finer))
    return made


def write_tiff_pyramid(
    path: Path,
    levels: Sequence[Pixels],
    *,
    tile: int = 256,
    um_per_px: float | None = None,
    compression: str | None = "zlib",
    subifds: bool = False,
) -> Path:
    """Write arrays ``[h, w, bands]``, finest first, as a tiled TIFF and return its path.

    Parameters
    ----------
    um_per_px
        Written as resolution per centimetre when given.
    subifds
        Put the coarser levels into SubIFDs, as OME-TIFF does, instead of further pages.
    """
    import tifffile

    resolution: dict[str, Any] = {}
    if um_per_px is not None:
        resolution = {"resolution": (1e4 / um_per_px,) * 2, "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as writer:
        for index, level in enumerate(levels):
            colour = level.shape[2] == 3
            writer.write(
                level if colour else level[..., 0],
                tile=(tile, tile),
                photometric="rgb" if colour else "minisblack",
                compression=compression,
                metadata=None,
                subfiletype=1 if index else 0,
                subifds=len(levels) - 1 if subifds and index == 0 else None,
                **(resolution if index == 0 else {}),
            )
    return path


def write_ome_zarr(
    path: Path,
    levels: Sequence[Pixels],
    *,
    axes: str = "cyx",
    version: str = "0.5",
    chunk: int = 256,
    um_per_px: float | None = None,
    channels: Sequence[tuple[str, str]] = _RGB_CHANNELS,
) -> Path:
    """Write arrays shaped as ``axes`` says, finest first, as an OME-Zarr 0.4 or 0.5 folder.

    Parameters
    ----------
    channels
        Label and ``RRGGBB`` colour of every channel.
    """
    import zarr

    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    for index, level in enumerate(levels):
        chunks = tuple(
            min(chunk, n) if a in "yx" else 1 for a, n in zip(axes, level.shape, strict=True)
        )
        array = group.create_array(str(index), shape=level.shape, chunks=chunks, dtype=level.dtype)
        array[...] = level
    metadata: dict[str, Any] = {
        "multiscales": [
            {
                "version": version,
                "axes": [_axis(a, calibrated=um_per_px is not None) for a in axes],
                "datasets": [
                    _dataset(axes, index, um_per_px or 1.0) for index in range(len(levels))
                ],
            }
        ],
        "omero": {"channels": [{"color": colour, "label": label} for label, colour in channels]},
    }
    group.attrs.update(metadata if version == "0.4" else {"ome": {"version": version, **metadata}})
    return path


def _axis(name: str, *, calibrated: bool) -> dict[str, str]:
    kind = {"t": "time", "c": "channel"}.get(name, "space")
    unit = {"unit": "micrometer"} if calibrated and kind == "space" else {}
    return {"name": name, "type": kind, **unit}


def _dataset(axes: str, index: int, um_per_px: float) -> dict[str, Any]:
    scale = [um_per_px * 2**index if a in "yx" else 1.0 for a in axes]
    return {
        "path": str(index),
        "coordinateTransformations": [{"type": "scale", "scale": scale}],
    }


@dataclass(frozen=True, slots=True)
class _RepeatedLevel:
    """One level of a repeated slide: its tiles take turns among a few encoded ones."""

    size: Size
    tiles: tuple[bytes, ...]
    period: Size

    def order(self, tile: int) -> Iterator[int]:
        columns, rows = -(-self.size.width // tile), -(-self.size.height // tile)
        for row in range(rows):
            base = row % self.period.height * self.period.width
            for col in range(columns):
                yield base + col % self.period.width


def write_repeated_slide(
    path: Path,
    texture: NDArray[np.uint8],
    width: int,
    height: int,
    *,
    tile: int = 256,
    levels: int | None = None,
    um_per_px: float | None = None,
) -> Path:
    """Write a BigTIFF of ``width x height`` that repeats ``texture``, and return its path.

    All tiles of a level share the byte ranges of a few JPEG streams, so the file takes a few
    bytes per tile. Both this program and OpenSlide open it as a generic tiled TIFF.

    Parameters
    ----------
    texture
        ``uint8[h, w, 3]``; cut to a whole number of tiles, at least one of them.
    tile
        Side of a tile, a multiple of 16.
    levels
        Number of levels, each half the one before; by default down to 2048 pixels.
    """
    period = Size(texture.shape[1] // tile, texture.shape[0] // tile)
    whole = texture[: period.height * tile, : period.width * tile]
    depth = levels or max(1, 1 + math.ceil(math.log2(max(width, height) / 2048)))
    made = []
    for index in range(depth):
        size = scaled_size(Size(width, height), Scale(2**index, 2**index))
        made.append(_RepeatedLevel(size, tuple(_encoded(whole, index, tile)), period))
    path.write_bytes(b"")
    with path.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        link = 8
        for index, level in enumerate(made):
            link = _write_level(file, link, index, level, tile, um_per_px)
    return path


def _encoded(whole: NDArray[np.uint8], index: int, tile: int) -> Iterator[bytes]:
    """Yield the JPEG tiles of one level of an endlessly repeated texture, row by row."""
    import imagecodecs

    factor = 2**index
    height, width = whole.shape[:2]
    # repeat until a whole number of coarse pixels covers it, shrink, then repeat to whole tiles
    again = (factor // math.gcd(factor, height), factor // math.gcd(factor, width))
    source = np.tile(whole, (*again, 1))
    size, scale = Size(source.shape[1], source.shape[0]), Scale(factor, factor)
    coarse = Rect.of_size(scaled_size(size, scale))
    small = resample(source, Rect.of_size(size), scale=scale, rect_dst=coarse, bounds=size)
    small = np.tile(small, (factor // again[0], factor // again[1], 1))
    for y in range(0, small.shape[0], tile):
        for x in range(0, small.shape[1], tile):
            part = np.ascontiguousarray(small[y : y + tile, x : x + tile])
            yield bytes(imagecodecs.jpeg8_encode(part, level=_QUALITY, subsampling="420"))


def _write_level(
    file: BinaryIO, link: int, index: int, level: _RepeatedLevel, tile: int, um_per_px: float | None
) -> int:
    """Append one page and return where the offset of the next one belongs."""
    places = []
    for data in level.tiles:
        places.append((file.tell(), len(data)))
        file.write(data)
        file.write(b"\0" * (-file.tell() % 8))
    order = np.fromiter(level.order(tile), np.intp)
    offsets, counts = np.asarray(places, np.uint64).T[:, order]
    offsets_at = file.tell()
    file.write(offsets.astype("<u8").tobytes())
    counts_at = file.tell()
    file.write(counts.astype("<u8").tobytes())
    resolution = round(1e4 / um_per_px * 1000) if um_per_px else 1
    unit = 3 if um_per_px else 1
    rational = struct.pack("<II", resolution, 1000 if um_per_px else 1)
    rows = [
        (254, 4, 1, 1 if index else 0),
        (256, 4, 1, level.size.width),
        (257, 4, 1, level.size.height),
        (258, 3, 3, struct.pack("<HHHH", 8, 8, 8, 0)),
        (259, 3, 1, 7),
        (262, 3, 1, 6),
        (277, 3, 1, 3),
        (282, 5, 1, rational),
        (283, 5, 1, rational),
        (284, 3, 1, 1),
        (296, 3, 1, unit),
        (322, 4, 1, tile),
        (323, 4, 1, tile),
        (324, 16, len(order), offsets_at),
        (325, 16, len(order), counts_at),
        (530, 3, 2, struct.pack("<HHHH", 2, 2, 0, 0)),
    ]
    return _write_directory(file, link, rows, inline={324: int(offsets[0]), 325: int(counts[0])})


def _write_directory(
    file: BinaryIO, link: int, rows: list[tuple[int, int, int, int | bytes]], inline: dict[int, int]
) -> int:
    start = file.tell()
    file.write(struct.pack("<Q", len(rows)))
    for tag, kind, count, value in rows:
        # a list of one is stored in the entry itself, not where a pointer would lead
        stored = inline[tag] if tag in inline and count == 1 else value
        packed = stored if isinstance(stored, bytes) else struct.pack("<Q", stored)
        file.write(struct.pack("<HHQ", tag, kind, count) + packed)
    next_link = file.tell()
    file.write(struct.pack("<Q", 0))
    end = file.tell()
    file.seek(link)
    file.write(struct.pack("<Q", start))
    file.seek(end)
    return int(next_link)
