"""Two slides side by side in one tab."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QSizePolicy,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.view_link import ViewLink

_TURNS_TO = (QEvent.Type.MouseButtonPress, QEvent.Type.Wheel, QEvent.Type.FocusIn)


class SideBySide(QWidget):
    """Two open slides and what links their views.

    The one that was pressed, turned the wheel over or focused last is the one in front.
    ``front_changed`` tells that it is another one now, ``close_wanted`` which of them shall be
    closed, ``separate_wanted`` that each shall have a tab of its own.
    """

    front_changed = Signal()
    close_wanted = Signal(object)
    separate_wanted = Signal()

    def __init__(self, left: SlideTab, right: SlideTab, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slides = (left, right)
        self.front = left
        self.link = ViewLink(left, right, self)
        self._sides = {left: _Side(left, "left"), right: _Side(right, "right")}
        splitter = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False)
        splitter.setHandleWidth(5)
        for tab, side in self._sides.items():
            splitter.addWidget(side)
            side.cross.clicked.connect(lambda _checked=False, tab=tab: self.close_wanted.emit(tab))
            for watched in (tab.view, tab.map):
                watched.installEventFilter(self)
            tab.planes.moved.connect(self._plane_moved)
            tab.measured_anew.connect(self._measure_anew)
        splitter.setSizes([1, 1])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(splitter)
        self._linked = self._link_button()
        self._sides[right].header.insertWidget(1, self._linked)
        self.link.changed.connect(self._show_link)
        self._show_link()
        self._show_front()

    @property
    def names(self) -> tuple[str, str]:
        """The names of both slides, the left one first."""
        left, right = self.slides
        return left.path.name, right.path.name

    def other(self, tab: SlideTab) -> SlideTab:
        """Return the slide beside one of them."""
        left, right = self.slides
        return right if tab is left else left

    def bring_to_front(self, tab: SlideTab) -> None:
        """Have commands and panels mean this slide from now on."""
        if tab is not self.front:
            self.front = tab
            self._show_front()
            self.front_changed.emit()

    def release(self) -> None:
        """Let go of both slides; somebody else has to take them."""
        self.link.release()
        for tab in self.slides:
            tab.planes.moved.disconnect(self._plane_moved)
            tab.measured_anew.disconnect(self._measure_anew)
            for watched in (tab.view, tab.map):
                watched.removeEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Notice which side is used; called by Qt."""
        if event.type() in _TURNS_TO:
            for tab in self.slides:
                if watched in (tab.view, tab.map):
                    self.bring_to_front(tab)
        elif event.type() == QEvent.Type.Leave:
            self.link.leave()
        return super().eventFilter(watched, event)

    # -- inside -----------------------------------------------------------------------------------

    def _link_button(self) -> QToolButton:
        button = _tool_button()
        button.setCheckable(True)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        button.toggled.connect(self._link_toggled)
        menu = QMenu(button)
        menu.addAction("Link as they stand", self.link.link_as_they_stand)
        menu.addAction("Link at the same size", lambda: self.link.link_at_same_size(self.front))
        menu.addSeparator()
        menu.addAction("Give each a tab of its own", self.separate_wanted.emit)
        button.setMenu(menu)
        return button

    def _link_toggled(self, is_on: bool) -> None:
        if is_on != self.link.is_linked:
            self.link.set_linked(is_on)

    def _show_link(self) -> None:
        is_linked = self.link.is_linked
        self._linked.setChecked(is_linked)
        self._linked.setText("Linked" if is_linked else "Not linked")
        self._linked.setToolTip(
            "Both views move together; press to let each go its own way"
            if is_linked
            else "Each view goes its own way; press to have them move together again"
        )
        self._linked.setAccessibleName("Linked views")

    def _plane_moved(self, _plane: int) -> None:
        bar = self.sender()
        for tab in self.slides:
            if tab.planes is bar:
                self.bring_to_front(tab)

    def _measure_anew(self) -> None:
        self.link.measure_anew(self.front)

    def _show_front(self) -> None:
        for tab, side in self._sides.items():
            side.mark(is_front=tab is self.front)


class _Side(QWidget):
    """A slide under its name."""

    def __init__(self, tab: SlideTab, place: str) -> None:
        super().__init__()
        self._name = QLabel(tab.path.name)
        self._name.setTextFormat(Qt.TextFormat.PlainText)
        self._name.setToolTip(str(tab.path))
        self._name.setMinimumWidth(20)
        self._name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.cross = _tool_button()
        self.cross.setText("✕")
        self.cross.setToolTip(f"Close {tab.path.name}")
        self.cross.setAccessibleName(f"Close {tab.path.name}, {place}")
        self._mark = QFrame()
        self._mark.setFixedHeight(2)
        self._mark.setAutoFillBackground(True)
        self.header = QHBoxLayout()
        self.header.setContentsMargins(8, 2, 4, 2)
        self.header.addWidget(self._name, 1)
        self.header.addWidget(self.cross)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(self.header)
        layout.addWidget(self._mark)
        layout.addWidget(tab, 1)
        tab.show()

    def mark(self, *, is_front: bool) -> None:
        """Show whether this side is the one that commands mean."""
        font = self._name.font()
        font.setBold(is_front)
        self._name.setFont(font)
        role = self._mark.palette().ColorRole
        self._mark.setBackgroundRole(role.Highlight if is_front else role.Window)
        self.setAccessibleDescription("in front" if is_front else "")


def _tool_button() -> QToolButton:
    button = QToolButton(autoRaise=True)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button
