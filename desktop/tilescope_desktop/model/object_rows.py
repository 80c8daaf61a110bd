"""A table of objects: sorted and filtered by index, so that nothing is copied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation

#: Rows at most: of more objects the first are listed, which is said.
MOST_ROWS = 50_000
_MOST_COLUMNS = 40
_TEXTS = ("Class", "Kind")
FIXED = (*_TEXTS, "Locked")
LOCK_COLUMN = len(_TEXTS)
_PLANE_TITLES = ("Focal plane", "Time")
#: What a word of the filter begins with that says one of them.
_PLANE_LETTERS = ("z", "t")
_NO_CLASS = "Unclassified"
#: As wide as numbers of four digits are that are neither large nor small.
_WIDE_NUMBER = "0.1234"


@dataclass(frozen=True, slots=True, eq=False)
class ObjectRows:
    """Objects and what is measured on them.

    Attributes
    ----------
    ids, class_names, kinds
        One text per object; the class is empty for none.
    locked
        ``bool[n]``.
    boxes
        ``float64[n, 4]``: left, top, right, bottom in level-0 pixels.
    planes
        ``int64[n, 2]``: z and t.
    names
        Names of the measurements.
    numbers
        ``float64[n, k]``; NaN where an object lacks one.
    total
        Objects there are, of which the rows may be the first.
    plane_counts
        Focal planes and time points of the slide; of each that it has several of there is a
        column, which counts from 1 as the window does.
    """

    ids: tuple[str, ...]
    class_names: NDArray[np.str_]
    kinds: NDArray[np.str_]
    locked: NDArray[np.bool_]
    boxes: NDArray[np.float64]
    planes: NDArray[np.int64]
    names: tuple[str, ...]
    numbers: NDArray[np.float64]
    total: int
    plane_counts: tuple[int, int] = (1, 1)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def columns(self) -> tuple[str, ...]:
        """Titles of all columns."""
        return (*self._fixed, *self.names)

    @property
    def _fixed(self) -> tuple[str, ...]:
        """Titles of the columns that are no measurements."""
        return (*FIXED, *(_PLANE_TITLES[axis] for axis in self._axes))

    @property
    def _axes(self) -> tuple[int, ...]:
        """Columns of ``planes`` along which there are several."""
        return tuple(axis for axis, count in enumerate(self.plane_counts) if count > 1)

    @property
    def plane_letters(self) -> tuple[str, ...]:
        """What a word of the filter begins with that says where an object lies: ``z3``."""
        return tuple(_PLANE_LETTERS[axis] for axis in self._axes)

    def text(self, row: int, column: int) -> str:
        """Return what a cell shows."""
        return self._texts(np.array([row]), column)[0]

    def widest(self, column: int) -> tuple[str, ...]:
        """Return texts of a column, the widest of which is about as wide as any."""
        if column < len(_TEXTS):
            names = self.class_names if column == 0 else self.kinds
            return tuple(set(names.tolist()))
        if column < len(self._fixed):
            return ()  # all of them are narrower than the title
        numbers = self.numbers[:, column - len(self._fixed)]
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            return ()
        ends = (numbers.min(), numbers.max(), numbers[np.abs(numbers).argmin()])
        return (_WIDE_NUMBER, *(_number_text(float(number)) for number in ends))

    def table(self, rows: Sequence[int] | NDArray[np.intp]) -> str:
        """Return rows under the titles as lines of cells with tabs between them."""
        places = np.asarray(rows, np.intp)
        cells = [self._texts(places, column) for column in range(len(self.columns))]
        # A line break or a tab within a name would begin another cell.
        plain = {name: _in_one_line(name) for name in np.unique(self.class_names).tolist()}
        cells[0] = [plain[name] for name in cells[0]]
        titles = "\t".join(_in_one_line(title) for title in self.columns)
        return "\n".join([titles, *map("\t".join, zip(*cells, strict=True)), ""])

    def emptied(self) -> ObjectRows:
        """Return the same table without any row."""
        return replace(
            self,
            ids=(),
            class_names=self.class_names[:0],
            kinds=self.kinds[:0],
            locked=self.locked[:0],
            boxes=self.boxes[:0],
            planes=self.planes[:0],
            numbers=self.numbers[:0],
            total=0,
        )

    def _texts(self, rows: NDArray[np.intp], column: int) -> list[str]:
        """Return what the cells of a column show."""
        planes = [self.planes[:, axis] for axis in self._axes]
        fixed = [self.class_names, self.kinds, self.locked, *planes]
        if column >= len(fixed):
            numbers = self.numbers[rows, column - len(fixed)]
            return [_number_text(number) for number in numbers.tolist()]
        values: list[Any] = fixed[column][rows].tolist()
        if column < len(_TEXTS):
            return values
        if column < len(FIXED):
            return ["locked" if is_locked else "" for is_locked in values]
        return [str(plane + 1) for plane in values]

    def filtered(self, words: str) -> NDArray[np.intp]:
        """Return the rows whose class or kind has every word, ``int[m]``, in their order.

        Objects without a class are found as unclassified ones, those of a plane as ``z3``.
        """
        keep = np.ones(len(self), bool)
        wanted = words.casefold().split()
        if not wanted:
            return np.flatnonzero(keep)
        # There are few different ones; looking at every row would hold the window up.
        columns = [np.unique(c, return_inverse=True) for c in (self.class_names, self.kinds)]
        for word in wanted:
            hit = self.locked if word in "locked" else np.zeros(len(self), bool)
            for axis in self._axes:
                if word[0] == _PLANE_LETTERS[axis] and word[1:].isdecimal():
                    # Of more digits than any plane has there is an infinity, where int refuses.
                    hit = hit | (self.planes[:, axis] + 1 == float(word[1:]))
            for names, places in columns:
                has_it = np.array(
                    [word in (name or _NO_CLASS).casefold() for name in names.tolist()], bool
                )
                hit = hit | has_it[places]
            keep &= hit
        return np.flatnonzero(keep)

    def sorted(self, rows: NDArray[np.intp], column: int, *, descending: bool) -> NDArray[np.intp]:
        """Return rows in the order of a column; those without a number come last."""
        planes = [self.planes[:, axis] for axis in self._axes]
        fixed = [self.class_names, self.kinds, self.locked, *planes]
        if column < len(fixed):
            order = np.argsort(fixed[column][rows], kind="stable")
            return rows[order[::-1] if descending else order]
        numbers = self.numbers[rows, column - len(self._fixed)]
        order = np.argsort(-numbers if descending else numbers, kind="stable")
        return rows[order]


def _number_text(number: float) -> str:
    if math.isnan(number):
        return ""
    return f"{number:.4g}" if abs(number) < 1e4 else f"{number:.0f}"


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


class RowsMaker:
    """Makes a table from batches."""

    def __init__(self, unit: str, total: int) -> None:
        self._area = f"Area {unit}^2"
        self._total = total
        self._objects: list[Annotation] = []

    @property
    def room(self) -> int:
        """How many more rows there may be."""
        return MOST_ROWS - len(self._objects)

    def add(self, batch: Sequence[Annotation]) -> None:
        """Add objects, as far as there is room."""
        self._objects.extend(batch[: self.room])

    def rows(self, um_per_px: float | None, plane_counts: tuple[int, int] = (1, 1)) -> ObjectRows:
        """Return the table; areas that nobody measured are measured.

        Parameters
        ----------
        um_per_px
            Micrometres per level-0 pixel, of which the unit is.
        plane_counts
            Focal planes and time points of the slide.
        """
        found = self._objects
        n = len(found)
        shapes = shapely.from_wkb(np.array([a.geometry for a in found], object))
        counted: dict[str, int] = {}
        for one in found:
            for name in one.measurements:
                counted[name] = counted.get(name, 0) + 1
        has_area = bool(n) and bool((shapely.get_dimensions(shapes) == 2).any())
        first = [self._area] if has_area else []
        common = sorted(counted, key=lambda name: -counted[name])
        names = tuple(dict.fromkeys([*first, *common]))[:_MOST_COLUMNS]
        numbers = np.full((n, len(names)), np.nan)
        places = {name: index for index, name in enumerate(names)}
        if has_area:
            areas = shapely.area(shapes) * (um_per_px or 1.0) ** 2
            numbers[:, 0] = np.where(areas > 0, areas, np.nan)
        for row, one in enumerate(found):
            for name, value in one.measurements.items():
                if name in places:
                    numbers[row, places[name]] = value
        return ObjectRows(
            tuple(one.id for one in found),
            np.array([one.class_name or "" for one in found], str),
            np.array([one.kind for one in found], str),
            np.array([one.locked for one in found], bool),
            shapely.bounds(shapes).reshape(-1, 4),
            np.array([(one.z, one.t) for one in found], np.int64).reshape(-1, 2),
            names,
            numbers,
            max(self._total, n),
            plane_counts,
        )
