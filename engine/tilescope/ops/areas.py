"""Areas of a slide as one value: what lies in any of them, and which areas they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.ops import validity

#: More outlines are what a model found, not where to look for something.
MOST_AREAS = 200_000
#: Of all outlines together; each takes about 200 bytes where it can be asked for quickly.
MOST_VERTICES = 5_000_000
#: Outlines with more vertices get an index of their own.
_LARGE_VERTICES = 256
#: Pairs of a point and an area that are looked at together.
_PAIRS = 1 << 20
#: Areas that a point is looked for first; mostly one of them settles it.
_FEW = 8

_AREA = 2

#: ``object[n]`` of shapely polygons.
Polygons = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Areas:
    """Parts of a slide; what lies in several of them lies in them once.

    Made by :meth:`of`. Two are equal when they are the same areas, in whatever order and beginning
    at whichever vertex.

    Attributes
    ----------
    polygons
        Valid polygons in level-0 pixels, each different, in an order that depends on nothing but
        themselves; read-only.
    sha256
        Of the polygons.
    """

    polygons: Polygons
    sha256: str
    _tree: shapely.STRtree = field(init=False, repr=False)

    def __post_init__(self) -> None:
        large = self.polygons[shapely.get_num_coordinates(self.polygons) > _LARGE_VERTICES]
        shapely.prepare(large)
        # Indices are made by the first question; what they take has to be known before a run.
        shapely.intersects_xy(large, 0.0, 0.0)
        object.__setattr__(self, "_tree", shapely.STRtree(self.polygons))

    @classmethod
    def of(cls, geometries: Iterable[shapely.Geometry | None]) -> Self:
        """Return the areas in geometries of level-0 pixels.

        Outlines that cross themselves are repaired; points, lines and what encloses nothing are
        left out.

        Raises
        ------
        ValueError
            When no area is left, or there are too many; half a sentence.
        """
        given = np.array([*geometries, None], object)
        vertices = int(shapely.get_num_coordinates(given).sum())
        if vertices > MOST_VERTICES:
            raise ValueError(f"has {vertices:,} vertices; {MOST_VERTICES:,} are the most")
        areal = given[shapely.get_dimensions(given) == _AREA]
        _refuse_many(int(shapely.get_num_geometries(areal).sum()))
        found = validity.clean(areal).geometries
        parts = shapely.get_parts(found[~shapely.is_missing(found)])
        polygons = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
        if not len(polygons):
            raise ValueError("holds no area")
        _refuse_many(len(polygons))
        texts = shapely.to_wkb(shapely.normalize(polygons), byte_order=1, output_dimension=2)
        ordered = sorted(set(texts.tolist()))
        kept = shapely.from_wkb(np.array(ordered, object))
        kept.flags.writeable = False
        return cls(kept, hashlib.sha256(b"".join(ordered)).hexdigest())

    def __len__(self) -> int:
        return len(self.polygons)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Areas) and other.sha256 == self.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def bounds_in(
        self, x0: float, y0: float, x1: float, y1: float
    ) -> tuple[float, float, float, float] | None:
        """Return the rectangle around what lies in another, None when nothing does."""
        there = shapely.clip_by_rect(self.near(x0, y0, x1, y1), x0, y0, x1, y1)
        there = there[shapely.area(there) > 0]
        if not len(there):
            return None
        left, top, right, bottom = (float(value) for value in shapely.total_bounds(there))
        return left, top, right, bottom

    def near(self, x0: float, y0: float, x1: float, y1: float) -> Polygons:
        """Return the polygons whose bounding boxes meet a rectangle, in their order."""
        found: Polygons = self.polygons[np.sort(self._tree.query(shapely.box(x0, y0, x1, y1)))]
        return found

    def contain(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return ``bool[n]``: which points ``float64[n, 2]`` lie in an area or on its edge."""
        inside = np.zeros(len(points), bool)
        # Areas that lie on top of each other make many pairs.
        step = max(16, _PAIRS // len(self.polygons))
        for first in range(0, len(points), step):
            some = points[first : first + step]
            i, j = self._tree.query(shapely.points(some))
            rank = np.arange(len(i)) - np.searchsorted(i, i)
            for most in (_FEW, len(self.polygons)):
                asked = (rank < most) & ~inside[first + i]
                at, which = i[asked], j[asked]
                hit = shapely.intersects_xy(self.polygons[which], some[at, 0], some[at, 1])
                inside[first + at[hit]] = True
        return inside

    def cover(self, boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return ``bool[n]``: which boxes ``float64[n, 4]`` (x0, y0, x1, y1) one area covers."""
        covered = np.zeros(len(boxes), bool)
        step = max(16, _PAIRS // len(self.polygons))
        for first in range(0, len(boxes), step):
            some = shapely.box(*boxes[first : first + step].T)
            i, _ = self._tree.query(some, "covered_by")
            covered[first + i] = True
        return covered

    def met(self, shapes: NDArray[Any]) -> NDArray[np.bool_]:
        """Return ``bool[n]``: which shapes ``object[n]`` have a point in common with an area."""
        met = np.zeros(len(shapes), bool)
        step = max(16, _PAIRS // len(self.polygons))
        for first in range(0, len(shapes), step):
            i, _ = self._tree.query(shapes[first : first + step], "intersects")
            met[first + i] = True
        return met


def _refuse_many(count: int) -> None:
    if count > MOST_AREAS:
        raise ValueError(f"holds {count:,} areas; {MOST_AREAS:,} are the most")
