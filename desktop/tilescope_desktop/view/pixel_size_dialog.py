"""Asks how large a pixel of a slide is."""

from __future__ import annotations

from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QLineEdit,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from tilescope.domain.scale import PLAUSIBLE_UM_PER_PX
from tilescope_desktop.model.readout import rounded, size_figures
from tilescope_desktop.model.typed_numbers import is_begun, number_of, pointed
from tilescope_desktop.view.slide_tab import SlideTab

_FIRST_UM = 0.25
#: Who enters a size that is so many times the slide's own, or a part of it, is asked.
_FAR = 4.0
_DIGITS = 9
_WIDTH_PX = 360


def ask_pixel_size(tab: SlideTab, parent: QWidget) -> bool:
    """Have the user say another size of a pixel of a slide; True when it is another one now.

    Who gives what the slide says itself, or nothing, goes back to that.
    """
    dialog = _PixelSizeDialog(tab, parent)
    is_given = dialog.exec() == QDialog.DialogCode.Accepted
    dialog.deleteLater()
    if not is_given or dialog.um_override == tab.um_override:
        return False
    tab.override_um_per_px(dialog.um_override)
    return True


class _PixelSizeDialog(QDialog):
    """A line for the size, and a word on what is wrong with it.

    ``um_override`` is what was given, None for what the slide says itself.
    """

    def __init__(self, tab: SlideTab, parent: QWidget) -> None:
        super().__init__(parent)
        self.um_override = self._before = tab.um_override
        self._name, self._own = tab.path.name, tab.source.info.pixel_size
        self._own_text = "" if self._own is None else size_figures(self._own, _DIGITS)
        self._line = QLineEdit()
        self._fault = QLabel(wordWrap=True)
        buttons = QDialogButtonBox.StandardButton
        self._buttons = QDialogButtonBox(buttons.Ok | buttons.Cancel)
        self._lay_out()
        is_own = self._before is None and self._own is not None
        # Of a pixel that is longer than wide no single number is the size: nothing is shown.
        first = self._own_text if is_own else _figure(self._before or _FIRST_UM)
        self._line.setText(first if number_of(first) is not None else "")
        self._line.selectAll()
        self._line.textEdited.connect(self._look)
        self._look(self._line.text())

    def accept(self) -> None:
        """Take the size, unless it is far from the slide's own and not meant; called by Qt."""
        number = number_of(self._line.text())
        if number is None or _figure(number) == self._own_text:
            self.um_override = None
        elif self._before is None or _figure(number) != _figure(self._before):
            if self._own is not None and not self._is_meant(number, self._own.mean_um):
                self._line.setFocus()
                self._line.selectAll()
                return
            self.um_override = number
        super().accept()

    def _lay_out(self) -> None:
        self.setWindowTitle("Pixel size")
        label = QLabel("Micrometres per pixel:")
        if self._own_text:
            label.setText(f"Micrometres per pixel (the slide says {self._own_text}):")
            self._line.setPlaceholderText("As the slide says")
        label.setBuddy(self._line)
        self._fault.setMinimumSize(_WIDTH_PX, 2 * self.fontMetrics().lineSpacing())
        self._buttons.accepted.connect(self.accept)
        self._buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for widget in (label, self._line, self._fault, self._buttons):
            layout.addWidget(widget)

    def _look(self, typed: str) -> None:
        """Say what is wrong with what is typed, and let nothing wrong be taken."""
        if typed != pointed(typed):
            at = self._line.cursorPosition()
            self._line.setText(pointed(typed))
            self._line.setCursorPosition(at)
        number, text = number_of(typed), typed.strip()
        low, high = PLAUSIBLE_UM_PER_PX
        is_taken = number is not None and low <= number <= high
        fault = ""
        if number is None and not is_begun(text):
            fault = f"“{text}” is no number."
        elif number and not is_taken:  # nought is how most sizes begin
            fault = f"{number:g} is not between {low:g} and {high:g}, as the pixels of slides are."
        self._fault.setText(fault)
        is_own = not text and bool(self._own_text)
        self._buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(is_taken or is_own)

    def _is_meant(self, um: float, own_um: float) -> bool:
        factor = um / own_um
        if 1 / _FAR <= factor <= _FAR:
            return True
        far = f"{rounded(max(factor, 1 / factor), 2)} times {'more' if factor > 1 else 'less'} than"
        buttons = QMessageBox.StandardButton
        answer = QMessageBox.question(
            self,
            "Pixel size",
            f"{um:g} µm/px is {far} the {self._own_text} that {self._name} says. "
            "Measure with it all the same?",
            buttons.Yes | buttons.No,
            buttons.No,
        )
        return answer == buttons.Yes


def _figure(um: float) -> str:
    return f"{um:.{_DIGITS}g}"
