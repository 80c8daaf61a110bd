"""Classes: their colours, keys and counts, which are shown, and how objects look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPushButton,
    QSlider,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from tilescope.domain.annotation import ObjectClass
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.model.object_classes import NO_CLASS
from tilescope_desktop.model.project_tasks import OpenSlide
from tilescope_desktop.view.class_editor import ClassEditor
from tilescope_desktop.view.swatch import swatch

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

    ``key_of`` returns which keys give the class of a hot key.
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
        self.key_of: Callable[[str], str] = str
        self._is_filling = False
        self.editor = ClassEditor(annotations, self)
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
        self._list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self._list.customContextMenuRequested.connect(self._pop_up)
        rename = QShortcut(QKeySequence(Qt.Key.Key_F2), self._list)
        rename.setContext(Qt.ShortcutContext.WidgetShortcut)
        rename.activated.connect(lambda: self._on_current(self.editor.rename))
        self.menu = self._make_menu()
        self._opacity = QSlider(Qt.Orientation.Horizontal)
        self._opacity.setMaximum(100)
        self._opacity.setAccessibleName("Opacity of objects")
        self._opacity.valueChanged.connect(self._fade)
        self._checks = {name: QCheckBox(title) for name, title in _SWITCHES}
        for kind in ("annotations", "detections"):
            self._checks[f"fills_{kind}"].setAccessibleName(f"{kind.capitalize()} filled")
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
            item.setText(_NAME, NO_CLASS if name is None else name)
            item.setData(_NAME, Qt.ItemDataRole.UserRole, name)
            item.setIcon(_NAME, swatch(style.color_of(name)))
            item.setText(_COUNT, f"{counts.get(name, 0):,}")
            item.setText(_KEY, self.key_of("0" if one is None else one.hot_key or ""))
            item.setTextAlignment(_COUNT, Qt.AlignmentFlag.AlignRight)
            shown = name not in style.hidden
            item.setCheckState(_NAME, Qt.CheckState.Checked if shown else Qt.CheckState.Unchecked)
            if name == self._annotations.active_class:
                self._list.setCurrentItem(item)
        self._opacity.setValue(round(style.opacity * 100))
        for name, box in self._checks.items():
            box.setChecked(bool(getattr(style, name)))
        self._is_filling = False

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Delete the marked class by the key; called by Qt."""
        if event.key() == Qt.Key.Key_Delete and self._list.hasFocus():
            self._on_current(self.editor.delete)
        else:
            super().keyPressEvent(event)

    # -- inside -----------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        for title, tip, act in (
            ("Set", "Give this class to the selected objects (Enter)", self._assign),
            ("Add…", "Add a class", self.editor.add),
        ):
            button = QPushButton(title)
            button.setToolTip(tip)
            button.clicked.connect(act)
            buttons.addWidget(button)
        more = QPushButton("Change")
        more.setToolTip("Rename, recolour or delete this class (right click in the list)")
        more.setMenu(self.menu)
        buttons.addWidget(more)
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

    def _make_menu(self) -> QMenu:
        """Return what can be done with the marked class, for the button and the right one."""
        menu = QMenu(self)
        menu.addAction("Give to the selected objects", self._assign)
        menu.addAction("Show this class alone", self._show_alone)
        menu.addAction("Show all classes", self._show_all)
        menu.addSeparator()
        for title, act in (
            ("Rename…", self.editor.rename),
            ("Colour…", self.editor.recolor),
            ("Key…", self.editor.rekey),
            ("Delete…", self.editor.delete),
        ):
            action = menu.addAction(title)
            action.triggered.connect(lambda _on=False, act=act: self._on_current(act))
            # "Unclassified" is no class.
            menu.aboutToShow.connect(
                lambda action=action: action.setEnabled(self._current() is not None)
            )
        return menu

    def _pop_up(self, at: QPoint) -> None:
        self.menu.popup(self._list.viewport().mapToGlobal(at))

    def _on_current(self, act: Callable[[ObjectClass], None]) -> None:
        one = self._current()
        if one is not None:
            act(one)

    def _show_alone(self) -> None:
        names = {None, *(one.name for one in self._annotations.classes)}
        hidden = names - {self._annotations.active_class}
        self._annotations.restyle(replace(self._annotations.style, hidden=frozenset(hidden)))

    def _show_all(self) -> None:
        self._annotations.restyle(replace(self._annotations.style, hidden=frozenset()))

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

    def _switch(self, name: str, is_on: bool) -> None:
        if not self._is_filling:
            self._annotations.restyle(self._annotations.style.switched(name, is_on))

    def _fade(self, percent: int) -> None:
        if not self._is_filling:
            self._annotations.restyle(replace(self._annotations.style, opacity=percent / 100))
