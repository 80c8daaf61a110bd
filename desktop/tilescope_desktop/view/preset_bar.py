"""Presets of the channels: choose, keep, delete, and open slides with the last one if asked to."""

from __future__ import annotations

from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QInputDialog,
    QPushButton,
    QWidget,
)

from tilescope.errors import UsageError
from tilescope_desktop.model.channel_presets import ChannelPresets
from tilescope_desktop.model.commands import Command
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.slide_tab import SlideTab


class PresetBar(QWidget):
    """The presets that know a channel of the slide in front.

    Parameters
    ----------
    window
        Its channels are shown by the chosen preset.
    """

    def __init__(self, window: MainWindow, presets: ChannelPresets) -> None:
        super().__init__()
        self._window = window
        self._presets = presets
        self._names = QComboBox()
        self._names.setPlaceholderText("Preset")
        self._names.setAccessibleName("Preset of the channels")
        self._names.activated.connect(lambda _index: self._apply())
        self._save = QPushButton("Save…")
        self._save.setToolTip("Keep colours, windows and gammas under a name")
        self._save.clicked.connect(self._ask_name)
        self._delete = QPushButton("Delete")
        self._delete.setToolTip("Keep this preset no longer")
        self._delete.clicked.connect(self._drop)
        self._follows = QCheckBox("Open such slides with the last preset")
        self._follows.setToolTip("Show fluorescence slides by the preset that was used last")
        self._follows.setChecked(presets.is_followed)
        self._follows.toggled.connect(presets.follow)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setColumnStretch(0, 1)
        for column, widget in enumerate((self._names, self._save, self._delete)):
            layout.addWidget(widget, 0, column)
        layout.addWidget(self._follows, 1, 0, 1, 3)
        window.channels.put_above(self)
        window.tab_opened.connect(self._show_as_last)
        window.tab_changed.connect(lambda _tab: self.refresh())
        window.add_commands(
            [
                Command(
                    "view.auto-contrast",
                    "Auto contrast",
                    "View",
                    window.channels.show_contrast,
                    is_enabled=lambda: window.tab is not None,
                )
            ]
        )
        self.refresh()

    def refresh(self, name: str = "") -> None:
        """Offer what fits the slide in front, ``name`` chosen."""
        tab = self._window.tab
        self._names.clear()
        if tab is not None:
            fitting = self._presets.fitting(tab.source.info.bands)
            self._names.addItems([preset.name for preset in fitting])
        self._names.setCurrentIndex(self._names.findText(name) if name else -1)
        self._names.setEnabled(self._names.count() > 0)
        self._save.setEnabled(tab is not None)
        self._delete.setEnabled(bool(name))

    # -- inside -----------------------------------------------------------------------------------

    def _apply(self) -> None:
        tab, name = self._window.tab, self._names.currentText()
        if tab is None:
            return
        bands = tab.source.info.bands
        for preset in self._presets.fitting(bands):
            if preset.name == name:
                self._window.channels.restyle(preset.applied(bands, tab.styles))
                self._presets.note_use(preset, bands)
        self._delete.setEnabled(True)

    def _ask_name(self) -> None:
        tab = self._window.tab
        name, is_given = QInputDialog.getText(
            self, "Keep the channels", "Name:", text=self._names.currentText()
        )
        if tab is None or not is_given:
            return
        try:
            bands, styles = tab.source.info.bands, self._window.channels.styles
            preset = self._presets.save(name, bands, styles)
        except UsageError as error:
            self._window.show_error(error)
        else:
            self.refresh(preset.name)

    def _drop(self) -> None:
        self._presets.delete(self._names.currentText())
        self.refresh()

    def _show_as_last(self, tab: SlideTab) -> None:
        info = tab.source.info
        preset = self._presets.last_used(info.bands)
        if preset is not None and self._presets.is_followed and not info.is_rgb:
            tab.restyle(preset.applied(info.bands, tab.styles))
