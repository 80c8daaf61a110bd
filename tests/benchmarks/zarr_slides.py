"""The OME-Zarrs of the benchmark ``zarr``."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from slides import TILE, repeated, textures


@dataclass(frozen=True, slots=True)
class ZarrCase:
    """One way to store an OME-Zarr.

    Attributes
    ----------
    name
        Used in keys and in the name of the folder.
    version
        Of OME-Zarr; 0.4 is Zarr v2, 0.5 is Zarr v3.
    codec
        ``zstd``, ``blosc-zstd`` or ``blosc-lz4``.
    shard
        Side of a shard in pixels, None when every chunk is a file.
    planar
        A chunk holds one channel instead of all three.
    """

    name: str
    version: str
    codec: str
    shard: int | None = None
    planar: bool = False

    @property
    def chunk(self) -> tuple[int, int, int]:
        """Shape of a chunk: channels, rows, columns."""
        return (1 if self.planar else 3, TILE, TILE)


def ome_zarr(folder: Path, case: ZarrCase, side: int) -> Path:
    """Return an OME-Zarr of ``side`` squared, three channels, two levels."""
    path = folder / f"{case.name}-{side}.ome.zarr"
    if path.exists():
        return path
    part = path.with_name(path.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    group = zarr.open_group(str(part), mode="w", zarr_format=2 if case.version == "0.4" else 3)
    for level, texture in enumerate(textures()[:2]):
        pixels = np.moveaxis(repeated(texture, side >> level, side >> level), 2, 0)
        array = group.create_array(
            str(level),
            shape=pixels.shape,
            chunks=case.chunk,
            shards=None if case.shard is None else (case.chunk[0], case.shard, case.shard),
            dtype="uint8",
            compressors=_compressor(case),
            chunk_key_encoding={
                "name": "v2" if case.version == "0.4" else "default",
                "separator": "/",
            },
        )
        array[...] = pixels
    metadata = _multiscales(case.version)
    group.attrs.update(
        metadata if case.version == "0.4" else {"ome": {"version": case.version, **metadata}}
    )
    part.replace(path)
    return path


def _compressor(case: ZarrCase) -> Any:
    old, (kind, _, inner) = case.version == "0.4", case.codec.partition("-")
    if kind == "zstd":
        return numcodecs.Zstd(level=3) if old else zarr.codecs.ZstdCodec(level=3)
    if old:
        return numcodecs.Blosc(cname=inner, clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)
    return zarr.codecs.BloscCodec(cname=inner, clevel=5, shuffle="shuffle", typesize=1)


def _multiscales(version: str) -> dict[str, Any]:
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [1.0, 0.499 * 2**level, 0.499 * 2**level]}
            ],
        }
        for level in range(2)
    ]
    colours = (("R", "FF0000"), ("G", "00FF00"), ("B", "0000FF"))
    return {
        "multiscales": [{"version": version, "axes": axes, "datasets": datasets}],
        "omero": {"channels": [{"label": name, "color": colour} for name, colour in colours]},
    }
