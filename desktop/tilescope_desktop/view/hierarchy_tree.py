"""The tree of objects as a widget: what hangs where, and what is dragged onto what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QMimeData, Qt, Signal
from PySide6.QtGui import (
    QDragEnterEvent,
    QDragMoveEvent,
    QDropEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem

from tilescope.store.family import Kin
from tilescope_desktop.view.swatch import swatch

NAME, COUNT, LOCK = range(3)
_NO_CLASS = "Unclassified"
_DRAGGED = "application/x-tilescope-objects"


@dataclass(frozen=True, slots=True)
class Branch:
    """The objects of one class that lie in one object, or in none."""

    parent: str | None
    class_name: str | None


class BranchItem(QTreeWidgetItem):
    """A class with its number of objects; the objects come when it is opened."""

    def __init__(self, branch: Branch, count: int, color: tuple[int, int, int]) -> None:
        super().__init__([branch.class_name or _NO_CLASS, f"{count:,}", ""])
        self.branch = branch
        self.count = count
        self.after = -1
        self.is_loaded = False
        self.setIcon(NAME, swatch(color))
        self.setTextAlignment(COUNT, Qt.AlignmentFlag.AlignRight)
        self.setChildIndicatorPolicy(QTreeWidgetItem.ChildIndicatorPolicy.ShowIndicator)
        self.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsDropEnabled)


class KinItem(QTreeWidgetItem):
    """An object with the number of those that lie in it."""

    def __init__(self, kin: Kin) -> None:
        title = kin.name or f"{kin.kind} {kin.id[:8]}"
        count = f"{kin.children:,}" if kin.children else ""
        super().__init__([title, count, "locked" if kin.locked else ""])
        self.kin = kin
        self.is_loaded = False
        self.setToolTip(NAME, kin.id)
        self.setTextAlignment(COUNT, Qt.AlignmentFlag.AlignRight)
        if kin.children:
            self.setChildIndicatorPolicy(QTreeWidgetItem.ChildIndicatorPolicy.ShowIndicator)


class MoreItem(QTreeWidgetItem):
    """Stands for the objects of a branch that are not listed yet."""

    def __init__(self, left: int) -> None:
        super().__init__([f"{left:,} more…", "", ""])
        self.setFlags(Qt.ItemFlag.ItemIsEnabled)


class HierarchyTree(QTreeWidget):
    """Objects below the objects they lie in.

    ``moved`` tells ids and the object they were put into, None to stand at the top: by a drag, or
    by Ctrl+X and Ctrl+V.
    """

    moved = Signal(list, object)

    def __init__(self) -> None:
        super().__init__()
        self._taken: list[str] = []
        self.is_for_menu = False
        self.setAccessibleName("Hierarchy of objects")
        self.setHeaderLabels(["Object", "Objects", "Lock"])
        self.setUniformRowHeights(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setDragEnabled(True)
        self.setAcceptDrops(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragDrop)
        self.setDefaultDropAction(Qt.DropAction.MoveAction)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column in (COUNT, LOCK):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)

    @property
    def chosen(self) -> list[Kin]:
        """The objects that are selected."""
        return [item.kin for item in self.selectedItems() if isinstance(item, KinItem)]

    def show_branches(
        self,
        item: QTreeWidgetItem | None,
        branches: Sequence[BranchItem],
    ) -> None:
        """Hang classes under an object, or at the top."""
        (item or self.invisibleRootItem()).addChildren(list(branches))

    def mimeTypes(self) -> list[str]:  # noqa: N802 - Qt's name
        """Return as what objects are dragged; called by Qt."""
        return [_DRAGGED]

    def mimeData(self, items: Sequence[QTreeWidgetItem]) -> QMimeData:  # noqa: N802 - Qt's name
        """Return the ids of objects that are dragged; called by Qt."""
        ids = [item.kin.id for item in items if isinstance(item, KinItem)]
        data = QMimeData()
        data.setData(_DRAGGED, " ".join(ids).encode())
        return data

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802 - Qt's name
        """Take objects and nothing else; called by Qt."""
        event.setAccepted(event.mimeData().hasFormat(_DRAGGED))

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:  # noqa: N802 - Qt's name
        """Let objects be dropped anywhere; called by Qt."""
        event.setAccepted(event.mimeData().hasFormat(_DRAGGED))

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802 - Qt's name
        """Tell what is to be put where; the project says what comes of it; called by Qt."""
        event.setDropAction(Qt.DropAction.IgnoreAction)
        event.accept()
        ids = event.mimeData().data(_DRAGGED).toStdString().split()
        if ids:
            self.moved.emit(ids, _parent_at(self.itemAt(event.position().toPoint())))

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Tell those who follow the selection that it is for a menu; called by Qt."""
        self.is_for_menu = event.button() == Qt.MouseButton.RightButton
        super().mousePressEvent(event)
        self.is_for_menu = False

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Put objects into others without a mouse; called by Qt."""
        if event.matches(QKeySequence.StandardKey.Cut):
            self._taken = [kin.id for kin in self.chosen]
        elif event.matches(QKeySequence.StandardKey.Paste):
            if self._taken:
                self.moved.emit(self._taken, _parent_at(self.currentItem()))
            self._taken = []
        else:
            super().keyPressEvent(event)


def _parent_at(item: QTreeWidgetItem | None) -> str | None:
    """Return the object that something put at an item lies in then."""
    if isinstance(item, KinItem):
        return item.kin.id
    if isinstance(item, BranchItem):
        return item.branch.parent
    return None if item is None else _parent_at(item.parent())
