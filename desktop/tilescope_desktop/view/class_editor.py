"""Adding, renaming, recolouring and deleting classes: what is asked, and what is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QColorDialog, QInputDialog, QMessageBox, QWidget

from tilescope.domain.annotation import ObjectClass
from tilescope.domain.counts import counted
from tilescope.errors import UsageError
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.model.object_classes import NO_CLASS, new_class

_KEYS = ("none", *"123456789")


class ClassEditor(QObject):
    """Changes classes of the open project; each change but adding is one step to undo.

    Parameters
    ----------
    parent
        What dialogs stand in front of.
    """

    def __init__(self, annotations: Annotations, parent: QWidget) -> None:
        super().__init__(parent)
        self._annotations = annotations
        self._window = parent

    def add(self) -> None:
        """Ask for a name and add a class of it."""
        name, is_given = QInputDialog.getText(self._window, "New class", "Name:")
        if not is_given or not self._may_be_called(name.strip()):
            return
        made, annotations = new_class(name.strip(), self._annotations.classes), self._annotations
        annotations.active_class = made.name
        if made.name in {one.name for one in annotations.classes}:
            annotations.refreshed.emit()
            annotations.said.emit(f"There is a class {made.name} already; it is marked in the list")
        else:
            annotations.put_classes([made])

    def rename(self, one: ObjectClass) -> None:
        """Ask for another name; objects go with it, and where it is taken they may go there."""
        dialog = QInputDialog(self._window)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle("Rename class")
        dialog.setLabelText(f"New name of {one.name}:")
        dialog.setTextValue(one.name)
        dialog.textValueSelected.connect(lambda name: self._rename(one, name.strip()))
        dialog.open()

    def recolor(self, one: ObjectClass) -> None:
        """Ask for another colour."""
        color = QColorDialog.getColor(QColor(*one.color), self._window, f"Colour of {one.name}")
        if color.isValid():
            self._change(one, replace(one, color=(color.red(), color.green(), color.blue())))

    def rekey(self, one: ObjectClass) -> None:
        """Ask for another key."""
        now = _KEYS.index(one.hot_key) if one.hot_key in _KEYS else 0
        key, is_given = QInputDialog.getItem(
            self._window, "Key", f"Key of {one.name}:", _KEYS, now, editable=False
        )
        if is_given:
            self._change(one, replace(one, hot_key=None if key == _KEYS[0] else key))

    def delete(self, one: ObjectClass) -> None:
        """Delete a class; one that has objects is asked about."""

        def ask(count: int) -> None:
            if not count:
                self._remove(one, None)
                return
            text = f"{_objects(count)} of the class {one.name}. Delete the class?"
            more = "They stay, without a class. Undo brings it back."
            self._ask(text, more, "Delete the class", lambda: self._remove(one, None))

        self._count(one, ask)

    # -- inside -----------------------------------------------------------------------------------

    def _rename(self, one: ObjectClass, name: str) -> None:
        if name == one.name or not self._may_be_called(name):
            return
        if name not in {known.name for known in self._annotations.classes}:
            self._change(one, replace(one, name=name))
            return

        def ask(count: int) -> None:
            text = f"There is a class {name} already."
            more = f"{_objects(count)} of the class {one.name}. They can go into {name}."
            self._ask(text, more, f"Put them into {name}", lambda: self._remove(one, name))

        self._count(one, ask)

    def _may_be_called(self, name: str) -> bool:
        """Tell whether there can be a class of a name; why not is told."""
        if name.casefold() == NO_CLASS.casefold():
            self._annotations.edit_failed.emit(
                UsageError(
                    f"there can be no class {name}: objects without a class are called that; "
                    "choose another name"
                )
            )
            return False
        return bool(name)

    def _change(self, one: ObjectClass, wanted: ObjectClass) -> None:
        if wanted != one:
            name = one.name
            self._annotations.change_classes(
                lambda project: project.class_edits().change(name, wanted)
            )

    def _remove(self, one: ObjectClass, into: str | None) -> None:
        name = one.name
        self._annotations.change_classes(lambda project: project.class_edits().remove(name, into))

    def _count(self, one: ObjectClass, then: Callable[[int], None]) -> None:
        """Count the objects of a class on all slides of the project."""
        annotations, name = self._annotations, one.name
        if annotations.project is None or annotations.is_lent:
            then(0)  # there are none, or the edit is refused in words
            return
        annotations.desk.ask(
            lambda project: project.counts_by_class().get(name, 0), then, annotations.failed.emit
        )

    def _ask(self, text: str, more: str, title: str, act: Callable[[], object]) -> None:
        box = QMessageBox(QMessageBox.Icon.Question, "Classes", text, parent=self._window)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setInformativeText(more)
        yes = box.addButton(title, QMessageBox.ButtonRole.AcceptRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(QMessageBox.StandardButton.Cancel)
        yes.clicked.connect(act)
        box.open()


def _objects(count: int) -> str:
    return f"{counted(count, 'object')} {'is' if count == 1 else 'are'}"
