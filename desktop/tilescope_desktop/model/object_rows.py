"""A table of objects: sorted and filtered by index, so that nothing is copied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation

#: Rows at most: of more objects the first are listed, which is said.
MOST_ROWS = 50_000
_MOST_COLUMNS = 40
CLASS, KIND, LOCK = "Class", "Kind", "Locked"
FIXED = (CLASS, KIND, LOCK)
_NO_CLASS = "Unclassified"


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

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def columns(self) -> tuple[str, ...]:
        """Titles of all columns."""
        return (*FIXED, *self.names)

    def text(self, row: int, column: int) -> str:
        """Return what a cell shows."""
        title = self.columns[column]
        if title == CLASS:
            return str(self.class_names[row])
        if title == KIND:
            return str(self.kinds[row])
        if title == LOCK:
            return "locked" if self.locked[row] else ""
        number = float(self.numbers[row, column - len(FIXED)])
        return "" if np.isnan(number) else f"{number:.4g}" if abs(number) < 1e4 else f"{number:.0f}"

    def table(self, rows: Iterable[int]) -> str:
        """Return rows under the titles as lines of cells with tabs between them."""
        lines = [self.columns]
        lines += [tuple(self.text(row, i) for i in range(len(self.columns))) for row in rows]
        # A line break or a tab within a name would begin another cell.
        return "".join("\t".join(" ".join(c.split()) for c in line) + "\n" for line in lines)

    def filtered(self, words: str) -> NDArray[np.intp]:
        """Return the rows whose class or kind has every word, ``int[m]``, in their order.

        Objects without a class are found as unclassified ones.
        """
        keep = np.ones(len(self), bool)
        wanted = words.casefold().split()
        if not wanted:
            return np.flatnonzero(keep)
        # There are few different ones; looking at every row would hold the window up.
        columns = [np.unique(c, return_inverse=True) for c in (self.class_names, self.kinds)]
        for word in wanted:
            hit = self.locked if word in "locked" else np.zeros(len(self), bool)
            for names, places in columns:
                has_it = np.array(
                    [word in (name or _NO_CLASS).casefold() for name in names.tolist()], bool
                )
                hit = hit | has_it[places]
            keep &= hit
        return np.flatnonzero(keep)

    def sorted(self, rows: NDArray[np.intp], column: int, *, descending: bool) -> NDArray[np.intp]:
        """Return rows in the order of a column; those without a number come last."""
        title = self.columns[column]
        fixed = {CLASS: self.class_names, KIND: self.kinds, LOCK: self.locked}
        if title in fixed:
            order = np.argsort(fixed[title][rows], kind="stable")
            return rows[order[::-1] if descending else order]
        numbers = self.numbers[rows, column - len(FIXED)]
        order = np.argsort(-numbers if descending else numbers, kind="stable")
        return rows[order]


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

    def rows(self, um_per_px: float | None) -> ObjectRows:
        """Return the table; areas that nobody measured are measured.

        Parameters
        ----------
        um_per_px
            Micrometres per level-0 pixel, of which the unit is.
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
        )
