"""A real slide in a real view: what is painted is the slide, wherever one goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage, QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from tilescope.domain.geometry import Point, Rect
from tilescope.domain.scale import PixelSize
from tilescope.io.cache import TileCache
from tilescope.io.region import read_at, read_region
from tilescope.io.source import SlideSource
from tilescope_desktop.bridge.tiles import TileService
from tilescope_desktop.model.pointer import Pointer, PointerKind
from tilescope_desktop.model.styles import default_styles
from tilescope_desktop.view.overview_map import OverviewMap
from tilescope_desktop.view.scale_overlay import ScaleOverlay
from tilescope_desktop.view.slide_view import SlideView


@pytest.fixture
def view(qtbot: QtBot, service: TileService, hes_source: SlideSource) -> Iterator[SlideView]:
    made = SlideView(service)
    qtbot.addWidget(made)
    made.resize(640, 480)
    made.set_background(QColor(255, 255, 255))
    made.show()
    made.show_slide(service.show(hes_source, default_styles(hes_source.info)))
    settle(qtbot, made)
    yield made
    made.show_slide(None)


def settle(qtbot: QtBot, view: SlideView) -> None:
    qtbot.waitUntil(lambda: view.is_sharp, timeout=20_000)


def pixels_of(view: SlideView) -> np.ndarray:
    image = view.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
    return rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).copy()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def place(view: SlideView, x: float, y: float, l0_per_px: float, **changes: object) -> None:
    assert view.viewport is not None
    view.move_to(replace(view.viewport, centre_l0=Point(x, y), l0_per_px=l0_per_px, **changes))


def test_at_full_size_the_pixels_are_the_slides(
    qtbot: QtBot, view: SlideView, hes_source: SlideSource, raw_cache: TileCache
) -> None:
    place(view, 1000, 900, 1.0)
    settle(qtbot, view)
    expected = read_region(hes_source, raw_cache, 0, Rect(680, 660, 1320, 1140))
    np.testing.assert_array_equal(pixels_of(view), expected)


def test_after_many_pans_the_pixels_are_still_the_slides(
    qtbot: QtBot, view: SlideView, hes_source: SlideSource, raw_cache: TileCache
) -> None:
    place(view, 1000, 900, 1.0)
    for step in range(40):
        view.pan(7 - step, 3)
        if step % 5 == 0:
            QApplication.processEvents()
    settle(qtbot, view)
    assert view.viewport is not None
    centre = view.viewport.centre_l0
    x, y = round(centre.x) - 320, round(centre.y) - 240
    expected = read_region(hes_source, raw_cache, 0, Rect(x, y, x + 640, y + 480))
    np.testing.assert_array_equal(pixels_of(view), expected)


@pytest.mark.parametrize("l0_per_px", [0.3, 0.8, 1.7, 3.9])
def test_at_any_scale_it_looks_like_the_slide(
    qtbot: QtBot,
    view: SlideView,
    hes_source: SlideSource,
    raw_cache: TileCache,
    l0_per_px: float,
) -> None:
    place(view, 1100, 1400, l0_per_px)
    settle(qtbot, view)
    half_x, half_y = 320 * l0_per_px, 240 * l0_per_px
    box = (1100 - half_x, 1400 - half_y, 1100 + half_x, 1400 + half_y)
    expected = read_at(hes_source, raw_cache, box, factor=l0_per_px)[:480, :640]
    found = pixels_of(view)
    shifted = np.roll(found, 25, axis=1)
    assert difference(found, expected) < 14
    assert difference(found, expected) < 0.6 * difference(shifted, expected)


def test_turned_and_flipped_it_shows_the_same_place(
    qtbot: QtBot, view: SlideView, hes_source: SlideSource, raw_cache: TileCache
) -> None:
    place(view, 1000, 900, 1.0, rotation_deg=180.0)
    settle(qtbot, view)
    expected = read_region(hes_source, raw_cache, 0, Rect(680, 660, 1320, 1140))
    assert difference(pixels_of(view), expected[::-1, ::-1]) < 4
    place(view, 1000, 900, 1.0, rotation_deg=0.0, is_flipped=True)
    settle(qtbot, view)
    assert difference(pixels_of(view), expected[:, ::-1]) < 4


def test_a_wheel_zooms_at_the_cursor(qtbot: QtBot, view: SlideView) -> None:
    assert view.viewport is not None
    cursor = QPointF(500, 100)
    before = view.viewport.to_l0(Point(500, 100))
    event = QWheelEvent(
        cursor,
        view.mapToGlobal(cursor),
        QPoint(),
        QPoint(0, 240),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    scale = view.viewport.l0_per_px
    QApplication.sendEvent(view, event)
    assert view.viewport.l0_per_px == pytest.approx(scale / 1.25**2)
    after = view.viewport.to_l0(Point(500, 100))
    assert (after.x, after.y) == pytest.approx((before.x, before.y))


def test_a_drag_moves_the_slide(qtbot: QtBot, view: SlideView) -> None:
    place(view, 1000, 900, 1.0)
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(300, 200))
    qtbot.mouseMove(view, QPoint(310, 180))
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(310, 180))
    assert view.viewport is not None
    assert (view.viewport.centre_l0.x, view.viewport.centre_l0.y) == (990, 920)


def test_a_tool_gets_the_mouse_but_not_while_space_is_held(qtbot: QtBot, view: SlideView) -> None:
    place(view, 1000, 900, 1.0)
    told: list[Pointer] = []

    def take(pointer: Pointer) -> bool:
        told.append(pointer)
        return True

    view.on_pointer = take
    qtbot.mousePress(
        view, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, QPoint(330, 250)
    )
    assert told[0].kind is PointerKind.PRESS
    assert told[0].at_l0 == Point(1010, 910)
    assert told[0].is_primary
    assert told[0].has_shift
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(330, 250))
    count = len(told)
    qtbot.keyPress(view, Qt.Key.Key_Space)
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(330, 250))
    qtbot.mouseMove(view, QPoint(335, 250))
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(335, 250))
    qtbot.keyRelease(view, Qt.Key.Key_Space)
    assert len(told) == count
    assert view.viewport is not None
    assert view.viewport.centre_l0.x == 995


def test_new_styles_keep_the_view(
    qtbot: QtBot, view: SlideView, service: TileService, hes_source: SlideSource
) -> None:
    place(view, 1000, 900, 1.0)
    settle(qtbot, view)
    bright = pixels_of(view)
    viewport = view.viewport
    styles = [replace(s, high=510.0) for s in default_styles(hes_source.info)]
    view.show_slide(service.show(hes_source, styles))
    settle(qtbot, view)
    assert view.viewport == viewport
    assert difference(pixels_of(view), bright // 2) < 2


def test_while_tiles_are_missing_nothing_is_blank(
    qtbot: QtBot, view: SlideView, service: TileService, hes_source: SlideSource
) -> None:
    service.loader.want(id(view), ())
    coarse = pixels_of(view)
    assert coarse.std() > 20
    view.set_background(QColor(255, 0, 255))
    place(view, 1000, 900, 1.0)
    QApplication.processEvents()
    now = pixels_of(view)
    magenta = (now == (255, 0, 255)).all(axis=2).mean()
    assert magenta < 0.01


def test_the_scale_bar_is_painted(qtbot: QtBot, view: SlideView) -> None:
    place(view, 1000, 900, 1.0)
    settle(qtbot, view)
    before = pixels_of(view)
    bar = ScaleOverlay()
    bar.pixel_size = PixelSize(0.5, 0.5)
    view.overlays.append(bar)
    view.update()
    changed = (pixels_of(view) != before).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert rows.min() > 400
    assert 100 <= columns.max() - columns.min() <= 170  # 50 um at 0.5 um/px


def test_the_map_leads_where_one_clicks(
    qtbot: QtBot, view: SlideView, service: TileService, hes_source: SlideSource
) -> None:
    overview = OverviewMap(service, view)
    overview.show_slide(view.slide)
    wished: list[Point] = []
    overview.moved.connect(wished.append)
    middle = QPoint(overview.width() // 2, overview.height() // 2)
    qtbot.mousePress(overview, Qt.MouseButton.LeftButton, pos=middle)
    size = hes_source.info.size
    assert wished[0].x == pytest.approx(size.width / 2, rel=0.02)
    assert wished[0].y == pytest.approx(size.height / 2, rel=0.02)
    place(view, 1000, 900, 0.5)
    assert view.viewport is not None
    before = overview.grab().toImage()
    overview.follow(view.viewport)
    assert overview.grab().toImage() != before
    overview.show_slide(None)
