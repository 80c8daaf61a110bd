"""A tool that is in the hand for as long as its key is held."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent

from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.tool_bench import ToolBench

_TOOL = "select"
_KEY, _NAME = Qt.Key.Key_S, "S"


class HeldTool(QObject):
    """S takes the tool that selects; held while the mouse is used, it gives the one before back.

    It does so where S is the key of that tool and the tool in hand has no use for it.
    """

    def __init__(self, window: MainWindow, bench: ToolBench) -> None:
        super().__init__(window)
        self._window = window
        self._bench = bench
        self._before = ""
        self._press_count = 0
        bench.on_key = self._hear

    def _hear(self, event: QKeyEvent) -> None:
        is_plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        if event.key() != _KEY or not is_plain or event.isAutoRepeat():
            return
        if self._window.keys.get(f"tool.{_TOOL}") != _NAME:
            return
        bench = self._bench
        if event.type() == QEvent.Type.ShortcutOverride:
            self._before, self._press_count = bench.tool.id, bench.press_count
        elif event.type() == QEvent.Type.KeyRelease:
            before, self._before = self._before, ""
            if before and bench.tool.id == _TOOL and bench.press_count > self._press_count:
                bench.take_tool(before)
