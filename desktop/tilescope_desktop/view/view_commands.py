"""Moving over slides, and what is painted over them, as commands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PySide6.QtWidgets import QApplication, QFileDialog, QSlider

from tilescope.errors import TilescopeError
from tilescope.io.associated import read_associated
from tilescope_desktop.model.commands import Command
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.pictures_dialog import PicturesDialog
from tilescope_desktop.view.plane_bar import PlaneBar
from tilescope_desktop.view.slide_tab import SlideTab

_STEP = 1.5
_NUDGE_PX = 120
_TURN_DEG = 15.0


def file_commands(window: MainWindow, open_paths: Callable[[list[str]], None]) -> list[Command]:
    """Return the commands that open and close."""

    def choose() -> None:
        names, _ = QFileDialog.getOpenFileNames(window, "Open slides or a project")
        open_paths(names)

    def choose_folder() -> None:
        name = QFileDialog.getExistingDirectory(window, "Open an OME-Zarr folder")
        open_paths([name] if name else [])

    def close() -> None:
        if window.tab is not None:
            window.close_tab(window.tab)

    has_slide = _has_slide(window)
    return [
        Command("file.open", "Open…", "File", choose, "Ctrl+O"),
        Command("file.open-folder", "Open OME-Zarr folder…", "File", choose_folder, "Ctrl+Shift+O"),
        Command("file.close", "Close slide", "File", close, "Ctrl+W", has_slide),
        Command("file.quit", "Quit", "File", lambda: _quit(window), "Ctrl+Q"),
    ]


def view_commands(window: MainWindow) -> list[Command]:
    """Return the commands that move, turn and measure what is seen."""
    has_slide = _has_slide(window)

    def on_tab(act: Callable[[SlideTab], None]) -> Callable[[], None]:
        def run() -> None:
            if window.tab is not None:
                act(window.tab)

        return run

    def command(
        key: str,
        title: str,
        shortcut: str,
        act: Callable[[SlideTab], None],
        *also: str,
        menu: str = "View",
        is_checked: Callable[[SlideTab], bool] | None = None,
    ) -> Command:
        check = None if is_checked is None else _of_tab(window, is_checked)
        return Command(f"view.{key}", title, menu, on_tab(act), shortcut, has_slide, check, also)

    def move(key: str, title: str, shortcut: str, act: Callable[[SlideTab], None]) -> Command:
        return command(key, title, shortcut, act, menu="View/Move and turn")

    return [
        command("zoom-in", "Zoom in", "+", lambda tab: tab.view.zoom(_STEP), "=", "Shift+Up"),
        command("zoom-out", "Zoom out", "-", lambda tab: tab.view.zoom(1 / _STEP), "Shift+Down"),
        command("fit", "Whole slide", "Ctrl+0", lambda tab: tab.view.fit()),
        command("full-size", "One slide pixel per screen pixel", "Ctrl+1", _full_size),
        move("left", "Move left", "Left", lambda tab: tab.view.pan(_NUDGE_PX, 0)),
        move("right", "Move right", "Right", lambda tab: tab.view.pan(-_NUDGE_PX, 0)),
        move("up", "Move up", "Up", lambda tab: tab.view.pan(0, _NUDGE_PX)),
        move("down", "Move down", "Down", lambda tab: tab.view.pan(0, -_NUDGE_PX)),
        move("turn", "Turn clockwise", "Ctrl+Right", lambda tab: _turn(tab, _TURN_DEG)),
        move("turn-back", "Turn back", "Ctrl+Left", lambda tab: _turn(tab, -_TURN_DEG)),
        move("flip", "Flip left and right", "Ctrl+Shift+F", _flip),
        *_plane_commands(window),
        *_slide_commands(window),
        command(
            "map",
            "Overview map",
            "Shift+M",
            _toggle_map,
            is_checked=lambda tab: not tab.map.isHidden(),
        ),
        command(
            "scale-bar",
            "Scale bar",
            "Shift+B",
            _toggle_scale,
            is_checked=lambda tab: tab.scale.is_visible,
        ),
        Command("view.pixel-size", "Pixel size…", "View", window.ask_pixel_size, "", has_slide),
        Command(
            "view.pictures",
            "Label and macro pictures…",
            "View",
            lambda: _show_pictures(window),
            "",
            lambda: window.tab is not None and bool(window.tab.source.info.associated),
        ),
        Command("view.palette", "All commands…", "View", window.show_palette, "Ctrl+L"),
        *(_channel_command(window, number) for number in range(1, 10)),
    ]


def _has_slide(window: MainWindow) -> Callable[[], bool]:
    return lambda: window.tab is not None


def _of_tab(window: MainWindow, tell: Callable[[SlideTab], bool]) -> Callable[[], bool]:
    return lambda: window.tab is not None and tell(window.tab)


def _plane_commands(window: MainWindow) -> list[Command]:
    """Return the commands that go to other planes of the slide in front."""

    def command(
        key: str, title: str, shortcut: str, axis: Callable[[PlaneBar], QSlider], steps: int
    ) -> Command:
        def run() -> None:
            if window.tab is not None:
                slider = axis(window.tab.planes)
                slider.setValue(slider.value() + steps)

        can = _of_tab(window, lambda tab: axis(tab.planes).maximum() > 0)
        return Command(f"view.{key}", title, "View/Planes", run, shortcut, can)

    return [
        command("next-focus", "Next focal plane", "PgUp", lambda planes: planes.z, 1),
        command("previous-focus", "Previous focal plane", "PgDown", lambda planes: planes.z, -1),
        command("next-time", "Next time point", "Shift+PgUp", lambda planes: planes.t, 1),
        command(
            "previous-time", "Previous time point", "Shift+PgDown", lambda planes: planes.t, -1
        ),
    ]


def _slide_commands(window: MainWindow) -> list[Command]:
    """Return the commands that bring the slides of other tabs to the front."""

    def command(key: str, title: str, shortcut: str, by: int) -> Command:
        def run() -> None:
            window.tabs.step(by)
            if window.tab is not None:
                window.tab.view.setFocus()

        return Command(f"view.{key}", title, "View", run, shortcut, lambda: window.tabs.count() > 1)

    return [
        command("next-slide", "Next slide", "Ctrl+Tab", 1),
        command("previous-slide", "Previous slide", "Ctrl+Shift+Tab", -1),
    ]


def _channel_command(window: MainWindow, number: int) -> Command:
    def has_channel() -> bool:
        return len(window.channels.styles) >= number

    return Command(
        f"view.channel-{number}",
        f"Show channel {number}",
        "",
        lambda: window.channels.toggle(number - 1),
        str(number),
        has_channel,
        lambda: has_channel() and window.channels.styles[number - 1].visible,
    )


def _quit(window: MainWindow) -> None:
    if window.close():
        QApplication.quit()


def _show_pictures(window: MainWindow) -> None:
    if window.tab is None:
        return
    info = window.tab.source.info

    def read() -> dict[str, NDArray[np.uint8] | str]:
        found: dict[str, NDArray[np.uint8] | str] = {}
        for name in info.associated:
            try:
                found[name] = read_associated(info, name)
            except TilescopeError as error:
                found[name] = str(error)
        return found

    window.work.start(
        "pictures",
        lambda _token, _report: read(),
        lambda pictures: PicturesDialog(pictures, window).open(),
        window.show_error,
    )


def _full_size(tab: SlideTab) -> None:
    if tab.view.viewport is not None:
        tab.view.zoom(tab.view.viewport.l0_per_px * tab.devicePixelRatioF())


def _turn(tab: SlideTab, angle_deg: float) -> None:
    viewport = tab.view.viewport
    if viewport is not None:
        tab.view.move_to(viewport.rotated(viewport.rotation_deg + angle_deg))


def _flip(tab: SlideTab) -> None:
    if tab.view.viewport is not None:
        tab.view.move_to(tab.view.viewport.flipped())


def _toggle_map(tab: SlideTab) -> None:
    tab.map.setVisible(not tab.map.isVisible())


def _toggle_scale(tab: SlideTab) -> None:
    tab.scale.is_visible = not tab.scale.is_visible
    tab.view.update()
