"""All objects of a slide as dots, and the large ones as outlines: what is seen from far away.

Made piece by piece, so that whoever makes it can do something more urgent in between. A dot takes
17 bytes; a million objects are painted from them in some milliseconds at any scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.store.project import View
from tilescope_desktop.model.object_style import ANNOTATION
from tilescope_desktop.model.view_parts import boxes_of, joined, selected

#: Objects that are looked at together.
_PIECE = 12_000
#: Larger objects keep their outline, and so does what people drew, but not more than so many.
_LARGE_PX = 160.0
_MOST_LARGE = 4000
_MOST_LARGE_POINTS = 400_000
#: Objects may lie beside the slide.
_FAR = 2**30


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """What is on a slide.

    Attributes
    ----------
    centres
        ``float32[n, 2]``: middle of every object in level-0 pixels.
    sides
        ``float32[n]``: side of a square as large as its box.
    classes, kinds
        ``int32[n]`` and ``uint8[n]``, as in ``View``.
    class_names
        Names by number.
    large
        Objects that have outlines instead of a dot.
    is_whole
        Whether all objects are in it.
    """

    centres: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    sides: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    classes: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    kinds: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    class_names: Mapping[int, str | None] = field(default_factory=lambda: {0: None})
    large: View | None = None
    is_whole: bool = False

    def count_in(self, rect_l0: Rect) -> int:
        """Return about how many objects lie in a rectangle."""
        x, y = self.centres[:, 0], self.centres[:, 1]
        inside = (x >= rect_l0.x0) & (x < rect_l0.x1) & (y >= rect_l0.y0) & (y < rect_l0.y1)
        return int(np.count_nonzero(inside)) + (0 if self.large is None else len(self.large))


class AtlasMaker:
    """Makes an atlas piece by piece.

    Parameters
    ----------
    look
        Returns what lies in a rectangle, and has no limit.
    size
        Of the slide; objects may lie beside it.
    count
        About how many objects there are.
    """

    def __init__(self, look: Callable[[Rect], View], size: Size, count: int) -> None:
        self._look = look
        self._parts: list[Atlas] = []
        self._large: list[View] = []
        self._names: Mapping[int, str | None] = {0: None}
        per_side = max(1, math.ceil(math.sqrt(count / _PIECE)))
        columns, rows = _cuts(size.width, per_side), _cuts(size.height, per_side)
        self._pieces: Iterator[Rect] = iter(
            [Rect(x0, y0, x1, y1) for y0, y1 in pairwise(rows) for x0, x1 in pairwise(columns)]
        )
        self._is_whole = False

    def step(self) -> bool:
        """Look at one more piece; False when all are done."""
        piece = next(self._pieces, None)
        if piece is None:
            self._is_whole = True
            return False
        view = self._look(piece)
        self._names = {**self._names, **view.class_names}
        if len(view):
            self._take(view, piece)
        return True

    def atlas(self) -> Atlas:
        """Return what there is so far."""
        parts = self._parts
        large, small = _bounded(joined(self._large, self._names))
        if small is not None:
            parts = [*parts, _dots(small)]
        return Atlas(
            np.concatenate([Atlas().centres, *(part.centres for part in parts)]),
            np.concatenate([Atlas().sides, *(part.sides for part in parts)]),
            np.concatenate([Atlas().classes, *(part.classes for part in parts)]),
            np.concatenate([Atlas().kinds, *(part.kinds for part in parts)]),
            self._names,
            large,
            self._is_whole,
        )

    def _take(self, view: View, piece: Rect) -> None:
        boxes = boxes_of(view)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        # An object that lies in several pieces belongs to the one that holds its middle.
        own = (middle[:, 0] >= piece.x0) & (middle[:, 0] < piece.x1)
        own &= (middle[:, 1] >= piece.y0) & (middle[:, 1] < piece.y1)
        extent = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        is_large = (view.kinds == ANNOTATION) | (extent > _LARGE_PX)
        self._parts.append(_dots(selected(view, own & ~is_large)))
        if (own & is_large).any():
            self._large.append(selected(view, own & is_large))


def _dots(view: View) -> Atlas:
    boxes = boxes_of(view)
    size = boxes[:, 2:] - boxes[:, :2]
    sides = np.sqrt(size[:, 0] * size[:, 1])
    return Atlas(
        ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.float32), sides, view.classes, view.kinds
    )


def _bounded(view: View) -> tuple[View, View | None]:
    """Return the largest objects, and the others if those are too many to be painted."""
    points = np.diff(view.ring_offsets[view.object_offsets])
    if len(view) <= _MOST_LARGE and points.sum() <= _MOST_LARGE_POINTS:
        return view, None
    boxes = boxes_of(view)
    order = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).max(axis=1), kind="stable")
    fits = np.cumsum(points[order]) <= _MOST_LARGE_POINTS
    keep = np.zeros(len(view), bool)
    keep[order[fits][:_MOST_LARGE]] = True
    return selected(view, keep), selected(view, ~keep)


def _cuts(length: int, count: int) -> Sequence[int]:
    inner = [round(length * i / count) for i in range(1, count)]
    return [-_FAR, *sorted({cut for cut in inner if 0 < cut < length}), _FAR]
