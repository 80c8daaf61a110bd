"""Everything that can be done, found by typing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QDialog, QLineEdit, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from tilescope_desktop.model.commands import Command, matching

_WIDTH_PX = 520
_HEIGHT_PX = 360


class CommandPalette(QDialog):
    """A line to type in and the commands that match; Enter does the marked one.

    Parameters
    ----------
    keys
        What is shown as the keys of a command, by its id.
    title, hint
        What the dialog is called, and what it says before anything is typed.
    in_order
        Whether commands stay in their order while nothing is typed.
    """

    def __init__(
        self,
        commands: Sequence[Command],
        parent: QWidget | None = None,
        *,
        keys: Mapping[str, str] | None = None,
        title: str = "Commands",
        hint: str = "Type what you want to do",
        in_order: bool = False,
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.resize(_WIDTH_PX, _HEIGHT_PX)
        self._keys = keys or {}
        self._in_order = in_order
        self._commands = [command for command in commands if command.is_enabled()]
        self._line = QLineEdit(placeholderText=hint)
        self._line.setAccessibleName(f"Search {title.casefold()}")
        self._list = QListWidget()
        self._list.setAccessibleName(title)
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
        is_all = self._in_order and not typed
        for command in self._commands if is_all else matching(self._commands, typed):
            keys = self._keys.get(command.id)
            item = QListWidgetItem(f"{command.title}    {keys}" if keys else command.title)
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
