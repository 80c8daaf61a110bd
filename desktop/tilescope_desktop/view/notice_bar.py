"""A line at the top of the window that asks something and stops nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMainWindow, QPushButton, QToolBar, QWidget


class NoticeBar(QToolBar):
    """One sentence and what can be done about it; hidden until there is one."""

    def __init__(self, window: QMainWindow) -> None:
        super().__init__("Notice", window)
        self.setObjectName("bar-notice")
        self.setAccessibleName("Notice")
        self.setMovable(False)
        self.toggleViewAction().setVisible(False)
        window.addToolBar(Qt.ToolBarArea.TopToolBarArea, self)
        self.hide()

    def say(self, text: str, choices: Sequence[tuple[str, Callable[[], None]]]) -> None:
        """Show a sentence with a button per choice; any of them takes it away."""
        self.clear()
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(8, 4, 8, 4)
        label = QLabel(text)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout.addWidget(label, 1)
        for title, act in choices:
            button = QPushButton(title)
            button.clicked.connect(lambda _checked=False, act=act: self._take(act))
            layout.addWidget(button)
        self.addWidget(row)
        self.setAccessibleDescription(text)
        self.show()

    def _take(self, act: Callable[[], None]) -> None:
        self.hide()
        act()
