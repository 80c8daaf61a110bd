"""Everything that can be done, found by typing."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QDialog, QLineEdit, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from tilescope_desktop.model.commands import Command, matching

_WIDTH_PX = 520
_HEIGHT_PX = 360


class CommandPalette(QDialog):
    """A line to type in and the commands that match; Enter does the marked one."""

    def __init__(self, commands: Sequence[Command], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Commands")
        self.resize(_WIDTH_PX, _HEIGHT_PX)
        self._commands = [command for command in commands if command.is_enabled()]
        self._line = QLineEdit(placeholderText="Type what you want to do")
        self._line.setAccessibleName("Search commands")
        self._list = QListWidget()
        self._list.setAccessibleName("Commands")
        layout = QVBoxLayout(self)
        layout.addWidget(self._line)
        layout.addWidget(self._list)
        self._line.textChanged.connect(self._fill)
        self._line.returnPressed.connect(self._run)
        self._list.itemActivated.connect(self._run)
        self._line.installEventFilter(self)
        self._fill("")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Let the arrow keys walk through the list while one types; called by Qt."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()))
            if step is not None and self._list.count():
                self._list.setCurrentRow((self._list.currentRow() + step) % self._list.count())
                return True
        return super().eventFilter(watched, event)

    def _fill(self, typed: str) -> None:
        self._list.clear()
        for command in matching(self._commands, typed):
            keys = f"    {command.shortcut}" if command.shortcut else ""
            item = QListWidgetItem(f"{command.title}{keys}")
            item.setData(Qt.ItemDataRole.UserRole, command)
            self._list.addItem(item)
        self._list.setCurrentRow(0)

    def _run(self) -> None:
        marked = self._list.selectedItems()
        if not marked:
            return
        command: Command = marked[0].data(Qt.ItemDataRole.UserRole)
        self.accept()
        command.run()
