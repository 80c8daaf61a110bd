"""The list of all commands: what can be done now, what cannot, and what others call it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QLineEdit, QListWidget, QListWidgetItem
from tests.gui.hand import Hand

from tilescope.errors import UsageError
from tilescope_desktop.model.commands import Command
from tilescope_desktop.view.command_palette import CommandPalette

CONTROL = Qt.KeyboardModifier.ControlModifier
_TEXT = Qt.ItemDataRole.AccessibleTextRole


class Palette:
    """The list, and keys for it."""

    def __init__(self, hand: Hand) -> None:
        hand.key(Qt.Key.Key_L, CONTROL)
        self.dialog = next(p for p in hand.window.findChildren(CommandPalette) if p.isVisible())
        line, rows = self.dialog.findChild(QLineEdit), self.dialog.findChild(QListWidget)
        assert isinstance(line, QLineEdit)
        assert isinstance(rows, QListWidget)
        self.line, self.rows, self._hand = line, rows, hand

    def type(self, words: str) -> list[str]:
        self.line.selectAll()
        self.key(Qt.Key.Key_Delete)
        self._hand.qtbot.keyClicks(self.line, words)
        return [item.data(_TEXT) for item in self.items()]

    def items(self) -> list[QListWidgetItem]:
        return [self.rows.item(row) for row in range(self.rows.count())]

    def key(self, key: Qt.Key) -> None:
        self._hand.qtbot.keyClick(self.line, key)


@pytest.fixture
def palette(hand: Hand) -> Iterator[Palette]:
    hand.window.activateWindow()
    made = Palette(hand)
    yield made
    made.dialog.reject()


def can(item: QListWidgetItem) -> bool:
    return bool(item.flags() & Qt.ItemFlag.ItemIsEnabled)


def test_every_command_is_there_and_what_cannot_be_done_is_last(
    hand: Hand, palette: Palette
) -> None:
    items = palette.items()
    assert len(items) == len(hand.window.commands)
    able = [can(item) for item in items]
    assert able == sorted(able, reverse=True)
    assert 0 < sum(able) < len(able)
    for item in items:
        command = item.data(Qt.ItemDataRole.UserRole)
        action = hand.window.findChild(QAction, command.id)
        assert isinstance(action, QAction)
        assert can(item) == action.isEnabled()
        assert item.data(_TEXT).endswith(", not now") != can(item)


def test_what_cannot_be_done_is_grey_and_is_not_done(hand: Hand, palette: Palette) -> None:
    assert palette.type("redo") == ["Redo, Edit, Ctrl+Shift+Z, not now"]
    (item,) = palette.items()
    image = palette.rows.viewport().grab(palette.rows.visualItemRect(item)).toImage()
    ground = image.pixelColor(2, 2)
    text = [image.pixelColor(x, y) for x in range(80) for y in range(image.height())]
    away = max(abs(color.lightness() - ground.lightness()) for color in text)
    assert 40 < away < 160
    palette.key(Qt.Key.Key_Down)
    palette.key(Qt.Key.Key_Return)
    assert palette.dialog.isVisible()
    assert hand.annotations.project is None


def test_keys_walk_through_what_can_be_done(palette: Palette) -> None:
    palette.type("undo")
    palette.type("zoom")
    able = sum(map(can, palette.items()))
    seen = []
    for _ in range(able + 1):
        seen.append(palette.rows.currentRow())
        palette.key(Qt.Key.Key_Down)
    assert seen == [*range(able), 0]


@pytest.mark.parametrize(
    ("typed", "title"),
    [
        ("rotate", "Turn clockwise"),
        ("brightness", "Auto contrast"),
        ("contrast", "Auto contrast"),
        ("theme", "Dark"),
        ("dark", "Dark"),
        ("mirror", "Flip left and right"),
        ("measure", "Line"),
        ("shortcuts", "Keys…"),
        ("screenshot", "Save picture of the view…"),
        ("zoom in", "Zoom in"),
    ],
)
def test_commands_are_found_by_other_words(palette: Palette, typed: str, title: str) -> None:
    assert title in [said.split(",")[0] for said in palette.type(typed)]


def test_what_is_called_so_comes_before_what_others_call_so(palette: Palette) -> None:
    found = [said.split(",")[0] for said in palette.type("zoom")]
    assert found.index("Zoom in") < found.index("Zoom out") < found.index("Whole slide")
    assert palette.rows.currentItem().data(_TEXT).startswith("Zoom in")
    assert palette.type("zoom in") == ["Zoom in, View, +"]


@pytest.mark.parametrize(("typed", "name"), [("overview", "view.map"), ("scale", "view.scale-bar")])
def test_ticks_in_menus_follow_what_is_done_here(hand: Hand, typed: str, name: str) -> None:
    palette = Palette(hand)
    action = hand.window.findChild(QAction, name)
    assert isinstance(action, QAction)
    was_on = action.isChecked()
    palette.type(typed)
    palette.key(Qt.Key.Key_Return)
    assert action.isChecked() != was_on
    (command,) = (one for one in hand.window.commands if one.id == name)
    assert command.is_checked is not None
    assert action.isChecked() == command.is_checked()


def test_what_cannot_be_done_after_all_is_told(hand: Hand) -> None:
    def explode() -> None:
        raise UsageError("there is nothing to explode; draw something first")

    hand.window.add_commands([Command("x.explode", "Explode", "View", explode)])
    palette = Palette(hand)
    palette.type("explode")
    palette.key(Qt.Key.Key_Return)
    assert "there is nothing to explode" in hand.window.notices.text
