"""Probabilities as OME-Zarr images: the heat map of one class, and what tiles were judged to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.exchange.classmap_pyramid import (
    ATTRIBUTE,
    MapPlace,
    ReadMap,
    multiscale,
    set_attributes,
    write_levels,
)
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
        levels = write_levels(
            partial, path, read, mean_of_four, size=place.size, dtype="|u1", axes="cyx"
        )
        with output_errors(path):
            set_attributes(partial, heat_attributes(path.name, levels, place, class_name))


def heat_attributes(name: str, levels: int, place: MapPlace, class_name: str) -> dict[str, Any]:
    """Return the attributes of a group with the probability of one class."""
    centres = [2**level for level in range(levels)]
    return {
        "multiscales": [multiscale(name, "mean", place, "cyx", centres)],
        "omero": {"channels": [_channel(0, class_name, _WHITE)]},
        ATTRIBUTE: place.as_json(),
    }


def write_tile_scores(
    path: Path,
    scores: NDArray[np.float32],
    *,
    place: MapPlace,
    class_names: Sequence[str],
    threshold: float,
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
    threshold
        Probability from which on a class counts; kept for whoever shows the classes.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    with staged_folder(path) as partial:
        attributes = {
            "multiscales": [multiscale(path.name, "none", place, "cyx", [1])],
            "omero": {"channels": [_channel(i, n, 1.0) for i, n in enumerate(class_names)]},
            ATTRIBUTE: {**place.as_json(), "threshold": threshold},
        }
        with output_errors(path):
            _write_array(partial, scores)
            set_attributes(partial, attributes)


def mean_of_four(block: NDArray[Any]) -> NDArray[Any]:
    """Return a heat map at half its size."""
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
