"""Results as columns: a million nuclei as Python objects would take 2.5 times the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which weights made a result; stamped on every one."""

    id: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Outlined objects in level-0 pixels.

    Attributes
    ----------
    rings
        ``float64[m, 2]``: the outlines of all objects one after the other, x then y, not closed
        (the first vertex is not repeated), positive orientation in a y-down frame.
    offsets
        ``int64[n + 1]``: object ``i`` owns ``rings[offsets[i]:offsets[i + 1]]``.
    scores
        ``float32[n]`` between 0 and 1.
    classes
        ``uint16[n]``: index into ``class_names``.
    class_names
        Names of the model's classes.
    """

    rings: NDArray[np.float64]
    offsets: NDArray[np.int64]
    scores: NDArray[np.float32]
    classes: NDArray[np.uint16]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.scores)
        if len(self.offsets) != n + 1 or len(self.classes) != n:
            msg = f"{len(self.offsets)} offsets and {len(self.classes)} classes for {n} objects"
            raise ValueError(msg)
        if self.rings.ndim != 2 or self.rings.shape[1] != 2 or self.offsets[-1] != len(self.rings):
            msg = f"rings of shape {self.rings.shape} do not end at offset {self.offsets[-1]}"
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.scores)

    def ring(self, index: int) -> NDArray[np.float64]:
        """Return the outline of one object, ``float64[k, 2]``."""
        return self.rings[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[NDArray[np.float64]]:
        return (self.ring(i) for i in range(len(self)))

    @classmethod
    def empty(cls, class_names: tuple[str, ...]) -> Self:
        """Return no objects."""
        return cls(
            np.zeros((0, 2)),
            np.zeros(1, np.int64),
            np.zeros(0, np.float32),
            np.zeros(0, np.uint16),
            class_names,
        )

    @classmethod
    def of(
        cls,
        rings: Sequence[NDArray[np.float64]],
        scores: NDArray[np.float32],
        classes: NDArray[np.uint16],
        class_names: tuple[str, ...],
    ) -> Self:
        """Return the objects with one outline each."""
        lengths = np.fromiter((len(r) for r in rings), np.int64, len(rings))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        points = np.concatenate(rings) if len(rings) else np.zeros((0, 2))
        return cls(
            np.ascontiguousarray(points, np.float64),
            offsets.astype(np.int64),
            np.asarray(scores, np.float32),
            np.asarray(classes, np.uint16),
            class_names,
        )

    def boxes(self) -> NDArray[np.float64]:
        """Return ``float64[n, 4]``: x0, y0, x1, y1 of every outline."""
        if not len(self):
            return np.zeros((0, 4))
        low = np.minimum.reduceat(self.rings, self.offsets[:-1])
        high = np.maximum.reduceat(self.rings, self.offsets[:-1])
        return np.concatenate([low, high], axis=1)

    def select(self, index: NDArray[np.intp]) -> Self:
        """Return the objects at ``index``, in that order."""
        rings = [self.ring(int(i)) for i in index]
        return type(self).of(rings, self.scores[index], self.classes[index], self.class_names)
