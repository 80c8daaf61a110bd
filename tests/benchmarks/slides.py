"""The benchmarks' inputs, made from the texture of the sample slide.

Tiles are cut from a densely textured part of it that repeats endlessly with a period that is no
whole number of tiles, so practically every tile of a slide is different.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

import tilescope
from tilescope.ops.resample import halve

Pixels = NDArray[Any]

TILE = 256
LEVELS = 5

SAMPLE = Path(tilescope.__file__).parent / "samples" / "CMU-1-Small-Region.svs"

#: The most textured part of the sample slide; both sides divide by 16, hence five exact levels.
_ROWS, _COLUMNS = slice(1408, 1408 + 1520), slice(768, 768 + 1008)

#: Gives about 30 KB per tile, what scanners write for tissue.
_JPEG_QUALITY, _JPEG2K_PSNR = 90, 34

_APERIO_J2K_RGB = 33005


@functools.cache
def textures() -> tuple[Pixels, ...]:
    """Return ``uint8[h, w, 3]`` of the texture at every level, finest first."""
    made = [np.ascontiguousarray(tifffile.imread(SAMPLE, key=0)[_ROWS, _COLUMNS])]
    while len(made) < LEVELS:
        made.append(halve(made[-1]))
    return tuple(made)


def repeated(texture: Pixels, width: int, height: int) -> Pixels:
    """Return the top left of the endlessly repeated texture."""
    again = (-(-height // texture.shape[0]), -(-width // texture.shape[1]), 1)
    return np.ascontiguousarray(np.tile(texture, again)[:height, :width])


def jpeg_svs(folder: Path, side: int) -> Path:
    """Return an Aperio SVS of ``side`` squared, JPEG 4:2:2 with shared tables, levels by halves."""
    path = folder / f"jpeg-{side}.svs"
    if path.exists():
        return path
    finest = textures()
    tables = _tables_and_stream(_jpeg(finest[0][:TILE, :TILE]))[0]
    with _finished(path) as part, tifffile.TiffWriter(part, bigtiff=True) as writer:
        for level, texture in enumerate(finest):
            _write_level(
                writer,
                (_tables_and_stream(_jpeg(t))[1] for t in _tiles(texture, side >> level)),
                side >> level,
                description=_description(side, "JPEG/RGB Q=90") if level == 0 else None,
                **_jpeg_page(tables),
            )
            if level == 0:
                _write_picture(writer, f"{side}x{side} -> 400x400 - ")
    return path


def jpeg2k_svs(folder: Path, side: int) -> Path:
    """Return an Aperio SVS of ``side`` squared in JPEG 2000 (compression 33005), two levels."""
    path = folder / f"jpeg2k-{side}.svs"
    if path.exists():
        return path
    with _finished(path) as part, tifffile.TiffWriter(part, bigtiff=True) as writer:
        for level, texture in enumerate(textures()[:2]):
            _write_level(
                writer,
                (_jpeg2k(t) for t in _tiles(texture, side >> level)),
                side >> level,
                description=_description(side, "J2K/KDU Q=70") if level == 0 else None,
                compression=_APERIO_J2K_RGB,
                photometric="rgb",
            )
            if level == 0:
                _write_picture(writer, f"{side}x{side} -> 400x400 - ")
    return path


def vast_svs(folder: Path, side: int) -> Path:
    """Return an Aperio SVS of ``side`` squared that is small on disk: its tiles share bytes.

    The structure is that of a scanner's file: four levels by quarters, thumbnail, label and macro.
    """
    path = folder / f"vast-{side}.svs"
    if path.exists():
        return path
    few = 64
    streams = [_tables_and_stream(_jpeg(t)) for t in _tiles(textures()[0], 8 * TILE)]
    tables, encoded = streams[0][0], [stream for _, stream in streams]
    with _finished(path) as part:
        with tifffile.TiffWriter(part, bigtiff=True) as writer:
            for level in range(4):
                count = (-(-(side >> 2 * level) // TILE)) ** 2
                written = min(few, count)
                _write_level(
                    writer,
                    (*encoded[:written], *(b"" for _ in range(count - written))),
                    side >> 2 * level,
                    description=_description(side, "JPEG/RGB Q=90") if level == 0 else None,
                    **_jpeg_page(tables),
                )
                if level == 0:
                    _write_picture(writer, f"{side}x{side} -> 400x400 - ")
            _write_picture(writer, "label 400x400", kind=1)
            _write_picture(writer, "macro 400x400", kind=9)
        _share_tiles(part, few)
    return path


def tiff_tile_bytes(path: Path) -> tuple[list[bytes], bytes | None]:
    """Return the encoded tiles of the finest level, row by row, and their JPEG tables."""
    with tifffile.TiffFile(path) as tiff, path.open("rb") as file:
        page = tiff.pages[0]
        found = []
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.seek(offset)
            found.append(file.read(count))
        return found, page.jpegtables


class _finished:  # noqa: N801 - reads as a word
    """A file that appears under its name only when it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")

    def __enter__(self) -> Path:
        return self._part

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink(missing_ok=True)


def _tiles(texture: Pixels, side: int) -> Iterator[Pixels]:
    height, width = texture.shape[:2]
    # one tile more than a period, so that every tile is a plain slice
    wrapped = repeated(texture, width + TILE, height + TILE)
    for y in range(0, side, TILE):
        for x in range(0, side, TILE):
            top, left = y % height, x % width
            yield np.ascontiguousarray(wrapped[top : top + TILE, left : left + TILE])


def _jpeg(pixels: Pixels) -> bytes:
    encoded = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(pixels), level=_JPEG_QUALITY, subsampling="422"
    )
    return bytes(encoded)


def _jpeg2k(pixels: Pixels) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, level=_JPEG2K_PSNR, codecformat="j2k"))


def _tables_and_stream(jpeg: bytes) -> tuple[bytes, bytes]:
    """Split a JPEG into its tables and an abbreviated stream, as TIFF's JPEGTables has it."""
    tables, stream, at = [b"\xff\xd8"], [b"\xff\xd8"], 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        marker = jpeg[at + 1]
        if marker in {0xDB, 0xC4}:
            tables.append(jpeg[at:end])
        elif marker != 0xE0:
            stream.append(jpeg[at:end])
        at = end
    return b"".join([*tables, b"\xff\xd9"]), b"".join([*stream, jpeg[at:]])


def _jpeg_page(tables: bytes) -> dict[str, Any]:
    return {
        "compression": "jpeg",
        "photometric": "ycbcr",
        "subsampling": (2, 1),
        "jpegtables": tables,
    }


def _write_level(
    writer: tifffile.TiffWriter,
    tiles: Any,
    side: int,
    *,
    description: str | None,
    **how: Any,
) -> None:
    writer.write(
        iter(tiles),
        shape=(side, side, 3),
        dtype=np.uint8,
        tile=(TILE, TILE),
        description=description,
        software=False,
        metadata=None,
        **how,
    )


def _write_picture(writer: tifffile.TiffWriter, name: str, *, kind: int = 0) -> None:
    """Add a thumbnail, which Aperio's second page always is, a label or a macro."""
    writer.write(
        np.full((400, 400, 3), 200, np.uint8),
        description=f"Aperio Image Library v11.2.1 \n{name}",
        photometric="rgb",
        compression="jpeg",
        subfiletype=kind,
        metadata=None,
    )


def _description(side: int, codec: str) -> str:
    return (
        f"Aperio Image Library v11.2.1 \r\n{side}x{side} [0,0 {side}x{side}] (256x256) {codec}"
        "|AppMag = 20|MPP = 0.4990"
    )


def _share_tiles(path: Path, few: int) -> None:
    """Point every tile of a level at one of its first ``few``."""
    with tifffile.TiffFile(path) as tiff:
        places = [
            (tag.valueoffset, tag.count, tiff.byteorder + {4: "u4", 16: "u8"}[int(tag.dtype)])
            for page in tiff.pages
            if page.is_tiled
            for tag in (page.tags[324], page.tags[325])
        ]
    for offset, count, dtype in places:
        values = np.memmap(path, dtype, "r+", offset, (count,))
        values[:] = np.resize(values[:few], count)
        values.flush()
