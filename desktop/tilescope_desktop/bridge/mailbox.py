"""What worker threads leave for the window's thread, which is woken once for all of it."""

from __future__ import annotations

import threading

from PySide6.QtCore import QCoreApplication, QEvent, QObject, Signal

_WAKE = QEvent.Type(QEvent.registerEventType())


class Mailbox(QObject):
    """A letter box between threads.

    Any thread may ``post``; the thread that made the mailbox gets everything that came since the
    last time in one ``arrived``. A signal per letter would flood its event queue.
    """

    arrived = Signal(list)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lock = threading.Lock()
        self._letters: list[object] = []
        self._is_open = True

    def post(self, letter: object) -> bool:
        """Leave something; False when the mailbox is closed and nobody will get it."""
        with self._lock:
            if not self._is_open:
                return False
            self._letters.append(letter)
            if len(self._letters) == 1:
                # Inside the lock, so that nothing is sent to a mailbox that was closed meanwhile.
                QCoreApplication.postEvent(self, QEvent(_WAKE))
        return True

    @property
    def is_empty(self) -> bool:
        """Tell whether everything that was left here was handed over."""
        with self._lock:
            return not self._letters

    def close(self) -> list[object]:
        """Take no more letters, and return those that nobody got."""
        with self._lock:
            self._is_open = False
            letters, self._letters = self._letters, []
        return letters

    def event(self, event: QEvent) -> bool:
        """Hand over what has come; called by Qt."""
        if event.type() != _WAKE:
            return super().event(event)
        with self._lock:
            letters, self._letters = self._letters, []
        if letters:
            self.arrived.emit(letters)
        return True
