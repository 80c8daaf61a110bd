"""Maps are painted as their files hold them, at every scale, and broken files break nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot
from tests.gui.map_looks import expected, painted

from tilescope.domain.geometry import Point, Rect, Size
from tilescope.domain.tiles import TileKey
from tilescope.exchange.classmap import write_class_map
from tilescope.exchange.classmap_pyramid import MapPlace
from tilescope.exchange.classmap_stream import MapStream
from tilescope.exchange.heat import write_heat_map, write_tile_scores
from tilescope.exchange.palette import class_colour
from tilescope.io.source import SlideSource
from tilescope_desktop.bridge.map_tiles import MapTiles
from tilescope_desktop.bridge.tiles import TileService
from tilescope_desktop.model.styles import default_styles
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.map_overlay import MapOverlay
from tilescope_desktop.view.slide_view import SlideView

CLASSES = ("a", "b", "c")
Show = Callable[[Path], MapOverlay]


@pytest.fixture
def view(qtbot: QtBot, service: TileService, hes_source: SlideSource) -> SlideView:
    made = SlideView(service)
    qtbot.addWidget(made)
    made.resize(500, 400)
    made.show()
    made.show_slide(service.show(hes_source, default_styles(hes_source.info)))
    return made


@pytest.fixture
def show(
    qtbot: QtBot, view: SlideView, service: TileService, hes_source: SlideSource
) -> Iterator[Show]:
    made: list[MapOverlay] = []

    def put(path: Path) -> MapOverlay:
        overlay = MapOverlay(view, service, path.name)
        view.overlays.append(overlay)
        made.append(overlay)
        overlay.show_map(MapTiles.open(path, hes_source.info))
        return overlay

    yield put
    for overlay in made:
        overlay.close()


def place(hes: SlideSource, shape: tuple[int, int], factor: float = 2.0) -> MapPlace:
    size = Size(shape[1], shape[0])
    info = hes.info
    return MapPlace(size, (factor, factor), (200.0, 100.0), info.pixel_size, info.size)


def values_of(rng: np.random.Generator, shape: tuple[int, int], most: int) -> np.ndarray:
    cells = rng.integers(0, most + 1, (shape[0] // 6 + 1, shape[1] // 6 + 1))
    return np.kron(cells, np.ones((6, 6)))[: shape[0], : shape[1]].astype(np.uint8)


def reader(values: np.ndarray) -> Callable[[Rect], np.ndarray | None]:
    return lambda r: values[r.y0 : r.y1, r.x0 : r.x1]


@pytest.fixture
def classes(tmp_path: Path, hes_source: SlideSource, rng: np.random.Generator) -> Path:
    values = values_of(rng, (1301, 907), 3)
    path = tmp_path / "labels.ome.zarr"
    where = place(hes_source, values.shape)
    write_class_map(path, reader(values), place=where, class_names=CLASSES, source="s.svs")
    return path


@pytest.fixture
def heat(tmp_path: Path, hes_source: SlideSource, rng: np.random.Generator) -> Path:
    values = values_of(rng, (1301, 907), 255)
    path = tmp_path / "heatmap.ome.zarr"
    write_heat_map(path, reader(values), place=place(hes_source, values.shape), class_name="tumour")
    return path


def go(qtbot: QtBot, view: SlideView, overlay: MapOverlay, at: Point, l0_per_px: float) -> Viewport:
    assert view.viewport is not None
    view.move_to(replace(view.viewport, centre_l0=at, l0_per_px=l0_per_px))
    qtbot.waitUntil(lambda: overlay.is_current and view.is_sharp, timeout=20_000)
    assert view.viewport is not None
    return view.viewport


@pytest.mark.parametrize("kind", ["classes", "heat"])
def test_at_the_scale_of_a_level_every_pixel_is_that_of_the_files(
    qtbot: QtBot,
    view: SlideView,
    show: Show,
    request: pytest.FixtureRequest,
    kind: str,
) -> None:
    overlay = show(request.getfixturevalue(kind))
    for scale in (2.0, 4.0, 8.0):
        viewport = go(qtbot, view, overlay, Point(1000, 800), scale)
        found, _ = expected(overlay, viewport)
        np.testing.assert_array_equal(painted(overlay, viewport), found)
        assert len(np.unique(found)) > 3


@pytest.mark.parametrize("scale", [0.31, 1.0, 3.3, 5.1, 9.0])
def test_between_levels_pixels_are_at_most_one_aside(
    qtbot: QtBot, view: SlideView, show: Show, classes: Path, scale: float
) -> None:
    overlay = show(classes)
    viewport = go(qtbot, view, overlay, Point(900, 700), scale)
    found, same = expected(overlay, viewport)
    shown = painted(overlay, viewport)
    assert np.count_nonzero(same) > 1000
    np.testing.assert_array_equal(shown[same], found[same])
    allowed = {0, *(0xFF000000 | r << 16 | g << 8 | b for r, g, b in map(class_colour, range(3)))}
    assert set(np.unique(shown).tolist()) <= allowed


def test_a_turned_and_flipped_view(
    qtbot: QtBot, view: SlideView, show: Show, classes: Path
) -> None:
    overlay = show(classes)
    assert view.viewport is not None
    view.move_to(view.viewport.rotated(30).flipped())
    viewport = go(qtbot, view, overlay, Point(900, 700), 1.0)
    found, same = expected(overlay, viewport)
    shown = painted(overlay, viewport)
    assert np.mean(shown[same] == found[same]) > 0.999


def test_what_is_half_transparent_or_hidden(
    qtbot: QtBot, view: SlideView, show: Show, classes: Path
) -> None:
    overlay = show(classes)
    viewport = go(qtbot, view, overlay, Point(900, 700), 2.0)
    bare = view.picture()
    both = view.grab().toImage()
    mixed = [
        abs(getattr(both.pixelColor(x, y), c)() - getattr(bare.pixelColor(x, y), c)())
        for x, y in ((100, 100), (250, 200), (400, 300))
        for c in ("red", "green", "blue")
    ]
    assert max(mixed) > 10
    overlay.is_visible = False
    assert view.grab().toImage().pixelColor(250, 200) == bare.pixelColor(250, 200)
    assert not painted(overlay, viewport).any()
    overlay.is_visible = True
    qtbot.waitUntil(lambda: overlay.is_current, timeout=20_000)
    assert painted(overlay, viewport).any()


def test_scores_of_tiles_are_classes_from_the_threshold_on(
    qtbot: QtBot, view: SlideView, show: Show, tmp_path: Path, hes_source: SlideSource
) -> None:
    scores = np.full((2, 3, 4), np.nan, np.float32)
    scores[:, 1, 1], scores[:, 1, 2], scores[:, 2, 2] = (0.2, 0.8), (0.55, 0.45), (0.7, 0.3)
    where = MapPlace(Size(4, 3), (200.0, 200.0), (0.0, 0.0), None, hes_source.info.size)
    path = tmp_path / "heatmap.ome.zarr"
    write_tile_scores(path, scores, place=where, class_names=("a", "b"), threshold=0.6)
    overlay = show(path)
    viewport = go(qtbot, view, overlay, Point(400, 300), 2.0)
    shown = painted(overlay, viewport)
    for (x, y), index in {(300, 300): 1, (500, 300): None, (500, 500): 0, (100, 100): None}.items():
        at = viewport.to_screen(Point(x, y))
        red, green, blue = (0, 0, 0) if index is None else class_colour(index)
        word = 0 if index is None else 0xFF000000 | red << 16 | green << 8 | blue
        assert shown[int(at.y), int(at.x)] == word


@pytest.mark.parametrize(("angle_deg", "flips"), [(0, False), (30, True), (45, False)])
def test_tiles_that_reach_beyond_the_slide_end_with_it(
    qtbot: QtBot,
    view: SlideView,
    show: Show,
    tmp_path: Path,
    hes_source: SlideSource,
    angle_deg: float,
    flips: bool,
) -> None:
    size, step = hes_source.info.size, 224
    tiles = Size(-(-size.width // step), -(-size.height // step))
    assert tiles.width * step > size.width
    assert tiles.height * step > size.height
    scores = np.full((2, tiles.height, tiles.width), 0.1, np.float32)
    scores[0] = 0.9
    where = MapPlace(tiles, (step, step), (0.0, 0.0), None, size)
    path = tmp_path / "heatmap.ome.zarr"
    write_tile_scores(path, scores, place=where, class_names=("a", "b"), threshold=0.6)
    overlay = show(path)
    overlay.opacity = 1.0
    assert view.viewport is not None
    turned = replace(view.viewport, rotation_deg=angle_deg, is_flipped=flips)
    view.move_to(replace(turned, centre_l0=Point(size.width, size.height), l0_per_px=1.0))
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(250, 200))
    qtbot.mouseMove(view, QPoint(250, 210))
    qtbot.wait(100)  # so that the slide is not flung
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(250, 210))
    qtbot.waitUntil(lambda: overlay.is_current and view.is_sharp, timeout=20_000)
    shown = view.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    words = np.frombuffer(shown.constBits(), np.uint32).reshape(shown.height(), shown.width())
    viewport = view.viewport
    inside, outside = [], []
    for y in range(0, viewport.height, 3):
        for x in range(0, viewport.width, 3):
            at = viewport.to_l0(Point(x + 0.5, y + 0.5))
            beyond = max(-at.x, -at.y, at.x - size.width, at.y - size.height)
            if abs(beyond) > 1.5:
                (inside if beyond < 0 else outside).append(words[y, x])
    red, green, blue = class_colour(0)
    assert min(len(inside), len(outside)) > 2000
    assert set(inside) == {0xFF000000 | red << 16 | green << 8 | blue}
    assert set(outside).isdisjoint(inside)


# -- while it grows -------------------------------------------------------------------------------


def test_what_was_written_is_read_again_and_nothing_else(
    qtbot: QtBot,
    view: SlideView,
    show: Show,
    tmp_path: Path,
    hes_source: SlideSource,
    rng: np.random.Generator,
    service: TileService,
) -> None:
    values = values_of(rng, (1301, 907), 3)
    where = place(hes_source, values.shape)
    path = tmp_path / "grows"
    stream = MapStream(path, place=where, class_names=CLASSES)
    overlay = show(path)
    overlay.is_growing = True
    viewport = go(qtbot, view, overlay, Point(1000, 900), 2.0)
    assert not painted(overlay, viewport).any()
    loaded: list = []
    service.ready.connect(loaded.extend)
    for rect in (Rect(0, 0, 250, 250), Rect(250, 0, 500, 250), Rect(100, 250, 907, 1301)):
        loaded.clear()
        stream.add(rect, reader(values)(rect))
        stream.flush()
        edges = (rect.x0 * 2 + 200, rect.y0 * 2 + 100, rect.x1 * 2 + 200, rect.y1 * 2 + 100)
        overlay.renew([edges])
        qtbot.waitUntil(lambda: overlay.is_current, timeout=20_000)
        assert overlay.map is not None
        touched = set(overlay.map.touched(edges))
        assert loaded
        assert set(loaded) <= touched
        for scale in (2.0, 8.0):
            viewport = go(qtbot, view, overlay, Point(1000, 900), scale)
            found, _ = expected(overlay, viewport)
            np.testing.assert_array_equal(painted(overlay, viewport), found)


def test_a_map_takes_the_place_of_the_growing_one_without_a_gap(
    qtbot: QtBot,
    view: SlideView,
    show: Show,
    classes: Path,
    tmp_path: Path,
    hes_source: SlideSource,
    service: TileService,
) -> None:
    shutil.copytree(classes, tmp_path / "grows")
    overlay = show(tmp_path / "grows")
    viewport = go(qtbot, view, overlay, Point(900, 700), 2.0)
    before = painted(overlay, viewport)
    shutil.rmtree(tmp_path / "grows")
    again = MapTiles.open(classes, hes_source.info)
    far = TileKey(again.id, len(again.info.levels) - 1, 0, 0)

    def only_far_comes() -> None:
        service.pictures.put(far, again.picture(far))
        service.ready.emit([far])

    # What is far comes first, and is no reason to show less than there was.
    service.loader.rest(20.0)
    overlay.show_map(again)
    only_far_comes()
    np.testing.assert_array_equal(painted(overlay, viewport), before)
    service.loader.go_on()
    qtbot.waitUntil(lambda: overlay.is_current, timeout=20_000)
    np.testing.assert_array_equal(painted(overlay, viewport), before)
    qtbot.wait(30)
    service.loader.rest(20.0)
    overlay.renew([(0, 0, 3000, 3000)])
    qtbot.waitUntil(lambda: service.pictures.peek(far) is None, timeout=20_000)
    only_far_comes()
    np.testing.assert_array_equal(painted(overlay, viewport), before)
    service.loader.go_on()
    qtbot.waitUntil(lambda: overlay.is_current, timeout=20_000)
    np.testing.assert_array_equal(painted(overlay, viewport), before)


# -- broken files ---------------------------------------------------------------------------------


def told_by(overlay: MapOverlay) -> list[str]:
    told: list[str] = []
    overlay.failed.connect(told.append)
    return told


def test_a_block_that_is_missing_is_nothing(
    qtbot: QtBot, view: SlideView, show: Show, classes: Path
) -> None:
    (classes / "0/0/0").unlink()
    overlay = show(classes)
    told = told_by(overlay)
    viewport = go(qtbot, view, overlay, Point(1000, 900), 2.0)
    assert not painted(overlay, viewport).any()
    assert told == []


@pytest.mark.parametrize("damage", [b"", b"not a block", None])
def test_damaged_blocks_are_told_once_and_the_rest_is_shown(
    qtbot: QtBot, view: SlideView, show: Show, classes: Path, damage: bytes | None
) -> None:
    for file in (classes / "0").rglob("[0-9]*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:-30] if damage is None else damage)
    overlay = show(classes)
    told = told_by(overlay)
    viewport = go(qtbot, view, overlay, Point(1000, 900), 2.0)
    view.pan(60, 10)
    qtbot.waitUntil(lambda: overlay.is_current, timeout=20_000)
    assert len(told) == 1
    assert "labels.ome.zarr" in told[0]
    viewport = go(qtbot, view, overlay, Point(1000, 900), 4.0)
    found, _ = expected(overlay, viewport)
    np.testing.assert_array_equal(painted(overlay, viewport), found)


def test_a_folder_that_goes_is_told_once_and_back_again_is_shown(
    qtbot: QtBot, view: SlideView, show: Show, classes: Path, tmp_path: Path
) -> None:
    overlay = show(classes)
    told = told_by(overlay)
    go(qtbot, view, overlay, Point(1000, 900), 8.0)
    away = tmp_path / "away"
    classes.rename(away)
    go(qtbot, view, overlay, Point(1000, 900), 2.0)
    go(qtbot, view, overlay, Point(700, 900), 2.0)
    assert len(told) == 1
    assert "is gone" in told[0]
    away.rename(classes)
    overlay.renew([(0, 0, 3000, 3000)])
    viewport = go(qtbot, view, overlay, Point(1000, 900), 2.0)
    found, _ = expected(overlay, viewport)
    np.testing.assert_array_equal(painted(overlay, viewport), found)


def test_a_growing_map_that_goes_is_told_when_the_run_goes_on_without_it(
    qtbot: QtBot, view: SlideView, show: Show, classes: Path
) -> None:
    overlay = show(classes)
    overlay.is_growing = True
    told = told_by(overlay)
    shutil.rmtree(classes)
    go(qtbot, view, overlay, Point(1000, 900), 2.0)
    assert told == []
    overlay.renew([(400, 400, 500, 500)])
    qtbot.waitUntil(lambda: overlay.is_current, timeout=20_000)
    assert len(told) == 1


def test_another_type_behind_the_same_name_does_no_harm(
    qtbot: QtBot, view: SlideView, show: Show, classes: Path
) -> None:
    overlay = show(classes)
    told = told_by(overlay)
    document = json.loads((classes / "0/.zarray").read_text())
    document["dtype"], document["shape"] = "<f8", [10, 10]
    (classes / "0/.zarray").write_text(json.dumps(document))
    for file in (classes / "0").rglob("[0-9]*"):
        if file.is_file():
            file.write_bytes(np.zeros(5000).tobytes())
    go(qtbot, view, overlay, Point(1000, 900), 2.0)
    assert len(told) == 1


def test_closing_leaves_nothing_in_the_cache(
    qtbot: QtBot, view: SlideView, show: Show, classes: Path, service: TileService
) -> None:
    overlay = show(classes)
    go(qtbot, view, overlay, Point(1000, 900), 2.0)
    assert overlay.map is not None
    keys = list(overlay.map.touched((0, 0, 3000, 3000)))
    assert any(service.pictures.peek(key) is not None for key in keys)
    overlay.close()
    overlay.close()
    assert all(service.pictures.peek(key) is None for key in keys)
    qtbot.waitUntil(lambda: service.is_idle, timeout=20_000)
