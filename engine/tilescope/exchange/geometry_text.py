"""Geometries as GeoJSON with two decimals, still valid after the rounding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.exchange.rings import PER_PIXEL, GridRings, ring_texts
from tilescope.ops.rings import rings_of_wkb, star_shaped
from tilescope.ops.validity import Geometries, clean

_NAMES = {
    shapely.GeometryType.POINT: "Point",
    shapely.GeometryType.LINESTRING: "LineString",
    shapely.GeometryType.POLYGON: "Polygon",
    shapely.GeometryType.MULTIPOINT: "MultiPoint",
    shapely.GeometryType.MULTILINESTRING: "MultiLineString",
    shapely.GeometryType.MULTIPOLYGON: "MultiPolygon",
}


def geometry_texts(geometries: Sequence[bytes]) -> list[bytes]:
    """Return every geometry as a GeoJSON object.

    Parameters
    ----------
    geometries
        WKB of valid Points, LineStrings, Polygons and Multi*, none empty.
    """
    texts = [b""] * len(geometries)
    for i, text in zip(*_plain(geometries), strict=True):
        texts[i] = text
    others = np.array([i for i, text in enumerate(texts) if not text], np.intp)
    if not len(others):
        return texts
    rounded = on_hundredths(shapely.from_wkb([geometries[i] for i in others]))
    kinds = shapely.get_type_id(rounded)
    for kind in np.unique(kinds).tolist():
        index = np.flatnonzero(kinds == kind)
        for i, text in zip(others[index].tolist(), _texts(rounded[index], kind), strict=True):
            texts[i] = text
    return texts


def _plain(geometries: Sequence[bytes]) -> tuple[list[int], list[bytes]]:
    """Return which are simple polygons, as nearly all objects are, and their texts.

    What rounding may have broken is passed over, as is everything else.
    """
    index, points, offsets = rings_of_wkb(geometries)
    grid = np.rint(points * PER_PIXEL)
    fine = star_shaped(grid, offsets) != 0
    if not fine.all():
        lengths = np.diff(offsets)
        grid = grid[np.repeat(fine, lengths)]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[fine])])
    texts = ring_texts(GridRings(grid.astype(np.int64), offsets), bracketed=True)
    head = b'{"type":"Polygon","coordinates":[['
    return index[fine].tolist(), [head + text + b"]]}" for text in texts]


def on_hundredths(geometries: Geometries) -> Geometries:
    """Return the geometries with coordinates of two decimals, repaired where that broke them.

    What rounding makes flat becomes a square of a hundredth of a pixel.
    """
    points = np.rint(shapely.get_coordinates(geometries) * PER_PIXEL) / PER_PIXEL
    rounded: Geometries = shapely.set_coordinates(np.array(geometries, object), points)
    for i in np.flatnonzero(~shapely.is_valid(rounded)).tolist():
        rounded[i] = _repaired(geometries[i])
    return rounded


def _repaired(geometry: shapely.Geometry) -> shapely.Geometry:
    snapped = shapely.set_precision(geometry, 1 / PER_PIXEL)
    whole = clean(np.array([snapped], object)).geometries[0]
    if whole is None:
        x, y = shapely.get_coordinates(shapely.centroid(geometry))[0].tolist()
        x, y = np.rint(x * PER_PIXEL) / PER_PIXEL, np.rint(y * PER_PIXEL) / PER_PIXEL
        return shapely.box(x, y, x + 1 / PER_PIXEL, y + 1 / PER_PIXEL)
    return whole


def _texts(geometries: Geometries, kind: int) -> list[bytes]:
    _, points, offsets = shapely.to_ragged_array(geometries)
    head = f'{{"type":"{_NAMES[shapely.GeometryType(kind)]}","coordinates":'.encode()
    if kind == shapely.GeometryType.POINT:
        offsets = (np.arange(len(geometries) + 1),)
    grid = GridRings(np.rint(points * PER_PIXEL).astype(np.int64), np.asarray(offsets[0], np.int64))
    texts = ring_texts(grid, bracketed=True)
    for level in offsets[1:]:
        texts = _nested(texts, level)
    if kind != shapely.GeometryType.POINT:
        return [head + b"[" + text + b"]}" for text in texts]
    return [head + text + b"}" for text in texts]


def _nested(texts: Sequence[bytes], offsets: NDArray[np.int64]) -> list[bytes]:
    """Return lists of texts, in brackets each, without the brackets round the whole list."""
    if len(offsets) == len(texts) + 1 and (np.diff(offsets) == 1).all():
        return [b"[" + text + b"]" for text in texts]
    return [
        b",".join([b"[" + text + b"]" for text in texts[a:b]])
        for a, b in pairwise(offsets.tolist())
    ]
