"""Outlines as text with two decimals, still valid after the rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.results import Detections
from tilescope.ops import shapes

#: Programs that read outlines snap them to a hundredth of a pixel.
PER_PIXEL = 100


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
        n = len(self.offsets) - 1
        offsets = self.offsets + np.arange(n + 1)
        index = np.arange(offsets[-1]) - np.repeat(np.arange(n), np.diff(offsets))
        index[offsets[1:] - 1] = self.offsets[:-1]
        return GridRings(self.points[index], offsets)


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
    doubtful = ~broken & ~_star_shaped(points, offsets)
    if not doubtful.any():
        return broken
    some = GridRings(
        points[np.repeat(doubtful, lengths)],
        np.concatenate([[0], np.cumsum(lengths[doubtful])]),
    ).closed()
    polygons = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON,
        some.points.astype(np.float64),
        (some.offsets, np.arange(len(some.offsets))),
    )
    broken[doubtful] = ~shapely.is_valid(polygons)
    return broken


def _star_shaped(points: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which outlines go round their centre once without turning back, ``bool[n]``.

    Such an outline cannot cross itself. It is true of nearly every nucleus, in whole numbers it
    is exact, and it takes a tenth of the time of asking for validity.
    """
    lengths = np.diff(offsets)
    star = np.zeros(len(lengths), bool)
    filled = lengths > 0
    if not filled.any():
        return star
    first = offsets[:-1][filled]
    centres = np.add.reduceat(points, first) // lengths[filled][:, None]
    p = points - np.repeat(centres, lengths[filled], axis=0)
    q = np.roll(p, -1, axis=0)
    q[offsets[1:][filled] - 1] = p[first]
    # Products of larger numbers would overflow.
    small = (np.abs(p) < 2**30).all(axis=1)
    onward = small & (p[:, 0] * q[:, 1] - q[:, 0] * p[:, 1] > 0)
    rounds = np.add.reduceat((p[:, 1] < 0) & (q[:, 1] >= 0), first, dtype=np.int64)
    star[filled] = np.logical_and.reduceat(onward, first) & (rounds == 1)
    return star


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


def ring_texts(rings: GridRings, *, before: str = "", after: str = "") -> list[bytes]:
    """Return each outline as ``x,y,x,y…``, every pair between ``before`` and ``after``.

    The characters of all numbers are laid out in one table with a column per digit, and those
    that a number does not need are left out: ten times as fast as formatting one by one.
    """
    if not len(rings.points):
        return [b""] * (len(rings.offsets) - 1)
    always = np.ones((len(rings.points), 1), bool)
    columns = [
        *(_constant(c, always) for c in before),
        _numerals(rings.points[:, 0]),
        _constant(",", always),
        _numerals(rings.points[:, 1]),
        *(_constant(c, always) for c in after),
        _constant(",", always),
    ]
    characters = np.concatenate([c for c, _ in columns], axis=1)
    shown = np.concatenate([s for _, s in columns], axis=1)
    characters[rings.offsets[1:] - 1, -1] = ord("\n")
    text: bytes = characters[shown].tobytes()
    return text.splitlines()


def _constant(
    character: str, shown: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    return np.full(shown.shape, ord(character), np.uint8), shown


def _numerals(hundredths: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the characters of numbers and which of them to show, both ``[m, width]``."""
    size = np.abs(hundredths)
    digits = max(3, len(str(int(size.max()))))
    if digits < 10:
        size = size.astype(np.uint32)  # halves the time
    width = digits + 2
    characters = np.empty((len(size), width), np.uint8)
    shown = np.empty((len(size), width), bool)
    characters[:, 0], shown[:, 0] = ord("-"), hundredths < 0
    characters[:, width - 3], shown[:, width - 3] = ord("."), size % 100 > 0
    rest = size
    for k in range(digits):
        column = width - 1 - k - (k >= 2)
        tenth = rest // 10
        characters[:, column] = rest - tenth * 10 + ord("0")
        rest = tenth
        shown[:, column] = size >= 10**k
    shown[:, width - 4] = True
    shown[:, width - 2], shown[:, width - 1] = shown[:, width - 3], size % 10 > 0
    return characters, shown
