"""A user who does one thing after the other, by mouse and keys, as a seed says."""

from __future__ import annotations

import gc
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PySide6.QtCore import (
    QEvent,
    QObject,
    QPoint,
    QPointF,
    Qt,
    QtMsgType,
    qInstallMessageHandler,
)
from PySide6.QtGui import QAction, QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QDockWidget,
    QHeaderView,
    QLineEdit,
    QMessageBox,
    QPushButton,
)
from tests.gui.hand import ALT, NONE, SHIFT, Hand, objects_of
from tests.gui.journal import check_journal

from tilescope_desktop.app import clicking, run_bench
from tilescope_desktop.model.run_settings import Extent, RunChoice
from tilescope_desktop.view.added_dialog import AddedDialog

CONTROL = Qt.KeyboardModifier.ControlModifier
_LEFT, _RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
_MIDDLE = Qt.MouseButton.MiddleButton
_KEY = Qt.Key
_MOST_TABS = 3
_REMEMBERED = 40
_LARGE_PX = 1000
#: Panels that come and go move for a while.
_ANIMATION_MS = 500
#: Of the processor, not of the clock: other programs may want it, too.
_PATIENCE_S = 30.0
_TOOLS = (
    *(_KEY.Key_M, _KEY.Key_S, _KEY.Key_Period, _KEY.Key_L, _KEY.Key_V, _KEY.Key_R),
    *(_KEY.Key_O, _KEY.Key_P, _KEY.Key_B, _KEY.Key_W, _KEY.Key_E, _KEY.Key_K),
)
_MOVES = (
    *((_KEY.Key_Left, NONE), (_KEY.Key_Right, NONE), (_KEY.Key_Up, NONE), (_KEY.Key_Down, NONE)),
    *((_KEY.Key_Plus, NONE), (_KEY.Key_Minus, NONE), (_KEY.Key_0, CONTROL), (_KEY.Key_1, CONTROL)),
    *((_KEY.Key_Right, CONTROL), (_KEY.Key_Left, CONTROL), (_KEY.Key_F, CONTROL | SHIFT)),
    *((_KEY.Key_Up, SHIFT), (_KEY.Key_Down, SHIFT)),
)
_LOOKS = (
    *((_KEY.Key_A, NONE), (_KEY.Key_D, NONE), (_KEY.Key_F, NONE), (_KEY.Key_F, SHIFT)),
    *((_KEY.Key_M, SHIFT), (_KEY.Key_B, SHIFT), (_KEY.Key_2, NONE)),
)
_WORDS = ("", "tumor", "stroma", "locked", "annotation", "nothing of that name")


@dataclass(frozen=True, slots=True)
class Rest:
    """What is there when nothing is open and nothing goes on.

    Attributes
    ----------
    threads
        Names of the window's own.
    objects
        Of Qt, by class: widgets, timers, actions, everything under a window.
    values
        Of the window's own classes, by name.
    """

    threads: tuple[str, ...]
    objects: Counter[str]
    values: Counter[str]
    rss_bytes: int


class Faults:
    """Everything that went wrong where no test would see it."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def from_thread(self, args: threading.ExceptHookArgs) -> None:
        said = traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)
        self.found.append("".join(said))

    def from_qt(self, kind: QtMsgType, _context: object, text: str) -> None:
        is_news = kind not in (QtMsgType.QtDebugMsg, QtMsgType.QtInfoMsg)
        # Without a screen nothing can be said to the system's window.
        if is_news and not text.startswith("This plugin does not support"):
            self.found.append(f"Qt: {text}")

    def from_python(self, *args: object) -> None:
        self.found.append("".join(traceback.format_exception(*args)))  # type: ignore[arg-type]

    def from_window(self, text: str) -> None:
        if text.startswith("Something failed"):
            self.found.append(text)


@contextmanager
def watched(faults: Faults) -> Iterator[None]:
    """Note what nobody catches, in any thread and in Qt."""
    thread_hook = threading.excepthook
    threading.excepthook = faults.from_thread
    before = qInstallMessageHandler(faults.from_qt)
    try:
        yield
    finally:
        qInstallMessageHandler(before)
        threading.excepthook = thread_hook


class RandomSession:
    """Does what a seed says in a window.

    Parameters
    ----------
    slides
        What is opened, again and again.
    """

    def __init__(self, hand: Hand, slides: list[Path], seed: int) -> None:
        self.hand = hand
        self.slides = slides
        self.random = np.random.default_rng(seed)
        self.faults = Faults()
        self.project: Path | None = None
        self.done: deque[str] = deque(maxlen=_REMEMBERED)
        hand.window.notices.failed.connect(self.faults.from_window)
        acts: dict[Callable[[], None], float] = {
            self.wheel: 10, self.drag: 16, self.click: 8, self.hover: 6, self.take_tool: 14,
            self.move: 6, self.pan: 6, self.finish: 3, self.back: 2, self.escape: 4,
            self.undo: 7, self.redo: 6, self.give_class: 4, self.look: 3, self.select_all: 1,
            self.delete: 2, self.lock: 2, self.size: 2, self.scribble: 1, self.dock: 2,
            self.table: 2, self.palette: 0.5, self.channels: 1, self.open: 1.5, self.close: 0.7,
            self.switch: 2, self.run: 0.8, self.cancel: 0.8, self.reopen: 0.4, self.resize: 1,
            self.settle: 2,
        }  # fmt: skip
        self._acts = list(acts)
        self._weights = np.array(list(acts.values())) / sum(acts.values())

    def play(self, events: int) -> None:
        """Do so many things; stop at the first that goes wrong."""
        for _ in range(events):
            act = self._acts[self.random.choice(len(self._acts), p=self._weights)]
            if not self.hand.window.all_tabs:
                act = self.open
            self.done.append(act.__name__)
            act()
            QApplication.processEvents()
            if self.hand.annotations.project is not None:
                self.project = self.hand.annotations.project.path
            assert not self.faults.found, (self.faults.found, list(self.done))

    def rest(self) -> Rest:
        """Put everything away and return what is left."""
        hand = self.hand
        self.stop_runs()
        self.settle()
        hand.window.notices.clear()
        hand.window.status.clearMessage()  # with it goes the timer that would have taken it away
        hand.act("tool.move")
        for left in range(len(hand.window.all_tabs) - 1, -1, -1):
            self.close()
            assert len(hand.window.all_tabs) == left, list(self.done)
        if hand.annotations.project is not None:
            hand.act("project.close")
        self.settle()
        hand.qtbot.wait(_ANIMATION_MS)
        for _ in range(3):
            QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
            QApplication.processEvents()
            gc.collect()
        tops = [hand.window, *QApplication.topLevelWidgets()]
        under = {id(one): one for top in tops for one in (top, *top.findChildren(QObject))}
        mine = (type(one) for one in gc.get_objects())
        return Rest(
            tuple(sorted(t.name for t in threading.enumerate() if "tilescope" in t.name)),
            Counter(type(one).__name__ for one in under.values()),
            Counter(c.__name__ for c in mine if str(c.__module__).startswith("tilescope_desktop")),
            psutil.Process().memory_info().rss,
        )

    def stop_runs(self) -> None:
        """Cancel what runs: a window with a run in it asks before it closes."""
        bench = run_bench(self.hand.window)
        bench.cancel()
        self.hand.qtbot.waitUntil(lambda: not bench.runs.active, timeout=600_000)

    # -- over the slide ---------------------------------------------------------------------------

    def wheel(self) -> None:
        at = QPointF(self._place())
        turn = QPoint(0, int(self.random.choice([-240, -120, 120, 240])))
        where = self.hand.view.mapToGlobal(at)
        phase = Qt.ScrollPhase.NoScrollPhase
        QApplication.sendEvent(
            self.hand.view,
            QWheelEvent(at, where, QPoint(), turn, Qt.MouseButton.NoButton, NONE, phase, False),
        )

    def drag(self) -> None:
        self._drag(_LEFT, self._modifiers())

    def pan(self) -> None:
        if self.random.random() < 0.5:
            self._drag(_MIDDLE, NONE)
            return
        QTest.keyPress(self.hand.view, _KEY.Key_Space)
        self._drag(_LEFT, NONE)
        QTest.keyRelease(self.hand.view, _KEY.Key_Space)

    def scribble(self) -> None:
        self._key(_KEY.Key_K)
        if self.random.random() < 0.5:
            self._drag(_RIGHT, NONE)
            return
        QTest.keyPress(self.hand.view, _KEY.Key_S)
        self._drag(_LEFT, NONE)
        QTest.keyRelease(self.hand.view, _KEY.Key_S)

    def click(self) -> None:
        if self.random.random() < 0.2:
            QTest.mouseDClick(self.hand.view, _LEFT, self._modifiers(), self._place())
        else:
            QTest.mouseClick(self.hand.view, _LEFT, self._modifiers(), self._place())

    def hover(self) -> None:
        self._move(self._place(), Qt.MouseButton.NoButton, NONE)

    # -- keys -------------------------------------------------------------------------------------

    def take_tool(self) -> None:
        self._key(_TOOLS[self.random.integers(len(_TOOLS))])

    def move(self) -> None:
        self._key(*_MOVES[self.random.integers(len(_MOVES))])

    def finish(self) -> None:
        self._key(_KEY.Key_Return)

    def back(self) -> None:
        self._key(_KEY.Key_Backspace)

    def escape(self) -> None:
        self._key(_KEY.Key_Escape)

    def undo(self) -> None:
        self._key(_KEY.Key_Z, CONTROL)

    def redo(self) -> None:
        self._key(_KEY.Key_Z, CONTROL | SHIFT)

    def give_class(self) -> None:
        self._key(_KEY(_KEY.Key_0 + int(self.random.integers(7))), ALT)

    def look(self) -> None:
        self._key(*_LOOKS[self.random.integers(len(_LOOKS))])

    def select_all(self) -> None:
        self._key(_KEY.Key_A, CONTROL)

    def delete(self) -> None:
        self._key(_KEY.Key_Delete)

    def lock(self) -> None:
        self._key(_KEY.Key_K, CONTROL | (SHIFT if self.random.random() < 0.3 else ALT))

    def size(self) -> None:
        self._key(_KEY.Key_BracketRight if self.random.random() < 0.5 else _KEY.Key_BracketLeft)

    # -- around the slide -------------------------------------------------------------------------

    def dock(self) -> None:
        docks = self.hand.window.findChildren(QDockWidget)
        found = docks[self.random.integers(len(docks))]
        found.toggleViewAction().trigger()

    def table(self) -> None:
        panel = self.hand.parts.objects
        if not panel.isVisible():
            dock = self.hand.window.findChild(QDockWidget, "dock-objects")
            assert isinstance(dock, QDockWidget)
            dock.show()
        choice = self.random.integers(4)
        if choice == 0:
            panel.words.clear()
            QTest.keyClicks(panel.words, str(self.random.choice(_WORDS)))
        elif choice == 1:
            header = panel.table.horizontalHeader()
            assert isinstance(header, QHeaderView)
            column = int(self.random.integers(max(1, header.count())))
            at = QPoint(header.sectionViewportPosition(column) + 12, header.height() // 2)
            QTest.mouseClick(header.viewport(), _LEFT, NONE, at)
        elif choice == 2:
            rows = max(1, panel.table.height() // 22 - 2)
            at = QPoint(30, 11 + 22 * int(self.random.integers(rows)))
            QTest.mouseClick(panel.table.viewport(), _LEFT, NONE, at)
            QTest.mouseDClick(panel.table.viewport(), _LEFT, NONE, at)
        else:
            QTest.mouseClick(panel.in_view, _LEFT, NONE, QPoint(8, panel.in_view.height() // 2))
        self.hand.view.setFocus()

    def palette(self) -> None:
        self._key(_KEY.Key_L, CONTROL)
        for dialog in self.hand.window.findChildren(QDialog):
            if not dialog.isVisible():
                continue
            line = dialog.findChild(QLineEdit)
            if line is None or self.random.random() < 0.4:
                QTest.keyClick(dialog, _KEY.Key_Escape)
                continue
            QTest.keyClicks(line, str(self.random.choice(["zoom in", "whole", "flip", "brush"])))
            QTest.keyClick(line, _KEY.Key_Return)
        self._come_back()

    def channels(self) -> None:
        buttons = [
            button
            for button in self.hand.window.channels.findChildren(QPushButton)
            if button.text() in ("Reset", "Auto") and button.isEnabled()
        ]
        if buttons:
            QTest.mouseClick(buttons[self.random.integers(len(buttons))], _LEFT)

    def resize(self) -> None:
        width, height = (int(v) for v in self.random.integers((900, 650), (1500, 1000)))
        self.hand.window.resize(width, height)

    # -- slides, projects, models -----------------------------------------------------------------

    def open(self) -> None:
        window = self.hand.window
        if len(window.all_tabs) >= _MOST_TABS:
            return
        path = self.slides[self.random.integers(len(self.slides))]
        window.dropped.emit([path])  # to the front, if it is open
        self.hand.qtbot.waitUntil(
            lambda: window.tab is not None and window.tab.path == path, timeout=600_000
        )

    def close(self) -> None:
        self._key(_KEY.Key_W, CONTROL)
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)

    def switch(self) -> None:
        tabs = self.hand.window.tabs
        at = tabs.tabBar().tabRect(int(self.random.integers(tabs.count()))).center()
        QTest.mouseClick(tabs.tabBar(), _LEFT, NONE, at)
        self.hand.view.setFocus()

    def run(self) -> None:
        bench = run_bench(self.hand.window)
        specs = [bench.panel._model.itemData(i) for i in range(bench.panel._model.count())]
        own = [name for name in specs if name != "nuclei-unet"]
        tab = self.hand.window.tab
        is_large = tab is not None and tab.source.info.size.width > _LARGE_PX
        is_own = bool(own) and (is_large or self.random.random() < 0.5)
        extent = Extent.SLIDE if self.random.random() < 0.5 else Extent.VIEW
        bench.start(RunChoice(own[0] if is_own else "nuclei-unet", extent, 3 << 30, "cpu"))

    def cancel(self) -> None:
        action = self.hand.window.findChild(QAction, "models.cancel")
        assert isinstance(action, QAction)
        action.trigger()

    def reopen(self) -> None:
        """Put the project away, hold it against its journal, and open it again."""
        hand = self.hand
        if self.project is None:
            return
        self.settle()
        if hand.annotations.project is not None:
            # A run that ended just now may have made one.
            self.project = hand.annotations.project.path
            shown = hand.objects()
            hand.act("project.close")
            check_journal(self.project)
            assert objects_of(self.project) == shown
        hand.window.dropped.emit([self.project])
        self.settle()
        assert hand.annotations.project is not None

    def settle(self) -> None:
        limit = time.process_time() + _PATIENCE_S
        while going_on := self._unrest():
            assert time.process_time() < limit, (going_on, list(self.done))
            self.hand.qtbot.wait(5)
        for box in self.hand.window.findChildren(QDialog):
            if isinstance(box, QMessageBox | AddedDialog) and box.isVisible():
                QTest.keyClick(box, _KEY.Key_Escape)
        self._come_back()

    def add_model(self, path: Path) -> None:
        """Drop a model on the window, and put its report away."""
        bench = run_bench(self.hand.window)
        count = bench.panel._model.count()
        self.hand.drop(path)
        assert bench.panel._model.count() > count
        self.settle()

    # -- inside -----------------------------------------------------------------------------------

    def _come_back(self) -> None:
        """Let keys go to the slide again after a dialog, as a desktop does by itself."""
        self.hand.window.activateWindow()
        self.hand.qtbot.waitUntil(self.hand.window.isActiveWindow, timeout=10_000)
        if self.hand.window.tab is not None:
            self.hand.view.setFocus()

    def _unrest(self) -> list[str]:
        """Return what still goes on."""
        hand, window = self.hand, self.hand.window
        found = [job.name for job in window.work.jobs]
        checks = {
            "project": hand.annotations.desk.is_idle,
            "pictures": hand.parts.pictures.is_idle,
            "clicks": clicking(window).desk.is_idle,
            "overlay": window.tab is None or hand.overlay.is_current,
            "tiles": window.tab is None or hand.view.is_sharp,
        }
        return found + [name for name, is_still in checks.items() if not is_still]

    def _place(self) -> QPoint:
        view = self.hand.view
        x, y = self.random.integers(0, (max(2, view.width()), max(2, view.height())))
        return QPoint(int(x), int(y))

    def _modifiers(self) -> Qt.KeyboardModifier:
        return [NONE, NONE, NONE, SHIFT, ALT][self.random.integers(5)]

    def _key(self, key: Qt.Key, keys: Qt.KeyboardModifier = NONE) -> None:
        QTest.keyClick(self.hand.view, key, keys)

    def _drag(self, button: Qt.MouseButton, keys: Qt.KeyboardModifier) -> None:
        view, at = self.hand.view, self._place()
        QTest.mousePress(view, button, keys, at)
        for _ in range(int(self.random.integers(1, 6))):
            step = self.random.integers(-90, 90, 2)
            at = QPoint(at.x() + int(step[0]), at.y() + int(step[1]))
            self._move(at, button, keys)
        QTest.mouseRelease(view, button, keys, at)

    def _move(self, at: QPoint, button: Qt.MouseButton, keys: Qt.KeyboardModifier) -> None:
        view, place = self.hand.view, QPointF(at)
        kind, none = QEvent.Type.MouseMove, Qt.MouseButton.NoButton
        held = button if button is not none else none
        event = QMouseEvent(kind, place, view.mapToGlobal(place), none, held, keys)
        QApplication.sendEvent(view, event)
