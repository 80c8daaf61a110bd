"""Columns of well-known binary: bounding boxes and drawable rings of many objects at once.

Nearly every object is a polygon of one closed ring, whose vertices lie in the bytes as they are
(behind 13 bytes that follow from their number); only the others go through GEOS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation_rings import Rings

_HEAD = np.dtype([("order", "u1"), ("type", "<u4"), ("rings", "<u4"), ("points", "<u4")])
VERTEX_BYTES = 16
_POLYGON = 3
_SHAPES = (0, 1, 3, 4, 5, 6)  # points, lines, polygons and several of them
_DIMENSIONS = np.array([0, 1, 1, 2, 0, 1, 2], np.uint8)  # by GEOS type number
_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """Shapes as lists of vertices, ready to be drawn.

    Attributes
    ----------
    points
        ``float32[m, 2]``: x, y of all rings, one after the other; closed rings repeat their first
        vertex.
    ring_offsets
        ``int64[r + 1]``: ring ``i`` is ``points[ring_offsets[i]:ring_offsets[i + 1]]``.
    object_offsets
        ``int64[n + 1]``: object ``i`` owns rings ``object_offsets[i]`` to ``[i + 1]``.
    dimensions
        ``uint8[n]``: 0 points, 1 lines, 2 areas (outer rings and holes, even-odd rule).
    """

    points: NDArray[np.float32]
    ring_offsets: NDArray[np.int64]
    object_offsets: NDArray[np.int64]
    dimensions: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.dimensions)

    def select(self, keep: NDArray[np.bool_]) -> Shapes:
        """Return the objects of which ``keep`` (``bool[n]``) is true."""
        kept_rings = np.repeat(keep, np.diff(self.object_offsets))
        kept_points = np.repeat(kept_rings, np.diff(self.ring_offsets))
        return Shapes(
            self.points[kept_points],
            _offsets(np.diff(self.ring_offsets)[kept_rings]),
            _offsets(np.diff(self.object_offsets)[keep]),
            self.dimensions[keep],
        )

    @staticmethod
    def joined(parts: Sequence[Shapes]) -> Shapes:
        """Return the objects of all parts, one after the other."""
        return Shapes(
            np.concatenate([np.zeros((0, 2), np.float32), *(part.points for part in parts)]),
            _offsets(np.concatenate([_NONE, *(np.diff(part.ring_offsets) for part in parts)])),
            _offsets(np.concatenate([_NONE, *(np.diff(part.object_offsets) for part in parts)])),
            np.concatenate([np.zeros(0, np.uint8), *(part.dimensions for part in parts)]),
        )


def _offsets(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


def _simple(blobs: Sequence[bytes]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Tell which are little-endian polygons of one ring, and how many vertices each has."""
    lengths = np.fromiter(map(len, blobs), np.int64, len(blobs))
    starts = [blob[:13] for blob in blobs]
    if lengths.min(initial=13) < 13:
        starts = [start.ljust(13, b"\0") for start in starts]
    heads = np.frombuffer(b"".join(starts), _HEAD)
    points = heads["points"].astype(np.int64)
    simple = (heads["order"] == 1) & (heads["type"] == _POLYGON) & (heads["rings"] == 1)
    return simple & (points >= 4) & (lengths == 13 + 16 * points), points


def _ring_of(blobs: Sequence[bytes]) -> NDArray[np.float64]:
    return np.frombuffer(b"".join([blob[13:] for blob in blobs]), "<f8").reshape(-1, 2)


def _parse(blobs: Sequence[bytes]) -> NDArray[np.object_]:
    column = np.empty(len(blobs), object)
    column[:] = blobs
    parsed: NDArray[np.object_] = shapely.from_wkb(column)
    return parsed


def boxes(blobs: Sequence[bytes]) -> NDArray[np.float64]:
    """Return ``float64[n, 4]``: x0, y0, x1, y1 of every shape; checked, since it is untrusted.

    Raises
    ------
    ValueError
        Naming the first shape (by its index) that is not a two-dimensional, finite shape of a
        known kind, and what is wrong with it.
    """
    if isinstance(blobs, Rings):  # closed already
        return _finite(blobs.boxes())
    simple, counts = _simple(blobs)
    result = np.empty((len(blobs), 4))
    if simple.any():
        chosen = np.flatnonzero(simple)
        points = _ring_of([blobs[i] for i in chosen.tolist()])
        ends = np.cumsum(counts[simple])
        starts = ends - counts[simple]
        is_open = np.any(points[starts] != points[ends - 1], axis=1)
        result[simple, :2] = np.minimum.reduceat(points, starts)
        result[simple, 2:] = np.maximum.reduceat(points, starts)
        # An open ring of NaN or infinite vertices is named as not finite below.
        bad = is_open & np.isfinite(result[simple]).all(axis=1)
        if bad.any():
            raise ValueError(f"shape {chosen[int(bad.argmax())]} has a ring that is not closed")
    if not simple.all():
        result[~simple] = _other_boxes(blobs, np.flatnonzero(~simple))
    return _finite(result)


def _finite(found: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        raise ValueError(f"shape {int(np.argmin(finite))} is empty or has infinite coordinates")
    return found


def _other_boxes(blobs: Sequence[bytes], chosen: NDArray[np.intp]) -> NDArray[np.float64]:
    try:
        shapes = _parse([blobs[i] for i in chosen.tolist()])
    except shapely.errors.ShapelyError as exc:
        raise ValueError(f"one of the shapes is not well-known binary: {exc}") from exc
    wrong = ~np.isin(shapely.get_type_id(shapes), _SHAPES)
    if wrong.any():
        raise ValueError(f"shape {chosen[int(wrong.argmax())]} is a collection or unknown")
    deep = shapely.has_z(shapes) | np.array([blobs[i][:1] != b"\x01" for i in chosen.tolist()])
    if deep.any():
        raise ValueError(
            f"shape {chosen[int(deep.argmax())]} is not two-dimensional little-endian binary"
        )
    # Bounds leave NaN vertices out; sums do not.
    total, owner = shapely.get_coordinates(shapes, return_index=True)
    broken = np.bincount(owner[~np.isfinite(total).all(axis=1)], minlength=len(shapes)) > 0
    found: NDArray[np.float64] = shapely.bounds(shapes)
    found[broken] = np.nan
    return found


def are_rings(blobs: Sequence[bytes]) -> NDArray[np.bool_]:
    """Tell which shapes that were checked by ``boxes`` are polygons of one ring: ``bool[n]``."""
    return np.ones(len(blobs), bool) if isinstance(blobs, Rings) else _simple(blobs)[0]


def vertices_of(blob: bytes) -> bytes:
    """Return the vertices of a polygon of one ring, ``float64`` x and y of each."""
    return blob[_HEAD.itemsize :]


def shapes_of_rings(vertices: bytes, lengths: NDArray[np.int64], keep: NDArray[np.bool_]) -> Shapes:
    """Return some of many polygons of one ring.

    Parameters
    ----------
    vertices
        The bytes of ``vertices_of`` of all polygons.
    lengths
        ``int64[n]``: bytes of each.
    keep
        ``bool[n]``: whether it is wanted.

    Raises
    ------
    ValueError, IndexError
        When the lengths are not those of the bytes.
    """
    points = np.frombuffer(vertices, "<c16")  # x and y together are moved in half the time
    counts = lengths // VERTEX_BYTES
    if counts.min(initial=1) < 1:
        raise ValueError("a ring without vertices")
    kept = points[np.repeat(keep, counts)].view("<f8").reshape(-1, 2)
    counts = counts[keep]
    return Shapes(
        kept.astype(np.float32),
        _offsets(counts),
        np.arange(len(counts) + 1),
        np.full(len(counts), 2, np.uint8),
    )


def shapes_of(blobs: Sequence[bytes]) -> Shapes:
    """Return shapes that were checked by ``boxes``, in the same order."""
    simple, counts = _simple(blobs) if blobs else (np.ones(0, bool), np.zeros(0, np.int64))
    chosen = np.flatnonzero(simple)
    parts = [(_ring_of([blobs[i] for i in chosen.tolist()]), counts[simple], chosen)]
    dimensions = np.full(len(blobs), 2, np.uint8)
    if not simple.all():
        others = np.flatnonzero(~simple)
        shapes = _parse([blobs[i] for i in others.tolist()])
        dimensions[others] = _DIMENSIONS[shapely.get_type_id(shapes)]
        points, sizes, owners = _other_rings(shapes)
        parts.append((points, sizes, others[owners]))
    return _merge(parts, dimensions)


def _other_rings(
    shapes: NDArray[np.object_],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.intp]]:
    """Return vertices, vertices per ring, and whose ring it is."""
    parts, owners = shapely.get_parts(shapes, return_index=True)
    is_area = shapely.get_type_id(parts) == _POLYGON
    loops, of_part = shapely.get_rings(parts[is_area], return_index=True)
    lines = np.concatenate([loops, parts[~is_area]])
    owners = np.concatenate([owners[is_area][of_part], owners[~is_area]])
    sizes = np.asarray(shapely.get_num_coordinates(lines), np.int64)
    return shapely.get_coordinates(lines), sizes, owners


def _merge(
    parts: Sequence[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.intp]]],
    dimensions: NDArray[np.uint8],
) -> Shapes:
    points = np.concatenate([part[0] for part in parts])
    sizes = np.concatenate([part[1] for part in parts])
    owners = np.concatenate([part[2] for part in parts])
    per_object = np.bincount(owners, minlength=len(dimensions)).astype(np.int64)
    if len(parts) > 1:
        order = np.argsort(owners, kind="stable")
        starts = _offsets(sizes)[:-1][order]
        sizes = sizes[order]
        shift = np.repeat(starts - _offsets(sizes)[:-1], sizes)
        points = points[shift + np.arange(len(points))]
    return Shapes(points.astype(np.float32), _offsets(sizes), _offsets(per_object), dimensions)
