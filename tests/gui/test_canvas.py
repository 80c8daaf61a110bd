"""The kept picture: whatever one does, and however little time there is, it shows the slide."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtGui import QColor, QImage

from tilescope.domain.geometry import Point, Rect
from tilescope.domain.tiles import TileKey
from tilescope.io.cache import TileCache
from tilescope.io.source import SlideSource
from tilescope_desktop.bridge.tiles import PictureTiles
from tilescope_desktop.model.resolve import level_shown, tiles_over
from tilescope_desktop.model.styles import default_styles
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.canvas import Canvas

BESIDE = 0xFFFF00FF
START = Viewport(400, 300, Point(1000, 900), 1.0)


class Shelf:
    """Pictures of a slide that are there because a test put them there."""

    def __init__(self, source: SlideSource, raw: TileCache) -> None:
        self.info = source.info
        self._slide = PictureTiles(source, raw, default_styles(source.info), 1)
        self._held: dict[TileKey, np.ndarray] = {}
        self.name = TileKey(self._slide.id, 0, 0, 0)

    def keys(self, level: int) -> list[TileKey]:
        return tiles_over(self.info.levels[level], Rect.of_size(self.info.size), self.name.slide)

    def put(self, keys: list[TileKey]) -> None:
        for key in keys:
            if key not in self._held:
                self._held[key] = self._slide.picture(key)

    def take(self, keys: list[TileKey]) -> None:
        for key in keys:
            self._held.pop(key, None)

    def peek(self, key: TileKey) -> np.ndarray | None:
        return self._held.get(key)

    def show(self, canvas: Canvas, view: Viewport, seconds: float, ratio: float = 1.0) -> bool:
        canvas.follow(view, ratio)
        return canvas.repair(self.info, self.name, self.peek, seconds)


@pytest.fixture
def shelf(hes_source: SlideSource, raw_cache: TileCache) -> Shelf:
    made = Shelf(hes_source, raw_cache)
    made.put(made.keys(len(made.info.levels) - 1))
    return made


def made_canvas() -> Canvas:
    canvas = Canvas()
    canvas.background = QColor.fromRgb(BESIDE)
    return canvas


def pixels(image: QImage) -> np.ndarray:
    words = np.frombuffer(image.constBits(), np.uint32)
    return words.reshape(image.height(), image.width()).copy()


def channels(image: QImage) -> np.ndarray:
    return pixels(image)[..., None] >> np.array([0, 8, 16]) & 255


def steps() -> list[Viewport]:
    """A zoom out, pans, a jump and turns, all well inside the slide."""
    found, view = [], START
    for _ in range(6):
        view = replace(view, l0_per_px=view.l0_per_px * 1.08)
        found.append(view)
    found += [view.panned(90, -40), view.panned(-120, 70), view.centred(Point(1300, 1500))]
    return [*found, view.rotated(30), view.flipped(), view.rotated(180)]


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_without_time_and_with_coarse_tiles_only_nothing_is_blank(
    shelf: Shelf, ratio: float
) -> None:
    canvas = made_canvas()
    for view in (START, *steps()):
        shelf.show(canvas, view, 0.0, ratio)
        assert canvas.image.width() == 400 * ratio
        assert not (pixels(canvas.image) == BESIDE).any()


def test_repaired_piece_by_piece_it_is_what_one_painting_gives(shelf: Shelf) -> None:
    shelf.put(shelf.keys(0))
    canvas = made_canvas()
    for view in (START, *steps()):
        shelf.show(canvas, view, 0.0)
        assert any(shelf.show(canvas, view, 1e-4) for _ in range(1000))
        fresh = made_canvas()
        shelf.show(fresh, view, math.inf)
        away = np.abs(channels(canvas.image).astype(int) - channels(fresh.image)).max(axis=2)
        # Qt's interpolation of a pixel depends in its last bit on where a piece begins; a turned
        # tile's edge may fall to either neighbour.
        is_turned = bool(view.matrix[1]) or view.is_flipped
        assert (away > 1).mean() < (0.02 if is_turned else 1e-9)


def test_moved_by_whole_pixels_it_stays_exact(shelf: Shelf) -> None:
    shelf.put(shelf.keys(0))
    canvas = made_canvas()
    view = START
    chance = np.random.default_rng(5)
    for dx, dy in chance.integers(-170, 170, (30, 2)).tolist():
        view = view.panned(dx, dy).kept_on(shelf.info.size)
        shelf.show(canvas, view, 0.0)
    shelf.show(canvas, view, math.inf)
    fresh = made_canvas()
    shelf.show(fresh, view, math.inf)
    np.testing.assert_array_equal(pixels(canvas.image), pixels(fresh.image))


def test_only_the_tile_that_should_be_seen_is_painted_anew(shelf: Shelf) -> None:
    view = replace(START, l0_per_px=0.8)
    shown = tiles_over(level_shown(shelf.info, view), view.bounds_l0, shelf.name.slide)
    shelf.put(shown)
    canvas = made_canvas()
    assert shelf.show(canvas, view, math.inf)
    coarse = tiles_over(shelf.info.levels[-1], view.bounds_l0, shelf.name.slide)[0]
    canvas.soil_tile(shelf.info, coarse, shelf.peek)
    assert canvas.is_sharp
    far = next(key for key in shelf.keys(0) if key not in shown)
    canvas.soil_tile(shelf.info, far, shelf.peek)
    assert canvas.is_sharp
    canvas.soil_tile(shelf.info, shown[0], shelf.peek)
    assert not canvas.is_sharp
    assert shelf.show(canvas, view, math.inf)
    shelf.take(shown)
    canvas.soil_tile(shelf.info, coarse, shelf.peek)
    assert not canvas.is_sharp


def test_other_styles_show_the_old_picture_until_they_are_there(shelf: Shelf) -> None:
    canvas = made_canvas()
    shelf.put(shelf.keys(0))
    shelf.show(canvas, START, math.inf)
    before = pixels(canvas.image)
    other = replace(shelf.name, plane=1)
    canvas.soil()
    canvas.repair(shelf.info, other, shelf.peek, math.inf)
    np.testing.assert_array_equal(pixels(canvas.image), before)


def test_a_tile_that_failed_does_not_leave_another_plane(shelf: Shelf) -> None:
    canvas = made_canvas()
    shelf.put(shelf.keys(0))
    shelf.show(canvas, START, math.inf)
    other = replace(shelf.name, plane=1)
    canvas.soil()
    for key in shelf.keys(0):
        canvas.soil_tile(shelf.info, replace(key, plane=1), shelf.peek)
    canvas.repair(shelf.info, other, shelf.peek, math.inf)
    assert (pixels(canvas.image) == BESIDE).all()


def test_another_slide_begins_with_nothing(shelf: Shelf) -> None:
    canvas = made_canvas()
    shelf.show(canvas, START, math.inf)
    canvas.clear()
    canvas.repair(shelf.info, replace(shelf.name, plane=1), shelf.peek, math.inf)
    assert (pixels(canvas.image) == BESIDE).all()
