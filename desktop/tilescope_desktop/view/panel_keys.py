"""Keys that belong to the control that has the focus, not to the commands of the window."""

from __future__ import annotations

from PySide6.QtCore import QChildEvent, QEvent, QObject, Qt
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QTabBar,
    QWidget,
)

_KEY = Qt.Key
_MODIFIER = Qt.KeyboardModifier
_REASON = Qt.FocusReason
_WAYS = frozenset(
    (
        *(_KEY.Key_Left, _KEY.Key_Right, _KEY.Key_Up, _KEY.Key_Down),
        *(_KEY.Key_Home, _KEY.Key_End, _KEY.Key_PageUp, _KEY.Key_PageDown),
    )
)
_ACTS = frozenset((_KEY.Key_Space, _KEY.Key_Return, _KEY.Key_Enter, _KEY.Key_Select))
#: What is copied, marked, cut and put in by Ctrl and a letter.
_EDITS = frozenset((_KEY.Key_C, _KEY.Key_A, _KEY.Key_X, _KEY.Key_V))
_COMBO_KEYS = _WAYS | _ACTS | {_KEY.Key_F4}
_CONTROLS = (
    QAbstractItemView, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit, QTabBar,
)  # fmt: skip
#: Reasons that say nothing of whether the user came by mouse or by keys.
_COMES_BACK = (
    _REASON.ActiveWindowFocusReason, _REASON.PopupFocusReason, _REASON.MenuBarFocusReason,
)  # fmt: skip


class PanelKeys(QObject):
    """Leaves to lists, tables, sliders, boxes and tabs the keys that they have a use for.

    The window's commands would have them otherwise: an arrow key would move the slide behind the
    list that one walks through. What is typed searches in a list or a combo box that was reached
    by keys. Where it was clicked, letters and digits stay commands: whoever clicks a class and then
    presses the key of a tool wants to draw in that class.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._clicked: QObject | None = None

    def watch(self, widget: QWidget) -> None:
        """Do so for a control, or for all in a panel, also those that come later."""
        # The list that a combo box drops down takes all keys by itself.
        if isinstance(widget, _CONTROLS):
            widget.installEventFilter(self)
            if isinstance(widget, QAbstractItemView):
                widget.viewport().installEventFilter(self)  # which is what the mouse presses
            return
        inside = [child for child in widget.children() if isinstance(child, QWidget)]
        if inside or widget.layout() is not None:
            widget.installEventFilter(self)
        for child in inside:
            self.watch(child)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Keep a key from being a command; called by Qt."""
        kind = event.type()
        if kind == QEvent.Type.ShortcutOverride:
            assert isinstance(event, QKeyEvent)
            if self._is_used(watched, event):
                event.accept()
                return True
        elif kind == QEvent.Type.FocusIn and isinstance(event, QFocusEvent):
            self._note_focus(watched, event.reason())
        elif kind == QEvent.Type.MouseButtonPress:
            self._note_press(watched)
        elif kind == QEvent.Type.ChildPolished and isinstance(event, QChildEvent):
            child = event.child()
            if isinstance(child, QWidget) and not isinstance(watched, _CONTROLS):
                self.watch(child)
        return super().eventFilter(watched, event)

    def _note_press(self, watched: QObject) -> None:
        """Take a control as clicked, also one that keys had come to before."""
        parent = watched.parent()
        is_inside = isinstance(parent, QAbstractItemView) and watched is parent.viewport()
        self._clicked = parent if is_inside else watched

    def _note_focus(self, watched: QObject, reason: Qt.FocusReason) -> None:
        if reason == _REASON.MouseFocusReason:
            self._clicked = watched
        elif reason not in _COMES_BACK:
            self._clicked = None

    def _is_used(self, watched: QObject, event: QKeyEvent) -> bool:
        key = event.key()
        match watched:
            case QAbstractItemView():
                types = watched is not self._clicked and _types(event)
                return types or key in _WAYS | _ACTS or _edits(watched, event)
            case QComboBox():
                types = watched is not self._clicked and _types(event)
                return key in _COMBO_KEYS or types
            case QAbstractSlider() | QTabBar() | QAbstractSpinBox() | QLineEdit():
                # Characters are taken by the boxes that have a use for them.
                return key in _WAYS
        return False


def _types(event: QKeyEvent) -> bool:
    """Tell whether a key writes something."""
    held = event.modifiers() & (
        _MODIFIER.ControlModifier | _MODIFIER.AltModifier | _MODIFIER.MetaModifier
    )
    return not held and event.text().isprintable() and event.text() != ""


def _edits(view: QAbstractItemView, event: QKeyEvent) -> bool:
    """Tell whether a key copies rows, marks all of them, deletes them or takes them elsewhere.

    Rows of which several can be marked are objects: Delete is a command that deletes those. In
    other lists it must not delete what is selected on the slide.
    """
    is_single = view.selectionMode() == QAbstractItemView.SelectionMode.SingleSelection
    if event.modifiers() == _MODIFIER.ControlModifier:
        return event.key() in _EDITS and not (is_single and event.key() == _KEY.Key_A)
    return is_single and event.key() == _KEY.Key_Delete
