"""Objects that a running model has found so far, held in memory until they are stored."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.results import Detections
from tilescope.store.project import View
from tilescope_desktop.model.view_parts import joined, view_of_detections


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    found: Detections
    boxes: NDArray[np.float64]
    bounds: tuple[float, float, float, float]


class LiveObjects:
    """Grows while a model runs; any thread may add and look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches: tuple[_Batch, ...] = ()

    def __len__(self) -> int:
        return sum(len(batch.found) for batch in self._batches)

    def add(self, found: Detections) -> None:
        """Add objects of one model, whose class names stay the same."""
        if not len(found):
            return
        boxes = found.boxes()
        left, top = boxes[:, :2].min(axis=0).tolist()
        right, bottom = boxes[:, 2:].max(axis=0).tolist()
        with self._lock:
            self._batches = (*self._batches, _Batch(found, boxes, (left, top, right, bottom)))

    def clear(self) -> None:
        """Forget all objects."""
        with self._lock:
            self._batches = ()

    def in_view(self, rect_l0: Rect) -> View:
        """Return the objects whose box meets a rectangle."""
        views = []
        for batch in self._batches:
            left, top, right, bottom = batch.bounds
            if left > rect_l0.x1 or right < rect_l0.x0 or top > rect_l0.y1 or bottom < rect_l0.y0:
                continue
            boxes = batch.boxes
            meets = (boxes[:, 2] >= rect_l0.x0) & (boxes[:, 0] <= rect_l0.x1)
            meets &= (boxes[:, 3] >= rect_l0.y0) & (boxes[:, 1] <= rect_l0.y1)
            views.append(view_of_detections(batch.found, np.flatnonzero(meets)))
        return joined(views, views[0].class_names if views else {0: None})
