"""Keys, colours and the place of the window: chosen by keys and mouse, kept for the next start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QComboBox, QDockWidget, QLineEdit, QPushButton
from PySide6.QtWidgets import QTreeWidget as Tree
from pytestqt.qtbot import QtBot
from tests.gui.hand import Hand

from tilescope.io.cache import shared_cache
from tilescope_desktop.app import annotating, make_window
from tilescope_desktop.model.keymap import RESERVED, Keymap, KeyStyle
from tilescope_desktop.view.command_palette import CommandPalette
from tilescope_desktop.view.keys_dialog import KeyButton, KeysDialog
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.theme import Theme, apply_theme

Start = Callable[[], MainWindow]


@pytest.fixture
def start(qtbot: QtBot, tmp_path: Path) -> Iterator[Start]:
    """Start the window, again and again with the same settings."""
    before = shared_cache().use.max_bytes
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    apply_theme(app, Theme.LIGHT)
    made: list[MainWindow] = []

    def run() -> MainWindow:
        if made:
            made[-1].close()
        made.append(make_window(folder=tmp_path / "kept"))
        qtbot.addWidget(made[-1])
        made[-1].show()
        return made[-1]

    yield run
    made[-1].close()
    shared_cache().resize(before)
    apply_theme(app, Theme.LIGHT)


def act(window: MainWindow, name: str) -> QAction:
    found = window.findChild(QAction, name)
    assert isinstance(found, QAction), name
    found.trigger()
    return found


def keys_of(window: MainWindow, name: str) -> str:
    found = window.findChild(QAction, name)
    assert isinstance(found, QAction), name
    return found.shortcut().toString()


def wait_for(window: MainWindow, *, is_dark: bool) -> None:
    """Let widgets hear of the colours, which takes a turn of the event loop."""
    QApplication.processEvents()
    QApplication.processEvents()
    assert (window.palette().window().color().lightness() < 60) == is_dark


class Keys:
    """The dialog of keys, and a hand in front of it."""

    def __init__(self, qtbot: QtBot, window: MainWindow) -> None:
        self.qtbot = qtbot
        act(window, "edit.keys")
        dialog = next(d for d in window.findChildren(KeysDialog) if d.isVisible())
        self.dialog: KeysDialog = dialog
        self.list = dialog.findChild(Tree)
        self.line = dialog.findChild(QLineEdit)

    def close(self) -> None:
        """Close the dialog; keys go to the window again once it is the active one."""
        window = self.dialog.parentWidget()
        self.dialog.close()
        window.activateWindow()
        self.qtbot.waitUntil(lambda: QApplication.activeWindow() is window, timeout=5000)

    def button(self, title: str) -> QPushButton:
        return next(b for b in self.dialog.findChildren(QPushButton) if b.text() == title)

    def find(self, typed: str) -> list[str]:
        self.line.clear()
        self.qtbot.keyClicks(self.line, typed)
        items = [self.list.topLevelItem(row) for row in range(self.list.topLevelItemCount())]
        return [item.text(0) for item in items if not item.isHidden()]

    def record(
        self, key: Qt.Key, keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier
    ) -> str:
        change = self.dialog.findChild(KeyButton)
        self.qtbot.mouseClick(change, Qt.MouseButton.LeftButton)
        assert change.waits
        self.qtbot.keyClick(change, key, keys)
        assert not change.waits
        return self.words

    @property
    def words(self) -> str:
        return self.dialog._words.text()


@pytest.mark.parametrize("style", list(KeyStyle))
def test_no_key_of_the_built_in_maps_does_two_things(start: Start, style: KeyStyle) -> None:
    window = start()
    assert Keymap(style).conflicts(window.commands) == {}
    ids = [command.id for command in window.commands]
    assert len(ids) == len(set(ids))
    keys = [k for k in Keymap(style).keys(window.commands).values() if k]
    assert not set(keys) & set(RESERVED)
    # Every one is written as Qt writes it, so that a recorded key is known again.
    assert all(action.shortcut().toString() == window.keys[action.objectName()]
               for action in window.actions() if action.objectName() in window.keys)  # fmt: skip


def test_a_recorded_key_does_the_command_and_is_kept(qtbot: QtBot, start: Start) -> None:
    window = start()
    dialog = Keys(qtbot, window)
    assert dialog.find("fainter") == ["Fainter"]
    said = dialog.record(Qt.Key.Key_F9, Qt.KeyboardModifier.ShiftModifier)
    assert said == "Shift+F9 does “Fainter”. Without your change it would be Ctrl+[."
    dialog.close()
    style = annotating(window).annotations.style
    qtbot.keyClick(window, Qt.Key.Key_F9, Qt.KeyboardModifier.ShiftModifier)
    assert annotating(window).annotations.style.opacity < style.opacity
    assert keys_of(start(), "objects.fainter") == "Shift+F9"


def test_a_key_that_is_taken_is_named_and_given_only_when_asked_for(
    qtbot: QtBot, start: Start
) -> None:
    window = start()
    dialog = Keys(qtbot, window)
    dialog.find("fainter")
    said = dialog.record(Qt.Key.Key_R)
    assert said.startswith("R does “Rectangle” already.")
    assert keys_of(window, "objects.fainter") == "Ctrl+["
    assert keys_of(window, "tool.rectangle") == "R"
    dialog.button("Take it").click()
    assert keys_of(window, "objects.fainter") == "R"
    assert keys_of(window, "tool.rectangle") == ""
    dialog.find("rectangle")
    assert dialog.words == "“Rectangle” has no key: R does “Fainter”."
    dialog.find("fainter")
    dialog.button("Reset").click()
    assert keys_of(window, "objects.fainter") == "Ctrl+["
    assert keys_of(window, "tool.rectangle") == "R"


def test_escape_and_keys_of_the_view_change_nothing(qtbot: QtBot, start: Start) -> None:
    window = start()
    dialog = Keys(qtbot, window)
    dialog.find("fainter")
    dialog.record(Qt.Key.Key_Escape)
    assert dialog.dialog.isVisible()
    assert dialog.record(Qt.Key.Key_Backspace).startswith("Backspace takes back the last corner")
    assert dialog.record(Qt.Key.Key_Tab).startswith("Tab goes from control to control")
    assert keys_of(window, "objects.fainter") == "Ctrl+["
    assert window.keymap == Keymap()


def test_no_letter_of_a_menu_can_be_a_key(qtbot: QtBot, start: Start) -> None:
    window = start()
    titles = [action.text() for action in window.menuBar().actions()]
    assert len(titles) > 5
    dialog = Keys(qtbot, window)
    dialog.find("fainter")
    for title in titles:
        letter, name = title[title.index("&") + 1].upper(), title.replace("&", "")
        said = dialog.record(Qt.Key(ord(letter)), Qt.KeyboardModifier.AltModifier)
        assert said == f"Alt+{letter} opens the {name} menu; choose another key."
    assert window.keymap == Keymap()


def test_a_letter_of_a_menu_that_was_kept_opens_the_menu(
    qtbot: QtBot, start: Start, tmp_path: Path
) -> None:
    kept = tmp_path / "kept" / "settings.json"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text('{"keys": {"own": {"objects.fainter": "Alt+F"}}}')
    window = start()
    assert keys_of(window, "objects.fainter") == ""
    dialog = Keys(qtbot, window)
    dialog.find("fainter")
    assert dialog.words == "“Fainter” has no key: Alt+F opens the File menu; choose another key."
    dialog.close()
    qtbot.keyClick(window, Qt.Key.Key_F, Qt.KeyboardModifier.AltModifier)
    menu = QApplication.activePopupWidget()
    assert menu is window.menu("File")
    menu.close()


def test_a_command_can_do_without_a_key(qtbot: QtBot, start: Start) -> None:
    window = start()
    dialog = Keys(qtbot, window)
    dialog.find("fainter")
    dialog.button("No key").click()
    assert keys_of(window, "objects.fainter") == ""
    dialog.button("Reset all").click()
    assert keys_of(window, "objects.fainter") == "Ctrl+["


def test_commands_are_found_by_their_key(qtbot: QtBot, start: Start) -> None:
    window = start()
    dialog = Keys(qtbot, window)
    assert "Compare beside…" in dialog.find("ctrl+alt+c")


def test_keys_can_be_those_of_napari(qtbot: QtBot, start: Start) -> None:
    window = start()
    dialog = Keys(qtbot, window)
    box = dialog.dialog.findChild(QComboBox)
    qtbot.keyClicks(box, "n")
    assert window.keymap.style is KeyStyle.NAPARI
    dialog.close()
    assert keys_of(window, "tool.ellipse") == "E"
    tips = [action.toolTip() for action in annotating(window).bar.actions()]
    assert "Ellipse (E)" in tips
    assert "Move (Z)" in tips
    qtbot.keyClick(window, Qt.Key.Key_E)
    assert annotating(window).bench.tool.id == "ellipse"
    again = start()
    assert again.keymap.style is KeyStyle.NAPARI
    act(again, "view.palette")
    palette = again.findChild(CommandPalette)
    rows = [palette._list.item(row).text() for row in range(palette._list.count())]
    assert "Ellipse    E" in rows
    assert "Ctrl+Shift+P lists everything" in again._welcome.text()


def test_keys_recorded_in_the_window_work_on_a_slide(hand: Hand) -> None:
    dialog = Keys(hand.qtbot, hand.window)
    dialog.find("zoom in")
    dialog.record(Qt.Key.Key_U)
    dialog.close()
    before = hand.view.viewport
    hand.key(Qt.Key.Key_U)
    assert hand.view.viewport.l0_per_px < before.l0_per_px


def test_colours_are_chosen_and_kept(start: Start) -> None:
    window = start()
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    chosen = act(window, "view.theme-dark")
    assert chosen.isChecked()
    wait_for(window, is_dark=True)
    apply_theme(app, Theme.LIGHT)
    again = start()
    wait_for(again, is_dark=True)
    act(again, "view.theme-light")
    wait_for(again, is_dark=False)


def test_colours_follow_the_system_while_they_shall(start: Start) -> None:
    window = start()
    hints = QApplication.styleHints()
    hints.colorSchemeChanged.emit(Qt.ColorScheme.Dark)
    wait_for(window, is_dark=True)
    hints.colorSchemeChanged.emit(Qt.ColorScheme.Light)
    wait_for(window, is_dark=False)
    act(window, "view.theme-light")
    hints.colorSchemeChanged.emit(Qt.ColorScheme.Dark)
    wait_for(window, is_dark=False)


def test_an_open_slide_takes_on_the_colours(hand: Hand) -> None:
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    apply_theme(app, Theme.LIGHT)
    hand.act("view.fit")
    bright = hand.view.grab().toImage().pixelColor(2, 2)
    act(hand.window, "view.theme-dark")
    hand.wait()
    assert hand.view.grab().toImage().pixelColor(2, 2).lightness() < bright.lightness() - 60
    apply_theme(app, Theme.LIGHT)


def test_the_window_comes_back_where_it_was(start: Start) -> None:
    window = start()
    dock = window.findChild(QDockWidget, "dock-channels")
    assert not dock.isHidden()
    dock.hide()
    window.resize(780, 690)
    size = window.size()
    annotating(window).notices.say("Something", ())
    again = start()
    assert again.size() == size
    assert again.findChild(QDockWidget, "dock-channels").isHidden()
    assert annotating(again).notices.isHidden()


def test_damaged_settings_do_not_keep_the_window_away(start: Start, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "settings.json").write_text(
        '{"window": {"geometry": "AAAA", "state": "AAAA"}, "theme": 7, "keys": {"own": []}}'
    )
    window = start()
    assert window.isVisible()
    assert window.keymap == Keymap()
