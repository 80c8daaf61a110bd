"""The menus of a window: ordered, parted by lines, reachable by letters."""

from __future__ import annotations

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QMenuBar

from tilescope_desktop.model.menu_order import arranged, underlined

#: What an action is called without the letter that is underlined.
_PLAIN, _SHOWN = "plain title", "shown title"


class Menus(QObject):
    """The menus of a menu bar by their titles; ``View/Colours`` lies in ``View``.

    Parameters
    ----------
    bar
        Where they hang.
    """

    def __init__(self, bar: QMenuBar) -> None:
        super().__init__(bar)
        self._bar = bar
        self._menus: dict[str, QMenu] = {}

    def menu(self, title: str) -> QMenu:
        """Return a menu, made if there is none."""
        if title not in self._menus:
            above, _, own = title.rpartition("/")
            parent = self.menu(above) if above else self._bar
            made = self._menus[title] = parent.addMenu(own)
            made.aboutToShow.connect(lambda: self.arrange(title))
            if not above:
                _underline(self._bar.actions())
        return self._menus[title]

    def all(self) -> dict[str, QMenu]:
        """Return all menus by their titles."""
        return dict(self._menus)

    def arrange(self, title: str) -> None:
        """Put what a menu holds in its order, with lines between and letters to press."""
        menu = self._menus[title]
        actions = [action for action in menu.actions() if not action.isSeparator()]
        by_name = {action.objectName() or plain(action): action for action in actions}
        groups = arranged(title, list(by_name))
        for action in menu.actions():
            menu.removeAction(action)
            if action.isSeparator():
                action.deleteLater()
        for number, group in enumerate(groups):
            if number:
                menu.addSeparator()
            menu.addActions([by_name[name] for name in group])
        _underline([by_name[name] for group in groups for name in group])


def plain(action: QAction) -> str:
    """Return what an action is called, no letter underlined."""
    said = action.text()
    return str(action.property(_PLAIN)) if said == action.property(_SHOWN) else said


def _underline(actions: list[QAction]) -> None:
    titles = [plain(action) for action in actions]
    for action, title, shown in zip(actions, titles, underlined(titles), strict=True):
        action.setProperty(_PLAIN, title)
        action.setProperty(_SHOWN, shown)
        action.setText(shown)
