"""Where what a run found goes, and what the window says of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import shapely
import tifffile
from fsspec.asyn import get_loop
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QDockWidget, QPushButton
from tests.gui.hand import SHIFT, Hand, objects_of
from tests.gui.runs_by_hand import (
    bench_of,
    choose,
    click,
    draw_now,
    finish,
    rectangle,
    run,
    said,
    tiles,
    to_front,
)
from tests.gui.served import served
from tests.gui.slow_models import SlowModels, bright_squares

from tilescope.domain.annotation import Annotation
from tilescope.store.project import Project
from tilescope.testing.synthetic import write_ome_zarr
from tilescope_desktop.model.keymap import Keymap, KeyStyle
from tilescope_desktop.model.places import PROJECT_SUFFIX
from tilescope_desktop.model.stopped_runs import StoppedRuns

pytestmark = pytest.mark.usefixtures("_pace", "_no_run_left")


@pytest.fixture
def slide_in_hand(tmp_path: Path) -> Path:
    return bright_squares(tmp_path / "squares.png")


@pytest.fixture(scope="module", autouse=True)
def _lasting_loop() -> None:
    """fsspec keeps one event loop and its thread for the life of the process."""
    get_loop()


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A project without slides."""
    path = tmp_path / f"other{PROJECT_SUFFIX}"
    Project.create(path).close()
    return path


def begin(hand: Hand) -> None:
    """Start a run and wait until some tiles are done."""
    run(hand, "Slow parts")
    hand.qtbot.waitUntil(lambda: tiles(hand)[0] >= 2, timeout=30_000)


def open_project(hand: Hand, path: Path) -> None:
    hand.annotations.open_project(path)
    wait_for_project(hand, path)


def wait_for_project(hand: Hand, path: Path) -> None:
    def is_open() -> bool:
        project = hand.annotations.project
        return project is not None and project.path == path

    hand.qtbot.waitUntil(is_open, timeout=20_000)


def found_in(path: Path) -> list[Annotation]:
    return [one for one in objects_of(path) if one.kind == "detection"]


def texts(hand: Hand) -> str:
    return hand.parts.notices.text


# -- the project that a run was started for -------------------------------------------------------


def test_what_is_found_goes_into_the_project_that_was_open_at_the_start(
    hand: Hand, slow: SlowModels, other: Path
) -> None:
    rectangle(hand)
    own = hand.project_path()
    begin(hand)
    open_project(hand, other)
    slow.set_pace(0.0)
    finish(hand)
    assert len(found_in(own)) == 35
    assert objects_of(other) == []
    assert f"35 objects on squares.png; they are kept in {own.name}" in texts(hand)
    click(hand, "Open the project")
    wait_for_project(hand, own)
    assert len(hand.objects()) == 36


def test_a_project_that_is_closed_meanwhile_gets_what_was_found(
    hand: Hand, tmp_path: Path, slow: SlowModels
) -> None:
    rectangle(hand)
    own = hand.project_path()
    begin(hand)
    hand.annotations.close_project()
    slow.set_pace(0.0)
    finish(hand)
    assert len(found_in(own)) == 35
    assert hand.annotations.project is None
    made = (tmp_path / "data" / "projects").glob(f"*{PROJECT_SUFFIX}")
    assert [one for one in made if "backup" not in one.name] == [own]
    assert own.name in texts(hand)


def test_a_run_follows_its_project_into_another_file(
    hand: Hand, tmp_path: Path, slow: SlowModels
) -> None:
    rectangle(hand)
    own, copy = hand.project_path(), tmp_path / f"copy{PROJECT_SUFFIX}"
    begin(hand)
    hand.annotations.save_as(copy, lambda: None)
    wait_for_project(hand, copy)
    slow.set_pace(0.0)
    finish(hand)
    assert len(found_in(copy)) == 35
    assert found_in(own) == []
    assert "kept in" not in texts(hand)


def test_a_run_goes_into_the_project_that_is_made_for_what_is_drawn_meanwhile(
    hand: Hand, slow: SlowModels
) -> None:
    begin(hand)
    draw_now(hand)
    slow.set_pace(0.0)
    finish(hand)
    assert len(hand.objects()) == 36


def test_a_project_that_is_opened_meanwhile_is_asked_about_unless_it_has_the_slide(
    hand: Hand, slow: SlowModels, other: Path
) -> None:
    begin(hand)
    open_project(hand, other)
    slow.set_pace(0.0)
    finish(hand)
    assert objects_of(other) == []
    assert "not in a project yet" in texts(hand)
    click(hand, f"Put them into {other.name}")
    hand.wait()
    assert len(found_in(other)) == 35
    slow.set_pace(0.05)
    hand.annotations.close_project()
    run(hand, "Slow parts")
    open_project(hand, other)
    slow.set_pace(0.0)
    finish(hand)
    assert len(found_in(other)) == 35
    assert "not in" not in texts(hand)


def test_what_cannot_be_put_in_is_offered_and_never_goes_elsewhere(
    hand: Hand, tmp_path: Path, slow: SlowModels, other: Path
) -> None:
    rectangle(hand)
    own, away = hand.project_path(), tmp_path / f"away{PROJECT_SUFFIX}"
    begin(hand)
    open_project(hand, other)
    own.rename(away)
    slow.set_pace(0.0)
    finish(hand)
    assert "no longer there" in texts(hand)
    assert not own.exists()
    assert objects_of(other) == []
    tab = hand.window.tab
    assert tab is not None
    assert tab.identity is not None
    (kept,) = StoppedRuns(tmp_path / "data").of(tab.identity)
    assert "in a project yet" in kept.text("squares.png")
    click(hand, f"Put them into {other.name}")
    hand.wait()
    assert len(found_in(other)) == 35
    assert StoppedRuns(tmp_path / "data").of(tab.identity) == []


def test_a_project_that_is_written_to_is_tried_again(hand: Hand, slow: SlowModels) -> None:
    rectangle(hand)
    slow.set_pace(0.0)
    run(hand, "Slow parts")
    assert hand.annotations.begin_loan()
    hand.qtbot.waitUntil(lambda: "Try again" in buttons(hand), timeout=30_000)
    hand.annotations.end_loan(discards=False)
    click(hand, "Try again")
    hand.wait()
    assert len(hand.objects()) == 36


def buttons(hand: Hand) -> list[str]:
    return [one.text() for one in hand.window.findChildren(QPushButton) if one.isVisible()]


# -- a slide that is closed meanwhile -------------------------------------------------------------


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_slide_that_is_closed_during_a_run_gets_a_project(
    hand: Hand, slow: SlowModels, hes_slide: Path, *, is_alone: bool
) -> None:
    squares = hand.window.tab
    assert squares is not None
    if not is_alone:
        hand.open(hes_slide)
        hand.window.tabs.show_slide(squares)
    begin(hand)
    hand.window.close_tab(squares)
    count = len(hand.window.all_tabs)
    slow.set_pace(0.0)
    finish(hand)
    project = hand.project_path()
    assert project.name.startswith("squares")
    assert len(found_in(project)) == 35
    assert f"35 objects on squares.png; they are kept in {project.name}." in texts(hand)
    click(hand, "Open the slide")
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) > count, timeout=20_000)
    hand.wait()
    slide = hand.parts.bench.front_slide
    assert slide is not None
    assert sum(hand.annotations.counts[slide].values()) == 35
    assert "not in" not in texts(hand)
    assert "stopped at" not in texts(hand)


def test_what_came_of_a_run_is_said_of_its_slide_only(
    hand: Hand, slow: SlowModels, hes_slide: Path
) -> None:
    squares = hand.window.tab
    assert squares is not None
    slow.set_pace(0.0)
    run(hand, "Slow parts")
    finish(hand)
    assert "35 objects in" in said(hand)
    hand.open(hes_slide)
    assert "35 objects" not in said(hand)
    hand.window.tabs.show_slide(squares)
    QApplication.processEvents()
    assert "35 objects in" in said(hand)


# -- what it is measured in -----------------------------------------------------------------------


def test_a_pixel_size_that_is_entered_during_a_run_counts(hand: Hand, slow: SlowModels) -> None:
    begin(hand)
    tab = hand.window.tab
    assert tab is not None
    tab.override_um_per_px(0.5)
    hand.window.pixel_size_entered.emit(tab, 0.5)
    slow.set_pace(0.0)
    finish(hand)
    found = found_in(hand.project_path())
    assert len(found) == 35
    for one in found:
        area_px = shapely.from_wkb(one.geometry).area
        assert one.measurements["Area µm^2"] == pytest.approx(area_px / 4)


# -- a slide that no project can hold -------------------------------------------------------------


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A slide on a web server of this machine."""
    folder = tmp_path / "served"
    folder.mkdir()
    pixels = np.zeros((3, 200, 300), np.uint8)
    pixels[:, 40:60, 50:70] = 220
    write_ome_zarr(folder / "far.zarr", [pixels], um_per_px=0.5)
    with served(folder) as root:
        yield f"{root}/far.zarr"


def test_over_a_slide_on_the_network_it_is_said_before_that_objects_are_in_files_only(
    hand: Hand, tmp_path: Path, slow: SlowModels, address: str
) -> None:
    assert "on the network" not in said(hand)
    hand.window.dropped.emit([address])
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) == 2, timeout=20_000)
    hand.wait()
    assert "on the network" in said(hand)
    slow.set_pace(0.0)
    run(hand, "Slow parts")
    finish(hand)
    assert "takes no edits" not in said(hand)
    assert f"on far.zarr; they are in {tmp_path / 'data' / 'runs'}" in texts(hand)
    assert hand.annotations.project is None
    draw_now(hand)
    assert f"{address}: a project holds slides on a disk" in texts(hand)


# -- the command ----------------------------------------------------------------------------------


def test_a_key_runs_the_model_that_is_chosen_while_there_is_a_slide_and_no_run(
    hand: Hand, slow: SlowModels
) -> None:
    choose(hand, "Model", "Slow parts")
    choose(hand, "On", "cpu")
    action = hand.window.findChild(QAction, "models.run")
    dock = hand.window.findChild(QDockWidget, "dock-models")
    assert isinstance(action, QAction)
    assert isinstance(dock, QDockWidget)
    dock.hide()
    for style in KeyStyle:
        hand.window.apply_keymap(Keymap(style))
        assert hand.window.keys["models.run"] == "Ctrl+Shift+M"
    to_front(hand)
    hand.view.setFocus()
    hand.key(Qt.Key.Key_M, Qt.KeyboardModifier.ControlModifier | SHIFT)
    assert bench_of(hand).runs.active
    assert dock.isVisible()
    assert not action.isEnabled()
    slow.set_pace(0.0)
    finish(hand)
    assert len(hand.objects()) == 35
    assert action.isEnabled()
    assert hand.window.tab is not None
    hand.window.close_tab(hand.window.tab)
    assert not action.isEnabled()


# -- stacks ---------------------------------------------------------------------------------------


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Three focal planes, with squares on the last one only."""
    path = tmp_path / "stack.ome.tif"
    squares = imagecodecs.png_decode(bright_squares(tmp_path / "first.png").read_bytes())
    planes = np.stack([np.zeros_like(squares), np.zeros_like(squares), squares])
    tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": "ZYX"})
    return path


def test_a_model_looks_at_the_plane_that_is_shown_and_its_objects_are_there(
    hand: Hand, slow: SlowModels, stack: Path
) -> None:
    hand.open(stack)
    assert hand.window.tab is not None
    planes = hand.window.tab.planes
    assert "Models look at what is shown: focal plane 2 of 3." in said(hand)
    planes.go_to(2, 0)
    assert "Models look at what is shown: focal plane 3 of 3." in said(hand)
    begin(hand)
    hand.qtbot.waitUntil(lambda: hand.overlay.picture is not None, timeout=20_000)
    planes.go_to(0, 0)
    assert hand.overlay.picture is None
    slow.set_pace(0.0)
    finish(hand)
    assert [(one.z, one.t) for one in hand.objects()] == [(2, 0)] * 35
    assert "; analysed: focal plane 3 of 3; shown: focal plane 1 of 3" in said(hand)
    click(hand, "Show that plane")
    assert planes.place == (2, 0)
    assert "analysed" not in said(hand)
    assert "Show that plane" not in buttons(hand)


def test_a_run_over_another_plane_is_another_run(hand: Hand, slow: SlowModels, stack: Path) -> None:
    hand.open(stack)
    assert hand.window.tab is not None
    planes = hand.window.tab.planes
    slow.set_pace(0.0)
    for z in (2, 0, 2):
        planes.go_to(z, 0)
        run(hand, "Slow parts")
        finish(hand)
        assert [one.z for one in hand.objects()] == [2] * 35


def test_a_run_over_a_plane_that_stopped_goes_on_there(
    hand: Hand, tmp_path: Path, slow: SlowModels, stack: Path
) -> None:
    hand.open(stack)
    tab = hand.window.tab
    assert tab is not None
    tab.planes.go_to(2, 0)
    begin(hand)
    click(hand, "Cancel")
    finish(hand)
    hand.window.close_tab(tab)
    hand.open(stack)
    slow.set_pace(0.0)
    click(hand, "Go on")
    finish(hand)
    assert [one.z for one in hand.objects()] == [2] * 35
