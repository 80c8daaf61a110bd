"""Objects that a running model has found so far, held in memory until they are stored."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.results import Detections
from tilescope.store.project import View
from tilescope_desktop.model.atlas import Chunk
from tilescope_desktop.model.view_parts import boxes_of, joined, selected, view_of_detections


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    objects: View
    boxes: NDArray[np.float32]
    dots: Chunk


class LiveObjects:
    """Grows while a model runs; any thread may add and look.

    Parameters
    ----------
    plane
        The focal plane and time point they lie on; None is any.
    """

    def __init__(self, plane: tuple[int, int] | None = None) -> None:
        self.plane = plane
        self._lock = threading.Lock()
        self._batches: tuple[_Batch, ...] = ()

    def __len__(self) -> int:
        return sum(len(batch.objects) for batch in self._batches)

    @property
    def class_names(self) -> Mapping[int, str | None]:
        """Names of the classes by number."""
        batches = self._batches
        return batches[0].objects.class_names if batches else {0: None}

    def add(self, found: Detections) -> None:
        """Add objects of one model, whose class names stay the same."""
        if not len(found):
            return
        objects = view_of_detections(found, np.arange(len(found)))
        boxes = boxes_of(objects)
        dots = Chunk.of(boxes, objects.classes, objects.kinds)
        with self._lock:
            self._batches = (*self._batches, _Batch(objects, boxes, dots))

    def clear(self) -> None:
        """Forget all objects."""
        with self._lock:
            self._batches = ()

    def dots(self) -> Sequence[Chunk]:
        """Return all objects as dots, the newest last."""
        return [batch.dots for batch in self._batches]

    def in_view(self, rect_l0: Rect) -> View:
        """Return the objects whose box meets a rectangle."""
        views = []
        for batch in self._batches:
            if not batch.dots.meets(rect_l0):
                continue
            boxes = batch.boxes
            meets = (boxes[:, 2] >= rect_l0.x0) & (boxes[:, 0] <= rect_l0.x1)
            meets &= (boxes[:, 3] >= rect_l0.y0) & (boxes[:, 1] <= rect_l0.y1)
            views.append(selected(batch.objects, meets))
        return joined(views, self.class_names)
