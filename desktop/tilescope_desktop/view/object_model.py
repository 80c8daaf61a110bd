"""A table of objects as Qt wants it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionRange,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
)
from PySide6.QtGui import QGuiApplication, QIcon

from tilescope_desktop.model.object_rows import FIXED, LOCK_COLUMN, ObjectRows
from tilescope_desktop.model.object_style import ObjectStyle
from tilescope_desktop.view.lock_mark import lock_icon
from tilescope_desktop.view.swatch import swatch

Index = QModelIndex | QPersistentModelIndex
_ROLE = Qt.ItemDataRole
#: What is said in words of every cell, also of a lock and of a name that is cut.
_WORDS = (_ROLE.AccessibleTextRole, _ROLE.ToolTipRole)


@dataclass(frozen=True, slots=True, eq=False)
class RowBefore:
    """A row of what was listed before.

    Attributes
    ----------
    rows, order
        What was listed, and the row of that for each that was shown.
    row
        The one that is meant of those that were shown.
    """

    rows: ObjectRows
    order: NDArray[np.intp]
    row: int


class ObjectModel(QAbstractTableModel):
    """Rows of objects; sorting and filtering change which rows stand where."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: ObjectRows | None = None
        self._order: NDArray[np.intp] = np.zeros(0, np.intp)
        self._words = ""
        self._sorting: tuple[int, bool] | None = None
        self.style = ObjectStyle()
        self._swatches: dict[tuple[int, int, int], QIcon] = {}
        self._locks: tuple[int, QIcon] | None = None

    @property
    def rows(self) -> ObjectRows | None:
        """The table behind, in its own order."""
        return self._rows

    @property
    def order(self) -> NDArray[np.intp]:
        """The row of the table behind for each row that is shown."""
        return self._order

    def show_rows(self, rows: ObjectRows | None) -> None:
        """Show another table, sorted and filtered as the one before."""
        self.beginResetModel()
        self._rows = rows
        self._arrange()
        self.endResetModel()

    def drop_rows(self) -> None:
        """Show no rows, under the titles of the table before until there is another."""
        self.show_rows(None if self._rows is None else self._rows.emptied())

    def filter(self, words: str) -> None:
        """Show the rows that have every word."""
        self.beginResetModel()
        self._words = words
        self._arrange()
        self.endResetModel()

    def table(self, places: NDArray[np.intp]) -> str:
        """Return shown rows as text, with titles, for a table of another program."""
        return "" if self._rows is None else self._rows.table(self._order[places])

    def places_of(self, ids: Collection[str]) -> NDArray[np.intp]:
        """Return where objects are listed, ``int[n]``, ascending; some may not be."""
        if self._rows is None or not ids:
            return np.zeros(0, np.intp)
        wanted = set(ids)
        is_wanted = np.array([name in wanted for name in self._rows.ids], bool)
        return np.flatnonzero(is_wanted[self._order])

    def row_before(self, index: Index) -> RowBefore | None:
        """Return a row, to find it again when others are shown."""
        if self._rows is None or not 0 <= index.row() < len(self._order):
            return None
        return RowBefore(self._rows, self._order, index.row())

    def place_now(self, before: RowBefore) -> tuple[int, bool]:
        """Return where the object of a row is shown, or else the next one that still is.

        The row is -1 if nothing is shown; the second value tells whether the object is gone.
        """
        ids = before.rows.ids
        found = self.places_of((ids[before.order[before.row]],))
        if len(found):
            return int(found[0]), False
        above = len(self.places_of({ids[row] for row in before.order[: before.row].tolist()}))
        return min(above, len(self._order) - 1), True

    def spans(self, places: NDArray[np.intp]) -> QItemSelection:
        """Return whole rows, by ascending places, as the stretches that they make up."""
        selection, last = QItemSelection(), self.columnCount() - 1
        for part in np.split(places, np.flatnonzero(np.diff(places) != 1) + 1):
            if len(part):
                first, end = int(part[0]), int(part[-1])
                selection.append(QItemSelectionRange(self.index(first, 0), self.index(end, last)))
        return selection

    def object_row(self, index: Index) -> int:
        """Return the row of the table behind."""
        return int(self._order[index.row()])

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: N802, B008 - Qt's name
        """Return how many rows are shown; called by Qt."""
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: N802, B008 - Qt's name
        """Return how many columns there are; called by Qt."""
        if parent.isValid():
            return 0
        return len(FIXED) if self._rows is None else len(self._rows.columns)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = _ROLE.DisplayRole
    ) -> object:
        """Return the title of a column; called by Qt."""
        columns = FIXED if self._rows is None else self._rows.columns
        if orientation != Qt.Orientation.Horizontal or section >= len(columns):
            return None
        if role == _ROLE.DecorationRole and section == LOCK_COLUMN:
            return self._lock()
        is_title = role == _ROLE.DisplayRole and section != LOCK_COLUMN
        return columns[section] if is_title or role in _WORDS else None

    def data(self, index: Index, role: int = _ROLE.DisplayRole) -> object:
        """Return what a cell shows; called by Qt."""
        if self._rows is None or not index.isValid() or index.row() >= len(self._order):
            return None
        row = int(self._order[index.row()])
        if role in _WORDS:
            return self._rows.text(row, index.column())
        if role == _ROLE.DisplayRole:
            is_lock = index.column() == LOCK_COLUMN
            return "" if is_lock else self._rows.text(row, index.column())
        if role == _ROLE.DecorationRole:
            return self._icon(self._rows, row, index.column())
        if role == _ROLE.TextAlignmentRole and index.column() >= len(FIXED):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def _icon(self, rows: ObjectRows, row: int, column: int) -> QIcon | None:
        if column == 0:
            return self._swatch(str(rows.class_names[row]) or None)
        return self._lock() if column == LOCK_COLUMN and rows.locked[row] else None

    def _swatch(self, class_name: str | None) -> QIcon:
        color = self.style.color_of(class_name)
        if color not in self._swatches:
            self._swatches[color] = swatch(color)
        return self._swatches[color]

    def _lock(self) -> QIcon:
        theme = QGuiApplication.palette().cacheKey()
        if self._locks is None or self._locks[0] != theme:
            self._locks = theme, lock_icon()
        return self._locks[1]

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Order the rows by a column; called by Qt."""
        self.beginResetModel()
        self._sorting = (column, order == Qt.SortOrder.DescendingOrder)
        self._arrange()
        self.endResetModel()

    def _arrange(self) -> None:
        if self._rows is None:
            self._order = np.zeros(0, np.intp)
            return
        self._order = self._rows.filtered(self._words)
        if self._sorting is not None and 0 <= self._sorting[0] < len(self._rows.columns):
            column, descending = self._sorting
            self._order = self._rows.sorted(self._order, column, descending=descending)
