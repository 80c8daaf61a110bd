"""A table of whole rows that tells what the user marks in it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import (
    QEvent,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QSize,
    Qt,
)
from PySide6.QtGui import QKeyEvent, QKeySequence, QMouseEvent
from PySide6.QtWidgets import QAbstractItemView, QStyle, QStyleOptionViewItem, QTableView

_Flag = QItemSelectionModel.SelectionFlag
_Feature = QStyleOptionViewItem.ViewItemFeature
Index = QModelIndex | QPersistentModelIndex


class ObjectTable(QTableView):
    """Copies whole rows, where a table of Qt copies the one cell that the keys are on.

    ``marked`` is called after each press or key that marks rows, also where they were marked
    before: of that the selection model says nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setTabKeyNavigation(False)  # which goes on to the next control
        self.setAlternatingRowColors(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(22)
        self.setWordWrap(False)  # so that a name that is cut ends in dots
        self.horizontalHeader().setTextElideMode(Qt.TextElideMode.ElideRight)
        self.copied: Callable[[], None] = lambda: None
        self.marked: Callable[[], None] = lambda: None
        self._has_marked = False
        self._is_beside_gap = False

    def stand_at(self, row: int, *, is_beside_gap: bool) -> None:
        """Let keys go on from a row, which is neither marked nor brought into sight.

        The next row of one that is gone stands beside the gap: going down leads to it, not past it.
        """
        is_beside_gap = is_beside_gap or self._is_beside_gap
        scrolls = self.hasAutoScroll()
        self.setAutoScroll(False)
        at = self.model().index(row, 0)
        self.selectionModel().setCurrentIndex(at, _Flag.NoUpdate)
        self.setAutoScroll(scrolls)
        self._is_beside_gap = is_beside_gap

    def width_of(self, text: str, icon_px: int = 0) -> int:
        """Return how wide a column must be for a text, beside a picture so wide."""
        option = QStyleOptionViewItem()
        self.initViewItemOption(option)
        option.text = text
        option.features |= _Feature.HasDisplay
        if icon_px:
            option.features |= _Feature.HasDecoration
            option.decorationSize = QSize(icon_px, icon_px)
        kind = QStyle.ContentsType.CT_ItemViewItem
        size = self.style().sizeFromContents(kind, option, QSize(), self)
        return size.width() + int(self.showGrid())

    def selectionCommand(  # noqa: N802 - Qt's name
        self, index: Index, event: QEvent | None = None
    ) -> QItemSelectionModel.SelectionFlag:
        """Note that a press or a key marks rows; called by Qt."""
        command = super().selectionCommand(index, event)
        if command != _Flag.NoUpdate:
            self._has_marked = True
        return command

    def selectAll(self) -> None:  # noqa: N802 - Qt's name
        """Mark every row; called by Qt."""
        super().selectAll()
        self._has_marked = True
        self._tell()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Tell what was marked; called by Qt."""
        super().mouseReleaseEvent(event)
        self._tell()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Take the keys that copy, and those that go on; called by Qt."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copied()
        elif self._goes_into_gap(event):
            self.setCurrentIndex(self.currentIndex())
        else:
            super().keyPressEvent(event)
        self._tell()

    def currentChanged(self, current: Index, previous: Index) -> None:  # noqa: N802 - Qt's name
        """Leave the gap; called by Qt."""
        self._is_beside_gap = False
        super().currentChanged(current, previous)

    def _goes_into_gap(self, event: QKeyEvent) -> bool:
        held = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if not self._is_beside_gap or held or event.key() != Qt.Key.Key_Down:
            return False
        at = self.currentIndex()
        return at.isValid() and not self.selectionModel().isSelected(at)

    def _tell(self) -> None:
        if self._has_marked:
            self._has_marked = False
            self.marked()
