"""Filling the levels of a pyramid: each block from the four below it, depth first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size

Block = NDArray[Any]


class DepthFirst:
    """Makes the blocks of all levels; memory is bounded by one block of each level.

    Parameters
    ----------
    sizes
        Of the levels, finest first, each half of the one before, rounded up; the last fits into
        one block.
    side
        Of a block, an even number of pixels.
    read
        Gives the finest level's pixels of a rectangle, None where all are zero.
    halve
        Gives a block of half the size, rounded up.
    store
        Takes level, row, column and a block; blocks of zeros are not stored.
    """

    def __init__(
        self,
        sizes: list[Size],
        side: int,
        read: Callable[[Rect], Block | None],
        halve: Callable[[Block], Block],
        store: Callable[[int, int, int, Block], None],
    ) -> None:
        self._sizes = sizes
        self._side = side
        self._read = read
        self._halve = halve
        self._store = store

    def write(self) -> None:
        """Make and store every block."""
        self._block(len(self._sizes) - 1, 0, 0)

    def _block(self, level: int, row: int, column: int) -> Block | None:
        """Store a block and all below it, and return it; None when nothing is in it."""
        size = self._sizes[level]
        y, x = row * self._side, column * self._side
        if y >= size.height or x >= size.width:
            return None
        shape = (min(self._side, size.height - y), min(self._side, size.width - x))
        if level == 0:
            block = self._read(Rect(x, y, x + shape[1], y + shape[0]))
        else:
            block = self._halved(level, row, column, shape)
        if block is None or not block.any():
            return None
        self._store(level, row, column, block)
        return block

    def _halved(self, level: int, row: int, column: int, shape: tuple[int, int]) -> Block | None:
        block: Block | None = None
        for dy in (0, 1):
            for dx in (0, 1):
                below = self._block(level - 1, 2 * row + dy, 2 * column + dx)
                if below is None:
                    continue
                if block is None:
                    block = np.zeros(shape, below.dtype)
                part = self._halve(below)
                y, x = dy * self._side // 2, dx * self._side // 2
                block[y : y + part.shape[0], x : x + part.shape[1]] = part
        return block
