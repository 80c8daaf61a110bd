"""Objects of one block, and how those of neighbouring blocks become each other's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.results import Detections
from tilescope.inference.box_seams import (
    SAME_BOX_IOU,
    BoxColumns,
    classify_boxes,
    settle_boxes,
)
from tilescope.inference.pipeline import Arrays
from tilescope.inference.planner import Block
from tilescope.inference.seams import Outline, classify, settle
from tilescope.jobs.running.labelled import score_and_class
from tilescope.jobs.running.task_context import TaskContext
from tilescope.ops.contours import outlines, thinned
from tilescope.ops.nms import suppress
from tilescope.plugins.api import Boxes, Instances
from tilescope.store.run_ledger import Item, Kind

Classified = tuple[Detections, NDArray[np.uint8]]
WholeNear = Callable[[float, float, float, float], Sequence[Item]]

#: More boxes in one tile are a model without a threshold, not objects.
_MOST_BOXES = 20_000


class Finder(Protocol):
    """How one kind of object is found in blocks and settled between them."""

    def find(self, block: Block, outputs: Arrays) -> Classified:
        """Return the objects of a block in working pixels, and the Kind of each."""
        ...

    def settle(
        self, undecided: Sequence[Item], whole_near: WholeNear, seen: Collection[int]
    ) -> list[Item]:
        """Return the objects that candidates and fragments of the blocks ``seen`` amount to."""
        ...


class InstanceFinder:
    """Objects as the model labels their pixels."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context

    def find(self, block: Block, outputs: Arrays) -> Classified:
        """Return the outlines of a block's objects."""
        context, valid = self._context, block.valid
        cut = context.cut(block, outputs, valid)
        found = context.decoded(cut, Instances, lambda value: self._outlined(value, valid))
        kinds = classify(context.plan, block, found)
        kept = np.flatnonzero(kinds <= Kind.FRAGMENT)
        return _thinned(found.select(kept), kinds[kept]), kinds[kept]

    def _outlined(self, found: Instances, valid: Rect) -> Detections:
        traced = outlines(_enlarged(found.labels, valid), tolerance_px=None)
        class_names = self._context.spec.classes
        scores, classes = score_and_class(found, traced.values, len(class_names))
        return Detections(
            traced.rings + np.array([valid.x0, valid.y0], np.float64),
            traced.offsets,
            scores,
            classes,
            class_names,
        )

    def settle(
        self, undecided: Sequence[Item], whole_near: WholeNear, seen: Collection[int]
    ) -> list[Item]:
        """Return the objects, with the outlines that one block over all of them would have."""
        settled = settle(
            self._context.plan,
            [_outline(item) for item in undecided],
            lambda *box: [_outline(item) for item in whole_near(*box)],
            seen,
        )
        return [Item(0, o.tile, Kind.SEAM, o.class_index, o.score, o.ring) for o in settled]


def _enlarged(labels: NDArray[np.int32], valid: Rect) -> NDArray[np.int32]:
    """Return labels of a coarser grid on the working grid."""
    height, width = labels.shape
    if (height, width) == (valid.height, valid.width):
        return labels
    stride = -(-valid.width // width) if width else 0
    if not stride or (-(-valid.width // stride), -(-valid.height // stride)) != (width, height):
        msg = f"labels of {width} x {height} px for {valid.width} x {valid.height} px of slide"
        raise ValueError(msg)
    large = np.repeat(np.repeat(labels, stride, axis=0), stride, axis=1)
    return np.ascontiguousarray(large[: valid.height, : valid.width])


def _thinned(found: Detections, kinds: NDArray[np.uint8]) -> Detections:
    """Return the objects with thinned outlines; fragments are thinned once they are joined."""
    rings, offsets = thinned(found.rings, found.offsets)
    thin = replace(found, rings=rings, offsets=offsets)
    kept = [(found if kind == Kind.FRAGMENT else thin).ring(i) for i, kind in enumerate(kinds)]
    return Detections.of(kept, found.scores, found.classes, found.class_names)


def _outline(item: Item) -> Outline:
    return Outline(item.ring, item.tile, item.kind == Kind.FRAGMENT, item.score, item.class_index)


class BoxFinder:
    """Objects as the boxes that the model puts around them."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context

    def find(self, block: Block, outputs: Arrays) -> Classified:
        """Return the boxes of a block as outlines; of boxes that mean the same the best stays."""
        context, seen = self._context, _seen(block, self._context)
        found = context.decoded(outputs, Boxes, lambda value: self._boxes(value, block.outer, seen))
        found = found.select(suppress(found.boxes, found.scores, found.classes, SAME_BOX_IOU))
        kinds = classify_boxes(context.plan, block, found.boxes)
        kept = np.flatnonzero(kinds <= Kind.FRAGMENT)
        return _rectangles(found.select(kept), context.spec.classes), kinds[kept]

    def _boxes(self, found: Boxes, outer: Rect, seen: Rect) -> BoxColumns:
        boxes = np.asarray(found.corners, np.float64).reshape(-1, 4)
        scores = np.asarray(found.scores, np.float64)
        classes = np.asarray(found.classes, np.int64)
        if not len(boxes) == len(scores) == len(classes):
            msg = f"{len(boxes)} boxes, {len(scores)} scores and {len(classes)} classes"
            raise ValueError(msg)
        if len(boxes) > _MOST_BOXES:
            msg = f"{len(boxes)} boxes in one tile; give the model a score threshold"
            raise ValueError(msg)
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            msg = "boxes or scores that are not finite numbers"
            raise ValueError(msg)
        if len(classes) and not 0 <= classes.min() <= classes.max() < len(
            self._context.spec.classes
        ):
            msg = f"class {classes.max()} of {len(self._context.spec.classes)}"
            raise ValueError(msg)
        boxes += np.array([outer.x0, outer.y0] * 2)
        low, high = np.array([seen.x0, seen.y0]), np.array([seen.x1, seen.y1])
        boxes = np.concatenate([boxes[:, :2].clip(low, high), boxes[:, 2:].clip(low, high)], axis=1)
        count = len(boxes)
        columns = BoxColumns(
            boxes, scores, classes, np.zeros(count, np.int64), np.zeros(count, bool)
        )
        return columns.select(np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1)))

    def settle(
        self, undecided: Sequence[Item], whole_near: WholeNear, seen: Collection[int]
    ) -> list[Item]:
        """Return the boxes that stay, fragments of one object joined."""
        del seen  # the box around all fragments leaves nothing out
        settled = settle_boxes(
            self._context.plan,
            _columns(undecided),
            lambda box: _columns(whole_near(*(float(v) for v in box))),
        )
        found = _rectangles(settled, ())
        return [
            Item(0, tile, Kind.SEAM, class_index, score, ring)
            for tile, class_index, score, ring in zip(
                settled.tiles.tolist(),
                settled.classes.tolist(),
                settled.scores.tolist(),
                found,
                strict=True,
            )
        ]


def _seen(block: Block, context: TaskContext) -> Rect:
    """Return the part of the slide that a block sees."""
    seen = block.outer.intersect(Rect.of_size(context.plan.grid.size))
    assert seen is not None
    return seen


def _columns(items: Sequence[Item]) -> BoxColumns:
    corners = [[*i.ring.min(axis=0), *i.ring.max(axis=0)] for i in items]
    return BoxColumns(
        np.array(corners, np.float64).reshape(-1, 4),
        np.array([i.score for i in items], np.float64),
        np.array([i.class_index for i in items], np.int64),
        np.array([i.tile for i in items], np.int64),
        np.array([i.kind == Kind.FRAGMENT for i in items], bool),
    )


def _rectangles(found: BoxColumns, class_names: tuple[str, ...]) -> Detections:
    """Return every box as an outline of four corners."""
    corners = found.boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
    return Detections(
        corners,
        np.arange(0, len(corners) + 1, 4, dtype=np.int64),
        found.scores.astype(np.float32),
        found.classes.astype(np.uint16),
        class_names,
    )
