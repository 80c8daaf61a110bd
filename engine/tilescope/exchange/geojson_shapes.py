"""Geometry objects of GeoJSON as columns of shapely geometries."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import shapely

from tilescope.exchange.intake import Shape
from tilescope.exchange.ring_text import TextRings, parse_rings
from tilescope.exchange.vertices import NoShape, Points, ellipse
from tilescope.ops.rings import reversed_where, star_shaped, wkb_polygons
from tilescope.ops.validity import FARTHEST, MOST_VERTICES

#: Collections in collections; files have none or one.
_DEEPEST = 5
_MOST_PARTS = 1_000_000


def shapes_of(given: Sequence[Any], refuse: Callable[[int, str], None]) -> list[Shape]:
    """Return a geometry for every value, valid or not; None for what is none.

    Parameters
    ----------
    given
        The values of ``geometry`` members. Coordinates may also be their JSON text.
    refuse
        Called with the index and the reason for every geometry that cannot be read.
    """
    shapes: list[Shape] = [None] * len(given)
    plain = [i for i, geometry in enumerate(given) if _is_plain(geometry)]
    rings = parse_rings([given[i]["coordinates"] for i in plain])
    done = set() if rings is None else set(plain)
    if rings is not None:
        for i, shape in zip(plain, _polygons(rings), strict=True):
            shapes[i] = shape
    for i, geometry in enumerate(given):
        if i not in done:
            try:
                shapes[i] = _shape(geometry, 0)
            except NoShape as exc:
                refuse(i, str(exc))
    return shapes


def _is_plain(geometry: Any) -> bool:  # noqa: ANN401
    """Tell whether this is the text of a polygon without holes, as nearly all objects are."""
    return (
        type(geometry) is dict
        and type(geometry.get("coordinates")) is str
        and geometry.get("type") == "Polygon"
        and "isEllipse" not in geometry
    )


def _polygons(rings: TextRings) -> list[Shape]:
    """Return a polygon for each ring: WKB where it surely is valid."""
    points, offsets = rings.points, rings.offsets
    lengths = np.diff(offsets)
    star = star_shaped(points, offsets)
    far = (np.abs(points) >= FARTHEST).any(axis=1)
    if far.any() or (len(lengths) and lengths.max() > MOST_VERTICES):
        star[np.logical_or.reduceat(far, offsets[:-1]) | (lengths > MOST_VERTICES)] = 0
    shapes: list[Shape] = list(wkb_polygons(reversed_where(points, offsets, star < 0), offsets))
    for i in np.flatnonzero(star == 0):
        ring = points[offsets[i] : offsets[i + 1]]
        shapes[i] = shapely.polygons(ring) if len(ring) > 2 else shapely.Polygon()
    return shapes


def _shape(geometry: Any, depth: int) -> shapely.Geometry | None:  # noqa: ANN401
    if not isinstance(geometry, Mapping):
        raise NoShape("has no geometry")
    if depth > _DEEPEST:
        raise NoShape(f"has collections nested more than {_DEEPEST} deep")
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        members = geometry.get("geometries", [])
        return shapely.GeometryCollection([_shape(m, depth + 1) for m in _listed(members)])
    make = _MAKERS.get(kind) if isinstance(kind, str) else None
    if make is None:
        raise NoShape(f"has a geometry of the unknown type {str(kind)[:40]!r}")
    coordinates = geometry.get("coordinates")
    if isinstance(coordinates, str):
        try:
            coordinates = json.loads(coordinates)
        except (ValueError, RecursionError):
            raise NoShape("has coordinates that are no list") from None
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
        raise NoShape("has an outline of fewer than three vertices")
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
