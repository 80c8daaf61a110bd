"""Outlines without holes, many at a time."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rings", "ring_wkb"]

_HEAD = struct.Struct("<BIII")
_POLYGON = 3
_VERTEX_BYTES = 16
_LEAST_VERTICES = 4


def ring_wkb(vertices: bytes) -> bytes:
    """Return the WKB of a polygon of one ring from the bytes of its vertices, float64 x and y."""
    return _HEAD.pack(1, _POLYGON, 1, len(vertices) // _VERTEX_BYTES) + vertices


@dataclass(frozen=True, slots=True, eq=False)
class Rings(Sequence[bytes]):
    """Polygons of one ring each as columns; each becomes WKB when it is asked for.

    Attributes
    ----------
    points
        ``float64[m, 2]``: x, y in level-0 pixels of all rings; each repeats its first at its end.
    offsets
        ``int64[n + 1]``: ring ``i`` is ``points[offsets[i]:offsets[i + 1]]``, from 0 to m.

    Raises
    ------
    ValueError
        When a ring is not closed, or has too few vertices to enclose anything.
    """

    points: NDArray[np.float64]
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        bounds = self.offsets
        if bounds[0] != 0 or bounds[-1] != len(self.points) or self.points.shape[1:] != (2,):
            raise ValueError("offsets go from 0 to the number of points")
        if (np.diff(bounds) < _LEAST_VERTICES).any():
            raise ValueError(f"a closed ring has at least {_LEAST_VERTICES} vertices")
        if (self.points[bounds[:-1]] != self.points[bounds[1:] - 1]).any():
            raise ValueError("a ring is not closed")

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``int64[n]``: vertices of each."""
        return np.diff(self.offsets)

    def boxes(self) -> NDArray[np.float64]:
        """Return ``float64[n, 4]``: x0, y0, x1, y1 of each."""
        starts = self.offsets[:-1]
        if not len(starts):
            return np.zeros((0, 4))
        low = np.minimum.reduceat(self.points, starts)
        return np.concatenate([low, np.maximum.reduceat(self.points, starts)], axis=1)

    def take(self, which: NDArray[np.integer[Any]]) -> Rings:
        """Return the rings with the numbers ``which``, in that order."""
        lengths = self.lengths[which]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        shifts = np.repeat(self.offsets[which] - offsets[:-1], lengths)
        # x and y together are moved in half the time.
        pairs = np.ascontiguousarray(self.points).view(np.complex128).reshape(-1)
        found = pairs[np.arange(offsets[-1]) + shifts]
        return Rings(found.view(np.float64).reshape(-1, 2), offsets)

    @staticmethod
    def joined(parts: Sequence[Rings]) -> Rings:
        """Return the rings of all parts, one after the other."""
        lengths = np.concatenate([np.zeros(1, np.int64), *(part.lengths for part in parts)])
        return Rings(np.concatenate([part.points for part in parts]), np.cumsum(lengths))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Rings: ...
    def __getitem__(self, index: int | slice) -> bytes | Rings:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        at = range(len(self))[index]
        points = self.points[self.offsets[at] : self.offsets[at + 1]]
        return ring_wkb(points.astype("<f8").tobytes())

    def __iter__(self) -> Iterator[bytes]:
        data = self.points.astype("<f8").tobytes()
        for a, b in pairwise((_VERTEX_BYTES * self.offsets).tolist()):
            yield ring_wkb(data[a:b])
