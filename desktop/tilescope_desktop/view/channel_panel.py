"""Which bands are shown, in which colour and between which values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QColorDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from tilescope.ops.compose import GAMMA_RANGE, ChannelStyle
from tilescope_desktop.model.channels import Histogram
from tilescope_desktop.view.histogram_view import HistogramView
from tilescope_desktop.view.number_box import NumberBox
from tilescope_desktop.view.swatch import swatch
from tilescope_desktop.view.value_box import MOST, ValueBox

#: A drag of the window is shown so often; each showing composes the visible tiles anew.
_SHOW_EVERY_MS = 60


class ChannelPanel(QWidget):
    """Controls of the bands of the slide in front; ``restyled`` tells the new styles."""

    restyled = Signal(tuple)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._styles: list[ChannelStyle] = []
        self._first: tuple[ChannelStyle, ...] = ()
        self._histograms: Sequence[Histogram] = ()
        self._is_filling = False
        self._is_counting = self._is_contrast_due = False
        self._later = QTimer(self, interval=_SHOW_EVERY_MS, singleShot=True)
        self._later.timeout.connect(self._tell)
        self._list = QListWidget()
        self._list.setAccessibleName("Channels")
        self._list.currentRowChanged.connect(self._show_current)
        self._list.itemChanged.connect(self._toggle)
        self._histogram = HistogramView()
        self._histogram.windowed.connect(self._set_window)
        self._low, self._high = ValueBox(), ValueBox()
        self._gamma = NumberBox()
        self._low.valueChanged.connect(self._take_low)
        self._high.valueChanged.connect(self._take_high)
        self._gamma.setRange(*GAMMA_RANGE)
        self._gamma.setSingleStep(0.1)
        self._gamma.valueChanged.connect(self._take_gamma)
        self._color = QPushButton("Colour…")
        self._color.clicked.connect(self._pick_color)
        self._auto = QPushButton("Auto")
        self._auto.setToolTip("Set black and white of all channels shown to what is there")
        self._auto.clicked.connect(self.show_contrast)
        self._reset = QPushButton("Reset")
        self._reset.clicked.connect(self._reset_all)
        self._lay_out()

    @property
    def styles(self) -> tuple[ChannelStyle, ...]:
        """How the bands are shown."""
        return tuple(self._styles)

    def put_above(self, widget: QWidget) -> None:
        """Put something above the channels."""
        self._layout.insertWidget(0, widget)

    def restyle(self, styles: Sequence[ChannelStyle]) -> None:
        """Show the bands of the slide otherwise, which is told."""
        names = [self._list.item(row).text() for row in range(self._list.count())]
        current = self._list.currentRow()
        self._fill(names, styles, self._first, self._histograms)
        self._list.setCurrentRow(current)
        self._later.start()

    def toggle(self, row: int) -> None:
        """Show or hide a band, and mark it."""
        item = self._list.item(row)
        if item is not None:
            self._list.setCurrentRow(row)
            item.setCheckState(_check(item.checkState() != Qt.CheckState.Checked))

    def show_contrast(self) -> None:
        """Set the windows of the bands that are shown to what is there, once it is counted."""
        self._is_contrast_due = self._is_counting
        if self._histograms and not self._is_counting:
            pairs = zip(self._styles, self._histograms, strict=True)
            self.restyle([_windowed(style, counted) for style, counted in pairs])

    def tell_now(self) -> None:
        """Tell what was changed and is not told yet."""
        if self._later.isActive():
            self._later.stop()
            self._tell()

    def show_styles(
        self,
        names: Sequence[str],
        styles: Sequence[ChannelStyle],
        first: Sequence[ChannelStyle],
        histograms: Sequence[Histogram],
    ) -> None:
        """Show the bands of another slide; `tell_now` comes before it.

        Parameters
        ----------
        first
            What ``Reset`` goes back to.
        histograms
            One per band, or none when they are not known yet.
        """
        self._later.stop()
        self._fill(names, styles, first, histograms)

    def _fill(
        self,
        names: Sequence[str],
        styles: Sequence[ChannelStyle],
        first: Sequence[ChannelStyle],
        histograms: Sequence[Histogram],
    ) -> None:
        self._styles, self._first = list(styles), tuple(first)
        self._histograms = histograms
        self._is_contrast_due = False
        self._is_filling = True
        self._list.clear()
        for name, style in zip(names, styles, strict=True):
            item = QListWidgetItem(swatch(style.color), name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(_check(style.visible))
            self._list.addItem(item)
        self._is_filling = False
        self._list.setCurrentRow(0)
        self._show_current(self._list.currentRow())

    def show_histograms(self, histograms: Sequence[Histogram], *, is_final: bool) -> None:
        """Show how often values occur; nothing else changes but what was asked for of them.

        Parameters
        ----------
        is_final
            Whether they are of the plane that is shown, which else is still counted.
        """
        self._histograms, self._is_counting = histograms, not is_final
        row = self._list.currentRow()
        self._show_histogram(row)
        is_typing = self._low.is_half_typed or self._high.is_half_typed
        if 0 <= row < len(self._styles) and not is_typing:
            self._show_window(row)
        if is_final and self._is_contrast_due:
            self.show_contrast()

    def _lay_out(self) -> None:
        form = QFormLayout()
        for text, box in (("Black", self._low), ("White", self._high), ("Gamma", self._gamma)):
            label = QLabel(text)
            label.setBuddy(box)
            form.addRow(label, box)
        buttons = QHBoxLayout()
        buttons.addWidget(self._color)
        buttons.addWidget(self._auto)
        buttons.addWidget(self._reset)
        layout = self._layout = QVBoxLayout(self)
        layout.addWidget(self._list)
        layout.addWidget(self._histogram)
        layout.addLayout(form)
        layout.addLayout(buttons)

    def _tell(self) -> None:
        self.restyled.emit(tuple(self._styles))

    def _show_current(self, row: int) -> None:
        has = 0 <= row < len(self._styles)
        for widget in (self._low, self._high, self._gamma, self._color, self._reset):
            widget.setEnabled(has)
        if has:
            self._show_window(row)
            self._is_filling = True
            self._gamma.setValue(self._styles[row].gamma)
            self._is_filling = False
        self._show_histogram(row)

    def _show_window(self, row: int) -> None:
        """Show black and white to the digits that the band's values want, or its window."""
        style = self._styles[row]
        span, are_whole = style.high - style.low, False
        if self._histograms:
            counted = self._histograms[row]
            span, are_whole = min(span, counted.high - counted.low), counted.are_whole
        self._is_filling = True
        for box, value in ((self._low, style.low), (self._high, style.high)):
            box.fit(span, are_whole=are_whole)
            box.setValue(value)
        self._is_filling = False

    def _show_histogram(self, row: int) -> None:
        has = 0 <= row < len(self._styles)
        self._auto.setEnabled(has and (self._is_counting or bool(self._histograms)))
        counted = self._histograms[row] if has and self._histograms else None
        self._histogram.show_band(counted, self._styles[row] if has else None)

    def _change(self, style: ChannelStyle) -> None:
        row = self._list.currentRow()
        self._styles[row] = style
        self._show_current(row)
        if not self._later.isActive():
            self._later.start()

    def _set_window(self, low: float, high: float) -> None:
        self._change(replace(self._styles[self._list.currentRow()], low=low, high=high))

    def _take_low(self, low: float) -> None:
        if not self._is_filling:
            style = self._styles[self._list.currentRow()]
            # A black above white takes white along: what was typed stays.
            high = style.high if low < style.high else low + style.high - style.low
            self._take_window(low, high)

    def _take_high(self, high: float) -> None:
        if not self._is_filling:
            style = self._styles[self._list.currentRow()]
            low = style.low if style.low < high else high - (style.high - style.low)
            self._take_window(low, high)

    def _take_window(self, low: float, high: float) -> None:
        if -MOST <= low < high <= MOST:
            self._set_window(low, high)
        else:  # it leaves no room for the other value
            self._show_current(self._list.currentRow())

    def _take_gamma(self, gamma: float) -> None:
        if not self._is_filling:
            self._change(replace(self._styles[self._list.currentRow()], gamma=gamma))

    def _toggle(self, item: QListWidgetItem) -> None:
        if self._is_filling:
            return
        row = self._list.row(item)
        visible = item.checkState() == Qt.CheckState.Checked
        self._styles[row] = replace(self._styles[row], visible=visible)
        self._later.start()

    def _pick_color(self) -> None:
        row = self._list.currentRow()
        old = QColor(*self._styles[row].color)
        color = QColorDialog.getColor(old, self, "Colour of the channel")
        if color.isValid():
            rgb = (color.red(), color.green(), color.blue())
            self._list.item(row).setIcon(swatch(rgb))
            self._change(replace(self._styles[row], color=rgb))

    def _reset_all(self) -> None:
        self.restyle(self._first)


def _windowed(style: ChannelStyle, counted: Histogram) -> ChannelStyle:
    return replace(style, low=counted.dark, high=counted.bright) if style.visible else style


def _check(is_on: bool) -> Qt.CheckState:
    return Qt.CheckState.Checked if is_on else Qt.CheckState.Unchecked
