"""All keys, to be looked up and changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from tilescope_desktop.model.commands import Command, matching
from tilescope_desktop.model.keymap import Keymap, KeyStyle, refusal

_WIDTH_PX = 640
_HEIGHT_PX = 560
_TITLE, _MENU, _KEYS = range(3)
_STYLES = ((KeyStyle.QUPATH, "QuPath"), (KeyStyle.NAPARI, "napari"))
_MODIFIERS = (
    Qt.Key.Key_Control, Qt.Key.Key_Shift, Qt.Key.Key_Alt, Qt.Key.Key_Meta, Qt.Key.Key_AltGr,
    Qt.Key.Key_unknown,
)  # fmt: skip


class KeyButton(QPushButton):
    """Waits for a key once it is pressed; ``recorded`` tells it, ``given_up`` that Escape came."""

    recorded = Signal(str)
    given_up = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Change key…", parent)
        self._waits = False
        self.setAutoDefault(False)
        self.clicked.connect(self.wait)

    @property
    def waits(self) -> bool:
        """Tell whether the next key is taken."""
        return self._waits

    def wait(self) -> None:
        """Take the next key."""
        self._waits = True
        self.setText("Press a key…")
        self.setFocus()

    def event(self, event: QEvent) -> bool:
        """Take keys before they are shortcuts or go from control to control; called by Qt."""
        if self._waits and isinstance(event, QKeyEvent):
            event.accept()
            if event.type() == QEvent.Type.KeyPress:
                self._take(event)
            return True
        if self._waits and event.type() == QEvent.Type.FocusOut:
            self._end()
            self.given_up.emit()
        return super().event(event)

    def _take(self, event: QKeyEvent) -> None:
        if event.key() in _MODIFIERS:
            return
        self._end()
        if event.key() == Qt.Key.Key_Escape:
            self.given_up.emit()
            return
        keypad = Qt.KeyboardModifier.KeypadModifier.value
        keys = QKeySequence(event.keyCombination().toCombined() & ~keypad)
        self.recorded.emit(keys.toString(QKeySequence.SequenceFormat.PortableText))

    def _end(self) -> None:
        self._waits = False
        self.setText("Change key…")


class KeysDialog(QDialog):
    """A row per command; what is changed holds at once, which ``changed`` tells.

    Parameters
    ----------
    commands
        Everything that can have a key.
    keymap
        The keys as they are.
    """

    changed = Signal(object)

    def __init__(
        self, commands: Sequence[Command], keymap: Keymap, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        self.resize(_WIDTH_PX, _HEIGHT_PX)
        self._commands = list(commands)
        self._keymap = keymap
        self._recorded = ""
        self._style = QComboBox()
        self._style.setAccessibleName("Keys as in")
        self._style.addItems([title for _, title in _STYLES])
        self._style.setCurrentIndex([style for style, _ in _STYLES].index(keymap.style))
        self._style.currentIndexChanged.connect(self._take_style)
        self._line = QLineEdit(placeholderText="Search commands and keys", clearButtonEnabled=True)
        self._line.setAccessibleName("Search commands and keys")
        self._line.textChanged.connect(self._filter)
        self._change = KeyButton()
        self._change.recorded.connect(self._take)
        self._change.given_up.connect(self._say)
        self._change.clicked.connect(self._ask_for_key)
        self._list = _command_list()
        self._list.currentItemChanged.connect(lambda *_items: self._say())
        self._list.itemActivated.connect(lambda *_cell: self._change.click())
        self._words = QLabel(wordWrap=True)
        self._words.setAccessibleName("What the keys do")
        self._words.setMinimumHeight(2 * self._words.fontMetrics().height())
        self._take_it = self._button("Take it", self._give)
        self._none = self._button("No key", lambda: self._put(""))
        self._reset = self._button("Reset", self._reset_one)
        self._reset_all = self._button("Reset all", self._forget_own)
        self._lay_out()
        self._fill()
        self._filter("")
        self._line.setFocus()

    @property
    def keymap(self) -> Keymap:
        """The keys as they are now."""
        return self._keymap

    # -- what is shown ----------------------------------------------------------------------------

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        label = QLabel("Keys as in")
        label.setBuddy(self._style)
        for widget in (label, self._style):
            top.addWidget(widget)
        top.addWidget(self._line, 1)
        buttons = QHBoxLayout()
        for button in (self._change, self._take_it, self._none, self._reset):
            buttons.addWidget(button)
        buttons.addStretch(1)
        buttons.addWidget(self._reset_all)
        buttons.addWidget(self._button("Close", self.accept))
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        layout.addWidget(self._list, 1)
        layout.addWidget(self._words)
        layout.addLayout(buttons)

    def _button(self, title: str, act: Callable[[], None]) -> QPushButton:
        button = QPushButton(title)
        button.setAutoDefault(False)
        button.clicked.connect(lambda _checked=False: act())
        return button

    def _fill(self) -> None:
        keys, more = self._keymap.keys(self._commands), self._keymap.more_keys(self._commands)
        for row, command in enumerate(self._commands):
            item = self._list.topLevelItem(row) or QTreeWidgetItem(self._list)
            item.setText(_TITLE, command.title)
            item.setText(_MENU, command.menu.replace("/", " ▸ "))
            every = (keys[command.id], *more.get(command.id, ()))
            item.setText(_KEYS, "   ".join(filter(None, every)))
            font = item.font(_KEYS)
            font.setBold(self._keymap.is_own(command))
            item.setFont(_KEYS, font)
            item.setData(_TITLE, Qt.ItemDataRole.UserRole, command)
        self._reset_all.setEnabled(bool(self._keymap.own))
        self._say()

    def _filter(self, typed: str) -> None:
        found = {command.id for command in matching(self._commands, typed)}
        holder = self._keymap.holder(typed, self._commands)
        found |= set() if holder is None else {holder.id}
        first = None
        for row, command in enumerate(self._commands):
            item = self._list.topLevelItem(row)
            if item is not None:
                item.setHidden(command.id not in found)
                first = first or (item if command.id in found else None)
        if first is not None:
            self._list.setCurrentItem(first)

    def _say(self, words: str = "") -> None:
        """Say what there is to say of the marked command, in words."""
        self._recorded = ""
        self._take_it.hide()
        command = self._command
        for button in (self._change, self._none, self._reset):
            button.setEnabled(command is not None)
        if command is None:
            self._words.setText("")
            return
        self._reset.setEnabled(self._keymap.is_own(command))
        self._words.setText(words or self._standing(command))

    def _standing(self, command: Command) -> str:
        keys, default = self._keymap.wish_of(command), self._keymap.default_of(command)
        holder = self._keymap.conflicts(self._commands).get(command.id)
        if holder is not None:
            return f"“{command.title}” has no key: {keys} does “{holder.title}”."
        if why_not := refusal(keys, self._commands):
            return f"“{command.title}” has no key: {why_not}."
        said = f"{keys} does “{command.title}”." if keys else f"“{command.title}” has no key."
        more = self._keymap.more_keys(self._commands).get(command.id, ())
        said += f" So does {' and '.join(more)}." if keys and more else ""
        if self._keymap.is_own(command):
            said += f" Without your change it would be {default}." if default else " You chose it."
        return said

    # -- what is done -----------------------------------------------------------------------------

    @property
    def _command(self) -> Command | None:
        item = self._list.currentItem()
        if item is None or item.isHidden():
            return None
        command: Command = item.data(_TITLE, Qt.ItemDataRole.UserRole)
        return command

    def _ask_for_key(self) -> None:
        if self._command is not None:
            self._words.setText(f"Press the new key for “{self._command.title}”; Esc leaves it.")

    def _take(self, keys: str) -> None:
        command = self._command
        if command is None:
            return
        why_not = refusal(keys, self._commands)
        holder = self._keymap.holder(keys, self._commands)
        if why_not is not None:
            self._say(f"{why_not[:1].upper()}{why_not[1:]}.")
        elif holder is not None and holder.id != command.id:
            left = self._keymap.keys(self._commands)[holder.id]
            then = "no key" if left == keys else left or "its other keys"
            self._say(
                f"{keys} does “{holder.title}” already. Press Take it to give it to "
                f"“{command.title}”; “{holder.title}” then has {then}."
            )
            self._recorded = keys
            self._take_it.show()
            self._take_it.setFocus()
        else:
            self._put(keys)

    def _give(self) -> None:
        self._put(self._recorded)

    def _put(self, keys: str) -> None:
        command = self._command
        if command is not None:
            self._hold(self._keymap.given(command, keys, self._commands))
            self._list.setFocus()

    def _reset_one(self) -> None:
        if self._command is not None:
            self._hold(self._keymap.reset(self._command))

    def _forget_own(self) -> None:
        self._hold(Keymap(self._keymap.style))

    def _take_style(self, _index: int) -> None:
        style, _ = _STYLES[self._style.currentIndex()]
        self._hold(Keymap(style, self._keymap.own))

    def _hold(self, keymap: Keymap) -> None:
        self._keymap = keymap
        self._fill()
        self.changed.emit(keymap)


def _command_list() -> QTreeWidget:
    found = QTreeWidget()
    found.setRootIsDecorated(False)
    found.setUniformRowHeights(True)
    found.setAlternatingRowColors(True)
    found.setAllColumnsShowFocus(True)
    found.setHeaderLabels(["Command", "Menu", "Key"])
    found.setAccessibleName("Commands and their keys")
    header = found.header()
    header.setStretchLastSection(False)
    header.setSectionResizeMode(_TITLE, QHeaderView.ResizeMode.Stretch)
    header.setSectionResizeMode(_MENU, QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(_KEYS, QHeaderView.ResizeMode.ResizeToContents)
    return found
