"""Several tiles in one inference: their arrays one behind the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.errors import InferenceFailed

Arrays = Mapping[str, NDArray[Any]]


class Batch:
    """Inputs of several tiles of one size, in arrays whose first axis counts the tiles.

    There is always room for all of them, and zeros where none was put: an inference computes in
    the same way whatever is left of a run.
    """

    def __init__(self, tiles: int) -> None:
        self._tiles = tiles
        self.arrays: dict[str, NDArray[Any]] = {}

    def put(self, position: int, inputs: Arrays) -> None:
        """Copy the inputs of one tile, ``[1, ...]``, to their place.

        Raises
        ------
        InferenceFailed
            When they are no single tile, or of another size than those before.
        """
        for name, array in inputs.items():
            kept = self.arrays.get(name)
            if kept is None and array.ndim and len(array) == 1:
                kept = np.zeros((self._tiles, *array.shape[1:]), array.dtype)
                self.arrays[name] = kept
            if kept is None or array.shape != (1, *kept.shape[1:]):
                msg = f"input {name!r} of one tile of a batch has the shape {array.shape}"
                raise InferenceFailed(msg)
            kept[position] = array[0]


def part_of(arrays: Arrays, position: int) -> dict[str, NDArray[Any]]:
    """Return what belongs to one tile of a batch, ``[1, ...]``, without copying it."""
    return {name: array[position : position + 1] for name, array in arrays.items()}
