"""The size of a pixel, typed into its dialog."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QLabel, QLineEdit


def give_size(typed: str | None, key: Qt.Key = Qt.Key.Key_Return) -> list[str]:
    """Have the next dialog answered; return what it will have shown: first, and after typing."""
    shown: list[str] = []

    def use() -> None:
        box = QApplication.activeModalWidget()
        if not isinstance(box, QDialog):  # it is only about to come
            QTimer.singleShot(20, use)
            return
        line, (label, fault) = box.findChild(QLineEdit), box.findChildren(QLabel)[:2]
        assert isinstance(line, QLineEdit)
        shown.append(f"{label.text()} {line.text()}")
        if typed is not None:
            line.selectAll()
            QTest.keyClick(line, Qt.Key.Key_Delete)
            QTest.keyClicks(line, typed)
        shown.append(f"{line.text()} {fault.text()}".strip())
        QTest.keyClick(line, key)
        if box.isVisible():  # what is refused is not taken by Return
            QTest.keyClick(line, Qt.Key.Key_Escape)

    QTimer.singleShot(0, use)
    return shown
