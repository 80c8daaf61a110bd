"""What came of adding a model, in words, and a form to say what had to be assumed."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStyle,
    QVBoxLayout,
    QWidget,
)

from tilescope.jobs.adding.assumption import OptionName, Unsettled
from tilescope_desktop.model.model_form import FIELDS, Field, ModelForm, problem_text

_WIDTH_PX = 620
_REPORT_LINES, _LEAST_LINES = 18, 6
#: Some networks know tens of thousands of classes.
_LONGEST_TEXT = 1 << 20


class AddedDialog(QDialog):
    """A report, and the fields of a `ModelForm`.

    ``again`` gives the `AddOptions` of the fields when the user wants the model added with them.
    Closing it changes nothing about what was added.
    """

    again = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(_WIDTH_PX)
        self._form = ModelForm()
        self._fields: dict[OptionName, QLineEdit | QComboBox] = {}
        self._headline = _words()
        bold = self._headline.font()
        bold.setBold(True)
        self._headline.setFont(bold)
        self._report = _Report()
        self._report.setAccessibleName("What trying the model out found")
        self._report.setMinimumHeight(_LEAST_LINES * self._report.fontMetrics().lineSpacing())
        self._asked = QWidget()
        self._rows = QFormLayout(self._asked)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._icon = QLabel()
        size = self.style().pixelMetric(QStyle.PixelMetric.PM_SmallIconSize)
        sign = self.style().standardIcon(QStyle.StandardPixmap.SP_MessageBoxWarning)
        self._icon.setPixmap(sign.pixmap(size))
        self._problem = _words()
        self._problem.setAccessibleName("What is wrong")
        self._bar = QProgressBar(textVisible=False)
        self._bar.setAccessibleName("Progress of adding the model")
        self._bar.setMaximum(0)
        self._stage = _words()
        self._add = QPushButton()
        self._add.clicked.connect(self._ask)
        self._close = QPushButton("Close")
        self._close.clicked.connect(self.reject)
        self._lay_out()
        self._say_problem("")
        self._show_going(False)

    def show_report(self, title: str, headline: str, lines: Sequence[str]) -> None:
        """Show what came of adding it."""
        self.setWindowTitle(title)
        self._headline.setText(headline)
        self._report.setPlainText("\n".join(lines))
        self._report.setVisible(bool(lines))
        self._announce(headline)

    def ask(self, form: ModelForm, button: str) -> None:
        """Ask for what a form asks for; ``button`` is what the button says that adds the model."""
        self._form = form
        self._say_problem("")
        self._show_going(False)
        self._add.setText(button)
        self._fill()
        self._watch_changes()
        first = next(iter(self._fields.values()), None)
        (first or self._close).setFocus()

    def show_problem(self, error: BaseException, words: str) -> None:
        """Say what is wrong beside the fields, which stay as they are."""
        self._show_going(False)
        self._say_problem(problem_text(error, words))
        options = error.options if isinstance(error, Unsettled) else ()
        missing = [option for option in options if option not in self._fields]
        if missing:
            texts = self._texts
            self._form = self._form.asking(missing)
            self._fill()
            for option, text in texts.items():
                _put(self._fields[option], text)
            self._watch_changes()
        at_fault = next((self._fields[o] for o in options if o in self._fields), self._add)
        at_fault.setFocus()
        if isinstance(at_fault, QLineEdit):
            at_fault.selectAll()

    def show_stage(self, words: str) -> None:
        """Show that the model is being added, and how far that is."""
        self._say_problem("")
        self._show_going(True)
        self._stage.setText(f"{words[:1].upper()}{words[1:]}…")
        self._close.setFocus()

    # -- inside -----------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        problem = QHBoxLayout()
        problem.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        problem.addWidget(self._problem, 1, Qt.AlignmentFlag.AlignTop)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self._add)
        buttons.addWidget(self._close)
        layout = QVBoxLayout(self)
        layout.addWidget(self._headline)
        layout.addWidget(self._report, 1)
        layout.addWidget(self._asked)
        layout.addLayout(problem)
        layout.addWidget(self._bar)
        layout.addWidget(self._stage)
        layout.addLayout(buttons)

    def _fill(self) -> None:
        """Make the fields anew; what is said or assumed stands in them."""
        while self._rows.rowCount():
            self._rows.removeRow(0)
        self._fields.clear()
        before: QWidget = self._report
        for option, text in self._form.texts.items():
            asked = FIELDS[option]
            made = self._fields[option] = _field(asked)
            _put(made, text)
            made.setAccessibleName(asked.title)
            label = QLabel(asked.title)
            label.setBuddy(made)
            self._rows.addRow(label, made)
            changed = made.textChanged if isinstance(made, QLineEdit) else made.currentIndexChanged
            changed.connect(self._watch_changes)
            self.setTabOrder(before, made)
            before = made
        self.setTabOrder(before, self._add)
        self._asked.setVisible(bool(self._fields))
        self._add.setVisible(bool(self._fields))

    def _watch_changes(self) -> None:
        """Let Enter do what is meant: add with what was changed, else close."""
        is_changed = self._texts != self._form.texts
        self._add.setEnabled(is_changed)
        (self._add if is_changed else self._close).setDefault(True)

    @property
    def _texts(self) -> dict[OptionName, str]:
        return {option: _text(made) for option, made in self._fields.items()}

    def _ask(self) -> None:
        try:
            options = self._form.options(self._texts)
        except Unsettled as error:
            self.show_problem(error, str(error))
        else:
            self.again.emit(options)

    def _say_problem(self, text: str) -> None:
        self._problem.setText(text)
        self._problem.setVisible(bool(text))
        self._icon.setVisible(bool(text))
        if text:
            self._announce(text)

    def _show_going(self, is_going: bool) -> None:
        self._asked.setEnabled(not is_going)
        self._add.setEnabled(not is_going and self._texts != self._form.texts)
        self._bar.setVisible(is_going)
        self._stage.setVisible(is_going)

    def _announce(self, text: str) -> None:
        event = QAccessibleAnnouncementEvent(self, text)
        QAccessible.updateAccessibility(event)


class _Report(QPlainTextEdit):
    """Lines to be read, and gone through by keys."""

    def __init__(self) -> None:
        super().__init__(readOnly=True, tabChangesFocus=True)
        keys = Qt.TextInteractionFlag.TextSelectableByKeyboard
        self.setTextInteractionFlags(keys | Qt.TextInteractionFlag.TextSelectableByMouse)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return a size in which most reports are seen whole; called by Qt."""
        hint = super().sizeHint()
        return QSize(hint.width(), _REPORT_LINES * self.fontMetrics().lineSpacing())


def _words() -> QLabel:
    """Return a label for words that come from files: they are shown as they are."""
    label = QLabel(wordWrap=True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
    return label


def _field(asked: Field) -> QLineEdit | QComboBox:
    if not asked.choices:
        line = QLineEdit(placeholderText=asked.hint)
        line.setMaxLength(_LONGEST_TEXT)
        return line
    box = QComboBox()
    for value, words in asked.choices.items():
        box.addItem(words, value)
    return box


def _put(made: QLineEdit | QComboBox, text: str) -> None:
    if isinstance(made, QLineEdit):
        made.setText(text)
        made.setCursorPosition(0)
        return
    if made.findData(text) < 0:  # nothing was assumed: what lies beside the model says it
        made.insertItem(0, "as the model says", text)
    made.setCurrentIndex(made.findData(text))


def _text(made: QLineEdit | QComboBox) -> str:
    if isinstance(made, QLineEdit):
        return made.text()
    value: str = made.currentData()
    return value
