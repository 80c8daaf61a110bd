"""Pointing at a slide by keys: whatever tools do with the mouse, without one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, Qt
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QCursor,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QApplication, QWidget

from tilescope.domain.geometry import Point
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.key_pointer import Hold, KeyPointer, Room
from tilescope_desktop.model.readout import place_text
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.tool_bench import ToolBench

_KEY, _MODIFIER, _KIND = Qt.Key, Qt.KeyboardModifier, QEvent.Type
_WAYS: Mapping[int, tuple[int, int]] = {
    _KEY.Key_Left: (-1, 0), _KEY.Key_Right: (1, 0), _KEY.Key_Up: (0, -1), _KEY.Key_Down: (0, 1),
}  # fmt: skip
_STEPS_PX = {
    _MODIFIER.NoModifier: 10, _MODIFIER.ShiftModifier: 60, _MODIFIER.ControlModifier: 1,
}  # fmt: skip
#: Some systems keep Alt and Space for themselves.
_TAKES_AWAY = _MODIFIER.AltModifier | _MODIFIER.ControlModifier
_PRESSES = (_KIND.MouseButtonPress, _KIND.MouseButtonDblClick)
_KEYS = (_KIND.ShortcutOverride, _KIND.KeyPress, _KIND.KeyRelease)
_HOLD = "tool.hold-button"
#: A widget that moves below it makes Qt tell of a mouse that lies still; a table that is touched
#: moves one a little.
_MOVED_PX = 3
_LEFT, _NO_BUTTON = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
#: Dark and bright, one of them is seen on whatever lies below.
_STROKES = ((QColor(0, 0, 0), 4.0), (QColor(255, 255, 255), 1.6))
_ARM_PX = 16.0
_GAP_PX = 4.0
_RING_PX = 9.0
_SIDE_PX = 38


class KeyPointing(QObject):
    """Moves a pointer over the slide in front by keys; the view takes it for the mouse.

    The mouse takes the pointer along, but not while keys hold the button; pressed, it ends this.
    """

    def __init__(self, window: MainWindow, bench: ToolBench) -> None:
        super().__init__(window)
        self._window = window
        self._bench = bench
        self._is_on = False
        self._tab: SlideTab | None = None
        self._pointer = KeyPointer(0, 0)
        self._room = Room(1, 1)
        self._said = ""
        self._cross: _Cross | None = None
        self._is_sending = False
        self._mouse_at = QPoint()
        window.tab_opened.connect(self._watch)
        window.tab_changed.connect(self._follow)

    @property
    def is_on(self) -> bool:
        """Whether keys point."""
        return self._is_on

    @property
    def at(self) -> QPointF:
        """Where they point, in logical pixels of the view in front."""
        return QPointF(self._pointer.x_px, self._pointer.y_px)

    def commands(self) -> list[Command]:
        """Return the commands that switch it on and off and keep the button down."""
        return [
            Command(
                "tool.by-keys",
                "Point by keys",
                "Tools",
                self._toggle,
                "F8",
                lambda: self._window.tab is not None,
                lambda: self.is_on,
            ),
            Command(
                _HOLD,
                "Hold the button",
                "Tools",
                self._toggle_hold,
                "Ins",
                lambda: self.is_on,
                lambda: self._pointer.hold is Hold.KEPT,
            ),
        ]

    def cancel(self) -> bool:
        """Escape: forget what is begun, else point no longer; tell whether there was either."""
        if not self.is_on:
            return False
        if self._bench.tool.is_busy:
            self._bench.cancel()
            self._let_go()
        elif self._bench.tool.retract():
            self._bench.repaint()
        else:
            self._end()
        return True

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Take keys and the mouse over the slide in front; called by Qt."""
        kind = event.type()
        if kind in _PRESSES and not self._is_sending:
            self._end()  # also by a press in the view beside
        if self._tab is None or watched is not self._tab.view or self._is_sending:
            return super().eventFilter(watched, event)
        if kind in _KEYS:
            assert isinstance(event, QKeyEvent)
            return self._take_key(event)
        if kind == _KIND.MouseMove:
            assert isinstance(event, QMouseEvent)
            return self._take_move(self._tab, event)
        if isinstance(event, QContextMenuEvent):
            if event.reason() == QContextMenuEvent.Reason.Keyboard:
                event.accept()
                self._tab.view.menu_wanted.emit(self.at)
                return True
        elif kind == _KIND.FocusOut and self._pointer.hold is Hold.BY_KEY:
            self._let_go()  # the key will be let go elsewhere
        return kind == _KIND.Leave  # what is around the pointer stays

    # -- on and off -------------------------------------------------------------------------------

    def _toggle(self) -> None:
        if self.is_on:
            self._end()
        elif self._window.tab is not None:
            self._begin(self._window.tab)
            hold = self._window.keys.get(_HOLD) or "Tools > Hold the button"
            self._said = (
                "Pointing by keys: arrows move (Shift far, Ctrl finely), Space clicks or drags, "
                f"{hold} holds, Esc ends"
            )
            self._window.status.showMessage(self._said)
            self._window.tab.view.setFocus()

    def _begin(self, tab: SlideTab) -> None:
        self._is_on, self._tab, self._mouse_at = True, tab, QCursor.pos()
        self._cross = _Cross(tab)
        self._room = _room(tab)
        self._go_to(KeyPointer.in_middle(self._room))

    def _end(self) -> None:
        if not self._is_on:
            return
        tab = self._tab
        self._leave()
        self._is_on = False
        if tab is not None and not tab.view.underMouse():
            QApplication.sendEvent(tab.view, QEvent(_KIND.Leave))
        if self._window.status.currentMessage() == self._said:
            self._window.status.clearMessage()
        self._window.refresh_commands()

    def _leave(self) -> None:
        """Let go of the slide, if there is one."""
        self._let_go()
        tab, self._tab = self._tab, None
        if tab is None:
            return
        if self._cross is not None:
            self._cross.hide()
            self._cross.deleteLater()
            self._cross = None
        tab.view.zooms_at = None
        tab.view.setAccessibleDescription("")

    def _watch(self, tab: SlideTab) -> None:
        tab.view.installEventFilter(self)
        tab.view.viewport_changed.connect(lambda _viewport: self._stay(tab))

    def _follow(self, front: SlideTab | None) -> None:
        """Point at the slide that is in front now, once there is one."""
        if not self._is_on or front is self._tab:
            return
        self._leave()
        if front is not None:
            self._begin(front)

    # -- keys -------------------------------------------------------------------------------------

    def _take_key(self, event: QKeyEvent) -> bool:
        """Move, press or let go; tell whether it was a key for that."""
        step, is_hold = _step_px(event), self._is_hold(event)
        if step is None and not is_hold and event.key() != _KEY.Key_Space:
            return False
        event.accept()
        is_press = event.type() == _KIND.KeyPress
        if step is not None and is_press:
            self._step(*step)
        elif is_press and not event.isAutoRepeat():
            if is_hold:
                self._toggle_hold(event.modifiers())
            elif self._pointer.is_down:
                self._let_go()
            else:
                self._press(event.modifiers())
        elif event.key() == _KEY.Key_Space and event.type() == _KIND.KeyRelease:
            if self._pointer.hold is not Hold.BY_KEY:
                return False  # it was pressed before, to pan
            if not event.isAutoRepeat():
                self._let_go()
        return True

    def _is_hold(self, event: QKeyEvent) -> bool:
        """Tell whether a key holds the button; also with what the tool's variants are held by."""
        return QKeySequence(event.key()).toString() == self._window.keys.get(_HOLD)

    def _step(self, right_px: float, down_px: float) -> None:
        tab = self._tab
        if tab is None:
            return
        room = _room(tab)
        pointer, right, down = self._pointer.stepped(right_px, down_px, room)
        # A slide that is dragged by its place under the pointer comes along by that.
        if (right or down) and (not pointer.is_down or self._bench.tool.is_busy):
            moved = self._scroll(tab, right, down)
            right, down = right - moved.x, down - moved.y
        self._go_to(pointer.at(pointer.x_px + right, pointer.y_px + down, room))

    def _scroll(self, tab: SlideTab, right_px: float, down_px: float) -> Point:
        """Move the view over its slide, and return how far that went: slides have an end."""
        before = tab.view.viewport
        if before is None:
            return Point(0.0, 0.0)
        with self._sending():
            tab.view.pan(-right_px, -down_px)
        after = tab.view.viewport or before
        there = after.to_screen(before.centre_l0)
        return Point(after.width / 2 - there.x, after.height / 2 - there.y)

    def _press(self, modifiers: Qt.KeyboardModifier, *, is_kept: bool = False) -> None:
        self._pointer = self._pointer.pressed(
            time.monotonic(),
            QApplication.doubleClickInterval() / 1000,
            has_shift=bool(modifiers & _MODIFIER.ShiftModifier),
            has_alt=bool(modifiers & _TAKES_AWAY),
            is_kept=is_kept,
        )
        press = self._pointer.press
        is_second = press is not None and press.is_second
        self._send(_KIND.MouseButtonDblClick if is_second else _KIND.MouseButtonPress, _LEFT)
        self._show()

    def _toggle_hold(self, modifiers: Qt.KeyboardModifier = _MODIFIER.NoModifier) -> None:
        match self._pointer.hold:
            case Hold.UP:
                self._press(modifiers, is_kept=True)
            case Hold.BY_KEY:
                self._pointer = self._pointer.kept()
                self._show()
            case Hold.KEPT:
                self._let_go()
        self._window.refresh_commands()

    def _let_go(self) -> None:
        tab = self._tab
        if tab is None or not self._pointer.is_down:
            return
        was_kept = self._pointer.hold is Hold.KEPT
        self._send(_KIND.MouseButtonRelease, _LEFT)
        self._pointer = self._pointer.let_go()
        tab.view.pan(0, 0)  # no hand has flung it
        self._show()
        if was_kept:
            self._window.refresh_commands()

    # -- the mouse --------------------------------------------------------------------------------

    def _take_move(self, tab: SlideTab, event: QMouseEvent) -> bool:
        """Go where the mouse goes; tell whether the view must not hear of it."""
        there = event.globalPosition().toPoint()
        has_moved = (there - self._mouse_at).manhattanLength() >= _MOVED_PX
        if has_moved:
            self._mouse_at = there
        if self._pointer.is_down or not has_moved:
            return True
        at = event.position()
        self._pointer = self._pointer.at(at.x(), at.y(), _room(tab))
        self._show()
        return False

    # -- what the view is told --------------------------------------------------------------------

    def _go_to(self, pointer: KeyPointer) -> None:
        self._pointer = pointer
        self._send(_KIND.MouseMove, _NO_BUTTON)
        self._show()

    def _stay(self, tab: SlideTab) -> None:
        """Point at what lies below now, as the view has moved."""
        if tab is self._tab and not self._is_sending:
            before, self._room = self._room, _room(tab)
            self._go_to(self._pointer.resized(before, self._room))

    def _send(self, kind: QEvent.Type, button: Qt.MouseButton) -> None:
        """Do what a mouse would do here."""
        if self._tab is None:
            return
        view, pointer = self._tab.view, self._pointer
        is_up = kind == _KIND.MouseButtonRelease or not pointer.is_down
        held, press = _MODIFIER.NoModifier, pointer.press
        if pointer.is_down and press is not None:
            held |= _MODIFIER.ShiftModifier if press.has_shift else held
            held |= _MODIFIER.AltModifier if press.has_alt else held
        buttons = _NO_BUTTON if is_up else _LEFT
        event = QMouseEvent(kind, self.at, view.mapToGlobal(self.at), button, buttons, held)
        with self._sending():
            QApplication.sendEvent(view, event)

    @contextmanager
    def _sending(self) -> Iterator[None]:
        """Take what the view does meanwhile as done by this."""
        self._is_sending = True
        try:
            yield
        finally:
            self._is_sending = False

    def _show(self) -> None:
        tab = self._tab
        if tab is None or tab.view.viewport is None or self._cross is None:
            return
        place = Point(self._pointer.x_px, self._pointer.y_px)
        tab.view.zooms_at = place
        where = place_text(tab.view.viewport.to_l0(place), tab.pixel_size)
        tab.view.setAccessibleDescription(self._pointer.words(where))
        self._cross.mark(tab.view.mapTo(tab, self.at), is_down=self._pointer.is_down)


class _Cross(QWidget):
    """A mark where keys point, over all that lies on the slide; a ring while the button is down."""

    def __init__(self, tab: SlideTab) -> None:
        super().__init__(tab)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFixedSize(_SIDE_PX, _SIDE_PX)
        self._is_down = False
        self.show()

    def mark(self, at: QPointF, *, is_down: bool) -> None:
        """Mark a place of the tab."""
        self._is_down = is_down
        self.move(at.toPoint() - QPoint(_SIDE_PX // 2, _SIDE_PX // 2))
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Paint a cross that is open in its middle; called by Qt."""
        at = QPointF(_SIDE_PX // 2, _SIDE_PX // 2)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for color, width in _STROKES:
            painter.setPen(QPen(color, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            for dx, dy in _WAYS.values():
                way = QPointF(dx, dy)
                painter.drawLine(at + way * _GAP_PX, at + way * _ARM_PX)
            if self._is_down:
                painter.drawEllipse(at, _RING_PX, _RING_PX)
        painter.end()


def _step_px(event: QKeyEvent) -> tuple[float, float] | None:
    """Return how far an arrow key moves, right and down; None for other keys."""
    way = _WAYS.get(event.key())
    size_px = _STEPS_PX.get(event.modifiers() & ~_MODIFIER.KeypadModifier)
    return None if way is None or size_px is None else (way[0] * size_px, way[1] * size_px)


def _room(tab: SlideTab) -> Room:
    return Room(max(1, tab.view.width()), max(1, tab.view.height()))
