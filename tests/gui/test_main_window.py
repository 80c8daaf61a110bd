"""The window as a whole: opening, closing, commands, what it says and what goes wrong."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shiboken6
import tifffile
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from PySide6.QtGui import QAction, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QLabel, QLineEdit, QPushButton, QSlider
from pytestqt.qtbot import QtBot
from tests.gui.sizes_by_hand import give_size

from tilescope.domain.geometry import Point
from tilescope.domain.scale import PixelSize
from tilescope.errors import PluginBroken
from tilescope.io.cache import shared_cache
from tilescope_desktop.app import faults_shown, make_window, run
from tilescope_desktop.model.commands import Command
from tilescope_desktop.view.command_palette import CommandPalette
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.pictures_dialog import PicturesDialog
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.theme import Theme, apply_theme


@pytest.fixture
def window(qtbot: QtBot) -> Iterator[MainWindow]:
    before = shared_cache().use.max_bytes
    made = make_window()
    qtbot.addWidget(made)
    made.show()
    yield made
    made.close()
    shared_cache().resize(before)


def opened(qtbot: QtBot, window: MainWindow, path: Path) -> SlideTab:
    count = window.tabs.count()
    window.open_slide(path)
    qtbot.waitUntil(lambda: window.tabs.count() == count + 1, timeout=20_000)
    tab = window.tab
    assert tab is not None
    qtbot.waitUntil(lambda: tab.view.is_sharp and not window.work.jobs, timeout=20_000)
    return tab


def action(window: MainWindow, name: str) -> QAction:
    found = window.findChild(QAction, name)
    assert isinstance(found, QAction)
    return found


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Three channels of uint16 with a pyramid's worth of nothing but one level."""
    rows, columns = np.mgrid[:300, :400]
    planes = np.stack([rows * 10, columns * 10, np.full_like(rows, 500)]).astype(np.uint16)
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(
        path, planes, photometric="minisblack", metadata={"axes": "CYX"}, tile=(128, 128)
    )
    return path


def test_a_slide_opens_and_closes_and_gives_its_memory_back(
    qtbot: QtBot, window: MainWindow, hes_slide: Path
) -> None:
    assert not action(window, "view.zoom-in").isEnabled()
    tab = opened(qtbot, window, hes_slide)
    assert window.tabs.tabText(0) == "CMU-1-Small-Region.svs"
    assert window.tiles.pictures.use.size_bytes > 0
    assert action(window, "view.zoom-in").isEnabled()
    assert tab.um_per_px == pytest.approx(0.499)
    action(window, "file.close").trigger()
    assert window.tabs.count() == 0
    assert window.tiles.pictures.use.size_bytes == 0
    assert not action(window, "view.zoom-in").isEnabled()


def test_keys_move_the_view(qtbot: QtBot, window: MainWindow, hes_slide: Path) -> None:
    tab = opened(qtbot, window, hes_slide)
    first = tab.view.viewport
    assert first is not None
    for name in ("view.zoom-in", "view.right", "view.turn", "view.flip"):
        before = tab.view.viewport
        action(window, name).trigger()
        assert tab.view.viewport != before, name
    action(window, "view.full-size").trigger()
    assert tab.view.viewport is not None
    assert tab.view.viewport.l0_per_px == pytest.approx(1 / tab.devicePixelRatioF())
    action(window, "view.fit").trigger()
    assert tab.view.viewport == first


def test_the_status_says_where_and_how_large(
    qtbot: QtBot, window: MainWindow, hes_slide: Path
) -> None:
    tab = opened(qtbot, window, hes_slide)
    assert tab.view.viewport is not None
    tab.view.move_to(replace(tab.view.viewport, centre_l0=Point(1000, 500), l0_per_px=1.0))
    middle = QPoint(tab.view.width() // 2, tab.view.height() // 2)
    qtbot.mouseMove(tab.view, middle)
    texts = _texts(window)
    assert any(text.startswith("1000, 500 px   499.0, 249.5 µm") for text in texts), texts
    assert "20x" in texts
    assert "0.499 µm/px (aperio.MPP)" in texts
    give_size("0.25")
    window.ask_pixel_size()
    assert "0.25 µm/px (set by you)" in _texts(window)
    assert tab.scale.pixel_size == PixelSize(0.25, 0.25)


def _texts(window: MainWindow) -> list[str]:
    children = window.status.children()
    return [child.text() for child in children if hasattr(child, "text")]


def test_channels_can_be_hidden_and_reset(qtbot: QtBot, window: MainWindow, stack: Path) -> None:
    tab = opened(qtbot, window, stack)
    first = tab.styles
    assert [style.visible for style in first] == [True, True, True]
    assert len({style.color for style in first}) == 3
    item = window.channels._list.item(1)
    item.setCheckState(Qt.CheckState.Unchecked)
    qtbot.waitUntil(lambda: not tab.styles[1].visible, timeout=5000)
    window.channels._reset.click()
    qtbot.waitUntil(lambda: tab.styles == first, timeout=5000)


def test_dragging_in_the_histogram_changes_the_window(
    qtbot: QtBot, window: MainWindow, stack: Path
) -> None:
    tab = opened(qtbot, window, stack)
    before = tab.styles[0]
    view = window.channels._histogram
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(view.width() // 4, 10))
    qtbot.waitUntil(lambda: tab.styles[0] != before, timeout=5000)
    after = tab.styles[0]
    assert after.high == before.high
    assert before.low < after.low < before.high
    assert tab.styles[1:] == tuple(tab.styles[1:])
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton)


def test_focal_planes_are_slid_through(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    planes = np.stack([np.full((64, 80), value, np.uint8) for value in (10, 120, 250)])
    path = tmp_path / "z.ome.tif"
    tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": "ZYX"})
    tab = opened(qtbot, window, path)
    tab.restyle([replace(tab.styles[0], low=0.0, high=255.0)])
    slider = tab.planes.findChild(QSlider)
    assert isinstance(slider, QSlider)
    for value, grey in ((0, 10), (2, 250), (1, 120)):
        slider.setValue(value)
        qtbot.waitUntil(lambda: tab.view.is_sharp, timeout=5000)
        image = tab.view.picture()
        assert image.pixelColor(image.rect().center()).red() == grey


def test_what_cannot_be_opened_is_said_and_nothing_else_happens(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.svs"
    broken.write_bytes(b"II*\0 nothing else")
    window.open_slide(broken)
    qtbot.waitUntil(lambda: "broken.svs" in window.notices.text, timeout=10_000)
    qtbot.waitUntil(lambda: not window.work.jobs, timeout=10_000)
    assert "Opening" not in window.status.going
    assert window.tabs.count() == 0


def test_label_and_macro_are_shown(qtbot: QtBot, window: MainWindow, hes_slide: Path) -> None:
    opened(qtbot, window, hes_slide)
    action(window, "view.pictures").trigger()
    qtbot.waitUntil(lambda: window.findChild(PicturesDialog) is not None, timeout=10_000)
    dialog = window.findChild(PicturesDialog)
    assert isinstance(dialog, PicturesDialog)
    labels = {label.accessibleName(): label for label in dialog.findChildren(QLabel)}
    assert {"Thumbnail", "Label", "Macro"} <= labels.keys()
    assert labels["Macro"].pixmap().width() > 100


def test_pictures_of_a_slide_are_no_larger_than_the_window(
    qtbot: QtBot, window: MainWindow, hes_slide: Path
) -> None:
    opened(qtbot, window, hes_slide)
    window.resize(900, 600)
    action(window, "view.pictures").trigger()
    qtbot.waitUntil(lambda: window.findChild(PicturesDialog) is not None, timeout=10_000)
    dialog = window.findChild(PicturesDialog)
    assert isinstance(dialog, PicturesDialog)
    frame = dialog.frameGeometry().size()
    assert frame.height() <= 600 - 30  # a title has so much
    assert frame.width() <= 900
    sizes = [label.pixmap().size() for label in dialog.findChildren(QLabel)]
    assert max(size.height() for size in sizes) > 400


def test_files_can_be_dropped(qtbot: QtBot, window: MainWindow, hes_slide: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(hes_slide))])
    what = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton)
    keys = Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(10, 10), *what, keys)
    QApplication.sendEvent(window, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(window, QDropEvent(QPointF(10, 10), *what, keys))
    qtbot.waitUntil(lambda: window.tabs.count() == 1, timeout=20_000)


def test_the_palette_finds_and_does(qtbot: QtBot, window: MainWindow, hes_slide: Path) -> None:
    tab = opened(qtbot, window, hes_slide)
    before = tab.view.viewport
    action(window, "view.palette").trigger()
    palette = window.findChild(CommandPalette)
    assert isinstance(palette, CommandPalette)
    line = palette.findChild(QLineEdit)
    assert isinstance(line, QLineEdit)
    qtbot.keyClicks(line, "zoom in")
    qtbot.keyPress(line, Qt.Key.Key_Return)
    assert tab.view.viewport != before
    assert palette.isHidden()


def test_closing_while_a_slide_opens_leaves_nothing_behind(
    qtbot: QtBot, window: MainWindow, hes_slide: Path
) -> None:
    for _ in range(3):
        window.open_slide(hes_slide)
    assert window.close()
    assert window.work.jobs == ()
    assert shared_cache().use.slides == 0


def test_several_slides_keep_their_own_views(
    qtbot: QtBot, window: MainWindow, hes_slide: Path, dapi_image: Path
) -> None:
    first = opened(qtbot, window, hes_slide)
    first.view.zoom(3.0)
    held = first.view.viewport
    second = opened(qtbot, window, dapi_image)
    assert window.tab is second
    window.tabs.setCurrentWidget(first)
    assert window.tab is first
    # What was asked about the other slide is gone, and its room is the view's again.
    qtbot.waitUntil(lambda: first.view.viewport == held, timeout=5000)
    assert window.channels._list.count() == 3


@pytest.mark.parametrize("theme", [Theme.LIGHT, Theme.DARK])
def test_text_can_be_read_in_both_themes(qtbot: QtBot, window: MainWindow, theme: Theme) -> None:
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    apply_theme(app, theme)
    palette = window.palette()
    text, ground = palette.windowText().color(), palette.window().color()
    assert abs(text.lightness() - ground.lightness()) > 150


FAULT = "Something failed: ZeroDivisionError('division by zero'); please report it"


def divide() -> None:
    raise ZeroDivisionError("division by zero")


def test_a_command_that_fails_is_told_and_the_rest_goes_on(
    qtbot: QtBot, window: MainWindow
) -> None:
    done: list[str] = []
    window.add_commands(
        [
            Command("x.bad", "Bad", "Tools", divide),
            Command("x.good", "Good", "Tools", lambda: done.append("good")),
        ]
    )
    with qtbot.captureExceptions() as caught:
        action(window, "x.bad").trigger()
        action(window, "x.bad").trigger()
    assert [kind for kind, _, _ in caught] == [ZeroDivisionError] * 2
    assert window.notices.text == FAULT
    action(window, "x.good").trigger()
    assert done == ["good"]


def test_a_plugin_that_fails_in_a_command_says_what_it_says(window: MainWindow) -> None:
    def plugin() -> None:
        raise PluginBroken("toy", "the run", ValueError("no weights"))

    window.add_commands([Command("x.plugin", "Plugin", "Tools", plugin)])
    action(window, "x.plugin").trigger()
    said = "plugin toy: the run failed: ValueError: no weights; update or remove the plugin"
    assert window.notices.text.startswith(said)


@pytest.mark.parametrize("asked", ["is_enabled", "is_checked"])
def test_a_command_that_cannot_say_how_it_stands_keeps_no_other_from_it(
    qtbot: QtBot, window: MainWindow, asked: str
) -> None:
    works, is_on = [True], [False]

    def answer() -> bool:
        if not works[0]:
            raise ZeroDivisionError("division by zero")
        return True

    def nothing() -> None:
        pass

    bad = replace(Command("x.bad", "Bad…", "Tools", nothing), **{asked: answer})
    good = Command(
        "x.good", "Good", "Tools", nothing, is_enabled=lambda: is_on[0], is_checked=lambda: is_on[0]
    )
    window.add_commands([bad, good])
    assert action(window, "x.bad").isEnabled()
    assert not action(window, "x.good").isEnabled()
    told: list[str] = []
    window.notices.failed.connect(told.append)
    works[0], is_on[0] = False, True
    with qtbot.captureExceptions() as caught:
        window.refresh_commands()
        assert not action(window, "x.bad").isEnabled()
        assert action(window, "x.good").isEnabled()
        assert action(window, "x.good").isChecked()
        qtbot.mouseClick(window.notices.findChildren(QPushButton)[0], Qt.MouseButton.LeftButton)
        assert window.notices.text == ""
        window.refresh_commands()
        action(window, "view.palette").trigger()
    palette = window.findChild(CommandPalette)
    assert isinstance(palette, CommandPalette)
    assert told == [f"Bad cannot be used: {FAULT}"]
    assert window.notices.text == ""
    assert [type(error.__cause__) for _, error, _ in caught] == [ZeroDivisionError]
    works[0] = True
    window.refresh_commands()
    assert action(window, "x.bad").isEnabled()


def test_a_command_that_stands_again_is_told_of_no_longer(window: MainWindow) -> None:
    works = [False]

    def answer() -> bool:
        if not works[0]:
            raise PluginBroken("toy", "the list", ValueError("no weights"), "remove it")
        return True

    window.add_commands([Command("x.toy", "Toy", "Tools", divide, is_enabled=answer)])
    said = "Toy cannot be used: plugin toy: the list failed: ValueError: no weights; remove it"
    assert window.notices.text == said
    works[0] = True
    window.refresh_commands()
    assert window.notices.text == ""
    works[0] = False
    window.refresh_commands()
    assert window.notices.text == said


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_nobody_catches_is_told_once_and_passed_on(
    qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[object] = []
    monkeypatch.setattr(sys, "excepthook", lambda _kind, error, _trace: traced.append(error))
    monkeypatch.setattr(threading, "excepthook", lambda found: traced.append(found.exc_value))
    before = sys.excepthook, threading.excepthook
    with faults_shown(window):
        window.keys_changed.connect(divide)
        window.keys_changed.emit()
        assert window.notices.text == ""  # not while something may be painted
        qtbot.waitUntil(lambda: window.notices.text == FAULT, timeout=5000)
        thread = threading.Thread(target=lambda: int("none"))
        thread.start()
        thread.join()
        qtbot.waitUntil(lambda: "2 things went wrong" in window.notices.text, timeout=5000)
        assert "ValueError" in window.notices.text
    assert [type(error) for error in traced] == [ZeroDivisionError, ValueError]
    assert (sys.excepthook, threading.excepthook) == before
    window.keys_changed.disconnect(divide)


def test_a_fault_of_the_running_program_is_told(qtbot: QtBot) -> None:
    memory, before = shared_cache().use.max_bytes, sys.excepthook
    told: list[str] = []
    windows: list[MainWindow] = []

    def look() -> None:
        window = next(w for w in QApplication.topLevelWidgets() if w.isVisible())
        assert isinstance(window, MainWindow)
        windows.append(window)
        QTimer.singleShot(0, divide)
        window.notices.failed.connect(told.append)
        window.notices.failed.connect(window.close)
        giving_up = QTimer(window, singleShot=True, interval=5000)
        giving_up.timeout.connect(window.close)
        giving_up.start()

    QTimer.singleShot(0, look)
    with qtbot.captureExceptions() as caught:
        assert run([]) == 0
    shared_cache().resize(memory)
    assert told == [FAULT]
    assert [kind for kind, _, _ in caught] == [ZeroDivisionError]
    assert sys.excepthook == before
    # The fault keeps the frames that it went through, and they keep the window.
    shiboken6.delete(*windows)
