"""Maps as Zarr pyramids that grow: whoever reads one meanwhile sees what is there so far.

Each rectangle goes into all levels, and each level is made from the one below as it will be in the
end, so a reader finds the same pixels near and far. A block is replaced as a whole file: it is read
as it was or as it is, never in between. Blocks that nothing was written to do not exist and are
read as zeros. Replacing a file takes longer than all else, so rectangles that come soon after each
other are written together.
"""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.exchange.classmap import class_attributes, class_dtype, every_second
from tilescope.exchange.classmap_pyramid import (
    MapPlace,
    create_levels,
    encoded,
    set_attributes,
)
from tilescope.exchange.heat import heat_attributes, mean_of_four
from tilescope.exchange.labels import level_sizes
from tilescope.exchange.staging import output_errors

Block = NDArray[Any]
#: Level, row and column of a block.
_Key = tuple[int, int, int]

#: Side of a block: small ones, as every rectangle writes one or more in each level.
SIDE = 512
_CLEVEL = 1
#: So many blocks are kept in memory: the next rectangle is often beside the last one.
_MOST_KEPT = 32


class MapStream:
    """A map that is being written; used by one thread.

    The map of a single class is its probability in 255ths and an image, any other one holds numbers
    of classes and is a label image: just as the files of a run that is over.

    Parameters
    ----------
    path
        The group, a folder; an older one is replaced.
    place
        Where the map lies.
    class_names
        In the order of their numbers.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """

    def __init__(self, path: Path, *, place: MapPlace, class_names: Sequence[str]) -> None:
        self._path = path
        self._sizes = level_sizes(place.size)
        is_heat = len(class_names) == 1
        self._halve = mean_of_four if is_heat else every_second
        self._prefix = "0/" if is_heat else ""
        dtype = class_dtype(len(class_names))
        self._dtype = np.dtype(dtype)
        self._kept: OrderedDict[_Key, Block] = OrderedDict()
        self._unwritten: set[_Key] = set()
        levels = len(self._sizes)
        attributes = (
            heat_attributes(path.name, levels, place, class_names[0])
            if is_heat
            else class_attributes(path.name, levels, place, class_names)
        )
        with output_errors(path):
            shutil.rmtree(path, ignore_errors=True)
            create_levels(path, self._sizes, dtype, "cyx" if is_heat else "yx", SIDE)
            set_attributes(path, attributes)

    def add(self, rect: Rect, values: Block) -> None:
        """Take a rectangle of the map; it is in the files of all levels after ``flush``.

        Parameters
        ----------
        rect
            Pixels of the map, counted from its own corner; each is written once.
        values
            ``[h, w]``.

        Raises
        ------
        OutputError
            When the files cannot be written.
        """
        if not values.any():
            return
        for level, size in enumerate(self._sizes):
            with output_errors(self._path):
                self._put(level, rect, values)
                if level + 1 < len(self._sizes):
                    rect, values = self._above(level, rect, size)

    def flush(self) -> None:
        """Write what was added.

        Raises
        ------
        OutputError
            When the files cannot be written.
        """
        with output_errors(self._path):
            # The finest level first: what is seen near is never older than what is seen far.
            for key in sorted(self._unwritten):
                self._store(key)

    def _put(self, level: int, rect: Rect, values: Block) -> None:
        for row, column, common in _blocks(rect):
            block = self._block((level, row, column))
            self._unwritten.add((level, row, column))
            _part(block, row, column, common)[...] = values[
                common.y0 - rect.y0 : common.y1 - rect.y0, common.x0 - rect.x0 : common.x1 - rect.x0
            ]

    def _above(self, level: int, rect: Rect, size: Size) -> tuple[Rect, Block]:
        """Return the pixels of the next level that a rectangle has a part in."""
        above = Rect(rect.x0 // 2, rect.y0 // 2, -(-rect.x1 // 2), -(-rect.y1 // 2))
        x1, y1 = min(2 * above.x1, size.width), min(2 * above.y1, size.height)
        below = Rect(2 * above.x0, 2 * above.y0, x1, y1)
        values = np.empty((below.height, below.width), self._dtype)
        for row, column, common in _blocks(below):
            values[
                common.y0 - below.y0 : common.y1 - below.y0,
                common.x0 - below.x0 : common.x1 - below.x0,
            ] = _part(self._block((level, row, column)), row, column, common)
        return above, self._halve(values)

    def _block(self, key: _Key) -> Block:
        """Return a block, to be looked at or changed."""
        block = self._kept.pop(key, None)
        if block is None:
            block = self._loaded(self._file(key))
        self._kept[key] = block
        while len(self._kept) > _MOST_KEPT:
            oldest = next(iter(self._kept))
            if oldest in self._unwritten:
                self._store(oldest)
            del self._kept[oldest]
        return block

    def _loaded(self, file: Path) -> Block:
        import imagecodecs

        if not file.exists():
            return np.zeros((SIDE, SIDE), self._dtype)
        data = imagecodecs.blosc_decode(file.read_bytes(), numthreads=1)
        little = np.frombuffer(data, self._dtype.newbyteorder("<"))
        return little.reshape(SIDE, SIDE).astype(self._dtype)

    def _store(self, key: _Key) -> None:
        file = self._file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.partial")
        partial.write_bytes(encoded(self._kept[key], _CLEVEL))
        partial.replace(file)
        self._unwritten.discard(key)

    def _file(self, key: _Key) -> Path:
        level, row, column = key
        return self._path / str(level) / f"{self._prefix}{row}" / str(column)


def _blocks(rect: Rect) -> Iterator[tuple[int, int, Rect]]:
    """Yield row and column of every block that a rectangle touches, and what they share."""
    for row in range(rect.y0 // SIDE, -(-rect.y1 // SIDE)):
        for column in range(rect.x0 // SIDE, -(-rect.x1 // SIDE)):
            x, y = column * SIDE, row * SIDE
            common = rect.intersect(Rect(x, y, x + SIDE, y + SIDE))
            assert common is not None
            yield row, column, common


def _part(block: Block, row: int, column: int, common: Rect) -> Block:
    x, y = column * SIDE, row * SIDE
    return block[common.y0 - y : common.y1 - y, common.x0 - x : common.x1 - x]
