"""Boxes are upright on the screen, however the slide below is turned and flipped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import shapely
from PySide6.QtCore import QPoint, Qt
from tests.gui.hand import LEFT, NONE, SHIFT, Hand

from tilescope.domain.clicks import Prompt
from tilescope_desktop.app import clicking

VIEWS = ((0, False), (15, False), (30, True), (45, False), (270, True))


def turned(hand: Hand) -> Iterator[None]:
    """Turn and flip the slide in several ways; what was drawn is deleted after each."""
    for angle_deg, is_flipped in VIEWS:
        viewport = hand.view.viewport
        assert viewport is not None
        hand.view.move_to(replace(viewport, rotation_deg=angle_deg, is_flipped=is_flipped))
        hand.wait()
        yield
        if hand.objects():
            hand.act("edit.all")
            hand.act("edit.delete")


def on_screen(hand: Hand, shape: shapely.Geometry) -> shapely.Geometry:
    viewport = hand.view.viewport
    assert viewport is not None
    m11, m12, m21, m22 = viewport.matrix
    middle = (viewport.centre_l0.x, viewport.centre_l0.y)
    half = (viewport.width / 2, viewport.height / 2)
    return shapely.transform(
        shape, lambda points: (points - middle) @ np.array([[m11, m12], [m21, m22]]) + half
    )


def yellow(hand: Hand) -> np.ndarray:
    """Return where the view shows what is drawn or selected, ``bool[height, width]``."""
    red, green, blue = np.moveaxis(hand.pixels(), 2, 0)
    return (red > 170) & (green > 150) & (blue < 90)


def hold(hand: Hand, *places: tuple[int, int], keys: Qt.KeyboardModifier = NONE) -> None:
    """Drag and do not let go."""
    hand.qtbot.mousePress(hand.view, LEFT, keys, QPoint(*places[0]))
    for place in places[1:]:
        hand.move(place, keys)


def test_a_rectangle_is_what_was_dragged(hand: Hand) -> None:
    for _ in turned(hand):
        hand.key(Qt.Key.Key_R)
        hold(hand, (200, 200), (260, 240), (300, 280))
        edge = yellow(hand)
        assert edge[200, 202:298].mean() > 0.95
        assert edge[280, 202:298].mean() > 0.95
        assert edge[202:278, 200].mean() > 0.95
        assert edge[202:278, 300].mean() > 0.95
        preview = hand.parts.bench.tool.preview
        assert preview.text == f"{100 * 0.499:.1f} µm x {80 * 0.499:.1f} µm"
        hand.qtbot.mouseRelease(hand.view, LEFT, NONE, QPoint(300, 280))
        (shape,) = hand.shapes()
        assert shape.area == pytest.approx(100 * 80)
        assert len(shape.exterior.coords) == 5
        assert on_screen(hand, shape).hausdorff_distance(shapely.box(200, 200, 300, 280)) < 1e-6
        (drawn,) = hand.objects()
        assert drawn.measurements["Area µm^2"] == pytest.approx(8000 * 0.499**2, rel=1e-3)


def test_shift_makes_a_square_of_the_screen(hand: Hand) -> None:
    for _ in turned(hand):
        hand.key(Qt.Key.Key_R)
        hand.drag((400, 300), (350, 290), (320, 270), keys=SHIFT)
        (shape,) = hand.shapes()
        assert on_screen(hand, shape).bounds == pytest.approx((320, 220, 400, 300))
        assert shape.area == pytest.approx(80**2)


def test_an_ellipse_is_upright_and_keeps_its_four_ends(hand: Hand) -> None:
    for _ in turned(hand):
        hand.key(Qt.Key.Key_O)
        hand.drag((200, 200), (260, 240), (320, 260))
        (shape,) = hand.shapes()
        assert on_screen(hand, shape).bounds == pytest.approx((200, 200, 320, 260))
        assert shape.area == pytest.approx(math.pi * 60 * 30, rel=0.002)
        edge = yellow(hand)
        for x, y in ((200, 230), (319, 230), (260, 200), (260, 259)):
            assert edge[y - 2 : y + 3, x - 2 : x + 3].any()
        hand.key(Qt.Key.Key_E)
        handles = hand.parts.bench.tool.preview.handles
        assert handles is not None
        places = shapely.get_coordinates(on_screen(hand, shapely.MultiPoint(handles)))
        ends = {tuple(place) for place in places.round().tolist()}
        assert ends == {(200, 230), (320, 230), (260, 200), (260, 260)}
        hand.drag((320, 230), (360, 235), (400, 240))
        (longer,) = hand.shapes()
        assert on_screen(hand, longer).bounds == pytest.approx((200, 200, 400, 260), abs=1e-3)
        assert longer.area == pytest.approx(math.pi * 100 * 30, rel=0.002)


def test_a_line_snaps_to_the_screen(hand: Hand) -> None:
    for _ in turned(hand):
        hand.key(Qt.Key.Key_L)
        hand.drag((200, 200), (260, 204), (300, 205), keys=SHIFT)
        (line,) = hand.shapes()
        assert on_screen(hand, line).bounds == pytest.approx((200, 200, 300, 200))


def test_a_box_around_an_object_selects_it(hand: Hand) -> None:
    for _ in turned(hand):
        hand.key(Qt.Key.Key_P)
        for place in ((600, 380), (680, 380), (680, 460), (600, 460)):
            hand.click(*place)
        hand.key(Qt.Key.Key_Return)
        (inside,) = hand.objects()
        hand.deselect()
        hand.key(Qt.Key.Key_P)
        for place in ((700, 400), (760, 400), (760, 450)):  # beyond the right side of the box
            hand.click(*place)
        hand.key(Qt.Key.Key_Return)
        hand.wait()
        hand.deselect()
        hand.act("tool.select")
        hold(hand, (580, 360), (640, 420), (720, 490))
        edge = yellow(hand)
        assert edge[360, 582:718].mean() > 0.95
        assert edge[362:488, 720].mean() > 0.95
        hand.qtbot.mouseRelease(hand.view, LEFT, NONE, QPoint(720, 490))
        hand.wait()
        assert hand.annotations.selected_ids == (inside.id,)
        hand.drag((580, 360), (640, 300), (770, 500), keys=SHIFT)
        assert len(hand.annotations.selected_ids) == 2


def test_a_box_for_a_click_model_is_the_one_that_is_seen(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Prompt] = []
    desk = clicking(hand.window).desk
    monkeypatch.setattr(desk, "segment", lambda prompt, _then, **_more: asked.append(prompt))
    for _ in turned(hand):
        hand.key(Qt.Key.Key_K)
        hold(hand, (200, 200), (240, 220), (280, 250))
        edge = yellow(hand)
        assert edge[200, 202:278].mean() > 0.95
        assert edge[202:248, 280].mean() > 0.95
        hand.qtbot.mouseRelease(hand.view, LEFT, NONE, QPoint(280, 250))
        prompt = asked.pop()
        assert asked == []
        assert prompt.diameter_px == pytest.approx(math.sqrt(80 * 50))
        assert on_screen(hand, shapely.Point(prompt.clicks.middle)).equals_exact(
            shapely.Point(240, 225), 1e-6
        )
        around = on_screen(hand, shapely.MultiPoint(prompt.clicks.outside))
        assert shapely.box(*around.bounds).area == pytest.approx(around.envelope.area)
        left, top, right, bottom = around.bounds
        assert (left + right, top + bottom) == pytest.approx((480, 450))
        assert 80 < right - left < 92
        assert 50 < bottom - top < 62
        hand.qtbot.waitUntil(lambda: desk.is_idle, timeout=60_000)
