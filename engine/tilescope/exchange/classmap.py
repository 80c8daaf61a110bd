"""Class maps as OME-Zarr labels: every pixel has the number of its class, 0 is background."""

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
from tilescope.exchange.palette import class_colour
from tilescope.exchange.staging import output_errors, staged_folder

_VERSION = "0.4"
#: Beyond that many classes a value takes two bytes.
MOST_IN_A_BYTE = 255


def class_dtype(classes: int) -> str:
    """Return the type of a map of so many classes."""
    return "|u1" if classes <= MOST_IN_A_BYTE else "<u2"


def write_class_map(
    path: Path, read: ReadMap, *, place: MapPlace, class_names: Sequence[str], source: str
) -> None:
    """Write a map of class numbers as an OME-Zarr 0.4 label pyramid.

    Every level takes every second pixel of the one below, so that no class appears that is not
    there. Memory is bounded by one block of each level.

    Parameters
    ----------
    path
        The label group, a folder; appears when it is whole and replaces an older one.
    read
        Gives the numbers of the classes in a rectangle of the map, 1 being the first.
    class_names
        In the order of their numbers.
    source
        Where the slide is, relative to ``path`` or absolute.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    with staged_folder(path) as partial:
        levels = write_levels(
            partial,
            path,
            read,
            every_second,
            size=place.size,
            dtype=class_dtype(len(class_names)),
            axes="yx",
        )
        attributes = class_attributes(path.name, levels, place, class_names)
        attributes["image-label"]["source"] = {"image": source}
        with output_errors(path):
            set_attributes(partial, attributes)


def class_attributes(
    name: str, levels: int, place: MapPlace, class_names: Sequence[str]
) -> dict[str, Any]:
    """Return the attributes of a group with a map of class numbers, without its source."""
    return {
        # The first pixel of every level is the first of the map.
        "multiscales": [multiscale(name, "nearest", place, "yx", [1] * levels)],
        "image-label": {
            "version": _VERSION,
            "colors": [
                {"label-value": number, "rgba": [*class_colour(number - 1), 255]}
                for number in range(1, len(class_names) + 1)
            ],
            "properties": [
                {"label-value": number, "class": class_name}
                for number, class_name in enumerate(class_names, 1)
            ],
        },
        ATTRIBUTE: place.as_json(),
    }


def every_second(block: NDArray[Any]) -> NDArray[Any]:
    """Return a map of class numbers at half its size."""
    return block[::2, ::2]


def classes_of(
    probabilities: NDArray[np.float32], threshold: float
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the number of the likeliest class of every pixel, ``[h, w]``.

    0 where no class is as likely as ``threshold``; of equally likely classes the first.

    Parameters
    ----------
    probabilities
        ``float32[classes, h, w]``.
    """
    dtype = np.dtype(class_dtype(len(probabilities)))
    best = np.argmax(probabilities, axis=0)
    likely = np.max(probabilities, axis=0) >= np.float32(threshold)
    return np.where(likely, best + 1, 0).astype(dtype)
