"""What the user chooses for the whole window, and keeps: colours, keys, where the window is."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QByteArray, QObject, Qt
from PySide6.QtWidgets import QApplication

from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.keymap import Keymap
from tilescope_desktop.model.settings import Settings
from tilescope_desktop.view.keys_dialog import KeysDialog
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.theme import Theme, apply_theme

#: Another number, and panels are where they are without being remembered.
_STATE_VERSION = 2
_THEMES = (
    (Theme.SYSTEM, "As the system has it"),
    (Theme.LIGHT, "Light"),
    (Theme.DARK, "Dark"),
)


class Preferences(QObject):
    """Applies what is kept to a window that has all its parts, and keeps what is chosen."""

    def __init__(self, window: MainWindow, settings: Settings) -> None:
        super().__init__(window)
        self._window = window
        self._settings = settings
        self.theme = Theme.of(settings.theme)
        if self.theme is not Theme.SYSTEM:
            self._apply()
        hints = _app().styleHints()
        hints.colorSchemeChanged.connect(self._follow_system)
        window.closed.connect(
            lambda: hints.colorSchemeChanged.disconnect(self._follow_system),
            Qt.ConnectionType.SingleShotConnection,
        )
        window.add_commands(self._commands())
        window.apply_keymap(settings.keymap)
        self._restore_window()
        window.closing.connect(self._keep_window)

    def choose_theme(self, theme: Theme) -> None:
        """Show the window in other colours, now and the next time."""
        self.theme = theme
        self._settings.keep_theme(theme.value)
        self._apply()
        self._window.refresh_commands()

    def show_keys(self) -> None:
        """Let the user look up and change keys."""
        dialog = KeysDialog(self._window.commands, self._window.keymap, self._window)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.changed.connect(self._take_keymap)
        dialog.open()

    # -- inside -----------------------------------------------------------------------------------

    def _commands(self) -> list[Command]:
        def choose(theme: Theme) -> Callable[[], None]:
            return lambda: self.choose_theme(theme)

        def is_chosen(theme: Theme) -> Callable[[], bool]:
            return lambda: self.theme is theme

        themes = [
            Command(
                f"view.theme-{theme.value}",
                title,
                "View/Colours",
                choose(theme),
                is_checked=is_chosen(theme),
            )
            for theme, title in _THEMES
        ]
        return [*themes, Command("edit.keys", "Keys…", "Edit", self.show_keys, "Ctrl+,")]

    def _apply(self, scheme: Qt.ColorScheme | None = None) -> None:
        apply_theme(_app(), self.theme, scheme)

    def _follow_system(self, scheme: Qt.ColorScheme) -> None:
        if self.theme is Theme.SYSTEM:
            self._apply(scheme)

    def _take_keymap(self, keymap: Keymap) -> None:
        self._window.apply_keymap(keymap)
        self._settings.keep_keymap(keymap)

    def _restore_window(self) -> None:
        kept = self._settings.window
        if "geometry" in kept:
            self._window.restoreGeometry(QByteArray(kept["geometry"]))
        if "state" in kept:
            self._window.restoreState(QByteArray(kept["state"]), _STATE_VERSION)

    def _keep_window(self) -> None:
        self._settings.keep_window(
            {
                "geometry": bytes(self._window.saveGeometry().data()),
                "state": bytes(self._window.saveState(_STATE_VERSION).data()),
            }
        )


def _app() -> QApplication:
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    return app
