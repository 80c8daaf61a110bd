"""Focal planes and time points by keys and by commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QLineEdit
from tests.gui.hand import NONE, SHIFT, Hand

from tilescope_desktop.model.keymap import Keymap, KeyStyle

UP, DOWN = Qt.Key.Key_PageUp, Qt.Key.Key_PageDown
DEPTH, TIMES = 4, 3
KEYS = {
    "view.next-focus": "PgUp",
    "view.previous-focus": "PgDown",
    "view.next-time": "Shift+PgUp",
    "view.previous-time": "Shift+PgDown",
}


def write(path: Path, axes: str, shape: tuple[int, ...]) -> Path:
    """Write planes of one grey each, the later the lighter, with a black and a white corner."""
    planes = np.empty((*shape, 64, 80), np.uint8)
    planes[:] = 20 * np.arange(np.prod(shape)).reshape(*shape, 1, 1)
    planes[..., 0, 0], planes[..., 0, 1] = 255, 0
    tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": axes})
    return path


@pytest.fixture
def stack(hand: Hand, tmp_path: Path) -> Hand:
    """A window with a stack in front, and the keyboard in its view."""
    hand.open(write(tmp_path / "stack.ome.tif", "TZYX", (TIMES, DEPTH)))
    hand.act("view.fit")
    activate(hand)
    return hand


def activate(hand: Hand) -> None:
    hand.window.activateWindow()
    window = hand.window
    hand.qtbot.waitUntil(lambda: QApplication.activeWindow() is window, timeout=5000)
    hand.view.setFocus()


def place(hand: Hand) -> tuple[int, int]:
    assert hand.window.tab is not None
    planes = hand.window.tab.planes
    return planes.z.value(), planes.t.value()


def grey(hand: Hand) -> int:
    hand.wait()
    pixels = hand.pixels()
    return int(pixels[pixels.shape[0] // 2, pixels.shape[1] // 2, 0])


def test_keys_go_from_plane_to_plane_and_stop_at_the_ends(stack: Hand) -> None:
    viewport, seen = stack.view.viewport, {(2, 0): grey(stack)}
    assert place(stack) == (2, 0)
    for key, keys, expected in (
        (UP, NONE, (3, 0)), (UP, NONE, (3, 0)), (DOWN, NONE, (2, 0)), (UP, SHIFT, (2, 1)),
        (UP, SHIFT, (2, 2)), (UP, SHIFT, (2, 2)), (DOWN, NONE, (1, 2)), (DOWN, SHIFT, (1, 1)),
        (DOWN, NONE, (0, 1)), (DOWN, NONE, (0, 1)), (DOWN, SHIFT, (0, 0)), (DOWN, SHIFT, (0, 0)),
    ):  # fmt: skip
        stack.key(key, keys)
        assert place(stack) == expected
        assert seen.setdefault(expected, grey(stack)) == grey(stack)
    order = sorted(seen, key=lambda where: (where[1], where[0]))
    assert [seen[where] for where in order] == sorted(set(seen.values()))
    assert stack.view.viewport == viewport


def test_the_commands_can_be_done_where_there_are_planes(
    stack: Hand, tmp_path: Path, dapi_image: Path
) -> None:
    def enabled() -> list[bool]:
        actions = [stack.window.findChild(QAction, name) for name in KEYS]
        return [isinstance(one, QAction) and one.isEnabled() for one in actions]

    assert enabled() == [True] * 4
    stack.act("view.next-focus")
    stack.act("view.next-time")
    assert place(stack) == (3, 1)
    stack.act("view.previous-focus")
    stack.act("view.previous-time")
    assert place(stack) == (2, 0)
    stack.open(write(tmp_path / "deep.ome.tif", "ZYX", (3,)))
    assert enabled() == [True, True, False, False]
    stack.open(write(tmp_path / "film.ome.tif", "TYX", (3,)))
    assert enabled() == [False, False, True, True]
    stack.open(dapi_image)
    assert enabled() == [False] * 4
    menu = stack.window.menus.all()["View/Planes"]
    assert {action.objectName() for action in menu.actions()} >= set(KEYS)


@pytest.mark.parametrize("style", list(KeyStyle))
def test_the_keys_are_those_of_no_other_command(hand: Hand, style: KeyStyle) -> None:
    keymap, commands = Keymap(style), hand.window.commands
    assert {name: keymap.keys(commands)[name] for name in KEYS} == KEYS
    for name, keys in KEYS.items():
        claims = [one.id for one in commands if keys in (keymap.wish_of(one), *one.also)]
        assert claims == [name]


def test_the_keys_stay_with_the_field_that_is_typed_in(stack: Hand) -> None:
    dock = stack.parts.objects.parentWidget()
    assert dock is not None
    dock.show()
    dock.raise_()
    activate(stack)
    fields = [field for field in stack.window.findChildren(QLineEdit) if field.isVisible()]
    assert stack.parts.objects.words in fields
    for field in fields:
        field.setFocus()
        focused = QApplication.focusWidget()  # of a number box, the whole of it
        assert focused in (field, field.parentWidget())
        for key, keys in ((UP, NONE), (DOWN, NONE), (UP, SHIFT), (DOWN, SHIFT)):
            stack.qtbot.keyClick(focused, key, keys)
            assert place(stack) == (2, 0)
    stack.view.setFocus()
    stack.key(UP)
    assert place(stack) == (3, 0)
