"""A great many objects that have nearly all in common, as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation, Author, ObjectKind, refuse_unknown
from tilescope.domain.annotation_ids import id_texts

__all__ = ["AnnotationTable", "Traits"]


@dataclass(frozen=True, slots=True)
class Traits:
    """What objects have in common; the attributes are those of ``Annotation``.

    Attributes
    ----------
    measured
        The names of what is measured on each.

    Raises
    ------
    ValueError
        For an unknown kind or a negative plane.
    """

    kind: ObjectKind = "annotation"
    class_name: str | None = None
    name: str | None = None
    measured: tuple[str, ...] = ()
    locked: bool = False
    parent_id: str | None = None
    author: Author = field(default_factory=lambda: Author("user", ""))
    z: int = 0
    t: int = 0

    def __post_init__(self) -> None:
        refuse_unknown(self.kind, self.z, self.t)


@dataclass(frozen=True, slots=True, eq=False)
class AnnotationTable(Sequence[Annotation]):
    """Objects as columns; each becomes an ``Annotation`` when it is asked for.

    Attributes
    ----------
    ids
        ``uint8[n, 16]``: the UUIDs.
    geometry
        The WKB of each; ``Rings`` where that can be.
    traits
        What there is.
    trait_of
        ``int64[n]``: index into ``traits``.
    numbers
        ``float64[k]``: the measurements, object by object.

    Raises
    ------
    ValueError
        When the columns do not belong together.
    """

    ids: NDArray[np.uint8]
    geometry: Sequence[bytes]
    traits: Sequence[Traits]
    trait_of: NDArray[np.int64]
    numbers: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.geometry)
        if self.ids.shape != (n, 16) or self.trait_of.shape != (n,):
            raise ValueError(f"{n} shapes need as many ids and traits")
        if self.numbers.shape != (self.number_bounds[-1],):
            raise ValueError("the measurements are not those that the traits name")

    @property
    def number_bounds(self) -> NDArray[np.int64]:
        """``int64[n + 1]``: where in ``numbers`` those of each object begin, and where all end."""
        sizes = np.array([len(traits.measured) for traits in self.traits], np.int64)
        ends = np.cumsum(sizes[self.trait_of], dtype=np.int64)
        return np.concatenate([np.zeros(1, np.int64), ends])

    def __len__(self) -> int:
        return len(self.geometry)

    @overload
    def __getitem__(self, index: int) -> Annotation: ...
    @overload
    def __getitem__(self, index: slice) -> AnnotationTable: ...
    def __getitem__(self, index: int | slice) -> Annotation | AnnotationTable:
        if isinstance(index, slice):
            return self._part(*index.indices(len(self)))
        at = range(len(self))[index]
        return next(iter(self._part(at, at + 1, 1)))

    def _part(self, start: int, stop: int, step: int) -> AnnotationTable:
        if step != 1:
            raise ValueError("objects of a table are taken one after the other")
        stop = max(start, stop)
        bounds = self.number_bounds
        return AnnotationTable(
            self.ids[start:stop],
            self.geometry[start:stop],
            self.traits,
            self.trait_of[start:stop],
            self.numbers[bounds[start] : bounds[stop]],
        )

    def __iter__(self) -> Iterator[Annotation]:
        ids = id_texts(self.ids.tobytes())
        spans = pairwise(self.number_bounds.tolist())
        numbers = self.numbers.tolist()
        for i, geometry, which, (a, b) in zip(
            ids, self.geometry, self.trait_of.tolist(), spans, strict=True
        ):
            t = self.traits[which]
            yield Annotation(
                i,
                geometry,
                t.kind,
                t.class_name,
                t.name,
                dict(zip(t.measured, numbers[a:b], strict=True)),
                t.locked,
                t.parent_id,
                t.author,
                t.z,
                t.t,
            )
