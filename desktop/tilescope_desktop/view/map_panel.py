"""The maps over the slide in front: which are shown, how strongly, and what their colours mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QIcon, QImage, QKeyEvent, QPixmap
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from tilescope_desktop.model.map_colors import HEAT_WORDS
from tilescope_desktop.model.map_facts import MapFacts, MapKind
from tilescope_desktop.view.map_overlay import MapOverlay
from tilescope_desktop.view.swatch import SWATCH_PX, swatch, true_icon

_RAMP_PX = 64
#: A list of more classes would be no legend.
_MOST_LISTED = 64
_ELSEWHERE = "The map is of {}; go to that plane to see it"


class MapPanel(QWidget):
    """A row per map with its plane and classes below; the topmost map is listed first.

    ``show_wanted`` asks to choose one more, ``removal_wanted`` tells which is to be taken away.
    """

    show_wanted = Signal()
    removal_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[MapOverlay] = []
        self._planes: dict[MapOverlay, QTreeWidgetItem] = {}
        self._is_filling = False
        self._list = QTreeWidget()
        self._list.setHeaderHidden(True)
        self._list.setIconSize(QSize(_RAMP_PX, SWATCH_PX))
        self._list.setAccessibleName("Maps")
        self._list.setToolTip("Space shows and hides the marked map, Delete takes it away")
        self._list.itemChanged.connect(self._toggle)
        self._list.currentItemChanged.connect(lambda _now, _before: self._show_current())
        self._opacity = QSlider(Qt.Orientation.Horizontal)
        self._opacity.setMaximum(100)
        self._opacity.setAccessibleName("Opacity of the map")
        self._opacity.valueChanged.connect(self._fade)
        self._remove = QPushButton("Remove")
        self._remove.setToolTip("Take the marked map away; its files stay")
        self._remove.clicked.connect(self._take_away)
        self._lay_out()
        self.show_maps(())

    def show_maps(self, maps: Sequence[MapOverlay]) -> None:
        """List the maps over a slide, the lowest first; a new one is marked."""
        new = [overlay for overlay in maps if overlay not in self._rows]
        marked = new[-1] if new else self._current()
        self._is_filling = True
        self._rows = list(reversed(maps))
        self._list.clear()
        self._planes.clear()
        for overlay in self._rows:
            item = QTreeWidgetItem(self._list, [overlay.title])
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            shown = Qt.CheckState.Checked if overlay.is_visible else Qt.CheckState.Unchecked
            item.setCheckState(0, shown)
            if overlay.map is not None:
                item.setToolTip(0, str(overlay.map.path))
                if overlay.plane_words:
                    self._planes[overlay] = QTreeWidgetItem(item)
                _list_classes(item, overlay.map.facts)
            item.setExpanded(True)
        self._is_filling = False
        self.tell_planes()
        if self._rows:
            row = self._rows.index(marked) if marked in self._rows else 0
            found = self._list.topLevelItem(row)
            assert found is not None
            self._list.setCurrentItem(found)
        self._show_current()

    def tell_planes(self) -> None:
        """Say of which plane each map is, and of which it is not shown because of that."""
        for overlay, item in self._planes.items():
            where = overlay.plane_words
            # What is said first is read in a narrow panel, too.
            item.setText(0, where if overlay.is_on_plane else f"not shown here: {where}")
            item.setToolTip(0, where if overlay.is_on_plane else _ELSEWHERE.format(where))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Take the marked map away by the key; called by Qt."""
        if event.key() == Qt.Key.Key_Delete and self._list.hasFocus():
            self._take_away()
        else:
            super().keyPressEvent(event)

    # -- inside -----------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        show = QPushButton("Show…")
        show.setToolTip("Show a class map or heat map of an earlier run")
        show.clicked.connect(self.show_wanted)
        label = QLabel("Opacity")
        label.setBuddy(self._opacity)
        fading = QHBoxLayout()
        fading.addWidget(label)
        fading.addWidget(self._opacity, 1)
        buttons = QHBoxLayout()
        buttons.addWidget(show)
        buttons.addWidget(self._remove)
        layout = QVBoxLayout(self)
        layout.addWidget(self._list)
        layout.addLayout(fading)
        layout.addLayout(buttons)

    def _current(self) -> MapOverlay | None:
        item = self._list.currentItem()
        if item is None:
            return None
        index = self._list.indexOfTopLevelItem(item.parent() or item)
        return self._rows[index] if 0 <= index < len(self._rows) else None

    def _show_current(self) -> None:
        if self._is_filling:
            return
        overlay = self._current()
        self._opacity.setEnabled(overlay is not None)
        self._remove.setEnabled(overlay is not None)
        if overlay is not None:
            self._opacity.setValue(round(overlay.opacity * 100))

    def _toggle(self, item: QTreeWidgetItem, _column: int) -> None:
        index = self._list.indexOfTopLevelItem(item)
        if not self._is_filling and index >= 0:
            self._rows[index].is_visible = item.checkState(0) == Qt.CheckState.Checked

    def _fade(self, percent: int) -> None:
        overlay = self._current()
        if overlay is not None:
            overlay.opacity = percent / 100

    def _take_away(self) -> None:
        overlay = self._current()
        if overlay is not None:
            self.removal_wanted.emit(overlay)


def _list_classes(item: QTreeWidgetItem, facts: MapFacts) -> None:
    is_heat = facts.kind is MapKind.HEAT or (
        facts.kind is MapKind.SCORES and len(facts.classes) == 1
    )
    for name, color in facts.classes[:_MOST_LISTED]:
        child = QTreeWidgetItem(item, [f"{name}, 0 to 100 %" if is_heat else name])
        child.setIcon(0, _ramp() if is_heat else swatch(color))


def _ramp() -> QIcon:
    words = np.tile(HEAT_WORDS[np.linspace(0, 255, _RAMP_PX).astype(int)], (SWATCH_PX, 1))
    form = QImage.Format.Format_ARGB32_Premultiplied
    image = QImage(words.tobytes(), _RAMP_PX, SWATCH_PX, 4 * _RAMP_PX, form)
    return true_icon(QPixmap.fromImage(image.copy()))
