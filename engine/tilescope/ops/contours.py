"""Outlines of labelled objects, and what is measured on them.

Pixel ``(0, 0)`` covers ``[0, 1) x [0, 1)``, so an outline of a working grid becomes level-0 pixels
by one multiplication and no half pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilescope._native import _shapes

#: Two stretches of a midpoint outline pass each other at 0.707 px or more; while thinning moves
#: each by less than half of that, an outline cannot come to touch itself.
MAX_TOLERANCE_PX = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """One outline per label, ascending.

    Attributes
    ----------
    values
        ``int32[n]``: the labels.
    rings
        ``float64[m, 2]``: x, y in pixels of the label image; not closed, simple, positive
        orientation in a y-down frame.
    offsets
        ``int64[n + 1]``: outline ``i`` is ``rings[offsets[i]:offsets[i + 1]]``.
    """

    values: NDArray[np.int32]
    rings: NDArray[np.float64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)


def outlines(
    labels: NDArray[np.int32], *, tolerance_px: float | None = MAX_TOLERANCE_PX
) -> Outlines:
    """Return the outline of the largest 4-connected component of every label, holes filled.

    The outline runs through the middles of pixel edges, which removes the staircase and makes
    every object exactly half a pixel smaller than its filled pixels; then vertices within
    ``tolerance_px`` of the line over them are dropped. Of two components of equal size the one
    that begins further up, then further left, is kept.

    Parameters
    ----------
    labels
        ``int32[h, w]``; 0 and negative values are background.
    tolerance_px
        Between 0 (keep every turn) and ``MAX_TOLERANCE_PX``; None keeps the vertices between
        turns too, for outlines that are joined before they are thinned.

    Raises
    ------
    ValueError
        When the tolerance is out of range or ``labels`` is not two-dimensional.
    """
    if labels.ndim != 2:
        msg = f"a label image has two axes, not {labels.ndim}"
        raise ValueError(msg)
    corners, ends, owners, areas = _trace(np.ascontiguousarray(labels, np.int32))
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: len(ends)]
    # Stable, so that equal areas stay in the order of the scan.
    order = np.lexsort((-areas, owners))
    first = np.ones(len(order), bool)
    first[1:] = owners[order][1:] != owners[order][:-1]
    kept = order[first]
    rings, offsets = _gather(corners, starts[kept], ends[kept])
    middles = _midpoints(rings, offsets)
    if tolerance_px is None:
        return Outlines(owners[kept], *middles)
    return Outlines(owners[kept], *thinned(*middles, tolerance_px=tolerance_px))


def _trace(
    labels: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Return corners ``[m, 2]``, and the end, label and area of every component."""
    n_loops, n_vertices = 1024, 1024 + labels.size // 16
    while True:
        seen = np.zeros(labels.shape, np.uint8)
        corners = np.empty((n_vertices, 2), np.int32)
        ends, areas = np.empty(n_loops, np.int64), np.empty(n_loops, np.int64)
        owners = np.empty(n_loops, np.int32)
        loops, vertices = _shapes.trace(labels, seen, corners, ends, owners, areas)
        if loops <= n_loops and vertices <= n_vertices:
            return corners[:vertices], ends[:loops], owners[:loops], areas[:loops]
        n_loops, n_vertices = max(loops, n_loops), max(vertices, n_vertices)


def _gather(
    points: NDArray[np.int32], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the stretches ``starts[i]:ends[i]`` one after the other, and their offsets."""
    lengths = ends - starts
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    index = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    return points[index].astype(np.float64), offsets


def _midpoints(
    corners: NDArray[np.float64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return outlines through the middle of the first and the last pixel edge of every side.

    The middles between those two lie on the same line and are not needed; a side of one edge has
    one middle.
    """
    sides = corners[_following(offsets)] - corners
    lengths = np.abs(sides).sum(axis=1)
    half = sides / (2 * lengths[:, None])
    pairs = np.stack([corners + half, corners + sides - half], axis=1).reshape(-1, 2)
    keep = np.stack([np.ones(len(corners), bool), lengths > 1], axis=1).ravel()
    return pairs[keep], _offsets_after(2 * offsets, keep)


def thinned(
    rings: NDArray[np.float64],
    offsets: NDArray[np.int64],
    *,
    tolerance_px: float = MAX_TOLERANCE_PX,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return outlines without the vertices that lie within a tolerance of the line over them.

    What is dropped depends on the vertex that a ring begins with.

    Parameters
    ----------
    rings, offsets
        ``float64[m, 2]`` and ``int64[n + 1]``, as in `Outlines`.
    tolerance_px
        Between 0 (keep every turn) and ``MAX_TOLERANCE_PX``.

    Raises
    ------
    ValueError
        When the tolerance is out of range.
    """
    if not 0 <= tolerance_px <= MAX_TOLERANCE_PX:
        msg = f"a tolerance of {tolerance_px} px is not between 0 and {MAX_TOLERANCE_PX}"
        raise ValueError(msg)
    keep = np.empty(len(rings), np.uint8)
    _shapes.thin(np.ascontiguousarray(rings), offsets, tolerance_px, keep)
    kept = keep.astype(bool)
    return rings[kept], _offsets_after(offsets, kept)


def retraced(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a joined outline with the vertices, and the first of them, that tracing would give.

    Parameters
    ----------
    ring
        ``float64[k, 2]``: the union of unthinned outlines that were cut along whole pixels.
    """
    # The middle of a pixel edge has one half coordinate; corners of pixels are left by the cut.
    middles = ring[(ring % 1 != 0).any(axis=1)]
    if not len(middles):
        return ring
    top = middles[:, 1] == middles[:, 1].min()
    # Tracing begins after the left one of the topmost sides.
    first = int(np.flatnonzero(top)[np.argmin(middles[top, 0])])
    middles = np.roll(middles, -first, axis=0)
    below = int(np.argmax(middles[:, 1] > middles[0, 1]))
    return np.roll(middles, -below, axis=0)


def _offsets_after(offsets: NDArray[np.int64], keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return where the rings begin once only the vertices of ``keep`` are left."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(keep, dtype=np.int64)])[offsets]


def _following(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for every vertex the index of the next one round its ring."""
    following = np.arange(1, int(offsets[-1]) + 1, dtype=np.int64)
    filled = offsets[1:] > offsets[:-1]
    following[offsets[1:][filled] - 1] = offsets[:-1][filled]
    return following


def _sum_by_ring(values: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``float64[n, ...]``: the sum over each ring; 0 for a ring without vertices."""
    total = np.zeros((len(offsets) - 1, *values.shape[1:]))
    # reduceat gives an element, not 0, where two offsets are equal.
    filled = offsets[1:] > offsets[:-1]
    if filled.any():
        total[filled] = np.add.reduceat(values, offsets[:-1][filled])
    return total


def _from_first(
    rings: NDArray[np.float64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the vertices relative to the first of their ring, and those first vertices.

    A small ring far from the origin would lose most digits of its area to cancellation.
    """
    first = np.zeros((len(offsets) - 1, 2))
    filled = offsets[1:] > offsets[:-1]
    first[filled] = rings[offsets[:-1][filled]]
    return rings - np.repeat(first, np.diff(offsets), axis=0), first


def ring_areas(rings: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``float64[n]``: the area of every ring, in squared units of ``rings``."""
    p, _ = _from_first(rings, offsets)
    q = p[_following(offsets)]
    return np.abs(_sum_by_ring(p[:, 0] * q[:, 1] - q[:, 0] * p[:, 1], offsets)) / 2


def ring_perimeters(rings: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``float64[n]``: the length of every ring, in units of ``rings``."""
    sides = rings[_following(offsets)] - rings
    return _sum_by_ring(np.hypot(sides[:, 0], sides[:, 1]), offsets)


def ring_centroids(rings: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``float64[n, 2]``: the centre of mass of every ring, in units of ``rings``.

    A ring without area gets the mean of its vertices.
    """
    p, first = _from_first(rings, offsets)
    q = p[_following(offsets)]
    double = p[:, 0] * q[:, 1] - q[:, 0] * p[:, 1]
    area = _sum_by_ring(double, offsets)[:, None]
    moment = _sum_by_ring((p + q) * double[:, None], offsets) / 3
    count = np.maximum(np.diff(offsets), 1)[:, None]
    mean = _sum_by_ring(p, offsets) / count
    flat = np.abs(area) < 1e-9
    centroids: NDArray[np.float64] = np.where(flat, mean, moment / np.where(flat, 1.0, area))
    centroids += first
    return centroids


def to_level0(
    rings: NDArray[np.float64], *, x0: float, y0: float, factor: float
) -> NDArray[np.float64]:
    """Return outlines of a working grid in level-0 pixels.

    Parameters
    ----------
    rings
        ``float64[m, 2]`` in pixels of a block.
    x0, y0
        Top left of the block in the working grid.
    factor
        Level-0 pixels per pixel of the working grid.
    """
    return (rings + np.array([x0, y0], np.float64)) * factor
