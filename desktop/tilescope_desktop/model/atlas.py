"""All objects of a slide as dots, and the large ones as outlines: what is seen from far away.

Made piece by piece, so that whoever makes it can do something more urgent in between, and patched
when some objects were edited. A dot takes 17 bytes; a million objects are painted from them in some
hundredths of a second at any scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.store.dots import Dots
from tilescope.store.project import View
from tilescope.store.schema import LEAF_SIZE
from tilescope_desktop.model.object_style import ANNOTATION
from tilescope_desktop.model.view_parts import boxes_of

#: Larger objects keep their outline, and so does what people drew, but not more than so many.
_LARGE_PX = 160.0
_MOST_LARGE = 4000
_MOST_LARGE_CORNERS = 400_000
#: Smaller chunks are joined: every chunk costs some calls per picture.
_CHUNK = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Dots that mostly lie near each other.

    Attributes
    ----------
    leaves, ends
        ``int64[k]``: numbers of leaves, and before which dot each of them ends.
    centres
        ``float32[n, 2]``: middle of every object in level-0 pixels.
    sides
        ``float32[n]``: side of a square as large as its box.
    classes, kinds
        ``int32[n]`` and ``uint8[n]``, as in ``View``.
    bounds
        Left, top, right, bottom; outside of it there is none.
    """

    leaves: NDArray[np.int64]
    ends: NDArray[np.int64]
    centres: NDArray[np.float32]
    sides: NDArray[np.float32]
    classes: NDArray[np.int32]
    kinds: NDArray[np.uint8]
    bounds: tuple[float, float, float, float]

    @classmethod
    def of(
        cls,
        boxes: NDArray[np.floating],
        classes: NDArray[np.int32],
        kinds: NDArray[np.uint8],
        leaves: NDArray[np.int64] | None = None,
        ends: NDArray[np.int64] | None = None,
    ) -> Chunk:
        """Return the dots of objects by their boxes; they are in one leaf if none is named."""
        size = boxes[:, 2:] - boxes[:, :2]
        return cls(
            np.zeros(1, np.int64) if leaves is None else leaves,
            np.full(1, len(boxes), np.int64) if ends is None else ends,
            ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.float32),
            np.sqrt(size[:, 0] * size[:, 1]).astype(np.float32),
            classes,
            kinds,
            _bounds(boxes),
        )

    def __len__(self) -> int:
        return len(self.sides)

    def meets(self, rect_l0: Rect) -> bool:
        """Tell whether a dot may be in a rectangle."""
        left, top, right, bottom = self.bounds
        return (
            left <= rect_l0.x1
            and right >= rect_l0.x0
            and top <= rect_l0.y1
            and bottom >= rect_l0.y0
        )

    def count_in(self, rect_l0: Rect) -> int:
        """Return how many dots lie in a rectangle."""
        left, top, right, bottom = self.bounds
        if left >= rect_l0.x0 and right < rect_l0.x1 and top >= rect_l0.y0 and bottom < rect_l0.y1:
            return len(self)
        if not self.meets(rect_l0):
            return 0
        x, y = self.centres[:, 0], self.centres[:, 1]
        inside = (x >= rect_l0.x0) & (x < rect_l0.x1) & (y >= rect_l0.y0) & (y < rect_l0.y1)
        return int(np.count_nonzero(inside))

    def without(self, leaves: NDArray[np.int64]) -> Chunk:
        """Return the dots of other leaves."""
        stays = ~np.isin(self.leaves, leaves)
        if stays.all():
            return self
        sizes = np.diff(self.ends, prepend=0)
        keep = np.repeat(stays, sizes)
        return Chunk(
            self.leaves[stays],
            np.cumsum(sizes[stays]),
            self.centres[keep],
            self.sides[keep],
            self.classes[keep],
            self.kinds[keep],
            self.bounds,
        )

    def joined(self, other: Chunk) -> Chunk:
        """Return the dots of both."""
        near = map(min, self.bounds[:2], other.bounds[:2])
        far = map(max, self.bounds[2:], other.bounds[2:])
        left, top, right, bottom = *near, *far
        return Chunk(
            np.concatenate([self.leaves, other.leaves]),
            np.concatenate([self.ends, other.ends + len(self)]),
            np.concatenate([self.centres, other.centres]),
            np.concatenate([self.sides, other.sides]),
            np.concatenate([self.classes, other.classes]),
            np.concatenate([self.kinds, other.kinds]),
            (left, top, right, bottom),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """What is on a slide.

    Attributes
    ----------
    chunks
        The dots.
    class_names
        Names by number.
    large
        Objects that have outlines instead of a dot.
    large_boxes
        ``float32[m, 4]``: their boxes.
    is_whole
        Whether all objects are in it.
    """

    chunks: Sequence[Chunk] = ()
    class_names: Mapping[int, str | None] = field(default_factory=lambda: {0: None})
    large: View | None = None
    large_boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    is_whole: bool = False

    def __len__(self) -> int:
        return sum(map(len, self.chunks)) + len(self.large_boxes)

    def count_in(self, rect_l0: Rect) -> int:
        """Return about how many objects lie in a rectangle."""
        return sum(chunk.count_in(rect_l0) for chunk in self.chunks) + int(
            np.count_nonzero(self.large_in(rect_l0))
        )

    def large_in(self, rect_l0: Rect) -> NDArray[np.bool_]:
        """Tell which large objects meet a rectangle, ``bool[m]``."""
        boxes = self.large_boxes
        meets = (boxes[:, 0] <= rect_l0.x1) & (boxes[:, 2] >= rect_l0.x0)
        return meets & (boxes[:, 1] <= rect_l0.y1) & (boxes[:, 3] >= rect_l0.y0)


class Reader(Protocol):
    """Where the dots come from; see ``tilescope.store.dots.DotReader``."""

    def names(self) -> dict[int, str | None]:
        """Return the names of all classes by number."""
        ...

    def after(self, leaf: int) -> Dots:
        """Return the next leaves that hold objects; none at the end."""
        ...

    def of(self, leaves: NDArray[np.int64]) -> Dots:
        """Return leaves by number."""
        ...

    def outlines(self, rows: NDArray[np.int64]) -> View:
        """Return objects by row, those that are there."""
        ...


class AtlasMaker:
    """Makes an atlas piece by piece, and keeps it up to date.

    Parameters
    ----------
    reader
        Of the project; used in ``step`` and ``patch``.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._last = -1
        self._chunks: list[Chunk] = []
        self._large: list[_Large] = []
        self._late = np.zeros(0, np.int64)
        self._atlas: Atlas | None = None
        self._is_whole = False

    @property
    def is_whole(self) -> bool:
        """Whether every object is in it."""
        return self._is_whole

    def step(self) -> bool:
        """Look at some more objects; False when all are there."""
        if self._is_whole:
            return False
        dots = self._reader.after(self._last)
        self._atlas = None
        if not len(dots):
            self._is_whole = True
            self.patch(self._late)
            return False
        self._last = int(dots.leaves[-1])
        self._take(dots)
        return True

    def patch(self, leaves: NDArray[np.int64]) -> None:
        """Look again at leaves in which something was changed."""
        if not self._is_whole:
            # Some of them are to come, as they are now or as they were.
            self._late = np.union1d(self._late, leaves)
            return
        if not len(leaves):
            return
        self._atlas = None
        dots = self._reader.of(leaves)
        self._chunks = [one for one in (c.without(leaves) for c in self._chunks) if len(one)]
        self._large = [one for one in (p.without(leaves) for p in self._large) if len(one.rows)]
        self._take(dots)

    def atlas(self) -> Atlas:
        """Return what there is so far."""
        if self._atlas is None:
            self._atlas = self._made()
        return self._atlas

    def _made(self) -> Atlas:
        names = self._reader.names()
        if not self._large:
            return Atlas(tuple(self._chunks), names, is_whole=self._is_whole)
        outlined, others = _Large.joined(self._large).bounded()
        view = self._reader.outlines(np.sort(outlined.rows))
        dots = Chunk.of(others.boxes, others.classes, others.kinds)
        chunks = (*self._chunks, dots) if len(dots) else tuple(self._chunks)
        return Atlas(chunks, names, view, boxes_of(view), self._is_whole)

    def _take(self, dots: Dots) -> None:
        extent = (dots.boxes[:, 2:] - dots.boxes[:, :2]).max(axis=1, initial=0.0)
        is_large = (dots.kinds == ANNOTATION) | (extent > _LARGE_PX)
        large = np.flatnonzero(dots.there & is_large)
        if len(large):
            everything = _Large(dots.rows, dots.boxes, dots.corners, dots.classes, dots.kinds)
            self._large.append(everything.picked(large))
        keep = dots.there & ~is_large
        if not keep.any():
            return
        # How many are left of each leaf.
        ends = np.cumsum(keep)[np.maximum(dots.ends, 1) - 1]
        chunk = Chunk.of(dots.boxes[keep], dots.classes[keep], dots.kinds[keep], dots.leaves, ends)
        if self._chunks and len(self._chunks[-1]) + len(chunk) <= _CHUNK:
            chunk = self._chunks.pop().joined(chunk)
        self._chunks.append(chunk)


@dataclass(frozen=True, slots=True, eq=False)
class _Large:
    """Objects that should have an outline; columns as in ``Dots``."""

    rows: NDArray[np.int64]
    boxes: NDArray[np.float32]
    corners: NDArray[np.int64]
    classes: NDArray[np.int32]
    kinds: NDArray[np.uint8]

    @classmethod
    def joined(cls, parts: Sequence[_Large]) -> _Large:
        """Return the objects of one part or more."""
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.corners for part in parts]),
            np.concatenate([part.classes for part in parts]),
            np.concatenate([part.kinds for part in parts]),
        )

    def picked(self, index: NDArray[np.intp]) -> _Large:
        """Return objects by index."""
        return _Large(
            self.rows[index],
            self.boxes[index],
            self.corners[index],
            self.classes[index],
            self.kinds[index],
        )

    def without(self, leaves: NDArray[np.int64]) -> _Large:
        """Return the objects of other leaves."""
        return self.picked(np.flatnonzero(~np.isin(self.rows // LEAF_SIZE, leaves)))

    def bounded(self) -> tuple[_Large, _Large]:
        """Return the largest ones, and those that are too many to be painted."""
        extent = (self.boxes[:, 2:] - self.boxes[:, :2]).max(axis=1, initial=0.0)
        order = np.argsort(-extent, kind="stable")
        fits = np.cumsum(self.corners[order]) <= _MOST_LARGE_CORNERS
        fits[_MOST_LARGE:] = False
        return self.picked(order[fits]), self.picked(order[~fits])


def _bounds(boxes: NDArray[np.floating]) -> tuple[float, float, float, float]:
    if not len(boxes):
        return 0.0, 0.0, 0.0, 0.0
    left, top = boxes[:, :2].min(axis=0).tolist()
    right, bottom = boxes[:, 2:].max(axis=0).tolist()
    return left, top, right, bottom
