"""Geometry from elsewhere made fit for use: valid, finite, two-dimensional, of one kind.

Functions work on whole columns of shapely geometries and keep the unit and the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

#: ``object[n]`` of shapely geometries, None where there is none.
Geometries = NDArray[Any]

#: An outline with more vertices is a raster in disguise; no program draws it.
MOST_VERTICES = 1_000_000
TOO_MANY_VERTICES = f"has more than {MOST_VERTICES:,} vertices"
#: No slide is larger, and squares of larger numbers lose the pixel.
FARTHEST = 2.0**31
#: Repair takes memory for every crossing.
_MOST_CROSSINGS = 20_000
_SAMPLED_SIDES = 200
_MOST_TRIALS = 5_000_000
#: Asking whether a larger one is valid takes seconds when it crosses itself everywhere.
_LARGE_VERTICES = 20_000
_TANGLED = "crosses itself too often to be repaired"

_LINES = (shapely.GeometryType.LINESTRING, shapely.GeometryType.MULTILINESTRING)
_POINTS = (shapely.GeometryType.POINT, shapely.GeometryType.MULTIPOINT)
_POLYGONS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
_KEPT = np.array([*_LINES, *_POINTS, *_POLYGONS])
_MULTI = np.array(
    [
        shapely.GeometryType.MULTIPOINT,
        shapely.GeometryType.MULTILINESTRING,
        shapely.GeometryType.MULTIPOLYGON,
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Cleaned:
    """Geometries fit for use, and what happened to each.

    Attributes
    ----------
    geometries
        ``object[n]``: Point, LineString, Polygon or Multi*, two-dimensional, valid, outer rings
        of polygons with positive orientation in a y-down frame; None where it cannot be had.
    refused
        Why there is none, by index.
    changed
        What was changed beyond closing rings, turning them and dropping a third dimension, by
        index.
    """

    geometries: Geometries
    refused: dict[int, str]
    changed: dict[int, str]


def clean(geometries: Geometries) -> Cleaned:
    """Return every geometry valid, with the reason where that cannot be.

    Rings that cross themselves are repaired: what they enclose stays, hairs are dropped. Of a
    collection the polygons are kept, without polygons the lines, without lines the points.
    """
    clean_ones = np.array(geometries, dtype=object)
    refused: dict[int, str] = {}
    changed: dict[int, str] = {}
    _refuse(clean_ones, ~_present(clean_ones), "has no geometry", refused)
    for reason, unusable in _unusable(clean_ones).items():
        _refuse(clean_ones, unusable, reason, refused)
    clean_ones = shapely.force_2d(clean_ones)
    _refuse(clean_ones, _tangled(clean_ones), _TANGLED, refused)
    for i in np.flatnonzero(_present(clean_ones) & ~_is_kept(clean_ones)):
        clean_ones[i] = _of_one_kind(shapely.get_parts(clean_ones[i]))
        changed[int(i)] = "a collection of several kinds was reduced to one kind"
    for i in np.flatnonzero(_present(clean_ones) & ~shapely.is_valid(clean_ones)):
        clean_ones[i], reason = _repaired(clean_ones[i])
        (changed if clean_ones[i] is not None else refused)[int(i)] = reason
    _refuse(clean_ones, _is_flat(clean_ones), "encloses nothing", refused)
    single = _present(clean_ones) & np.isin(shapely.get_type_id(clean_ones), _MULTI)
    single &= shapely.get_num_geometries(clean_ones) == 1
    clean_ones[single] = shapely.get_geometry(clean_ones[single], 0)
    for index in refused:
        changed.pop(index, None)
    return Cleaned(shapely.orient_polygons(clean_ones), refused, changed)


def _present(geometries: Geometries) -> NDArray[np.bool_]:
    present: NDArray[np.bool_] = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    return present


def _is_kept(geometries: Geometries) -> NDArray[np.bool_]:
    return np.isin(shapely.get_type_id(geometries), _KEPT)


def _unusable(geometries: Geometries) -> dict[str, NDArray[np.bool_]]:
    """Return by reason which geometries cannot be looked at more closely."""
    n = len(geometries)
    points, index = shapely.get_coordinates(geometries, return_index=True)
    # A number that is not finite compares as False.
    near = (np.abs(points) < FARTHEST).all(axis=1)
    far = np.bincount(index[~near], minlength=n) > 0
    not_finite = np.bincount(index[~np.isfinite(points).all(axis=1)], minlength=n) > 0
    return {
        "has coordinates that are not finite": not_finite,
        f"has coordinates beyond {FARTHEST:,.0f} px": far & ~not_finite,
        TOO_MANY_VERTICES: np.bincount(index, minlength=n) > MOST_VERTICES,
    }


def _refuse(
    geometries: Geometries, which: NDArray[np.bool_], reason: str, refused: dict[int, str]
) -> None:
    for i in np.flatnonzero(which):
        refused.setdefault(int(i), reason)
    geometries[which] = None


def _is_flat(geometries: Geometries) -> NDArray[np.bool_]:
    """Tell which are areas without area, or nothing."""
    areal = np.isin(shapely.get_type_id(geometries), _POLYGONS)
    flat: NDArray[np.bool_] = shapely.is_empty(geometries) | (
        areal & ~(shapely.area(geometries) > 0)
    )
    return flat


def _of_one_kind(parts: Geometries) -> shapely.Geometry | None:
    """Return the polygons among ``parts`` as one geometry, else the lines, else the points."""
    flat = _leaves(parts)
    for kinds, whole in (
        (_POLYGONS, shapely.multipolygons),
        (_LINES, shapely.multilinestrings),
        (_POINTS, shapely.multipoints),
    ):
        chosen = flat[np.isin(shapely.get_type_id(flat), kinds)]
        if len(chosen):
            return whole(chosen)
    return None


def _leaves(parts: Geometries) -> Geometries:
    """Return what collections hold, however deep."""
    rings = shapely.get_type_id(parts) == shapely.GeometryType.LINEARRING
    parts = parts.copy()
    parts[rings] = shapely.polygons(parts[rings])
    while len(parts) and (shapely.get_type_id(parts) >= _MULTI[0]).any():
        nested = shapely.get_type_id(parts) >= _MULTI[0]
        parts = np.concatenate([parts[~nested], shapely.get_parts(parts[nested])])
    return parts


def _repaired(geometry: shapely.Geometry) -> tuple[shapely.Geometry | None, str]:
    """Return a valid geometry and what was wrong, or None and why not."""
    if shapely.get_type_id(geometry) not in _POLYGONS:
        return None, "has no extent"
    if _crossings(geometry) > _MOST_CROSSINGS:
        return None, _TANGLED
    valid = shapely.make_valid(geometry, method="structure", keep_collapsed=False)
    polygons = _leaves(np.array([valid], object))
    polygons = polygons[np.isin(shapely.get_type_id(polygons), _POLYGONS)]
    polygons = polygons[shapely.area(polygons) > 0]
    if not len(polygons):
        return None, "encloses nothing"
    # What was put together may share a side, which parts of one geometry may not.
    whole = shapely.union_all(polygons)
    if not whole.is_valid or shapely.get_type_id(whole) not in _POLYGONS:
        return None, "cannot be repaired"
    return whole, "an outline that crosses or touches itself was repaired"


def _tangled(geometries: Geometries) -> NDArray[np.bool_]:
    tangled = np.zeros(len(geometries), bool)
    for i in np.flatnonzero(shapely.get_num_coordinates(geometries) > _LARGE_VERTICES):
        tangled[i] = _crossings(geometries[i]) > _MOST_CROSSINGS
    return tangled


def _crossings(geometry: shapely.Geometry) -> float:
    """Return about how often sides of polygons cross each other, from a sample of the sides."""
    parts = _leaves(np.array([geometry], object))
    rings = shapely.get_rings(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON])
    points, index = shapely.get_coordinates(rings, return_index=True)
    together = index[1:] == index[:-1]
    starts, ends = points[:-1][together], points[1:][together]
    n = len(starts)
    if not n:
        return 0.0
    sampled = np.linspace(0, n - 1, min(n, _SAMPLED_SIDES, 1 + _MOST_TRIALS // n)).astype(np.intp)
    found = sum(_crossing(starts[i], ends[i], starts, ends) for i in sampled)
    return found * n / len(sampled) / 2


def _crossing(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
) -> int:
    """Return how many of the sides cross the one from ``start`` to ``end`` inside both."""
    along = end - start
    left = _side(along, starts - start) * _side(along, ends - start) < 0
    starts, ends = starts[left], ends[left]
    sides = ends - starts
    return int((_side(sides, start - starts) * _side(sides, end - starts) < 0).sum())


def _side(along: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 for points on one side of a line, -1 on the other, 0 on it."""
    return np.sign(along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0])
