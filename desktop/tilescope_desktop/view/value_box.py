"""A box for a value of a band, whose digits and steps follow the range that values are in."""

from __future__ import annotations

from tilescope_desktop.model.channels import decimals_of, step_of
from tilescope_desktop.view.number_box import NumberBox

#: The largest value that can be typed.
MOST = 1e9


class ValueBox(NumberBox):
    """A number that may be as small as the values of a measured picture."""

    def __init__(self) -> None:
        super().__init__()
        self.setRange(-MOST, MOST)

    @property
    def is_half_typed(self) -> bool:
        """Whether it says something that is not its number yet."""
        return self.lineEdit().text() != self.textFromValue(self.value())

    def fit(self, span: float, *, are_whole: bool) -> None:
        """Show the digits, and take the steps, that values want which differ by ``span``."""
        self.shown_decimals = 0 if are_whole else decimals_of(span)
        self.setSingleStep(step_of(span, are_whole=are_whole))
