"""Near tissue or not, on a lattice of cells that lies on the slide.

What is asked here depends on the slide alone: neither tiles nor regions move the cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tilescope.ops.tissue import grown

#: Where the rounding of a coordinate may put the edge of a box into the next cell.
_SLACK = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class TissueCells:
    """The cells of a slide that lie near tissue; made by :meth:`near`.

    Beyond the last cell of a row or column is what the last one is.

    Attributes
    ----------
    cell_px
        Side of a cell in level-0 pixels; the first one begins at the slide's corner.
    counts
        ``int32[rows + 1, columns + 1]``: how many cells above and to the left are near tissue.
    """

    cell_px: float
    counts: NDArray[np.int32]

    @classmethod
    def near(cls, mask: NDArray[np.bool_], cell_px: float, margin_px: float) -> Self:
        """Return the cells that come within a distance of tissue.

        Parameters
        ----------
        mask
            ``bool[rows, columns]``: the cells with tissue.
        margin_px
            The distance in level-0 pixels, along x and along y, rounded up to whole cells.
        """
        cells = grown(mask, ceil(margin_px / cell_px))
        counts = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1), np.int32)
        counts[1:, 1:] = cells.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
        return cls(cell_px, counts)

    def meet(self, boxes_l0: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return ``bool[n]``: which boxes ``float64[n, 4]`` come into a cell near tissue.

        A box is x0, y0, x1, y1. Where one ends between two cells it comes into both.
        """
        near: NDArray[np.bool_] = self._counted(boxes_l0)[0] > 0
        return near

    def enclose(self, boxes_l0: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return ``bool[n]``: which boxes come into no other cell."""
        found, all_of_it = self._counted(boxes_l0)
        whole: NDArray[np.bool_] = found == all_of_it
        return whole

    def hold(self, points_l0: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return ``bool[n]``: the points ``float64[n, 2]`` in cells near tissue."""
        columns, rows = self._cells(points_l0).T
        near: NDArray[np.bool_] = self._count(rows, rows + 1, columns, columns + 1) > 0
        return near

    def _counted(
        self, boxes_l0: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return how many cells near tissue, and how many at all, each box comes into."""
        slack = _SLACK * self.cell_px
        left, top = self._cells(boxes_l0[:, :2] - slack).T
        right, bottom = self._cells(boxes_l0[:, 2:] + slack).T + 1
        return self._count(top, bottom, left, right), (right - left) * (bottom - top)

    def _cells(self, points_l0: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return column and row of points, ``int64[n, 2]``."""
        rows, columns = self.counts.shape
        last = np.array([columns - 2, rows - 2])
        return np.floor(points_l0 / self.cell_px).clip(0, last).astype(np.int64)

    def _count(
        self,
        top: NDArray[np.int64],
        bottom: NDArray[np.int64],
        left: NDArray[np.int64],
        right: NDArray[np.int64],
    ) -> NDArray[np.int32]:
        counts = self.counts
        found: NDArray[np.int32] = (
            counts[bottom, right] - counts[top, right] - counts[bottom, left] + counts[top, left]
        )
        return found
