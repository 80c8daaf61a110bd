"""Probabilities as OME-Zarr images: the heat map of one class, and what tiles were judged to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.exchange.classmap_pyramid import MapPlace, ReadMap, multiscale, write_levels
from tilescope.exchange.colours import hex_of_colour
from tilescope.exchange.palette import class_colour
from tilescope.exchange.staging import output_errors, staged_folder
from tilescope.ops.resample import halve

_VERSION = "0.4"
_WHITE = 255


def heat_of(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return probabilities in 255ths, rounded."""
    heat: NDArray[np.uint8] = np.rint(probabilities * np.float32(_WHITE)).astype(np.uint8)
    return heat


def above(heat: NDArray[np.uint8], threshold: float) -> NDArray[np.uint8]:
    """Return 1 where a heat map is at least ``threshold`` (0 to 1), else 0."""
    mask: NDArray[np.uint8] = (heat >= threshold * _WHITE).astype(np.uint8)
    return mask


def write_heat_map(path: Path, read: ReadMap, *, place: MapPlace, class_name: str) -> None:
    """Write the probability of one class as an OME-Zarr 0.4 image, ``uint8[1, y, x]`` in 255ths.

    Every level is the mean of 2 x 2 pixels of the one below. Memory is bounded by one block of
    each level.

    Parameters
    ----------
    path
        The image group, a folder; appears when it is whole and replaces an older one.
    read
        Gives the heat of a rectangle of the map.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    with staged_folder(path) as partial:
        levels = write_levels(partial, path, read, _mean, size=place.size, dtype="|u1", axes="cyx")
        centres = [2**level for level in range(levels)]
        attributes = {
            "multiscales": [multiscale(path.name, "mean", place, "cyx", centres)],
            "omero": {"channels": [_channel(0, class_name, _WHITE)]},
        }
        with output_errors(path):
            _set_attributes(partial, attributes)


def write_tile_scores(
    path: Path, scores: NDArray[np.float32], *, place: MapPlace, class_names: Sequence[str]
) -> None:
    """Write what tiles were judged to be as an OME-Zarr 0.4 image, a pixel per tile.

    Parameters
    ----------
    path
        The image group, a folder; appears when it is whole and replaces an older one.
    scores
        ``float32[classes, rows, columns]``; not a number where a tile was not looked at.
    place
        Its factor is the side of a tile.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    with staged_folder(path) as partial:
        attributes = {
            "multiscales": [multiscale(path.name, "none", place, "cyx", [1])],
            "omero": {"channels": [_channel(i, n, 1.0) for i, n in enumerate(class_names)]},
        }
        with output_errors(path):
            _write_array(partial, scores)
            _set_attributes(partial, attributes)


def _mean(block: NDArray[Any]) -> NDArray[Any]:
    return halve(block[..., None])[..., 0]


def _channel(index: int, name: str, white: float) -> dict[str, Any]:
    return {
        "active": True,
        "label": name,
        "color": hex_of_colour(class_colour(index)).removeprefix("#").upper(),
        "window": {"min": 0, "max": white, "start": 0, "end": white},
    }


def _write_array(folder: Path, scores: NDArray[np.float32]) -> None:
    import numcodecs
    import zarr

    codec: Any = numcodecs.Blosc("zstd", clevel=3, shuffle=numcodecs.Blosc.SHUFFLE)
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    array = group.create_array(
        "0",
        shape=scores.shape,
        chunks=(1, *scores.shape[1:]),
        dtype="<f4",
        compressors=codec,
        fill_value=float("nan"),
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )
    array[...] = scores


def _set_attributes(folder: Path, attributes: dict[str, Any]) -> None:
    import zarr

    zarr.open_group(folder, mode="r+").update_attributes(attributes)
