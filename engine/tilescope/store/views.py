"""What has to be drawn: the objects in a rectangle, as columns."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.annotation_ids import id_text
from tilescope.domain.geometry import Rect
from tilescope.store.schema import RINGS, STATE
from tilescope.store.wkb import Shapes, shapes_of, shapes_of_rings

_LEAVES = 256
"""Leaves that are looked at together: the memory of a view that is too large stays bounded."""

_QUERY = (
    "SELECT objects, ids, boxes, ends, coding, geometry FROM box "
    "CROSS JOIN leaf ON leaf.leaf = box.leaf CROSS JOIN state ON state.leaf = box.leaf "
    "WHERE box.s0 <= ?1 AND box.s1 >= ?1 AND box.x1 >= ?2 AND box.x0 <= ?3 "
    "AND box.y1 >= ?4 AND box.y0 <= ?5 AND z = ?6 AND t = ?7"
)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What lies in a rectangle, as columns.

    Attributes
    ----------
    ids
        ``uint8[n, 16]``: UUIDs as bytes; ``id_of`` gives the text of one.
    classes
        ``int32[n]``: index into ``class_names``; 0 is unclassified.
    class_names
        Names by number; there may be numbers without a class.
    kinds
        ``uint8[n]``: index into annotation, detection, cell, tile.
    locked
        ``bool[n]``.
    points
        ``float32[m, 2]``: level-0 pixels, all rings one after the other; closed rings repeat
        their first vertex.
    ring_offsets
        ``int64[r + 1]``: ring ``i`` is ``points[ring_offsets[i]:ring_offsets[i + 1]]``.
    object_offsets
        ``int64[n + 1]``: object ``i`` owns rings ``object_offsets[i]`` to ``[i + 1]``.
    dimensions
        ``uint8[n]``: 0 points, 1 lines, 2 areas (holes by the even-odd rule).
    is_complete
        Whether nothing was left out because of the limit.
    """

    ids: NDArray[np.uint8]
    classes: NDArray[np.int32]
    class_names: Mapping[int, str | None]
    kinds: NDArray[np.uint8]
    locked: NDArray[np.bool_]
    points: NDArray[np.float32]
    ring_offsets: NDArray[np.int64]
    object_offsets: NDArray[np.int64]
    dimensions: NDArray[np.uint8]
    is_complete: bool

    def __len__(self) -> int:
        return len(self.classes)

    def id_of(self, index: int) -> str:
        """Return the id of one object."""
        return id_text(self.ids[index].tobytes())


def view_of(
    states: NDArray[np.void],
    ids: NDArray[np.uint8],
    shapes: Shapes,
    class_names: Mapping[int, str | None],
    *,
    is_complete: bool,
) -> View:
    """Return objects by what their leaves hold: states, ids and shapes, one of each per object."""
    return View(
        ids,
        states["class"].astype(np.int32),
        class_names,
        np.ascontiguousarray(states["kind"]),
        states["locked"].astype(bool),
        shapes.points,
        shapes.ring_offsets,
        shapes.object_offsets,
        shapes.dimensions,
        is_complete,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some of the objects of a view."""

    states: NDArray[np.void]
    ids: NDArray[np.uint8]
    shapes: Shapes


def in_view(
    db: sqlite3.Connection, slide: int, rect_l0: Rect, limit: int, plane: tuple[int, int]
) -> View:
    """Return the objects of a plane (z, t) whose bounding box meets a rectangle.

    Raises
    ------
    ValueError, ShapelyError
        When what is stored makes no sense.
    """
    parts: list[_Part] = []
    left = limit + 1
    # SQLite would take a number of numpy for a blob and find nothing.
    sides = [float(v) for v in (rect_l0.x0, rect_l0.x1, rect_l0.y0, rect_l0.y1)]
    leaves = db.execute(_QUERY, (slide, *sides, *plane))
    while left > 0 and (rows := leaves.fetchmany(_LEAVES)):
        for part in _visible(rows, rect_l0):
            parts.append(part)
            left -= len(part.states)
    leaves.close()
    names = {0: None, **dict(db.execute("SELECT class, name FROM class"))}
    return _view(parts, limit, names)


def _visible(rows: Sequence[tuple[Any, ...]], rect_l0: Rect) -> list[_Part]:
    """Return the objects of leaves that are there and whose box meets the rectangle."""
    parts = []
    for is_rings in (True, False):
        leaves = [row for row in rows if (row[4] == RINGS) is is_rings]
        if leaves:
            parts.append(_part(leaves, rect_l0, is_rings=is_rings))
    return parts


def _part(leaves: Sequence[tuple[Any, ...]], rect_l0: Rect, *, is_rings: bool) -> _Part:
    objects, ids, boxes, ends, _, geometry = zip(*leaves, strict=True)
    states = np.frombuffer(b"".join(objects), STATE)
    keep = _meets(np.frombuffer(b"".join(boxes), "<f4").reshape(-1, 4), rect_l0)
    keep &= states["gone"] == 0
    stops = np.frombuffer(b"".join(ends), "<u4").astype(np.int64)
    sizes = [len(part) // 4 for part in ends]
    starts = np.concatenate([stops[:1] * 0, stops[:-1]])
    starts[np.cumsum([0, *sizes[:-1]])] = 0
    if is_rings:
        shapes = shapes_of_rings(b"".join(geometry), stops - starts, keep)
    else:
        kept = np.flatnonzero(keep)
        spans = zip(
            np.repeat(np.arange(len(leaves)), sizes)[kept].tolist(),
            starts[kept].tolist(),
            stops[kept].tolist(),
            strict=True,
        )
        shapes = shapes_of([geometry[i][a:b] for i, a, b in spans])
    names = np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16)
    return _Part(states[keep], names[keep], shapes)


def _meets(boxes: NDArray[np.float32], rect_l0: Rect) -> NDArray[np.bool_]:
    found = (boxes[:, 2] >= rect_l0.x0) & (boxes[:, 0] <= rect_l0.x1)
    found &= (boxes[:, 3] >= rect_l0.y0) & (boxes[:, 1] <= rect_l0.y1)
    return found


def _view(parts: Sequence[_Part], limit: int, names: Mapping[int, str | None]) -> View:
    states = np.concatenate([np.zeros(0, STATE), *(part.states for part in parts)])
    ids = np.concatenate([np.zeros((0, 16), np.uint8), *(part.ids for part in parts)])
    shapes = Shapes.joined([part.shapes for part in parts])
    is_complete = len(states) <= limit
    if not is_complete:
        shapes = shapes.select(np.arange(len(states)) < limit)
        states, ids = states[:limit], ids[:limit]
    return view_of(states, ids, shapes, names, is_complete=is_complete)
