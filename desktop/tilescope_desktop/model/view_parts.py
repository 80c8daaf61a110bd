"""Columns of drawable objects: selected, joined, measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation, ObjectKind
from tilescope.domain.results import Detections
from tilescope.store.project import View
from tilescope.store.wkb import Shapes, shapes_of

KINDS: tuple[ObjectKind, ...] = ("annotation", "detection", "cell", "tile")


def selected(view: View, keep: NDArray[np.bool_]) -> View:
    """Return the objects of which ``keep`` (``bool[n]``) is true."""
    if keep.all():
        return view
    shapes = _shapes(view).select(keep)
    return _view(
        view.ids[keep],
        view.classes[keep],
        view.class_names,
        view.kinds[keep],
        view.locked[keep],
        shapes,
        is_complete=view.is_complete,
    )


def joined(views: Sequence[View], class_names: Mapping[int, str | None]) -> View:
    """Return the objects of all views, whose class numbers mean the same."""
    shapes = Shapes.joined([_shapes(view) for view in views])
    return _view(
        np.concatenate([np.zeros((0, 16), np.uint8), *(view.ids for view in views)]),
        np.concatenate([np.zeros(0, np.int32), *(view.classes for view in views)]),
        class_names,
        np.concatenate([np.zeros(0, np.uint8), *(view.kinds for view in views)]),
        np.concatenate([np.zeros(0, bool), *(view.locked for view in views)]),
        shapes,
        is_complete=all(view.is_complete for view in views),
    )


def boxes_of(view: View) -> NDArray[np.float32]:
    """Return ``float32[n, 4]``: left, top, right, bottom of every object in level-0 pixels."""
    if not len(view):
        return np.zeros((0, 4), np.float32)
    starts = view.ring_offsets[view.object_offsets[:-1]]
    low = np.minimum.reduceat(view.points, starts)
    high = np.maximum.reduceat(view.points, starts)
    return np.concatenate([low, high], axis=1)


def view_of_annotations(annotations: Sequence[Annotation]) -> View:
    """Return annotations as columns; classes are numbered as they come."""
    shapes = shapes_of([a.geometry for a in annotations])
    numbers: dict[str | None, int] = {None: 0}
    classes = [numbers.setdefault(a.class_name, len(numbers)) for a in annotations]
    return _view(
        np.zeros((len(annotations), 16), np.uint8),
        np.array(classes, np.int32),
        {number: name for name, number in numbers.items()},
        np.array([KINDS.index(a.kind) for a in annotations], np.uint8),
        np.array([a.locked for a in annotations], bool),
        shapes,
    )


def view_of_geometries(geometries: Sequence[shapely.Geometry]) -> View:
    """Return geometries as columns of objects without a class."""
    n = len(geometries)
    column = np.empty(n, object)
    column[:] = geometries
    shapes = shapes_of(list(shapely.to_wkb(column, byte_order=1))) if n else shapes_of([])
    return _view(
        np.zeros((n, 16), np.uint8),
        np.zeros(n, np.int32),
        {0: None},
        np.zeros(n, np.uint8),
        np.zeros(n, bool),
        shapes,
    )


def view_of_detections(found: Detections, index: NDArray[np.intp]) -> View:
    """Return some objects of a model as columns; class ``i`` of the model has the number i + 1."""
    lengths = np.diff(found.offsets)[index]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    at = np.arange(ends[-1]) + np.repeat(found.offsets[index] - ends[:-1], lengths)
    n = len(index)
    shapes = Shapes(
        found.rings[at].astype(np.float32),
        ends,
        np.arange(n + 1, dtype=np.int64),
        np.full(n, 2, np.uint8),
    )
    names: dict[int, str | None] = {0: None}
    names.update({i + 1: name for i, name in enumerate(found.class_names)})
    classes = found.classes[index].astype(np.int32) + 1
    return _view(
        np.zeros((n, 16), np.uint8),
        classes if found.class_names else np.zeros(n, np.int32),
        names,
        np.ones(n, np.uint8),
        np.zeros(n, bool),
        shapes,
    )


def _shapes(view: View) -> Shapes:
    return Shapes(view.points, view.ring_offsets, view.object_offsets, view.dimensions)


def _view(
    ids: NDArray[np.uint8],
    classes: NDArray[np.int32],
    class_names: Mapping[int, str | None],
    kinds: NDArray[np.uint8],
    locked: NDArray[np.bool_],
    shapes: Shapes,
    *,
    is_complete: bool = True,
) -> View:
    return View(
        ids,
        classes,
        class_names,
        kinds,
        locked,
        shapes.points,
        shapes.ring_offsets,
        shapes.object_offsets,
        shapes.dimensions,
        is_complete,
    )
