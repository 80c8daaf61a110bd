"""Geometry objects of GeoJSON as columns of shapely geometries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation_rings import Rings
from tilescope.exchange.intake import Shape
from tilescope.exchange.lifting import Lifted
from tilescope.exchange.vertices import NoShape, Points, ellipse
from tilescope.ops.rings import Offsets, gathered, reversed_where, star_shaped, wkb_polygons
from tilescope.ops.validity import FARTHEST, MOST_VERTICES, TOO_MANY_VERTICES

#: Collections in collections; files have none or one.
_DEEPEST = 5
_MOST_PARTS = 1_000_000
_FEW_VERTICES = "has an outline of fewer than three vertices"


def shapes_of(
    given: Sequence[Any], lifted: Lifted, refuse: Callable[[int, str], None]
) -> list[Shape]:
    """Return a geometry for every value, valid or not; None for what is none.

    Parameters
    ----------
    given
        The values of ``geometry`` members.
    lifted
        What the numbers in place of their coordinates mean.
    refuse
        Called with the index and the reason for every geometry that cannot be read.
    """
    shapes: list[Shape] = [None] * len(given)
    plain, others = [], []
    for i, geometry in enumerate(given):
        if type(geometry) is dict and geometry.get("type") == "Polygon":
            index = lifted.index_of(geometry.get("coordinates"))
            if index >= 0 and "isEllipse" not in geometry:
                plain.append((i, index))
                continue
        others.append(i)
    if plain:
        _polygons(np.array(plain, np.intp), lifted, shapes, refuse)
    for i in others:
        try:
            shapes[i] = _shape(given[i], lifted, 0)
        except NoShape as exc:
            refuse(i, str(exc))
    return shapes


def polygons_of(lifted: Lifted, refuse: Callable[[int, str], None]) -> Sequence[Shape]:
    """Return a polygon of every shape, valid or not; refuses as ``shapes_of``.

    They are ``Rings`` when all surely are valid.
    """
    if len(lifted.rings) == len(lifted.shapes):
        star = _sure(lifted.points, lifted.rings)
        if star.all():
            return Rings(reversed_where(lifted.points, lifted.rings, star < 0), lifted.rings)
    shapes: list[Shape] = [None] * len(lifted)
    every = np.arange(len(lifted))
    _polygons(np.stack([every, every], axis=1), lifted, shapes, refuse)
    return shapes


def _polygons(
    plain: NDArray[np.intp],
    lifted: Lifted,
    shapes: list[Shape],
    refuse: Callable[[int, str], None],
) -> None:
    """Fill in the polygons among the shapes; ``plain`` has the place and the index of each."""
    counts = np.diff(lifted.shapes)
    lengths = np.diff(lifted.rings)
    few = np.minimum.reduceat(lengths, lifted.shapes[:-1])[plain[:, 1]] < 3
    many = np.diff(lifted.rings[lifted.shapes])[plain[:, 1]] > MOST_VERTICES
    for reason, unusable in ((_FEW_VERTICES, few & ~many), (TOO_MANY_VERTICES, many)):
        for i in plain[unusable, 0].tolist():
            refuse(i, reason)
    plain = plain[~few & ~many]
    simple = counts[plain[:, 1]] == 1
    places, index = plain[simple].T
    rings = gathered(lifted.points, lifted.rings, lifted.shapes[index])
    for i, shape in zip(places.tolist(), _simple_polygons(*rings), strict=True):
        shapes[i] = shape
    for i, index_of_one in plain[~simple].tolist():
        a, b = lifted.shapes[index_of_one : index_of_one + 2]
        loops = _loops(lifted.points, lifted.rings[a : b + 1])
        shapes[i] = shapely.polygons(loops[0], loops[1:])


def _simple_polygons(points: Points, offsets: Offsets) -> list[Shape]:
    """Return a polygon for each ring: WKB where it surely is valid."""
    star = _sure(points, offsets)
    shapes: list[Shape] = list(wkb_polygons(reversed_where(points, offsets, star < 0), offsets))
    doubtful = np.flatnonzero(star == 0)
    if len(doubtful):
        loops = _loops(*gathered(points, offsets, doubtful))
        for i, shape in zip(doubtful.tolist(), shapely.polygons(loops).tolist(), strict=True):
            shapes[i] = shape
    return shapes


def _sure(points: Points, offsets: Offsets) -> NDArray[np.int8]:
    """Return what ``star_shaped`` tells of rings, 0 also for one that is too far away."""
    star = star_shaped(points, offsets)
    if max(points.max(initial=0.0), -points.min(initial=0.0)) >= FARTHEST:
        far = (np.abs(points) >= FARTHEST).any(axis=1)
        star[np.logical_or.reduceat(far, offsets[:-1])] = 0
    return star


def _loops(points: Points, offsets: Offsets) -> NDArray[Any]:
    """Return the rings, closed, of at least three vertices each."""
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    loops: NDArray[Any] = shapely.linearrings(points[offsets[0] : offsets[-1]], indices=owners)
    return loops


def _shape(geometry: Any, lifted: Lifted, depth: int) -> shapely.Geometry | None:  # noqa: ANN401
    if not isinstance(geometry, Mapping):
        raise NoShape("has no geometry")
    if depth > _DEEPEST:
        raise NoShape(f"has collections nested more than {_DEEPEST} deep")
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        members = geometry.get("geometries", [])
        return shapely.GeometryCollection([_shape(m, lifted, depth + 1) for m in _listed(members)])
    make = _MAKERS.get(kind) if isinstance(kind, str) else None
    if make is None:
        raise NoShape(f"has a geometry of the unknown type {str(kind)[:40]!r}")
    coordinates = geometry.get("coordinates")
    index = lifted.index_of(coordinates)
    if index >= 0:
        coordinates = lifted.lists(index)
    shape = make(_listed(coordinates))
    return ellipse(shapely.get_coordinates(shape)) if geometry.get("isEllipse") is True else shape


def _listed(value: Any) -> list[Any]:  # noqa: ANN401
    if not isinstance(value, list):
        raise NoShape("has coordinates that are no list")
    if len(value) > _MOST_PARTS:
        raise NoShape(f"has more than {_MOST_PARTS:,} parts")
    return value


def _points(value: Any) -> Points:  # noqa: ANN401
    """Return ``float64[k, 2]``; a third number of a vertex is dropped."""
    value = _listed(value)
    try:
        points = np.array([vertex[:2] for vertex in value], np.float64)
    except (TypeError, ValueError, OverflowError, KeyError):
        raise NoShape("has coordinates that are no pairs of numbers") from None
    if not len(value):
        return np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] != 2:
        raise NoShape("has coordinates that are no pairs of numbers")
    if not np.isfinite(points).all():
        raise NoShape("has coordinates that are not finite")
    return points


def _ring(value: Any) -> shapely.LinearRing:  # noqa: ANN401
    points = _points(value)
    if len(points) < 3:
        raise NoShape(_FEW_VERTICES)
    return shapely.linearrings(points)


def _point(value: list[Any]) -> shapely.Geometry:
    return shapely.points(_points([value])[0]) if value else shapely.Point()


def _line(value: list[Any]) -> shapely.Geometry:
    points = _points(value)
    if len(points) == 1:
        raise NoShape("has a line of one vertex")
    return shapely.linestrings(points) if len(points) else shapely.LineString()


def _polygon(value: list[Any]) -> shapely.Geometry:
    rings = [_ring(ring) for ring in value]
    return shapely.polygons(rings[0], rings[1:] or None) if rings else shapely.Polygon()


_MAKERS: dict[str, Callable[[list[Any]], shapely.Geometry]] = {
    "Point": _point,
    "LineString": _line,
    "Polygon": _polygon,
    "MultiPoint": lambda value: shapely.multipoints(_points(value)),
    "MultiLineString": lambda value: shapely.multilinestrings([_line(_listed(v)) for v in value]),
    "MultiPolygon": lambda value: shapely.multipolygons([_polygon(_listed(v)) for v in value]),
}
