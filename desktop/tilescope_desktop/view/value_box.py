"""A box for a value of a band, whose digits and steps follow the range that values are in."""

from __future__ import annotations

import re

from PySide6.QtGui import QValidator
from PySide6.QtWidgets import QDoubleSpinBox

from tilescope_desktop.model.channels import decimals_of, step_of

#: The largest value that can be typed.
MOST = 1e9
#: ``1e-6`` and what it is while it is typed.
_WITH_EXPONENT = re.compile(r"\s*[+-]?\d*\D?\d*[eE][+-]?\d*\s*")


class ValueBox(QDoubleSpinBox):
    """A number that may be as small as the values of a measured picture; it takes ``5e-6``, too."""

    def __init__(self) -> None:
        super().__init__()
        self.setKeyboardTracking(False)
        self.setRange(-MOST, MOST)

    @property
    def is_half_typed(self) -> bool:
        """Whether it says something that is not its number yet."""
        return self.lineEdit().text() != self.textFromValue(self.value())

    def fit(self, span: float, *, are_whole: bool) -> None:
        """Show the digits, and take the steps, that values want which differ by ``span``."""
        if self.decimals() != decimals_of(span):
            self.setDecimals(decimals_of(span))
        self.setSingleStep(step_of(span, are_whole=are_whole))

    def validate(self, text: str, at: int) -> tuple[QValidator.State, str, int]:
        """Tell whether a text is a number, or may become one; called by Qt."""
        if not _WITH_EXPONENT.fullmatch(text):
            return super().validate(text, at)
        number, is_number = self.locale().toDouble(text.strip())
        is_whole = is_number and self.minimum() <= number <= self.maximum()
        states = QValidator.State
        return states.Acceptable if is_whole else states.Intermediate, text, at

    def valueFromText(self, text: str) -> float:  # noqa: N802 - Qt's name
        """Return the number that a text says; called by Qt."""
        if not _WITH_EXPONENT.fullmatch(text):
            return super().valueFromText(text)
        return self.locale().toDouble(text.strip())[0]
