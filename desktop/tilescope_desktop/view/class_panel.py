"""Classes: their colours, keys and counts, which are shown, and how objects look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import (
    QCheckBox,
    QColorDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QInputDialog,
    QLabel,
    QPushButton,
    QSlider,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from tilescope.domain.annotation import ObjectClass
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.model.object_classes import new_class
from tilescope_desktop.model.project_tasks import OpenSlide

_NO_CLASS = "Unclassified"
_NAME, _COUNT, _KEY = range(3)
_SWITCHES = (
    ("shows_annotations", "Annotations"),
    ("fills_annotations", "filled"),
    ("shows_detections", "Detections"),
    ("fills_detections", "filled"),
)


class ClassPanel(QWidget):
    """A row per class; the marked one is given to what is drawn next.

    Parameters
    ----------
    front
        Returns the slide whose objects are counted.
    """

    def __init__(
        self,
        annotations: Annotations,
        front: Callable[[], OpenSlide | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._annotations = annotations
        self._front = front
        self._is_filling = False
        self._list = QTreeWidget()
        self._list.setRootIsDecorated(False)
        self._list.setUniformRowHeights(True)
        self._list.setHeaderLabels(["Class", "Objects", "Key"])
        self._list.setAccessibleName("Classes")
        header = self._list.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        for column in (_COUNT, _KEY):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self._list.currentItemChanged.connect(self._mark)
        self._list.itemActivated.connect(lambda _item, _column: self._assign())
        self._list.itemChanged.connect(self._toggle)
        self._opacity = QSlider(Qt.Orientation.Horizontal)
        self._opacity.setMaximum(100)
        self._opacity.setAccessibleName("Opacity of objects")
        self._opacity.valueChanged.connect(self._fade)
        self._checks = {name: QCheckBox(title) for name, title in _SWITCHES}
        self._lay_out()
        annotations.refreshed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show classes and counts as they are now."""
        self._is_filling = True
        slide = self._front()
        counts = {} if slide is None else self._annotations.counts.get(slide, {})
        style = self._annotations.style
        names: list[ObjectClass | None] = [None, *self._annotations.classes]
        while self._list.topLevelItemCount() > len(names):
            self._list.takeTopLevelItem(self._list.topLevelItemCount() - 1)
        for row, one in enumerate(names):
            name = None if one is None else one.name
            item = self._list.topLevelItem(row) or QTreeWidgetItem(self._list)
            item.setText(_NAME, _NO_CLASS if name is None else name)
            item.setData(_NAME, Qt.ItemDataRole.UserRole, name)
            item.setIcon(_NAME, _swatch(style.color_of(name)))
            item.setText(_COUNT, f"{counts.get(name, 0):,}")
            item.setText(_KEY, "0" if one is None else one.hot_key or "")
            item.setTextAlignment(_COUNT, Qt.AlignmentFlag.AlignRight)
            shown = name not in style.hidden
            item.setCheckState(_NAME, Qt.CheckState.Checked if shown else Qt.CheckState.Unchecked)
            if name == self._annotations.active_class:
                self._list.setCurrentItem(item)
        self._opacity.setValue(round(style.opacity * 100))
        for name, box in self._checks.items():
            box.setChecked(bool(getattr(style, name)))
        self._is_filling = False

    # -- inside -----------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        for title, tip, act in (
            ("Set", "Give this class to the selected objects (Enter)", self._assign),
            ("Add…", "Add a class", self._add),
            ("Colour…", "Choose the colour of this class", self._recolor),
            ("Key…", "Choose the key of this class", self._rekey),
        ):
            button = QPushButton(title)
            button.setToolTip(tip)
            button.clicked.connect(act)
            buttons.addWidget(button)
        switches = QGridLayout()
        for index, (name, box) in enumerate(self._checks.items()):
            box.toggled.connect(lambda is_on, name=name: self._switch(name, is_on))
            switches.addWidget(box, index // 2, index % 2)
        label = QLabel("Opacity")
        label.setBuddy(self._opacity)
        switches.addWidget(label, 2, 0)
        switches.addWidget(self._opacity, 2, 1)
        layout = QVBoxLayout(self)
        layout.addWidget(self._list)
        layout.addLayout(buttons)
        layout.addLayout(switches)

    def _current(self) -> ObjectClass | None:
        item = self._list.currentItem()
        name = None if item is None else item.data(_NAME, Qt.ItemDataRole.UserRole)
        return next((one for one in self._annotations.classes if one.name == name), None)

    def _mark(self, item: QTreeWidgetItem | None) -> None:
        if not self._is_filling and item is not None:
            self._annotations.active_class = item.data(_NAME, Qt.ItemDataRole.UserRole)

    def _assign(self) -> None:
        one = self._current()
        self._annotations.set_class(None if one is None else one.name)

    def _toggle(self, item: QTreeWidgetItem, column: int) -> None:
        if self._is_filling or column != _NAME:
            return
        name = item.data(_NAME, Qt.ItemDataRole.UserRole)
        style = self._annotations.style
        is_shown = item.checkState(_NAME) == Qt.CheckState.Checked
        if is_shown == (name in style.hidden):
            self._annotations.restyle(style.toggled(name))

    def _add(self) -> None:
        name, is_given = QInputDialog.getText(self, "New class", "Name:")
        if is_given and name.strip():
            made = new_class(name.strip(), self._annotations.classes)
            self._annotations.active_class = made.name
            self._annotations.put_classes([made])

    def _recolor(self) -> None:
        one = self._current()
        if one is None:
            return
        color = QColorDialog.getColor(QColor(*one.color), self, f"Colour of {one.name}")
        if color.isValid():
            rgb = (color.red(), color.green(), color.blue())
            self._annotations.put_classes([replace(one, color=rgb)])

    def _rekey(self) -> None:
        one = self._current()
        if one is None:
            return
        keys = ["none", *"123456789"]
        now = keys.index(one.hot_key) if one.hot_key in keys else 0
        key, is_given = QInputDialog.getItem(
            self, "Key", f"Key of {one.name}:", keys, now, editable=False
        )
        if is_given:
            self._annotations.put_classes([replace(one, hot_key=None if key == "none" else key)])

    def _switch(self, name: str, is_on: bool) -> None:
        if not self._is_filling:
            self._annotations.restyle(self._annotations.style.switched(name, is_on))

    def _fade(self, percent: int) -> None:
        if not self._is_filling:
            self._annotations.restyle(replace(self._annotations.style, opacity=percent / 100))


def _swatch(color: tuple[int, int, int]) -> QIcon:
    pixmap = QPixmap(14, 14)
    pixmap.fill(QColor(*color))
    return QIcon(pixmap)
