"""Maps in the window: seen while a model runs, equal to its files in the end, shown again later."""

from __future__ import annotations

import gc
import shutil
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtWidgets import (
    QApplication,
    QDockWidget,
    QFileDialog,
    QPushButton,
    QSlider,
    QStyle,
    QStyleOptionViewItem,
    QTreeWidget,
)
from pytestqt.qtbot import QtBot
from tests.conftest import SAMPLES
from tests.gui.hand import Hand
from tests.gui.map_looks import expected, painted
from tests.gui.map_models import CLASSES, filled_store

from tilescope.domain.geometry import Point, Rect
from tilescope.domain.tiles import TileKey
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.registry import open_slide
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import run_model
from tilescope.jobs.running.map_stream import STREAM_NAME
from tilescope.plugins.model_store import FOLDER_VARIABLE
from tilescope.plugins.registry import find_model
from tilescope.runtime.cancel import CancellationToken
from tilescope_desktop.app import run_bench
from tilescope_desktop.model.run_settings import Extent, RunChoice
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.map_bench import MapBench
from tilescope_desktop.view.map_overlay import MapOverlay
from tilescope_desktop.view.panels import is_seen
from tilescope_desktop.view.run_bench import RunBench

#: The cap is of the whole process, which holds every library by the time of these tests.
CAP = 3 << 30
CHOICE = RunChoice("brightness", Extent.SLIDE, CAP, provider="cpu")
SHAPE = (760, 1010)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled_store(tmp_path_factory.mktemp("brightness"))


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of a real slide."""
    path = tmp_path_factory.mktemp("tissue") / "tissue.png"
    with open_slide(SAMPLES / "CMU-1-Small-Region.svs") as slide:
        cut = Rect(600, 900, 600 + SHAPE[1], 900 + SHAPE[0])
        path.write_bytes(imagecodecs.png_encode(read_region(slide, TileCache(1 << 26), 0, cut)))
    return path


@pytest.fixture(scope="module")
def earlier(store: Path, tissue: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run over a part of it that was done before."""
    out = tmp_path_factory.mktemp("earlier")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(store))
        request = RunRequest(
            find_model("brightness"),
            tissue,
            out,
            CAP,
            1,
            provider="cpu",
            region_l0=Rect(130, 70, 830, 640),
            formats=("ome-zarr",),
        )
        report = run_model(request, CancellationToken())
    assert report.status == "complete"
    return request.folder


@pytest.fixture
def slide_in_hand(tissue: Path) -> Path:
    return tissue


@pytest.fixture
def bench(hand: Hand, store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunBench]:
    monkeypatch.setenv(FOLDER_VARIABLE, str(store))
    made = run_bench(hand.window)
    made.refresh_models()
    yield made
    for run in made.runs.active:
        run.cancel()
    hand.qtbot.waitUntil(lambda: not made.runs.active, timeout=60_000)


@pytest.fixture
def maps(hand: Hand) -> MapBench:
    return run_bench(hand.window).maps


def go(hand: Hand, overlay: MapOverlay, l0_per_px: float) -> Viewport:
    viewport = hand.view.viewport
    assert viewport is not None
    # A corner on a whole pixel of every level, so that pixels meet pixels.
    x, y = (l0_per_px * (side // 2 + (side % 2) / 2) for side in (viewport.width, viewport.height))
    hand.view.move_to(replace(viewport, centre_l0=Point(x, y), l0_per_px=l0_per_px))
    hand.qtbot.waitUntil(lambda: overlay.is_current, timeout=60_000)
    assert hand.view.viewport is not None
    return hand.view.viewport


def finish(hand: Hand, bench: RunBench) -> None:
    hand.qtbot.waitUntil(
        lambda: not bench.runs.active and not hand.window.work.jobs, timeout=120_000
    )


def start(hand: Hand, bench: RunBench) -> MapOverlay:
    bench.start(CHOICE)
    (overlay,) = bench.maps.shown
    return overlay


def shown(hand: Hand, maps: MapBench, path: Path) -> MapOverlay:
    maps.open(path)
    hand.qtbot.waitUntil(lambda: not hand.window.work.jobs, timeout=60_000)
    return maps.shown[-1]


def tree_of(maps: MapBench) -> QTreeWidget:
    tree = maps.panel.findChild(QTreeWidget)
    assert isinstance(tree, QTreeWidget)
    return tree


def tile_threads() -> list[str]:
    """The threads of the window; those of the run and of zarr-python come and go."""
    mine = ("tilescope-tile", "tilescope-objects", "tilescope-map")
    return sorted(t.name for t in threading.enumerate() if t.name.startswith(mine))


def says(hand: Hand) -> str:
    return hand.window.notices.text


def test_a_map_is_seen_while_the_model_runs_and_is_its_files_in_the_end(
    hand: Hand, bench: RunBench
) -> None:
    assert hand.view.viewport is not None
    viewport = replace(hand.view.viewport, centre_l0=Point(505, 380), l0_per_px=2.0)
    hand.view.move_to(viewport)
    overlay = start(hand, bench)
    seen: list[np.ndarray] = []
    amounts: list[tuple[int, bool]] = []

    def look() -> bool:
        if overlay.map is not None:
            picture = painted(overlay, hand.view.viewport)
            amounts.append((np.count_nonzero(picture), bool(bench.runs.active)))
            seen.append(picture)
        return not bench.runs.active and not hand.window.work.jobs

    hand.qtbot.waitUntil(look, timeout=120_000)
    assert overlay.map is not None
    folder = overlay.map.path.parent
    assert overlay.map.path == folder / "labels.ome.zarr"
    assert not (folder / STREAM_NAME).exists()
    for scale in (1.0, 2.0):
        there = go(hand, overlay, scale)
        found, _ = expected(overlay, there)
        np.testing.assert_array_equal(painted(overlay, there), found)
        assert len(np.unique(found)) > len(CLASSES) - 1
    hand.view.move_to(viewport)
    hand.qtbot.waitUntil(lambda: overlay.is_current, timeout=60_000)
    whole = painted(overlay, hand.view.viewport)
    total = np.count_nonzero(whole)
    on_the_way = [
        picture
        for picture, (amount, is_active) in zip(seen, amounts, strict=True)
        if is_active and 0 < amount < 0.8 * total
    ]
    assert on_the_way, f"{amounts} of {total}"
    # What was seen on the way is what it is in the end.
    for early in (on_the_way[0], on_the_way[-1]):
        np.testing.assert_array_equal(early[early > 0], whole[early > 0])


def test_a_cancelled_run_keeps_its_map_and_goes_on_with_it(hand: Hand, bench: RunBench) -> None:
    overlay = start(hand, bench)
    hand.qtbot.waitUntil(lambda: overlay.map is not None, timeout=60_000)
    bench.cancel()
    finish(hand, bench)
    assert bench.maps.shown == (overlay,)
    assert overlay.map is not None
    assert overlay.map.path.name == STREAM_NAME
    viewport = go(hand, overlay, 2.0)
    found, _ = expected(overlay, viewport)
    np.testing.assert_array_equal(painted(overlay, viewport), found)
    bench.start(CHOICE)
    finish(hand, bench)
    (last,) = bench.maps.shown
    assert last is not overlay
    viewport = go(hand, last, 2.0)
    found, _ = expected(last, viewport, last.map.path)
    np.testing.assert_array_equal(painted(last, viewport), found)
    assert last.map.path.name == "labels.ome.zarr"


def test_closing_a_slide_while_its_map_grows_leaves_nothing(hand: Hand, bench: RunBench) -> None:
    started = start(hand, bench)
    hand.qtbot.waitUntil(lambda: bench.maps.shown[0].map is not None, timeout=60_000)
    name = started.map.id if started.map is not None else None
    gone, tab = weakref.ref(started), hand.window.tab
    assert tab is not None
    threads = tile_threads()
    hand.window.close_tab(tab)
    assert bench.maps.shown == ()
    assert tree_of(bench.maps).topLevelItemCount() == 0
    assert bench.runs.active
    del started, tab
    finish(hand, bench)
    hand.qtbot.waitUntil(lambda: hand.window.tiles.is_idle, timeout=60_000)
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    gc.collect()
    assert gone() is None
    assert tile_threads() == threads
    assert not [one for one in bench.maps.children() if isinstance(one, MapOverlay)]
    assert name is not None
    assert hand.window.tiles.pictures.peek(TileKey(name, 0, 0, 0)) is None


def test_a_map_of_an_earlier_run_is_shown_again(
    hand: Hand,
    maps: MapBench,
    earlier: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_args: str(earlier))
    hand.act("models.show-map")
    (overlay,) = maps.shown
    hand.qtbot.waitUntil(lambda: overlay.map is not None, timeout=60_000)
    viewport = go(hand, overlay, 1.0)
    found, _ = expected(overlay, viewport)
    # A part of the slide: it lies where the run was.
    np.testing.assert_array_equal(painted(overlay, viewport), found)
    assert not found[:60].any()
    assert found[80:, 140:].any()
    path = earlier / "labels.ome.zarr"
    hand.drop(path)
    (same,) = maps.shown
    assert same is not overlay
    copy = tmp_path / "labels.ome.zarr"
    shutil.copytree(path, copy)
    hand.drop(copy)
    assert len(maps.shown) == 2
    assert hand.window.tab is not None
    layers = [one for one in hand.window.tab.view.overlays if isinstance(one, MapOverlay)]
    assert layers == list(maps.shown)
    hand.window.close_tab(hand.window.tab)
    assert maps.shown == ()


def test_the_panel_hides_fades_and_removes_by_keyboard(
    hand: Hand, maps: MapBench, earlier: Path, qtbot: QtBot
) -> None:
    overlay = shown(hand, maps, earlier)
    tree = tree_of(maps)
    row = tree.topLevelItem(0)
    assert row is not None
    assert row.text(0) == earlier.name
    assert [row.child(i).text(0) for i in range(row.childCount())] == list(CLASSES)
    viewport = go(hand, overlay, 2.0)
    dock = maps.panel.parentWidget()
    assert dock is not None
    dock.raise_()
    tree.setFocus()
    tree.setCurrentItem(row)
    qtbot.keyClick(tree, Qt.Key.Key_Space)
    assert not overlay.is_visible
    assert not painted(overlay, viewport).any()
    qtbot.keyClick(tree, Qt.Key.Key_Space)
    assert overlay.is_visible
    slider = maps.panel.findChild(QSlider)
    assert isinstance(slider, QSlider)
    qtbot.keyClick(slider, Qt.Key.Key_Home)
    assert overlay.opacity == 0
    qtbot.keyClick(slider, Qt.Key.Key_PageUp)
    assert 0 < overlay.opacity < 0.5
    assert slider.accessibleName() == "Opacity of the map"
    remove = next(b for b in maps.panel.findChildren(QPushButton) if b.text() == "Remove")
    qtbot.keyClick(remove, Qt.Key.Key_Space)
    assert maps.shown == ()
    assert not remove.isEnabled()


def test_what_is_no_map_of_this_slide_is_refused_in_words(
    hand: Hand, maps: MapBench, earlier: Path, tmp_path: Path, dapi_image: Path
) -> None:
    path = earlier / "labels.ome.zarr"
    (tmp_path / "empty").mkdir()
    for name, words in (("empty", "neither a map nor"), ("nowhere", "no such folder")):
        maps.open(tmp_path / name)
        hand.wait()
        assert words in says(hand)
    broken = tmp_path / "broken"
    shutil.copytree(path, broken)
    text = (broken / ".zattrs").read_text()
    (broken / ".zattrs").write_text(text[: len(text) // 2])
    maps.open(broken)
    hand.wait()
    assert "broken" in says(hand)
    hand.open(dapi_image)
    maps.open(path)
    hand.wait()
    assert "open its slide first" in says(hand)
    assert maps.shown == ()


def test_a_map_without_a_slide_is_refused(hand: Hand, earlier: Path) -> None:
    assert hand.window.tab is not None
    hand.window.close_tab(hand.window.tab)
    hand.window.dropped.emit([earlier / "labels.ome.zarr"])
    assert "open its slide first" in says(hand)


def colors_of(tree: QTreeWidget) -> dict[str, tuple[int, int, int]]:
    """Return the colours that the legend of the topmost map shows, from its pixels."""
    row, found = tree.topLevelItem(0), {}
    for at in range(row.childCount()):
        icon = row.child(at).icon(0).pixmap(tree.iconSize()).toImage()
        color = icon.pixelColor(icon.width() // 2, icon.height() // 2)
        found[row.child(at).text(0)] = (color.red(), color.green(), color.blue())
    return found


def test_a_run_shows_its_legend_and_nothing_of_the_maps_before(
    hand: Hand, bench: RunBench, earlier: Path, qtbot: QtBot
) -> None:
    first = shown(hand, bench.maps, earlier)
    dock = hand.window.findChild(QDockWidget, "dock-maps")
    assert is_seen(dock)
    hand.act("panel.channels")
    assert not is_seen(dock)
    dock.hide()
    bare = go(hand, first, 2.0)
    assert painted(first, bare).any()
    hand.window.findChild(QDockWidget, "dock-models").raise_()
    panel = bench.panel
    panel.choose_model("brightness")
    run = next(one for one in panel.findChildren(QPushButton) if one.text() == "Run")
    qtbot.mouseClick(run, Qt.MouseButton.LeftButton)
    QApplication.processEvents()
    assert is_seen(dock)
    assert first.is_visible  # as long as there is nothing in its place
    finish(hand, bench)
    low, top = bench.maps.shown
    assert low is first
    assert not first.is_visible
    assert not painted(first, bare).any()
    there = go(hand, top, 2.0)
    assert painted(top, there).any()
    tree = tree_of(bench.maps)
    states = [tree.topLevelItem(at).checkState(0) for at in range(2)]
    assert states == [Qt.CheckState.Checked, Qt.CheckState.Unchecked]
    assert set(colors_of(tree)) == set(CLASSES)
    assert len(set(colors_of(tree).values())) == len(CLASSES)
    # What was hidden comes back by a click, and stays beside the new one.
    qtbot.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=box_of(tree, 1))
    assert first.is_visible
    assert top.is_visible


def box_of(tree: QTreeWidget, row: int) -> QPoint:
    """Return where the check box of a row is."""
    item = tree.topLevelItem(row)
    tree.scrollToItem(item)
    option = QStyleOptionViewItem()
    option.initFrom(tree)
    option.rect = tree.visualItemRect(item)
    option.features |= QStyleOptionViewItem.ViewItemFeature.HasCheckIndicator
    kind = QStyle.SubElement.SE_ItemViewItemCheckIndicator
    return tree.style().subElementRect(kind, option, tree).center()


def test_a_run_that_gives_no_map_leaves_the_maps_as_they_were(
    hand: Hand, bench: RunBench, earlier: Path
) -> None:
    first = shown(hand, bench.maps, earlier)
    bench.start(replace(CHOICE, memory_bytes=1 << 20))
    finish(hand, bench)
    assert bench.maps.shown == (first,)
    assert first.is_visible
