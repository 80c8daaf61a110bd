"""Sliders for focal planes and time points."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QWidget

from tilescope.domain.slide import SlideInfo


def first_plane(info: SlideInfo) -> int:
    """Return the plane that is shown first: the middle focal plane at the first time point."""
    return info.z // 2


class PlaneBar(QWidget):
    """One slider per axis that has more than one position; ``moved`` tells the plane.

    ``z`` is that of focal planes, ``t`` that of time points.
    """

    moved = Signal(int)

    def __init__(self, info: SlideInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._z_count = info.z
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 2, 8, 2)
        self.z = self._slider("Focal plane", info.z, first_plane(info), layout)
        self.t = self._slider("Time", info.t, 0, layout)
        self.setVisible(info.z * info.t > 1)

    @property
    def plane(self) -> int:
        """Index of the plane, ``t * z_count + z``."""
        return self.t.value() * self._z_count + self.z.value()

    @property
    def place(self) -> tuple[int, int]:
        """Focal plane and time point, each from 0."""
        return self.z.value(), self.t.value()

    def go_to(self, z: int, t: int) -> None:
        """Show another plane; of one that is not there, the nearest."""
        for slider, position in ((self.z, z), (self.t, t)):
            slider.setValue(min(max(position, 0), slider.maximum()))

    def _slider(self, name: str, count: int, value: int, layout: QHBoxLayout) -> QSlider:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setMaximum(count - 1)
        slider.setValue(value)
        slider.setAccessibleName(name)
        number = QLabel(f"{value + 1} / {count}")
        label = QLabel(name)
        label.setBuddy(slider)
        for widget in (label, slider, number):
            layout.addWidget(widget)
            widget.setVisible(count > 1)

        def show(position: int) -> None:
            number.setText(f"{position + 1} / {count}")
            self.moved.emit(self.plane)

        slider.valueChanged.connect(show)
        return slider
