"""Runs that a hand starts in the window, stops and goes on with."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import shapely
from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtWidgets import QApplication, QComboBox, QLabel, QMessageBox, QPushButton
from tests.gui.hand import LEFT, NONE, Hand

from tilescope_desktop.app import run_bench
from tilescope_desktop.view.run_bench import RunBench

NO, YES = QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes


def bench_of(hand: Hand) -> RunBench:
    return run_bench(hand.window)


def said(hand: Hand) -> str:
    labels = bench_of(hand).panel.findChildren(QLabel)
    return " | ".join(label.text() for label in labels if label.isVisible())


def to_front(hand: Hand) -> None:
    """Have the keys go to this window, whichever was there before."""
    hand.window.activateWindow()
    hand.qtbot.waitUntil(hand.window.isActiveWindow, timeout=5000)


def choose(hand: Hand, what: str, text: str) -> None:
    boxes = bench_of(hand).panel.findChildren(QComboBox)
    box = next(one for one in boxes if one.accessibleName() == what)
    to_front(hand)
    box.setFocus()  # what models run on is read then
    hand.qtbot.waitUntil(lambda: box.findText(text) >= 0, timeout=20_000)
    box.setCurrentText(text)


def click(hand: Hand, title: str) -> None:
    def found() -> QPushButton | None:
        shown = hand.window.findChildren(QPushButton)
        return next((one for one in shown if one.text() == title and one.isVisible()), None)

    hand.qtbot.waitUntil(lambda: found() is not None, timeout=20_000)
    hand.qtbot.mouseClick(found(), LEFT)


def run(hand: Hand, model: str, over: str = "Whole slide") -> None:
    choose(hand, "Model", model)
    choose(hand, "Over", over)
    choose(hand, "On", "cpu")
    click(hand, "Run")


def tiles(hand: Hand) -> tuple[int, int]:
    """Return the tiles that the panel says are done, and of how many."""
    found = re.search(r"([\d,]+) of ([\d,]+) tiles?", said(hand))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def finish(hand: Hand) -> None:
    hand.qtbot.waitUntil(lambda: not bench_of(hand).runs.active, timeout=60_000)
    hand.wait()


def answer(button: QMessageBox.StandardButton) -> list[str]:
    """Press a button of the next question; return what it asked."""
    asked: list[str] = []

    def press() -> None:
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox):
            asked.append(box.text())
            box.button(button).click()
        else:
            QTimer.singleShot(20, press)

    QTimer.singleShot(20, press)
    return asked


def shapes(hand: Hand) -> list[str]:
    """Return where the objects of the project are."""
    return sorted(shapely.from_wkb(one.geometry).normalize().wkt for one in hand.objects())


def again(hand: Hand, tmp_path: Path, *, offers_last: bool = True) -> Hand:
    """Open a window as the application does at its next start."""
    made = Hand(hand.qtbot, tmp_path / "data")
    if offers_last:
        made.parts.desktop.offer_last()
    return made


def stop_by_closing(hand: Hand) -> tuple[int, int]:
    """Close the window when some tiles are done, and answer Yes; return the tiles."""
    hand.qtbot.waitUntil(lambda: tiles(hand)[0] >= 3, timeout=30_000)
    before = tiles(hand)
    assert before[0] < before[1]
    asked = answer(NO)
    hand.close()
    assert hand.window.isVisible()
    assert "still running" in asked[0]
    answer(YES)
    hand.close()
    assert not hand.window.isVisible()
    assert hand.window.work.stuck == ()
    return before


def first_tiles(hand: Hand, begin: Callable[[], None]) -> tuple[int, int]:
    """Return the first count of tiles that a run tells."""
    seen: list[tuple[int, int]] = []

    def note(_run: object, event: object) -> None:
        progress = event.progress  # type: ignore[attr-defined]
        if progress.stage == "tiles":
            seen.append((progress.tiles_done, progress.tiles_total))

    bench_of(hand).runs.told.connect(note)
    begin()
    hand.qtbot.waitUntil(lambda: bool(seen), timeout=30_000)
    return seen[0]


def rectangle(hand: Hand) -> None:
    draw_now(hand)
    hand.wait()
    hand.act("tool.move")


def draw_now(hand: Hand) -> None:
    """Draw a rectangle and wait for nothing."""
    to_front(hand)
    hand.view.setFocus()
    hand.key(Qt.Key.Key_R)
    hand.qtbot.mousePress(hand.view, LEFT, NONE, QPoint(60, 60))
    hand.move((100, 100))
    hand.move((160, 160))
    hand.qtbot.mouseRelease(hand.view, LEFT, NONE, QPoint(160, 160))
    QApplication.processEvents()
