"""Outlines as text with two decimals, still valid after the rounding."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope._native import _geojson
from tilescope.domain.results import Detections
from tilescope.ops import shapes
from tilescope.ops.rings import closed, gathered, star_shaped

#: Programs that read outlines snap them to a hundredth of a pixel.
PER_PIXEL = 100
#: The longest that a vertex can be.
_VERTEX_BYTES = 48


@dataclass(frozen=True, slots=True, eq=False)
class GridRings:
    """Outlines on the grid of hundredths of level-0 pixels; each is a valid polygon.

    Attributes
    ----------
    points
        ``int64[m, 2]``: x, y in hundredths of a pixel, not closed.
    offsets
        ``int64[n + 1]``: outline ``i`` is ``points[offsets[i]:offsets[i + 1]]``.
    """

    points: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def boxes(self) -> NDArray[np.int64]:
        """Return ``int64[n, 4]``: x0, y0, x1, y1 of every outline in hundredths of a pixel."""
        if len(self.offsets) == 1:
            return np.zeros((0, 4), np.int64)
        low = np.minimum.reduceat(self.points, self.offsets[:-1])
        high = np.maximum.reduceat(self.points, self.offsets[:-1])
        return np.concatenate([low, high], axis=1)

    def closed(self) -> GridRings:
        """Return the outlines with the first vertex repeated at the end."""
        return GridRings(*closed(self.points, self.offsets))


def on_grid(detections: Detections) -> GridRings:
    """Return the outlines rounded to hundredths of a pixel, repaired where that broke them.

    Every object keeps an outline: one that encloses nothing becomes a square of two hundredths.
    """
    finite = np.isfinite(detections.rings[:, 0]) & np.isfinite(detections.rings[:, 1])
    points = np.rint(np.where(finite[:, None], detections.rings, 0.0) * PER_PIXEL).astype(np.int64)
    broken = np.flatnonzero(_broken(points, detections.offsets, finite))
    if not len(broken):
        return GridRings(points, detections.offsets)
    rings = np.split(points, detections.offsets[1:-1])
    for i in broken:
        rings[i] = _repaired(detections.ring(int(i)))
    lengths = np.array([len(ring) for ring in rings])
    return GridRings(np.concatenate(rings), np.concatenate([[0], np.cumsum(lengths)]))


def _broken(
    points: NDArray[np.int64], offsets: NDArray[np.int64], finite: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell which outlines are not valid polygons, ``bool[n]``."""
    lengths = np.diff(offsets)
    bad_vertices = np.concatenate([[0], np.cumsum(~finite)])[offsets]
    broken: NDArray[np.bool_] = (lengths < 3) | (np.diff(bad_vertices) > 0)
    fine = np.flatnonzero(~broken)
    if not len(fine):
        return broken
    # Hundredths of pixels are whole numbers far below 2**53, so nothing is rounded.
    loops, ends = closed(*gathered(points.astype(np.float64), offsets, fine))
    doubtful = np.flatnonzero(star_shaped(loops, ends) == 0)
    if len(doubtful):
        loops, ends = gathered(loops, ends, doubtful)
        parts = (ends, np.arange(len(ends)))
        polygons = shapely.from_ragged_array(shapely.GeometryType.POLYGON, loops, parts)
        broken[fine[doubtful]] = ~shapely.is_valid(polygons)
    return broken


def _repaired(ring: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return a valid outline on the grid as near to ``ring`` as can be had, ``int64[k, 2]``."""
    ring = ring[np.isfinite(ring).all(axis=1)]
    whole = shapes.valid(np.rint(ring * PER_PIXEL))
    if whole is not None:
        # A vertex that the repair put where two sides cross is not on the grid.
        snapped = shapely.set_precision(shapely.Polygon(whole), 1.0)
        whole = shapes.largest_ring(snapped)
    if whole is None:
        x, y = ring.mean(axis=0) * PER_PIXEL if len(ring) else (0.0, 0.0)
        whole = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) + np.rint([x, y])
    return np.rint(whole).astype(np.int64)


def ring_texts(rings: GridRings, *, bracketed: bool = False) -> list[bytes]:
    """Return each outline as ``x,y,x,y…``, or as ``[x,y],[x,y]…``."""
    points = np.ascontiguousarray(rings.points, np.int64)
    offsets = np.ascontiguousarray(rings.offsets, np.int64)
    text = np.empty(len(points) * _VERTEX_BYTES, np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    _geojson.print_rings(points, offsets, text, ends[1:], bracketed)
    whole = text[: ends[-1]].tobytes()
    return [whole[a:b] for a, b in pairwise(ends.tolist())]
