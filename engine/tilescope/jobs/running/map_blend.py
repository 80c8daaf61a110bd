"""Blocks of a class map blended with their neighbours as soon as all of them are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.jobs.running.map_grid import MapGrid, window
from tilescope.jobs.running.map_values import MapValues
from tilescope.ops.feather import feather_weights, overlap_of
from tilescope.store.map_ledger import MapLedger

Probabilities = NDArray[np.float32]


class MapBlend:
    """What is blended of a run, and what waits for neighbours.

    Every core is the weighted mean of the blocks around it, added up in the order of the blocks,
    so that the numbers do not depend on when the blocks came.

    Parameters
    ----------
    finished
        Makes the map of a rectangle of probabilities.
    left_out
        Blocks that are not run.
    """

    def __init__(
        self,
        grid: MapGrid,
        values: MapValues,
        ledger: MapLedger,
        finished: Callable[[Probabilities, Rect], NDArray[Any]],
        left_out: Iterable[int] = (),
    ) -> None:
        self._grid = grid
        self._values = values
        self._finished = finished
        self._ledger = ledger
        self._final = set(ledger.parts())
        self._raw = ledger.raw_tiles()
        self._background = ledger.background().union(left_out)

    def add(self, index: int, raw: bytes) -> dict[int, NDArray[Any]]:
        """Store a block and return the maps of the cores that it completed."""
        self._raw.add(index)
        reader = self._reader(index, raw)
        near = self._grid.neighbours(index)
        maps = {
            ready: self._blended(ready, reader)
            for ready in near
            if ready in self._raw and ready not in self._final and self._is_complete(ready)
        }
        parts = {
            ready: self._values.part(values) for ready, values in maps.items() if values is not None
        }
        self._final.update(maps)
        spent = [i for i in self._around(maps) if i in self._raw and self._is_spent(i)]
        self._ledger.finish_parts(index, raw, parts, spent)
        self._raw.difference_update(spent)
        return {ready: values for ready, values in maps.items() if values is not None}

    def add_incomplete(self) -> None:
        """Store what can be said of cores whose neighbours failed, until these are there."""
        reader = self._reader(None, b"")
        for index in sorted(self._raw - self._final):
            values = self._blended(index, reader)
            if values is not None:
                self._ledger.add_provisional(index, self._values.part(values))

    def _around(self, indices: Iterable[int]) -> list[int]:
        return sorted({n for index in indices for n in self._grid.neighbours(index)})

    def _is_complete(self, index: int) -> bool:
        known = self._raw | self._background | self._final
        return all(n in known for n in self._grid.neighbours(index))

    def _is_spent(self, index: int) -> bool:
        known = self._final | self._background
        return all(n in known for n in self._grid.neighbours(index))

    def _reader(self, index: int | None, raw: bytes) -> Callable[[int], bytes | None]:
        return lambda wanted: raw if wanted == index else self._ledger.raw(wanted)

    def _blended(self, index: int, read: Callable[[int], bytes | None]) -> NDArray[Any] | None:
        """Return the map of a core, None when it lies beyond the region."""
        core = self._grid.core(index)
        if core is None:
            return None
        total = np.zeros((self._values.classes, core.height, core.width), np.float32)
        weights = np.zeros((core.height, core.width), np.float32)
        for block in self._grid.neighbours(index):
            reach = self._grid.reach(block)
            common = reach.intersect(core)
            data = None if common is None else read(block)
            if data is None or common is None:
                continue
            weight = window(self._weights(block, reach), reach, common)
            here = np.s_[
                common.y0 - core.y0 : common.y1 - core.y0, common.x0 - core.x0 : common.x1 - core.x0
            ]
            seen = window(self._values.probabilities(data, reach), reach, common)
            total[:, *here] += seen * weight
            weights[here] += weight
        np.divide(total, weights, out=total, where=weights > 0)
        return self._finished(total, core)

    def _weights(self, index: int, reach: Rect) -> NDArray[np.float32]:
        others = [self._grid.reach(n) for n in self._grid.neighbours(index) if n != index]
        return feather_weights(reach.height, reach.width, overlap_of(reach, others))
