"""What the window tells and asks, above the slides; it stops nobody."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAccessible,
    QAccessibleAnnouncementEvent,
    QGuiApplication,
    QKeyEvent,
    QPalette,
    QResizeEvent,
    QTextDocument,
    QTextOption,
)
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from tilescope_desktop.model.notices import Choice, Notice, Notices, subject, subject_of, words_of

_MOST_PX = 190
_LEAST_WORDS_PX = 80
_ICON_PX = 20
#: While a mouse button is held nothing may move under it.
_HELD_MS = 60
_SCROLLS = (
    *(Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown),
    *(Qt.Key.Key_Home, Qt.Key.Key_End),
)


class NoticeBar(QScrollArea):
    """Failures and questions, the newest on top; hidden while there are none.

    ``failed`` gives the words of every failure, ``left`` tells that the keyboard has to go
    elsewhere because what had it is gone.
    """

    failed = Signal(str)
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("bar-notice")
        self.setAccessibleName("Notices")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidgetResizable(True)
        self._notices = Notices()
        self._rows: dict[Hashable, _Row] = {}
        inside = QWidget()
        self._layout = QVBoxLayout(inside)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(1)
        self.setWidget(inside)
        self._later = QTimer(self, singleShot=True, interval=_HELD_MS)
        self._later.timeout.connect(self._show)
        self.hide()

    @property
    def shown(self) -> tuple[Notice, ...]:
        """What is told and asked now, the newest first."""
        return self._notices.shown

    @property
    def text(self) -> str:
        """All words that are told now."""
        return "\n".join(notice.text for notice in self.shown)

    def say(self, text: str, choices: Sequence[Choice], key: Hashable = None) -> None:
        """Ask something, with a button per choice; any of them takes it away.

        Parameters
        ----------
        key
            A later notice of the same key takes its place; None for the text itself.
        """
        self.put(Notice(text if key is None else key, text, tuple(choices)))

    def put(self, notice: Notice) -> None:
        """Tell or ask something; what has no choices can be closed."""
        is_known = notice in self.shown
        self._notices.put(notice)
        self._show()
        if not is_known:
            self._announce(notice.text, is_failure=notice.is_failure)

    def fail(self, error: BaseException, about: Hashable = None, group: str = "") -> None:
        """Tell of a failure until it is closed or settled.

        Parameters
        ----------
        about
            What settles it; by default the file that the error names, else its words.
        group
            Which list it belongs to, as in ``Notices.fail``.
        """
        text, before = words_of(error), self.shown
        self._notices.fail(text, subject_of(error) if about is None else about, group)
        if self.shown != before:
            self._show()
            self._announce(text, is_failure=True)
        self.failed.emit(text)

    def settle(self, about: Hashable) -> None:
        """Tell no longer of failures about something, for example a path: it works now."""
        self._notices.settle(subject(about) if isinstance(about, Path) else about)
        self._show()

    def take(self, key: Hashable) -> None:
        """End a notice, if it is there."""
        self._notices.take(key)
        self._show()

    def clear(self) -> None:
        """End all notices."""
        self._notices.clear()
        self._show()

    def focus(self) -> None:
        """Let the keyboard go to the first button."""
        for notice in self.shown:
            self._rows[notice.key].focus()
            return

    def event(self, event: QEvent) -> bool:
        """Keep the keys that scroll from moving the slide; called by Qt."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride:
            event.setAccepted(event.key() in _SCROLLS)
            return True
        return super().event(event)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the size of what is told; called by Qt."""
        return QSize(200, self.maximumHeight())

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Let the window be as narrow as it likes; called by Qt."""
        return QSize(_LEAST_WORDS_PX, 0)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Break the lines anew; called by Qt."""
        super().resizeEvent(event)
        self._fit()

    # -- inside -----------------------------------------------------------------------------------

    def _show(self) -> None:
        if QGuiApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._later.start()
            return
        shown = self.shown
        gone = [key for key in self._rows if key not in {notice.key for notice in shown}]
        has_focus = [self._remove(key) for key in gone]
        for index, notice in enumerate(shown):
            row = self._rows.get(notice.key)
            if row is None:
                row = self._rows[notice.key] = _Row(self._end)
            row.show_notice(notice)
            if self._layout.indexOf(row) != index:
                self._layout.insertWidget(index, row)
                row.show()  # now: what is hidden has no height
        self.setAccessibleDescription(self.text)
        self.setVisible(bool(shown))
        self._fit()
        if any(has_focus):
            self.left.emit()

    def _remove(self, key: Hashable) -> bool:
        """Take a row away and tell whether it had the keyboard."""
        row = self._rows.pop(key)
        focus = QApplication.focusWidget()
        had_focus = focus is not None and row.isAncestorOf(focus)
        row.hide()
        self._layout.removeWidget(row)
        row.deleteLater()
        return had_focus

    def _fit(self) -> None:
        """Be as high as what is told, within reason."""
        wanted = self._layout.totalHeightForWidth(max(_LEAST_WORDS_PX, self.width()))
        scrolls = wanted > _MOST_PX
        # Said outright: a scroll bar that is there while lines are broken keeps itself there.
        policy = Qt.ScrollBarPolicy
        self.setVerticalScrollBarPolicy(
            policy.ScrollBarAsNeeded if scrolls else policy.ScrollBarAlwaysOff
        )
        self.setFixedHeight(min(_MOST_PX, max(1, wanted)))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus if scrolls else Qt.FocusPolicy.NoFocus)

    def _end(self, key: Hashable, act: Callable[[], None]) -> None:
        self.take(key)
        act()

    def _announce(self, text: str, *, is_failure: bool) -> None:
        event = QAccessibleAnnouncementEvent(self, text)
        if is_failure:
            event.setPoliteness(QAccessible.AnnouncementPoliteness.Assertive)
        QAccessible.updateAccessibility(event)


class _Row(QFrame):
    """One notice: what kind it is, its words, its buttons."""

    def __init__(self, end: Callable[[Hashable, Callable[[], None]], None]) -> None:
        super().__init__()
        self._end = end
        self._notice: Notice | None = None
        self._buttons: list[QPushButton] = []
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.AlternateBase)
        self._kind = QLabel()
        self._words = _Words()
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(10, 4, 8, 4)
        self._layout.addWidget(self._kind, 0, Qt.AlignmentFlag.AlignTop)
        self._layout.addWidget(self._words, 1)

    def show_notice(self, notice: Notice) -> None:
        """Show these words and choices; buttons that are the same stay."""
        before, self._notice = self._notice, notice
        kind = "Error" if notice.is_failure else "Question" if notice.choices else "Notice"
        self._words.set_words(notice.text, kind)
        if before is None or before.is_failure != notice.is_failure:
            pixmaps = QStyle.StandardPixmap
            icon = pixmaps.SP_MessageBoxWarning if notice.is_failure else None
            shown = self.style().standardIcon(icon or pixmaps.SP_MessageBoxInformation)
            self._kind.setPixmap(shown.pixmap(_ICON_PX, _ICON_PX))
            self._kind.setAccessibleName(kind)
        titles = [title for title, _ in _choices(notice)]
        if [button.text() for button in self._buttons] != titles:
            self._make_buttons(titles)
        for button in self._buttons:
            button.setAccessibleName(button.text())
            button.setAccessibleDescription(notice.text)

    def focus(self) -> None:
        """Let the keyboard go to the first button."""
        self._buttons[0].setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _make_buttons(self, titles: Sequence[str]) -> None:
        for button in self._buttons:
            self._layout.removeWidget(button)
            button.deleteLater()
        self._buttons = []
        for index, title in enumerate(titles):
            button = QPushButton(title)
            button.setAutoDefault(True)
            button.clicked.connect(lambda _checked=False, index=index: self._choose(index))
            self._layout.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
            self._buttons.append(button)

    def _choose(self, index: int) -> None:
        assert self._notice is not None
        self._end(self._notice.key, _choices(self._notice)[index][1])


class _Words(QTextEdit):
    """Plain words that can be selected; long names are broken anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setTabChangesFocus(True)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.viewport().setAutoFillBackground(False)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def set_words(self, text: str, kind: str) -> None:
        """Show words; ``kind`` is said before them by a screen reader."""
        self.setAccessibleName(f"{kind}: {text}")
        if text != self.toPlainText():
            self.setPlainText(text)
            self.updateGeometry()

    def hasHeightForWidth(self) -> bool:  # noqa: N802 - Qt's name
        """Tell that lines are broken; called by Qt."""
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802 - Qt's name
        """Return how high the words are; called by Qt."""
        page = QTextDocument(self.toPlainText())
        page.setDefaultFont(self.font())
        page.setDefaultTextOption(self.document().defaultTextOption())
        page.setTextWidth(max(1, width))
        return math.ceil(page.size().height())

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return a size for a line or so; called by Qt."""
        return QSize(4 * _LEAST_WORDS_PX, self.heightForWidth(4 * _LEAST_WORDS_PX))

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Let the row be narrow; called by Qt."""
        return QSize(_LEAST_WORDS_PX, self.fontMetrics().height() + 8)


def _choices(notice: Notice) -> tuple[Choice, ...]:
    """Return the buttons of a notice; a failure can always be closed."""
    if notice.choices and not notice.is_failure:
        return notice.choices
    return (*notice.choices, ("Close", _nothing))


def _nothing() -> None:
    """Only end the notice."""
