"""Areas on a lattice: which cells they touch, and the centres of which cells lie in them.

Nothing is as large as the slide: the work grows with the vertices of the areas, with how many
cells their edges pass, and with the cells of the lattice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope._native import _shapes
from tilescope.ops.areas import Areas, Polygons

#: Pieces of edges, and rings, that are looked at together.
_PIECES = 1 << 16
_RINGS = 512
#: Where the rounding of a coordinate may put a point into the next cell.
_SLACK = 1e-6

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lattice:
    """Cells that lie side by side.

    Attributes
    ----------
    x0, y0
        Top left of the first one, in level-0 pixels.
    width, height
        Of a cell, in level-0 pixels.
    columns, rows
        How many there are.
    """

    x0: float
    y0: float
    width: float
    height: float
    columns: int
    rows: int

    @property
    def bounds_l0(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of all cells."""
        return (
            self.x0,
            self.y0,
            self.x0 + self.columns * self.width,
            self.y0 + self.rows * self.height,
        )

    def placed(self, points: Points) -> Points:
        """Return level-0 points ``float64[n, 2]`` in cells from the top left."""
        origin, size = np.array([self.x0, self.y0]), np.array([self.width, self.height])
        return np.ascontiguousarray((points - origin) / size)


def centres_inside(areas: Areas, lattice: Lattice) -> NDArray[np.bool_]:
    """Return ``bool[rows, columns]``: the cells whose centre lies in an area.

    Of a centre on an edge the left and upper one belongs to the area, the right and lower one does
    not: neighbours leave no gap.
    """
    polygons = areas.near(*lattice.bounds_l0)
    pierced = shapely.get_num_interior_rings(polygons) > 0
    plain = shapely.get_exterior_ring(polygons[~pierced])
    inside = np.zeros((lattice.rows, lattice.columns), bool)
    for first in range(0, len(plain), _RINGS):
        if inside.all():
            return inside
        _paint(plain[first : first + _RINGS], True, lattice, inside)
    for polygon in polygons[pierced]:
        if inside.all():
            return inside
        _paint_pierced(polygon, lattice, inside)
    return inside


def _paint_pierced(polygon: shapely.Polygon, lattice: Lattice, inside: NDArray[np.bool_]) -> None:
    """Paint a polygon and not its holes, which may hold other areas."""
    corners = lattice.placed(np.array(polygon.bounds).reshape(2, 2))
    most = np.array([lattice.columns, lattice.rows])
    (c0, r0), (c1, r1) = (
        np.floor(corners[0]).clip(0, most).astype(int),
        np.ceil(corners[1]).clip(0, most).astype(int),
    )
    if c0 >= c1 or r0 >= r1:
        return
    part = Lattice(
        lattice.x0 + c0 * lattice.width,
        lattice.y0 + r0 * lattice.height,
        lattice.width,
        lattice.height,
        int(c1 - c0),
        int(r1 - r0),
    )
    own = np.zeros((part.rows, part.columns), bool)
    _paint(np.array([polygon.exterior], object), True, part, own)
    _paint(np.array(polygon.interiors, object), False, part, own)
    inside[r0:r1, c0:c1] |= own


def _paint(rings: Polygons, value: bool, lattice: Lattice, cells: NDArray[np.bool_]) -> None:
    points, index = shapely.get_coordinates(rings, return_index=True)
    counts = np.bincount(index, minlength=len(rings))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    painted = np.zeros(cells.shape, np.uint32)
    _shapes.fill(
        lattice.placed(points),
        offsets,
        np.ones(len(rings), np.uint32),
        np.zeros(cells.shape, np.uint8),
        painted,
    )
    cells[painted > 0] = value


def touched(areas: Areas, lattice: Lattice, margin_px: float) -> NDArray[np.bool_]:
    """Return ``bool[rows, columns]``: the cells that come within a distance of an area.

    No such cell is missing; a few may be named that pass an edge at up to a cell and the distance.

    Parameters
    ----------
    margin_px
        The distance in level-0 pixels, along x and along y.
    """
    found = centres_inside(areas, lattice)
    margin = np.array([margin_px / lattice.width, margin_px / lattice.height]) + _SLACK
    for starts, ends in _edges(areas, lattice, margin):
        if found.all():
            break
        marks = np.zeros((lattice.rows + 1) * (lattice.columns + 1), np.int64)
        for low, high in _boxes(starts, ends):
            _mark(low - margin, high + margin, found.shape, marks)
        sums = marks.reshape(lattice.rows + 1, -1).cumsum(axis=0).cumsum(axis=1)
        found |= sums[:-1, :-1] > 0
    return found


def _edges(areas: Areas, lattice: Lattice, margin: Points) -> Iterator[tuple[Points, Points]]:
    """Yield where the edges of areas begin and end, in cells, as far as they pass the lattice."""
    most = np.array([lattice.columns, lattice.rows])
    sizes = np.cumsum(shapely.get_num_coordinates(areas.polygons))
    groups = np.searchsorted(sizes, np.arange(_PIECES, int(sizes[-1]), _PIECES))
    for polygons in np.split(areas.polygons, np.unique(groups)):
        rings = shapely.get_rings(polygons)
        points, index = shapely.get_coordinates(rings, return_index=True)
        points = lattice.placed(points)
        together = index[1:] == index[:-1]
        yield _clipped(points[:-1][together], points[1:][together], -margin, most + margin)


def _boxes(starts: Points, ends: Points) -> Iterator[tuple[Points, Points]]:
    """Yield the boxes of pieces of edges that are at most a cell long."""
    along = ends - starts
    counts = np.maximum(np.ceil(np.abs(along).max(axis=1, initial=0)), 1).astype(np.int64)
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    for first in range(0, int(total[-1]), _PIECES):
        pieces = np.arange(first, min(first + _PIECES, int(total[-1])))
        edge = np.searchsorted(total, pieces, "right") - 1
        step = (pieces - total[edge])[:, None]
        begin = starts[edge] + along[edge] * (step / counts[edge, None])
        end = starts[edge] + along[edge] * ((step + 1) / counts[edge, None])
        yield np.minimum(begin, end), np.maximum(begin, end)


def _clipped(starts: Points, ends: Points, low: Points, high: Points) -> tuple[Points, Points]:
    """Return what of straight lines lies in a box; those beside it are left out."""
    along = ends - starts
    enter, leave = np.zeros(len(starts)), np.ones(len(starts))
    with np.errstate(divide="ignore", invalid="ignore"):
        first, last = (low - starts) / along, (high - starts) / along
    # A line along the other axis is in the slab all the way, or beside it.
    still = along == 0
    between = (starts >= low) & (starts <= high)
    enters = np.where(still, np.where(between, 0.0, 2.0), np.minimum(first, last))
    leaves = np.where(still, np.where(between, 1.0, -1.0), np.maximum(first, last))
    enter = np.maximum(enter, enters.max(axis=1, initial=0))[:, None]
    leave = np.minimum(leave, leaves.min(axis=1, initial=1))[:, None]
    kept = (enter <= leave)[:, 0]
    begin, end = starts + along * enter, starts + along * leave
    return begin[kept], end[kept]


def _mark(low: Points, high: Points, shape: tuple[int, int], marks: NDArray[np.int64]) -> None:
    """Count boxes up at their first cells and down behind their last ones."""
    rows, columns = shape
    most = np.array([columns, rows]) - 1
    there = (high >= 0).all(axis=1) & (low <= most + 1).all(axis=1)
    c0, r0 = np.floor(low[there]).clip(0, most).astype(np.int64).T
    c1, r1 = np.floor(high[there]).clip(0, most).astype(np.int64).T + 1
    for row, column, sign in ((r0, c0, 1), (r1, c1, 1), (r0, c1, -1), (r1, c0, -1)):
        marks += sign * np.bincount(row * (columns + 1) + column, minlength=len(marks))
