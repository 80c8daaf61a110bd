"""Boxes for numbers that are typed: no sign of what is typed is dropped, and refusals are told."""

from __future__ import annotations

from PySide6.QtCore import QLocale, QPoint, QTimer
from PySide6.QtGui import QValidator
from PySide6.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QSpinBox, QToolTip

from tilescope_desktop.model.typed_numbers import is_begun, number_of, pointed

#: With so many decimals Qt rounds nothing that is typed; fewer are shown.
_EXACT_DECIMALS = 40
#: A number is shown to its decimals unless that is off by more than this part of it.
_ROUNDED = 1e-3


class NumberBox(QDoubleSpinBox):
    """A number with a decimal point; it may be typed with a comma, and as ``5e-6``.

    Attributes
    ----------
    shown_decimals
        Digits after the point; a number that wants more shows more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shown_decimals = 2
        self.setDecimals(_EXACT_DECIMALS)
        _prepare(self)

    def validate(self, text: str, at: int) -> tuple[QValidator.State, str, int]:
        """Tell whether a text is a number of the range; called by Qt."""
        return _state(self._fault(text)), pointed(text), at

    def valueFromText(self, text: str) -> float:  # noqa: N802 - Qt's name
        """Return the number that a text says; called by Qt."""
        number = number_of(text)
        return self.value() if number is None else number

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        """Return how a number is shown; called by Qt."""
        text = f"{value:.{self.shown_decimals}f}"
        return text if abs(float(text) - value) <= _ROUNDED * abs(value) else f"{value:.6g}"

    def fixup(self, text: str) -> str:
        """Say why what was typed is put back; called by Qt."""
        _say_put_back(self, self._fault(text), self.textFromValue(self.value()))
        return text

    def _fault(self, text: str) -> str:
        return _fault(text, self.minimum(), self.maximum())


class WholeBox(QSpinBox):
    """A whole number, as one with a unit after it."""

    def __init__(self, suffix: str = "") -> None:
        super().__init__(suffix=suffix)
        _prepare(self)

    def validate(self, text: str, at: int) -> tuple[QValidator.State, str, int]:
        """Tell whether a text is a whole number of the range; called by Qt."""
        return _state(self._fault(text)), pointed(text), at

    def valueFromText(self, text: str) -> int:  # noqa: N802 - Qt's name
        """Return the number that a text says; called by Qt."""
        number = number_of(text.removesuffix(self.suffix()))
        return self.value() if number is None else int(number)

    def fixup(self, text: str) -> str:
        """Say why what was typed is put back; called by Qt."""
        _say_put_back(self, self._fault(text), str(self.value()))
        return text

    def _fault(self, text: str) -> str:
        typed = text.removesuffix(self.suffix())
        return _fault(typed, self.minimum(), self.maximum(), is_whole=True)


def _prepare(box: NumberBox | WholeBox) -> None:
    box.setLocale(QLocale.c())
    # A number that is only half typed is none yet.
    box.setKeyboardTracking(False)
    box.lineEdit().textEdited.connect(lambda text: _warn(box, text.removesuffix(box.suffix())))


def _state(fault: str) -> QValidator.State:
    return QValidator.State.Intermediate if fault else QValidator.State.Acceptable


def _fault(text: str, low: float, high: float, *, is_whole: bool = False) -> str:
    """Return what is wrong with a typed text, empty for nothing."""
    number = number_of(text)
    if number is None:
        return f"“{text.strip()}” is no number"
    if is_whole and not number.is_integer():
        return f"{number:g} is no whole number"
    return "" if low <= number <= high else f"{number:g} is not between {low:g} and {high:g}"


def _warn(box: QAbstractSpinBox, typed: str) -> None:
    """Say at once that no number comes of a text, whatever else is typed."""
    if is_begun(typed):
        QToolTip.hideText()
    else:
        _say(box, f"“{typed.strip()}” is no number")


def _say_put_back(box: QAbstractSpinBox, fault: str, stays: str) -> None:
    # Qt hides what is said when the focus has gone on, which is next.
    QTimer.singleShot(0, box, lambda: _say(box, f"{fault}; {stays} stays"))


def _say(box: QAbstractSpinBox, text: str) -> None:
    QToolTip.showText(box.mapToGlobal(QPoint(0, box.height())), text, box)
