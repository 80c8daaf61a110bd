"""Everything that can be done, found by typing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QKeyEvent, QPainter, QPalette
from PySide6.QtWidgets import (
    QDialog,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from tilescope_desktop.model.commands import Command, matching, standing

_WIDTH_PX = 520
_HEIGHT_PX = 360
_GAP_PX = 12
_COMMAND, _KEYS = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1
#: By how many rows keys walk while one types; a page is ten.
_STEPS = {
    Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: 10, Qt.Key.Key_PageUp: -10,
}  # fmt: skip
_MIDDLE = Qt.AlignmentFlag.AlignVCenter


class CommandPalette(QDialog):
    """A line to type in and the commands that match; Enter does the marked one.

    What cannot be done now stands grey below the others.

    Parameters
    ----------
    do
        Does a command, as its menu and its keys do.
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
        do: Callable[[Command], None],
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
        self._do = do
        self._keys = keys or {}
        self._in_order = in_order
        self._commands = list(commands)
        self._can = {one.id for one in commands if standing(one).is_enabled}
        self._line = QLineEdit(placeholderText=hint)
        self._line.setAccessibleName(f"Search {title.casefold()}")
        self._list = QListWidget()
        self._list.setAccessibleName(title)
        self._list.setUniformItemSizes(True)
        self._list.setItemDelegate(_CommandRow(self._list))
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
            step = _STEPS.get(event.key())  # type: ignore[call-overload]
            if step is not None and self._walkable():
                self._walk(step)
                return True
        return super().eventFilter(watched, event)

    def _fill(self, typed: str) -> None:
        self._list.clear()
        is_all = self._in_order and not typed
        found = self._commands if is_all else matching(self._commands, typed)
        for command in sorted(found, key=lambda one: one.id not in self._can):
            keys = self._keys.get(command.id)
            item = QListWidgetItem(f"{command.title}    {keys}" if keys else command.title)
            item.setData(_COMMAND, command)
            item.setData(_KEYS, keys or "")
            can = command.id in self._can
            if not can:
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            said = (command.title, _place(command), keys, None if can else "not now")
            item.setData(Qt.ItemDataRole.AccessibleTextRole, ", ".join(filter(None, said)))
            self._list.addItem(item)
        if self._walkable():
            self._list.setCurrentRow(0)

    def _walkable(self) -> int:
        """Return how many rows can be marked: the first ones."""
        rows = (self._list.item(row) for row in range(self._list.count()))
        return sum(bool(row.flags() & Qt.ItemFlag.ItemIsEnabled) for row in rows)

    def _walk(self, step: int) -> None:
        """Mark another row; single steps go round, pages end at the ends."""
        row, last = self._list.currentRow() + step, self._walkable() - 1
        if abs(step) == 1:
            row %= last + 1
        self._list.setCurrentRow(min(max(row, 0), last))

    def _run(self) -> None:
        marked = self._list.selectedItems()
        if not marked:
            return
        command: Command = marked[0].data(_COMMAND)
        self.accept()
        self._do(command)


class _CommandRow(QStyledItemDelegate):
    """A command with the menu it stands in, and its keys at the right."""

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Paint a row; called by Qt."""
        self.initStyleOption(option, index)
        option.text = ""
        style = option.widget.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, option, painter, option.widget)
        is_marked = bool(option.state & QStyle.StateFlag.State_Selected)
        role = QPalette.ColorRole
        strong = option.palette.color(role.HighlightedText if is_marked else role.Text)
        weak = strong if is_marked else option.palette.color(role.PlaceholderText)
        if not option.state & QStyle.StateFlag.State_Enabled:
            strong = weak = option.palette.color(QPalette.ColorGroup.Disabled, role.Text)
        command: Command = index.data(_COMMAND)
        keys: str = index.data(_KEYS)
        metrics, rect = option.fontMetrics, option.rect.adjusted(6, 0, -6, 0)
        painter.save()
        painter.setFont(option.font)
        painter.setPen(strong)
        painter.drawText(rect, Qt.AlignmentFlag.AlignRight | _MIDDLE, keys)
        room = rect.width() - (metrics.horizontalAdvance(keys) + _GAP_PX if keys else 0)
        title = metrics.elidedText(command.title, Qt.TextElideMode.ElideRight, room)
        painter.drawText(rect, Qt.AlignmentFlag.AlignLeft | _MIDDLE, title)
        used = metrics.horizontalAdvance(title) + _GAP_PX
        place = metrics.elidedText(_place(command), Qt.TextElideMode.ElideRight, room - used)
        painter.setPen(weak)
        beside = QRect(rect.left() + used, rect.top(), max(0, room - used), rect.height())
        painter.drawText(beside, Qt.AlignmentFlag.AlignLeft | _MIDDLE, place)
        painter.restore()


def _place(command: Command) -> str:
    """Return in which menu a command stands, as it is read."""
    return command.menu.replace("/", " ▸ ")
