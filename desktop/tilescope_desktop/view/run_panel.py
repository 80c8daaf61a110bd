"""Choosing a model, running it, watching it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtGui import QEnterEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from tilescope.domain.manifest import ModelSpec
from tilescope.jobs.request import RunProgress
from tilescope_desktop.model.run_settings import Extent, RunChoice, progress_text
from tilescope_desktop.view.number_box import NumberBox, WholeBox

#: Have the engine choose what a network runs on.
AUTO = "auto"

_MIB = 1 << 20
#: What manifests say where nobody said under which licence weights are.
_NO_LICENCE = "unknown"
#: No class is chosen, which is not the same as what has no class.
_NOTHING = object()
_LEAST_MIB, _MOST_MIB, _STEP_MIB = 256, 1 << 20, 256
#: What is chosen is scrolled rather than that the window could not be made lower than its panels.
_LEAST_HEIGHT_PX = 64


class RunPanel(QWidget):
    """What the user chooses for a run, and how far it is.

    ``wanted`` gives a `RunChoice`, ``cancelled`` nothing; ``classes_due`` asks for
    :meth:`show_classes`, ``plane_due`` for the plane that was analysed. ``providers_due`` asks once
    for :meth:`show_providers`, when the pointer or the focus comes here.
    """

    wanted = Signal(object)
    cancelled = Signal()
    classes_due = Signal()
    providers_due = Signal()
    plane_due = Signal()

    def __init__(self, memory_bytes: int, parent: QWidget | None = None) -> None:
        """Make the panel.

        Parameters
        ----------
        memory_bytes
            Cap to begin with.
        """
        super().__init__(parent)
        self._has_asked = False
        self._specs: list[ModelSpec] = []
        self._boxes: dict[str, NumberBox] = {}
        self._model = QComboBox()
        self._model.currentIndexChanged.connect(self._show_model)
        self._about = QLabel(wordWrap=True)
        self._remark = QLabel(wordWrap=True)
        self._remark.setVisible(False)
        self._extent = QComboBox()
        for index, extent in enumerate(Extent):
            self._extent.addItem(extent.value)
            self._extent.setItemData(index, extent.remark, Qt.ItemDataRole.ToolTipRole)
        self._extent.currentIndexChanged.connect(self._show_extent)
        self._class = QComboBox()
        self._class.setPlaceholderText("No areas on this slide")
        self._class.setToolTip("The class of the outlines to run in")
        self._provider = QComboBox()
        self._offer_provider(AUTO, "The fastest, found once per model and machine")
        self._memory = WholeBox(suffix=" MiB")
        self._memory.setRange(_LEAST_MIB, _MOST_MIB)
        self._memory.setSingleStep(_STEP_MIB)
        self._memory.setValue(memory_bytes // _MIB)
        self._form = QFormLayout()
        self._parameters = QFormLayout()
        self._parameters.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapAllRows)
        self._run = QPushButton("Run")
        self._run.clicked.connect(self.run)
        self._cancel = QPushButton("Cancel")
        self._cancel.clicked.connect(self.cancelled)
        self._bar = QProgressBar()
        self._bar.setAccessibleName("Progress of the run")
        self._text = QLabel(wordWrap=True)
        self._plane = QPushButton("Show that plane")
        self._plane.clicked.connect(self.plane_due)
        self._lay_out()
        self.show_idle("")
        self.set_ready(False)

    def show_models(self, specs: Sequence[ModelSpec]) -> None:
        """Offer these models; the chosen one stays chosen when it is still there."""
        before = self.model_id
        self._specs = list(specs)
        self._model.clear()
        for spec in specs:
            self._model.addItem(spec.title, spec.id)
        self._model.setCurrentIndex(max(0, self._model.findData(before)))
        self._show_model()

    @property
    def model_id(self) -> str | None:
        """Which model is chosen."""
        spec = self._spec
        return None if spec is None else spec.id

    @property
    def memory_bytes(self) -> int:
        """The cap that is chosen for the next run."""
        return self._memory.value() * _MIB

    def choose_model(self, model_id: str) -> None:
        """Choose a model, for example one that was just added."""
        self._model.setCurrentIndex(self._model.findData(model_id))

    def choose_extent(self, extent: Extent) -> None:
        """Choose over what to run, and let the next key begin it."""
        self._extent.setCurrentText(extent.value)
        self._run.setFocus()

    @property
    def wants_classes(self) -> bool:
        """Whether the classes that have areas are shown."""
        return self._chosen_extent is Extent.CLASS

    def show_classes(self, names: Sequence[str | None]) -> None:
        """Offer these classes, None being no class; the chosen one stays chosen if it is there."""
        before = self._class.currentData() if self._class.currentIndex() >= 0 else _NOTHING
        self._class.clear()
        for name in names:
            self._class.addItem("Unclassified" if name is None else name, name)
        self._class.setCurrentIndex(
            names.index(before) if before in names else min(0, len(names) - 1)
        )
        self._class.setEnabled(bool(names))

    def show_providers(self, remarks: Mapping[str, str]) -> None:
        """Offer what networks can run on beside `AUTO`, with a remark on each."""
        while self._provider.count() > 1:
            self._provider.removeItem(1)
        for name, remark in remarks.items():
            self._offer_provider(name, remark)

    def set_ready(self, is_ready: bool) -> None:
        """Say whether there is a slide to run over."""
        self._run.setEnabled(is_ready and bool(self._specs))

    @property
    def can_run(self) -> bool:
        """Whether the model can be run now."""
        return self._run.isEnabled() and not self._run.isHidden()

    def show_remark(self, text: str) -> None:
        """Say what has to be known before a model runs over the slide, empty for nothing."""
        self._remark.setText(text)
        self._remark.setVisible(bool(text))

    def show_progress(self, progress: RunProgress) -> None:
        """Show how far the run is."""
        self._run.setVisible(False)
        self._cancel.setVisible(True)
        self._bar.setVisible(True)
        self._bar.setMaximum(progress.tiles_total)
        self._bar.setValue(progress.tiles_done)
        self._text.setText(progress_text(progress))

    def show_waiting(self, text: str) -> None:
        """Show that a run is about to begin, which can be cancelled."""
        self._run.setVisible(False)
        self._cancel.setVisible(True)
        self._bar.setVisible(True)
        self._plane.setVisible(False)
        self.show_busy(text)

    def show_busy(self, text: str) -> None:
        """Show that something goes on that cannot be counted."""
        self._bar.setMaximum(0)
        self._text.setText(text)

    def show_idle(self, text: str, *, is_on_other_plane: bool = False) -> None:
        """Show that nothing runs, and what came of the last run; ``plane_due`` asks to see it."""
        self._plane.setVisible(is_on_other_plane)
        self._run.setVisible(True)
        self._cancel.setVisible(False)
        self._bar.setVisible(False)
        self._text.setText(text)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Have the wheel scroll, and change no value that one only passes; called by Qt."""
        if event.type() == QEvent.Type.FocusIn:
            self._ask_providers()
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget):
            event.ignore()
            return not watched.hasFocus()
        return super().eventFilter(watched, event)

    def enterEvent(self, event: QEnterEvent) -> None:  # noqa: N802 - Qt's name
        """Have the providers ready before their list is opened; called by Qt."""
        self._ask_providers()
        super().enterEvent(event)

    def _ask_providers(self) -> None:
        if not self._has_asked:
            self._has_asked = True
            self.providers_due.emit()

    def _offer_provider(self, name: str, remark: str) -> None:
        self._provider.addItem(name)
        self._provider.setItemData(self._provider.count() - 1, remark, Qt.ItemDataRole.ToolTipRole)

    def _lay_out(self) -> None:
        form = self._form
        for text, widget in (
            ("Model", self._model),
            ("Over", self._extent),
            ("Class", self._class),
            ("On", self._provider),
            ("Memory", self._memory),
        ):
            label = QLabel(text)
            label.setBuddy(widget)
            widget.setAccessibleName(text)
            form.addRow(label, widget)
        self._class.setAccessibleName("Class of the areas")
        form.setRowVisible(self._class, False)
        buttons = QHBoxLayout()
        buttons.addWidget(self._run)
        buttons.addWidget(self._cancel)
        choices = QWidget()
        above = QVBoxLayout(choices)
        above.setContentsMargins(0, 0, 0, 0)
        above.addLayout(form)
        above.addWidget(self._about)
        above.addLayout(self._parameters)
        above.addStretch()
        layout = QVBoxLayout(self)
        layout.addWidget(_Scrolled(choices))
        layout.addWidget(self._remark)
        layout.addLayout(buttons)
        layout.addWidget(self._bar)
        layout.addWidget(self._text)
        layout.addWidget(self._plane)
        for widget in (self._model, self._extent, self._class, self._provider, self._memory):
            self._leave_wheel(widget)

    @property
    def _chosen_extent(self) -> Extent:
        return Extent(self._extent.currentText())

    def _show_extent(self) -> None:
        self._form.setRowVisible(self._class, self.wants_classes)
        if self.wants_classes:
            self.classes_due.emit()

    def _show_model(self) -> None:
        while self._parameters.rowCount():
            self._parameters.removeRow(0)
        self._boxes.clear()
        spec = self._spec
        if spec is None:
            self._about.clear()
            return
        classes = ", ".join(spec.classes)
        licence = "Licence unknown" if spec.licence == _NO_LICENCE else spec.licence
        self._about.setText(f"{spec.id} {spec.version}: {classes}. {licence}")
        for name, parameter in spec.parameters.items():
            box = NumberBox()
            box.shown_decimals = 3
            box.setRange(parameter.minimum, parameter.maximum)
            box.setSingleStep((parameter.maximum - parameter.minimum) / 100)
            box.setValue(parameter.default)
            words = parameter.title[:1].upper() + parameter.title[1:]
            box.setToolTip(f"{words} ({name}), {parameter.default:g} by default")
            box.setAccessibleName(parameter.title)
            label = QLabel(words, wordWrap=True)
            label.setBuddy(box)
            self._parameters.addRow(label, box)
            self._boxes[name] = box
            self._leave_wheel(box)

    def _leave_wheel(self, control: QWidget) -> None:
        control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        control.installEventFilter(self)

    @property
    def _spec(self) -> ModelSpec | None:
        index = self._model.currentIndex()
        return self._specs[index] if 0 <= index < len(self._specs) else None

    def run(self) -> None:
        """Want what is chosen."""
        spec = self._spec
        if spec is None:
            return
        for box in (*self._boxes.values(), self._memory):
            box.interpretText()  # the focus may still be where a number was typed
        changed = {
            name: box.value()
            for name, box in self._boxes.items()
            if not isclose(box.value(), spec.parameters[name].default)
        }
        self.wanted.emit(
            RunChoice(
                spec.id,
                self._chosen_extent,
                self.memory_bytes,
                self._provider.currentText(),
                changed,
                self._class.currentData() if self.wants_classes else None,
            )
        )


class _Scrolled(QScrollArea):
    """Shows as much of something as there is room for, in its whole width."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self._content = content
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidget(content)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the least size; called by Qt."""
        return QSize(self._content.minimumSizeHint().width() + self._bar_px, _LEAST_HEIGHT_PX)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the size of what is shown; called by Qt."""
        return self._content.sizeHint() + QSize(self._bar_px, 0)

    @property
    def _bar_px(self) -> int:
        return self.verticalScrollBar().sizeHint().width()
