"""Geometries from lists of vertices, as most programs keep them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.ops.validity import MOST_VERTICES

ELLIPSE_VERTICES = 96

Points = NDArray[np.float64]


class NoShape(ValueError):
    """What is given is no geometry; the text is the reason."""


def as_points(x: Sequence[str], y: Sequence[str]) -> Points:
    """Return ``float64[k, 2]`` of numbers given as text, with a decimal point or comma.

    Raises
    ------
    NoShape
        When one is no finite number.
    """
    try:
        points = np.array([[_number(a), _number(b)] for a, b in zip(x, y, strict=True)], np.float64)
    except ValueError:
        raise NoShape("has coordinates that are no numbers") from None
    if not np.isfinite(points).all():
        raise NoShape("has coordinates that are not finite")
    return points.reshape(-1, 2)


def _number(text: str) -> float:
    return float(text.strip().replace(",", "."))


def polygon(points: Points) -> shapely.Geometry:
    """Return the area inside the vertices, closed or not."""
    if len(points) < 3:
        raise NoShape("has an outline of fewer than three vertices")
    return shapely.polygons(points)


def line(points: Points) -> shapely.Geometry:
    """Return the line through the vertices."""
    if len(points) < 2:
        raise NoShape("has a line of fewer than two vertices")
    return shapely.linestrings(points)


def point(points: Points) -> shapely.Geometry:
    """Return the first of the vertices."""
    if not len(points):
        raise NoShape("has no geometry")
    return shapely.points(points[0])


def point_set(points: Points) -> shapely.Geometry:
    """Return all vertices as one object."""
    if not len(points):
        raise NoShape("has no geometry")
    return shapely.multipoints(points)


def rectangle(points: Points) -> shapely.Geometry:
    """Return the outline when it has four vertices, else the bounds of the vertices."""
    if len(points) in (4, 5):
        return shapely.polygons(points)
    if len(points) < 2:
        raise NoShape("has a rectangle of fewer than two vertices")
    return shapely.box(*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def ellipse(points: Points) -> shapely.Geometry:
    """Return the ellipse that fills the bounds of the vertices, as a polygon."""
    if len(points) < 2:
        raise NoShape("has an ellipse of fewer than two vertices")
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    angle = np.arange(ELLIPSE_VERTICES) * (2 * np.pi / ELLIPSE_VERTICES)
    x = (x0 + x1 + (x1 - x0) * np.cos(angle)) / 2
    y = (y0 + y1 + (y1 - y0) * np.sin(angle)) / 2
    return shapely.polygons(np.stack([x, y], axis=1))


def maker(
    makers: Mapping[str, Callable[[Points], shapely.Geometry]], kind: str
) -> Callable[[Points], shapely.Geometry]:
    """Return what makes geometries of a kind.

    Raises
    ------
    NoShape
        When the kind is not known.
    """
    if kind not in makers:
        raise NoShape(f"is of the unknown type {kind[:40]!r}")
    return makers[kind]


class VertexList:
    """The vertices of one object while its file is read."""

    def __init__(self) -> None:
        self.x: list[str] = []
        self.y: list[str] = []
        self.excess = False

    def add(self, x: str, y: str) -> None:
        """Append a vertex; past the limit none is kept."""
        if len(self.x) >= MOST_VERTICES:
            self.excess = True
        else:
            self.x.append(x)
            self.y.append(y)

    def shape(self, make: Callable[[Points], shapely.Geometry]) -> shapely.Geometry:
        """Return the geometry of the vertices.

        Raises
        ------
        NoShape
            When they make none.
        """
        if self.excess:
            raise NoShape(f"has more than {MOST_VERTICES:,} vertices")
        return make(as_points(self.x, self.y))
