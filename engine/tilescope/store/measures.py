"""What is measured on objects, on its way into the tables and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isnan

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.annotation_table import AnnotationTable
from tilescope.errors import UsageError

_MAX_NAMES = 1000
"""Measurements per leaf; bounds the memory that undoing their change takes."""

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """The measurements of some objects.

    Attributes
    ----------
    names
        The names that there are together; no two the same.
    names_of
        ``int64[n]``: index into ``names``.
    numbers
        ``float64[k]``: the numbers of one object after the other.
    """

    names: Sequence[Names]
    names_of: NDArray[np.int64]
    numbers: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.names_of)

    @classmethod
    def of(cls, objects: Iterable[Mapping[str, float]]) -> Measures:
        """Return the measurements of objects."""
        names: dict[Names, int] = {}
        names_of: list[int] = []
        numbers: list[float] = []
        for given in objects:
            names_of.append(names.setdefault(tuple(given), len(names)))
            numbers.extend(given.values())
        return cls([*names], np.array(names_of, np.int64), np.array(numbers, np.float64))

    @classmethod
    def of_table(cls, table: AnnotationTable) -> Measures:
        """Return the measurements of the objects of a table."""
        names: dict[Names, int] = {}
        index = [names.setdefault(traits.measured, len(names)) for traits in table.traits]
        return cls([*names], np.array(index, np.int64)[table.trait_of], table.numbers)

    @classmethod
    def joined(cls, parts: Sequence[Measures]) -> Measures:
        """Return the measurements of all parts, one after the other."""
        names: dict[Names, int] = {}
        names_of = []
        for part in parts:
            index = [names.setdefault(own, len(names)) for own in part.names]
            names_of.append(np.array(index, np.int64)[part.names_of])
        return cls([*names], np.concatenate(names_of), np.concatenate([p.numbers for p in parts]))

    def groups(
        self, order: NDArray[np.int64], bounds: NDArray[np.int64]
    ) -> list[tuple[Names, bytes] | None]:
        """Return names and ``float64[m, k]`` of groups of objects, None where nothing is measured.

        A number that an object lacks is NaN.

        Parameters
        ----------
        order
            ``int64[n]``: the objects, group by group.
        bounds
            ``int64[g + 1]``: group ``i`` is ``order[bounds[i]:bounds[i + 1]]``.

        Raises
        ------
        UsageError
            When a number is not finite (absent numbers are left out instead), or there are too
            many.
        """
        if not np.isfinite(self.numbers).all():
            raise UsageError("a measurement is not a finite number; leave it out instead")
        if len(self.names) > 1:
            starts = self._starts()
            return [self._group(order[a:b], starts) for a, b in pairwise(bounds.tolist())]
        names = _checked(self.names[0])
        if not names:
            return [None] * (len(bounds) - 1)
        data = self.numbers.reshape(-1, len(names))[order].astype("<f8").tobytes()
        ends = (bounds * (8 * len(names))).tolist()
        return [(names, data[a:b]) for a, b in pairwise(ends)]

    def _starts(self) -> NDArray[np.int64]:
        sizes = np.array([len(names) for names in self.names], np.int64)[self.names_of]
        starts: NDArray[np.int64] = np.cumsum(sizes) - sizes
        return starts

    def _group(
        self, members: NDArray[np.int64], starts: NDArray[np.int64]
    ) -> tuple[Names, bytes] | None:
        own = [self.names[i] for i in self.names_of[members].tolist()]
        names = _checked(tuple(dict.fromkeys(name for names in own for name in names)))
        if not names:
            return None
        place = {name: i for i, name in enumerate(names)}
        table = np.full((len(own), len(names)), np.nan, "<f8")
        for row, start, known in zip(table, starts[members].tolist(), own, strict=True):
            row[[place[name] for name in known]] = self.numbers[start : start + len(known)]
        return names, table.tobytes()


def _checked(names: Names) -> Names:
    if len(names) > _MAX_NAMES:
        raise UsageError(f"an object has more than {_MAX_NAMES} measurements")
    return names


def measures_of(names: Names, numbers: bytes) -> list[dict[str, float]]:
    """Return what is measured on every object of a leaf."""
    table = np.frombuffer(numbers, "<f8").reshape(-1, len(names))
    if np.isnan(table).any():
        return [
            {name: value for name, value in zip(names, row, strict=True) if not isnan(value)}
            for row in table.tolist()
        ]
    return [dict(zip(names, row, strict=True)) for row in table.tolist()]
