"""Maps of a stack: each is seen on the plane that it was made of, and the panel says which."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QTreeWidget
from tests.gui.hand import SHIFT, Hand
from tests.gui.map_looks import painted
from tests.gui.map_models import filled_store

from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import run_model
from tilescope.plugins.model_store import FOLDER_VARIABLE
from tilescope.plugins.registry import find_model
from tilescope.runtime.cancel import CancellationToken
from tilescope_desktop.app import run_bench
from tilescope_desktop.model.run_settings import Extent, RunChoice
from tilescope_desktop.view.map_bench import MapBench
from tilescope_desktop.view.map_overlay import MapOverlay
from tilescope_desktop.view.run_bench import RunBench

UP, DOWN = Qt.Key.Key_PageUp, Qt.Key.Key_PageDown
CAP = 3 << 30
CHOICE = RunChoice("brightness", Extent.SLIDE, CAP, provider="cpu")
DEPTH, TIMES = 3, 2


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled_store(tmp_path_factory.mktemp("brightness"))


@pytest.fixture(scope="module")
def stack_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planes of bright squares, elsewhere on each."""
    path = tmp_path_factory.mktemp("stack") / "stack.ome.tif"
    planes = np.full((TIMES, DEPTH, 300, 420), 20, np.uint8)
    for index, plane in enumerate(planes.reshape(-1, 300, 420)):
        plane[40:260, 60 * index + 20 : 60 * index + 80] = 170
    tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": "TZYX"})
    return path


@pytest.fixture(scope="module")
def earlier(store: Path, stack_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The map of a run over the third focal plane that was done before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(store))
        out = tmp_path_factory.mktemp("earlier")
        request = RunRequest(
            find_model("brightness"),
            stack_file,
            out,
            CAP,
            1,
            provider="cpu",
            plane=(2, 0),
            formats=("ome-zarr",),
        )
        report = run_model(request, CancellationToken())
    assert report.status == "complete"
    return request.folder / "labels.ome.zarr"


@pytest.fixture
def slide_in_hand(stack_file: Path) -> Path:
    return stack_file


@pytest.fixture
def maps(hand: Hand) -> MapBench:
    hand.act("view.fit")
    hand.view.setFocus()
    return run_bench(hand.window).maps


@pytest.fixture
def bench(hand: Hand, store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunBench]:
    monkeypatch.setenv(FOLDER_VARIABLE, str(store))
    made = run_bench(hand.window)
    made.refresh_models()
    hand.act("view.fit")
    hand.view.setFocus()
    yield made
    for run in made.runs.active:
        run.cancel()
    hand.qtbot.waitUntil(lambda: not made.runs.active, timeout=60_000)


def place(hand: Hand) -> tuple[int, int]:
    assert hand.window.tab is not None
    return hand.window.tab.planes.place


def show(hand: Hand, maps: MapBench, path: Path, monkeypatch: pytest.MonkeyPatch) -> MapOverlay:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_args: str(path))
    hand.act("models.show-map")
    overlay = maps.shown[-1]
    hand.qtbot.waitUntil(lambda: overlay.map is not None, timeout=60_000)
    return overlay


def is_seen(hand: Hand, overlay: MapOverlay) -> bool:
    """Tell whether anything of a map is painted, once it is read."""
    assert hand.view.viewport is not None
    hand.qtbot.waitUntil(lambda: painted_once(hand, overlay), timeout=60_000)
    return bool(painted(overlay, hand.view.viewport).any())


def painted_once(hand: Hand, overlay: MapOverlay) -> bool:
    hand.view.repaint()
    return overlay.is_current


def words(maps: MapBench, row: int = 0) -> str:
    """What the panel says below the title of a map, first."""
    tree = maps.panel.findChild(QTreeWidget)
    assert isinstance(tree, QTreeWidget)
    item = tree.topLevelItem(row)
    return "" if item.childCount() == 0 else item.child(0).text(0)


def test_an_earlier_map_is_shown_on_its_plane_alone(
    hand: Hand, maps: MapBench, earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay = show(hand, maps, earlier, monkeypatch)
    assert place(hand) == (1, 0)
    assert not is_seen(hand, overlay)
    assert words(maps) == "not shown here: focal plane 3 of 3, time point 1 of 2"
    hand.key(UP)
    assert place(hand) == (2, 0)
    assert is_seen(hand, overlay)
    assert words(maps) == "focal plane 3 of 3, time point 1 of 2"
    hand.key(UP, SHIFT)
    assert place(hand) == (2, 1)
    assert not is_seen(hand, overlay)
    assert words(maps).startswith("not shown here: ")
    hand.key(DOWN, SHIFT)
    assert is_seen(hand, overlay)


def test_the_box_of_a_map_holds_on_its_plane(
    hand: Hand, maps: MapBench, earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay = show(hand, maps, earlier, monkeypatch)
    tree = maps.panel.findChild(QTreeWidget)
    assert isinstance(tree, QTreeWidget)
    tree.setFocus()
    tree.setCurrentItem(tree.topLevelItem(0))
    hand.qtbot.keyClick(tree, Qt.Key.Key_Space)
    hand.view.setFocus()
    hand.key(UP)
    assert not is_seen(hand, overlay)
    tree.setFocus()
    hand.qtbot.keyClick(tree, Qt.Key.Key_Space)
    assert is_seen(hand, overlay)
    hand.view.setFocus()
    hand.key(DOWN)
    assert tree.topLevelItem(0).checkState(0) == Qt.CheckState.Checked
    assert not is_seen(hand, overlay)


def test_a_map_that_says_no_plane_is_shown_on_all(
    hand: Hand, maps: MapBench, earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labels.ome.zarr"
    shutil.copytree(earlier, path)
    said = json.loads((path / ".zattrs").read_text())
    assert said["tilescope"].pop("plane") == {"z": 2, "t": 0}
    (path / ".zattrs").write_text(json.dumps(said))
    overlay = show(hand, maps, path, monkeypatch)
    for key, keys in ((UP, Qt.KeyboardModifier.NoModifier), (UP, SHIFT)):
        assert is_seen(hand, overlay)
        hand.key(key, keys)
    assert is_seen(hand, overlay)
    assert "focal plane" not in words(maps)


def test_a_map_of_a_plane_that_is_not_there_is_refused(
    hand: Hand, maps: MapBench, earlier: Path, tmp_path: Path
) -> None:
    path = tmp_path / "labels.ome.zarr"
    shutil.copytree(earlier, path)
    said = json.loads((path / ".zattrs").read_text())
    said["tilescope"]["plane"] = {"z": 7, "t": 0}
    (path / ".zattrs").write_text(json.dumps(said))
    hand.drop(path)
    assert "focal plane 8 at time point 1" in hand.window.notices.text
    assert maps.shown == ()


def test_a_map_is_seen_on_its_plane_alone_while_its_model_runs_and_after(
    hand: Hand, bench: RunBench
) -> None:
    bench.start(CHOICE)
    (overlay,) = bench.maps.shown
    hand.key(UP)
    hand.qtbot.waitUntil(lambda: overlay.map is not None, timeout=120_000)
    assert not is_seen(hand, overlay)
    assert words(bench.maps) == "not shown here: focal plane 2 of 3, time point 1 of 2"
    hand.qtbot.waitUntil(
        lambda: not bench.runs.active and not hand.window.work.jobs, timeout=120_000
    )
    assert not is_seen(hand, overlay)
    bench.start(CHOICE)
    hand.qtbot.waitUntil(
        lambda: not bench.runs.active and not hand.window.work.jobs, timeout=120_000
    )
    low, top = bench.maps.shown
    assert low is overlay
    assert is_seen(hand, top)
    hand.key(DOWN)
    assert is_seen(hand, low)  # which the map of another plane has not hidden
    assert not is_seen(hand, top)
    assert words(bench.maps, 0) == "not shown here: focal plane 3 of 3, time point 1 of 2"
    assert words(bench.maps, 1) == "focal plane 2 of 3, time point 1 of 2"
