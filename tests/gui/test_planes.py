"""Focal planes and time points by keys and by commands, and what is counted of each."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QLineEdit, QPushButton, QWidget
from tests.gui.hand import LEFT, NONE, SHIFT, Hand

from tilescope.io.cache import TileCache
from tilescope.io.source import SlideSource
from tilescope.ops.compose import ChannelStyle
from tilescope_desktop.model.channels import Histogram
from tilescope_desktop.model.keymap import Keymap, KeyStyle
from tilescope_desktop.view import value_counts
from tilescope_desktop.view.value_counts import sample_of

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


class Shown(QObject):
    """Notes which windows come up."""

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[str] = []

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        is_window = isinstance(watched, QWidget) and watched.isWindow()
        if event.type() == QEvent.Type.Show and is_window:
            self.windows.append(type(watched).__name__)
        return False


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_a_series_is_opened_in_the_window_and_in_no_other(
    hand: Hand, tmp_path: Path, axes: str
) -> None:
    activate(hand)
    shown, app = Shown(), QApplication.instance()
    assert app is not None
    app.installEventFilter(shown)
    hand.open(write(tmp_path / "series.ome.tif", axes, (3,)))
    app.removeEventFilter(shown)
    assert shown.windows == []
    assert QApplication.activeWindow() is hand.window
    assert QApplication.focusWidget() is hand.view
    assert hand.window.tab is not None
    bar = hand.window.tab.planes
    assert (bar.z.isVisible(), bar.t.isVisible()) == (axes == "ZYX", axes == "TYX")


BRIGHT = (200, 900, 5000, 30_000)


@pytest.fixture
def waves(hand: Hand, tmp_path: Path) -> Hand:
    """A window with a stack in front, each plane of which is brighter than that below."""
    path = tmp_path / "waves.ome.tif"
    wave = np.linspace(0, 1, 96 * 96).reshape(96, 96)
    planes = np.stack([100 + wave * bright for bright in BRIGHT]).astype(np.uint16)
    tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": "ZYX"})
    hand.open(path)
    hand.act("view.fit")
    activate(hand)
    return hand


def counted(hand: Hand) -> Histogram:
    """Return the histogram of the plane that is shown."""
    tab, counts = hand.window.tab, hand.window.counts
    assert tab is not None
    hand.qtbot.waitUntil(lambda: not counts.is_awaited(tab), timeout=20_000)
    hand.wait()
    (found,) = hand.window.channels._histograms
    assert counts.of(tab) == (found,)
    return found


def style(hand: Hand) -> ChannelStyle:
    panel = hand.window.channels
    hand.qtbot.waitUntil(lambda: not panel._later.isActive(), timeout=20_000)
    assert hand.window.tab is not None
    (shown,) = panel.styles
    assert hand.window.tab.styles == (shown,)
    return shown


def fits(shown: ChannelStyle, plane: int) -> bool:
    top = 100 + BRIGHT[plane]
    return 0.9 * top < shown.high <= top and 100 <= shown.low < 100 + 0.02 * top


def test_a_stack_opens_as_the_plane_that_is_shown_wants_it(waves: Hand) -> None:
    assert place(waves) == (2, 0)
    assert fits(style(waves), 2)
    assert counted(waves).high == pytest.approx(100 + BRIGHT[2], rel=0.01)


def test_the_histogram_is_of_the_plane_that_is_shown_and_windows_stay(waves: Hand) -> None:
    first = style(waves)
    for key, plane in ((UP, 3), (DOWN, 2), (DOWN, 1), (DOWN, 0)):
        waves.key(key)
        assert counted(waves).high == pytest.approx(100 + BRIGHT[plane], rel=0.01)
        assert style(waves) == first
    for key in (UP, UP, DOWN, UP, UP):  # quicker than they are counted
        waves.key(key)
    assert counted(waves).high == pytest.approx(100 + BRIGHT[3], rel=0.01)


def test_a_plane_is_counted_though_that_before_it_takes_long(
    waves: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(waves)
    read, going = threading.Event(), list[int]()

    def slow(source: SlideSource, raw: TileCache, plane: int) -> NDArray[Any]:
        going.append(plane)
        read.wait(20)
        return sample_of(source, raw, plane)

    monkeypatch.setattr(value_counts, "sample_of", slow)
    waves.key(UP)
    waves.qtbot.waitUntil(lambda: going == [3], timeout=20_000)
    for key in (DOWN, DOWN, DOWN):
        waves.key(key)
    later = waves.window.counts._later
    waves.qtbot.waitUntil(lambda: not later.isActive(), timeout=20_000)
    assert going == [3]
    read.set()
    assert counted(waves).high == pytest.approx(100 + BRIGHT[0], rel=0.01)
    assert going == [3, 0]


def test_auto_contrast_is_of_the_plane_that_is_shown(waves: Hand) -> None:
    waves.key(UP)
    counted(waves)
    (auto,) = [b for b in waves.window.channels.findChildren(QPushButton) if b.text() == "Auto"]
    waves.qtbot.mouseClick(auto, LEFT)
    assert fits(style(waves), 3)
    waves.view.setFocus()
    for _ in range(3):
        waves.key(DOWN)
    waves.act("view.auto-contrast")  # at once: that plane is not counted yet
    counted(waves)
    assert fits(style(waves), 0)
    waves.key(UP)
    counted(waves)
    assert fits(style(waves), 0)


def test_each_stack_has_the_histogram_of_its_plane(waves: Hand, tmp_path: Path) -> None:
    waves.key(UP)
    counted(waves)
    waves.open(write(tmp_path / "other.ome.tif", "ZYX", (3,)))
    assert counted(waves).high == 255
    waves.key(UP)
    waves.window.tabs.tabBar().setCurrentIndex(1)
    assert counted(waves).high == pytest.approx(100 + BRIGHT[3], rel=0.01)


def test_a_stack_is_closed_while_a_plane_is_about_to_be_counted(waves: Hand) -> None:
    tab = waves.window.tab
    assert tab is not None
    counted(waves)
    waves.key(UP)
    assert waves.window.counts.is_awaited(tab)
    waves.window.close_tab(tab)
    assert not waves.window.counts.is_awaited(tab)
    waves.wait()
    assert waves.window.notices.text == ""
