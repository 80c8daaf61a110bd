"""The objects of a slide as a table: sorted, filtered, found again by a double click."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from tilescope.domain.counts import counted
from tilescope.runtime.cancel import CancellationToken
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.object_rows import read_project, rows_of
from tilescope_desktop.bridge.work import Job, Work
from tilescope_desktop.model.object_classes import DEFAULT_CLASSES
from tilescope_desktop.model.object_rows import LOCK_COLUMN, ObjectRows
from tilescope_desktop.view.flying import fly_to
from tilescope_desktop.view.listing_panel import ListingPanel
from tilescope_desktop.view.object_model import ObjectModel, RowBefore
from tilescope_desktop.view.object_table import ObjectTable
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.swatch import SWATCH_PX
from tilescope_desktop.view.tool_bench import ToolBench
from tilescope_desktop.view.value_histogram import ValueHistogram

_ONE_ROW = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
#: A longer title is cut until its column is made wider.
_MOST_TITLE_PX = 160
_LOCK_PX = 30
_FILTER = "Filter: class, unclassified, kind, locked"


class ObjectPanel(ListingPanel):
    """A table of the objects of the slide in front.

    It is filled by a worker while it can be seen; ``shown`` tells that it is.
    """

    def __init__(
        self,
        bench: ToolBench,
        annotations: Annotations,
        front: Callable[[], SlideTab | None],
        work: Work,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(bench, annotations, front, work, parent)
        self._job: Job | None = None
        self.model = ObjectModel()
        self.table = ObjectTable()
        self.table.setModel(self.model)
        self.table.copied = self._copy
        self.table.marked = self._take_marks
        # In the project's order until a title is clicked, and so no title says otherwise.
        self.table.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.table.setSortingEnabled(True)
        # Else Qt looks at every selected row to find out which titles to mark.
        self.table.horizontalHeader().setSelectionModel(QItemSelectionModel(self.model, self))
        self.table.setAccessibleName("Objects")
        #: Choices made here that the project has not answered yet.
        self._asked = 0
        self._is_fitting = False
        #: Titles of columns whose width the user chose.
        self._widths: dict[str, int] = {}
        self.table.horizontalHeader().sectionResized.connect(self._note_width)
        self.table.activated.connect(self._fly)
        self.table.selectionModel().selectionChanged.connect(lambda _new, _old: self._choose())
        # Rows that are sorted or filtered anew are forgotten by the view.
        self._row_before: RowBefore | None = None
        self.model.modelAboutToBeReset.connect(self._note_row)
        self.model.modelReset.connect(self._stand_at_row)
        self.model.modelReset.connect(self._follow_selection)
        self.words = QLineEdit(placeholderText=_FILTER, clearButtonEnabled=True)
        self.words.setAccessibleName("Filter objects")
        self.words.textChanged.connect(self._filter)
        self.in_view = QCheckBox("In view")
        self.in_view.toggled.connect(self.reload)
        self.measure = QComboBox()
        self.measure.setAccessibleName("Measurement of the histogram")
        self.measure.currentTextChanged.connect(lambda _name: self._show_histogram())
        self.histogram = ValueHistogram()
        self._count = QLabel()
        self._lay_out()
        self.due.connect(self._load)
        self.outdated.connect(self._drop)
        annotations.selection_changed.connect(self._follow_selection)

    def follow_view(self) -> None:
        """Fill the table anew when it lists what is in view."""
        if self.in_view.isChecked():
            self.reload()

    def fly_to(self, row: int) -> None:
        """Show an object of the table, large."""
        tab, rows = self._front(), self.model.rows
        if tab is not None and rows is not None:
            z, t = rows.planes[row].tolist()
            fly_to(tab, tuple(rows.boxes[row].tolist()), (z, t))
            tab.view.setFocus()

    # -- inside -----------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.measure.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        side = QVBoxLayout()
        for widget in (self.words, self.in_view, self._count, self.measure):
            side.addWidget(widget)
        side.addWidget(self.histogram, 1)
        layout = QHBoxLayout(self)
        layout.addWidget(self.table, 3)
        layout.addLayout(side, 1)

    def _drop(self) -> None:
        """Show no row of another slide, nor what is read of it still."""
        self._stop()
        self._is_following = True
        self.model.drop_rows()
        self._is_following = False
        self._count.setText("")
        self._show_histogram()

    def _stop(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _load(self) -> None:
        self._stop()
        tab, project = self._front(), self._annotations.project
        slide = self._slide
        if tab is None or slide is None or slide.number is None or project is None:
            self._show(None)
            return
        if not self.isVisible() or self._annotations.is_lent:
            return
        view = tab.view.viewport if self.in_view.isChecked() else None
        desk, path, number, um = self._annotations.desk, project.path, slide.number, tab.um_per_px
        plane, counts = tab.planes.place, (tab.source.info.z, tab.source.info.t)
        self._start(
            lambda token: read_project(
                desk, path, lambda project: rows_of(project, number, um, token, view, plane, counts)
            )
        )

    def _start(self, read: Callable[[CancellationToken], ObjectRows]) -> None:
        self._job = self._work.start(
            "table", lambda token, _report: read(token), self._show, self._annotations.failed.emit
        )

    def _show(self, rows: ObjectRows | None) -> None:
        self.model.style = self._annotations.style
        self._is_following = True
        self.model.show_rows(rows)
        self._is_following = False
        self._fit_columns()
        names = () if rows is None else rows.names
        letters = () if rows is None else rows.plane_letters
        self.words.setPlaceholderText(", ".join([_FILTER, *(f"{letter}1" for letter in letters)]))
        if [self.measure.itemText(i) for i in range(self.measure.count())] != list(names):
            self.measure.clear()
            self.measure.addItems(list(names))
        self._show_count()
        self._show_histogram()
        self._follow_selection()
        self.shown.emit()

    def _fit_columns(self) -> None:
        """Make columns as wide as what they show, but those that the user made wide or narrow."""
        rows, header = self.model.rows, self.table.horizontalHeader()
        if rows is None:
            return
        metrics = self.table.fontMetrics()
        # A name that is longer than those of a new project is cut.
        most_class_px = max(self.table.width_of(one.name, SWATCH_PX) for one in DEFAULT_CLASSES)
        self._is_fitting = True
        for column, title in enumerate(rows.columns):
            widest = max(rows.widest(column), key=metrics.horizontalAdvance, default="")
            wide = self.table.width_of(widest, SWATCH_PX if column == 0 else 0)
            if column == 0:
                wide = min(wide, most_class_px)
            hint = _LOCK_PX if column == LOCK_COLUMN else header.sectionSizeHint(column)
            wide = max(wide, min(hint, _MOST_TITLE_PX))
            header.resizeSection(column, self._widths.get(title, wide))
        self._is_fitting = False

    def _note_width(self, column: int, _before: int, width: int) -> None:
        rows = self.model.rows
        if not self._is_fitting and rows is not None and column < len(rows.columns):
            self._widths[rows.columns[column]] = width

    def _show_count(self) -> None:
        rows, count = self.model.rows, len(self.model.order)
        if rows is None:
            self._count.setText("")
        elif rows.total > len(rows):
            self._count.setText(f"{count:,} of the first {counted(len(rows), 'object')}")
        else:
            self._count.setText(f"{count:,} of {counted(len(rows), 'object')}")

    def _show_histogram(self) -> None:
        rows, name = self.model.rows, self.measure.currentText()
        if rows is None or name not in rows.names:
            self.histogram.show_values(np.zeros(0))
            return
        self.histogram.show_values(rows.numbers[self.model.order, rows.names.index(name)])

    def _filter(self, words: str) -> None:
        self.model.filter(words)
        self._show_count()
        self._show_histogram()

    def _chosen(self) -> NDArray[np.intp]:
        """Return the places of the selected rows, ``int[n]``, ascending."""
        # Asking Qt for the rows makes an object of each, which takes seconds for many.
        spans = self.table.selectionModel().selection()
        parts = [spans.at(number) for number in range(spans.count())]
        places = [np.arange(part.top(), part.bottom() + 1) for part in parts]
        return np.unique(np.concatenate([np.zeros(0, np.intp), *places]))

    def _copy(self) -> None:
        places = self._chosen()
        if len(places):
            QGuiApplication.clipboard().setText(self.model.table(places))

    def _fly(self, index: QModelIndex) -> None:
        self.fly_to(self.model.object_row(index))

    def _note_row(self) -> None:
        self._row_before = self.model.row_before(self.table.currentIndex())

    def _stand_at_row(self) -> None:
        """Go on from the object that the keys were on, or from the next that is still listed."""
        if self._row_before is None:
            return
        row, is_gone = self.model.place_now(self._row_before)
        if row >= 0:
            self.table.stand_at(row, is_beside_gap=is_gone)

    def _take_marks(self) -> None:
        """Select what the user marked, and nothing that is not listed, if marks stayed the same."""
        # Every choice that is on its way is that of the rows that are marked.
        if not self._asked and set(self._chosen_ids()) != set(self._annotations.selected_ids):
            self._choose()

    def _chosen_ids(self) -> list[str]:
        rows = self.model.rows
        if rows is None:
            return []
        return [rows.ids[row] for row in self.model.order[self._chosen()].tolist()]

    def _choose(self) -> None:
        slide = self._listed_slide
        if self._is_following or self.model.rows is None or slide is None:
            return
        ids = self._chosen_ids()
        annotations = self._annotations
        if not ids:
            annotations.select_nothing()  # at once: a key that follows means nothing
        if annotations.project is not None and not annotations.is_lent:
            self._asked += 1
            annotations.select(slide, ids)
            annotations.desk.ask(lambda _project: None, self._note_answer, self._note_answer)
        self._follow_selection()

    def _note_answer(self, _answer: object) -> None:
        self._asked -= 1
        self._follow_selection()

    def _follow_selection(self) -> None:
        """Mark the rows of what is selected, and bring that of one object into sight."""
        # While a choice made here is on its way, an earlier one may be answered.
        if self._is_following or self._asked or not self.isVisible():
            return
        places = self.model.places_of(self._annotations.selected_ids)
        if np.array_equal(places, self._chosen()):
            return
        self._is_following = True
        marks = self.table.selectionModel()
        if len(self._annotations.selected_ids) == len(places) == 1:
            # Not by ``selectRow``, which adds to what is selected while Ctrl is held.
            marks.setCurrentIndex(self.model.index(int(places[0]), 0), _ONE_ROW)
        else:
            # Qt compares every span that is marked with every one that was.
            marks.clearSelection()
            marks.select(self.model.spans(places), QItemSelectionModel.SelectionFlag.Select)
        self._is_following = False
