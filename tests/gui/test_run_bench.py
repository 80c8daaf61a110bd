"""Models in the window: run, watched, kept in the project, cancelled, gone on with."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import shapely
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QComboBox, QDockWidget, QLabel, QMessageBox, QPushButton
from pytestqt.qtbot import QtBot
from tests.gui.hand import objects_of
from tests.gui.journal import check_journal

from tilescope.domain.annotation import Annotation
from tilescope.io.cache import shared_cache
from tilescope.store.project import Project
from tilescope_desktop.app import annotating, make_window, run_bench
from tilescope_desktop.model.run_settings import Extent, RunChoice
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.run_bench import RunBench

CAP = 3 << 30


@pytest.fixture
def window(qtbot: QtBot, tmp_path: Path, dapi_image: Path) -> Iterator[MainWindow]:
    before = shared_cache().use.max_bytes
    QCursor.setPos(0, 0)  # in no panel
    made = make_window(folder=tmp_path / "data")
    qtbot.addWidget(made)
    made.show()
    made.open_slide(dapi_image)
    qtbot.waitUntil(lambda: made.tab is not None and made.tab.view.is_sharp, timeout=20_000)
    yield made
    for run in run_bench(made).runs.active:
        run.cancel()
    qtbot.waitUntil(lambda: not run_bench(made).runs.active, timeout=20_000)
    made.close()
    shared_cache().resize(before)


def text_of(bench: RunBench) -> str:
    return " | ".join(label.text() for label in bench.panel.findChildren(QLabel))


def finish(qtbot: QtBot, window: MainWindow) -> None:
    bench = run_bench(window)
    qtbot.waitUntil(lambda: not bench.runs.active and not window.work.jobs, timeout=120_000)
    qtbot.waitUntil(lambda: annotating(window).annotations.desk.is_idle, timeout=20_000)


def objects_in(window: MainWindow) -> int:
    project = annotating(window).annotations.project
    if project is None:
        return 0
    with Project.open(project.path, writable=False) as opened:
        return sum(opened.counts_by_class().values())


def test_a_run_ends_in_the_project_and_can_be_undone(qtbot: QtBot, window: MainWindow) -> None:
    bench = run_bench(window)
    assert bench.panel.model_id == "nuclei-unet"
    button = bench.panel.findChild(QPushButton)
    assert isinstance(button, QPushButton)
    assert button.isEnabled()
    bench.start(RunChoice("nuclei-unet", Extent.SLIDE, CAP))
    assert bench.runs.active
    finish(qtbot, window)
    count = objects_in(window)
    assert count >= 20
    assert f"{count} objects in" in text_of(bench)
    assert re.fullmatch(r"saved \d\d:\d\d:\d\d", saved_text(window))
    annotating(window).annotations.undo()
    qtbot.waitUntil(lambda: objects_in(window) == 0, timeout=20_000)
    annotating(window).annotations.redo()
    qtbot.waitUntil(lambda: objects_in(window) == count, timeout=20_000)


def providers_of(window: MainWindow) -> tuple[QComboBox, list[str]]:
    box = next(
        box
        for box in run_bench(window).panel.findChildren(QComboBox)
        if box.accessibleName() == "On"
    )
    return box, [box.itemText(index) for index in range(box.count())]


@pytest.mark.parametrize("hand", ["pointer", "keys"])
def test_what_networks_run_on_is_read_when_somebody_comes_to_the_panel(
    qtbot: QtBot, window: MainWindow, hand: str
) -> None:
    box, before = providers_of(window)
    assert before == ["auto"]
    if hand == "pointer":
        QTest.mouseMove(window, window.rect().center())
        QTest.mouseMove(box)
    else:
        run_bench(window).panel.findChildren(QComboBox)[0].setFocus()
    qtbot.waitUntil(lambda: providers_of(window)[1][:2] == ["auto", "cpu"], timeout=20_000)
    assert box.currentText() == "auto"
    assert box.itemData(1, Qt.ItemDataRole.ToolTipRole).startswith("onnxruntime")


def saved_text(window: MainWindow) -> str:
    return next(
        label.text()
        for label in window.status.findChildren(QLabel)
        if label.accessibleName() == "Saved"
    )


def test_one_run_at_a_time_and_the_same_run_twice_is_kept_once(
    qtbot: QtBot, window: MainWindow
) -> None:
    bench = run_bench(window)
    choice = RunChoice("nuclei-unet", Extent.SLIDE, CAP)
    bench.start(choice)
    bench.start(choice)
    assert len(bench.runs.active) == 1
    finish(qtbot, window)
    count = objects_in(window)
    bench.start(choice)
    finish(qtbot, window)
    assert objects_in(window) == count


def test_a_run_in_view_after_one_over_the_slide_is_undone_and_redone_step_by_step(
    qtbot: QtBot, window: MainWindow
) -> None:
    bench, annotations = run_bench(window), annotating(window).annotations
    bench.start(RunChoice("nuclei-unet", Extent.SLIDE, CAP))
    finish(qtbot, window)
    over_slide = project_objects(window)
    press(window, "view.zoom-in", times=2)
    tab = window.tab
    assert tab is not None
    assert tab.view.viewport is not None
    in_view = shapely.box(*dataclasses.astuple(tab.view.viewport.bounds_l0))
    bench.start(RunChoice("nuclei-unet", Extent.VIEW, CAP, parameters={"min_area_px": 300.0}))
    finish(qtbot, window)
    over_view = project_objects(window)
    found = re.search(r"(\d+) objects? in", text_of(bench))
    assert found is not None
    outside = [one for one in over_slide if one in over_view]
    assert 1 <= len(outside) < len(over_view) < len(over_slide)
    assert int(found[1]) == len(over_view) - len(outside)
    assert not any(in_view.contains(shape_of(one)) for one in outside)
    assert doubles_in(over_slide) == doubles_in(over_view) == []
    for name, held in (
        ("edit.undo", over_slide),
        ("edit.undo", []),
        ("edit.redo", over_slide),
        ("edit.redo", over_view),
    ):
        press(window, name)
        finish(qtbot, window)
        assert project_objects(window) == held
        assert [sum(n.values()) for n in annotations.counts.values()] == [len(held)]
    assert annotations.project is not None
    check_journal(annotations.project.path)


def project_objects(window: MainWindow) -> list[Annotation]:
    project = annotating(window).annotations.project
    assert project is not None
    return objects_of(project.path)


def press(window: MainWindow, name: str, times: int = 1) -> None:
    for _ in range(times):
        action = window.findChild(QAction, name)
        assert isinstance(action, QAction)
        assert action.isEnabled()
        action.trigger()


def shape_of(one: Annotation) -> shapely.Geometry:
    return shapely.from_wkb(one.geometry)


def doubles_in(objects: list[Annotation]) -> list[tuple[str, str]]:
    """Return pairs of objects of which one covers more than a fifth of the other."""
    return [
        (one.id, other.id)
        for one, other in itertools.combinations(objects, 2)
        if 5 * shapely.intersection(shape_of(one), shape_of(other)).area
        > min(shape_of(one).area, shape_of(other).area)
    ]


def test_a_cancelled_run_says_so_and_leaves_the_project_alone(
    qtbot: QtBot, window: MainWindow
) -> None:
    bench = run_bench(window)
    bench.start(RunChoice("nuclei-unet", Extent.SLIDE, CAP))
    bench.cancel()
    finish(qtbot, window)
    assert "Cancelled" in text_of(bench)
    assert objects_in(window) == 0
    assert bench.objects_so_far == 0


def test_too_little_memory_is_said_with_what_would_do(qtbot: QtBot, window: MainWindow) -> None:
    bench = run_bench(window)
    bench.start(RunChoice("nuclei-unet", Extent.SLIDE, 256 << 20))
    finish(qtbot, window)
    assert "MiB" in text_of(bench)
    assert objects_in(window) == 0


def test_a_failed_run_is_told_also_where_no_panel_is_seen_until_one_is_complete(
    qtbot: QtBot, window: MainWindow
) -> None:
    resource = pytest.importorskip("resource")
    bench, choice = run_bench(window), RunChoice("nuclei-unet", Extent.SLIDE, CAP, "cpu")
    window.findChild(QDockWidget, "dock-models").hide()

    def fill_disk(_run: object, _event: object) -> None:
        for process in psutil.Process().children():
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    # Not before the run keeps a ledger.
    bench.runs.told.connect(fill_disk, Qt.ConnectionType.SingleShotConnection)
    bench.start(choice)
    finish(qtbot, window)
    assert window.notices.isVisible()
    said = window.notices.text.splitlines()[0]
    assert said.startswith("Failed: ")
    assert "run.ledger" in said
    assert said in text_of(bench)
    assert "command" not in said
    assert objects_in(window) == 0
    shown = window.notices.grab().toImage()
    assert shown.height() > 20
    assert len({shown.pixel(x, shown.height() // 2) for x in range(shown.width())}) > 3
    bench.start(choice)
    assert said not in window.notices.text
    finish(qtbot, window)
    assert said not in window.notices.text
    assert objects_in(window) >= 20
    assert not window.findChild(QAction, "models.cancel").isEnabled()


CONTROL = Qt.KeyboardModifier.ControlModifier


def test_a_key_that_was_given_to_it_cancels_a_run_and_it_can_be_done_while_there_is_one(
    qtbot: QtBot, window: MainWindow
) -> None:
    bench = run_bench(window)
    cancel = next(one for one in window.commands if one.id == "models.cancel")
    window.apply_keymap(window.keymap.given(cancel, "Ctrl+J", window.commands))
    action = window.findChild(QAction, "models.cancel")
    assert isinstance(action, QAction)
    assert not action.isEnabled()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=5000)
    bench.start(RunChoice("nuclei-unet", Extent.SLIDE, CAP, "cpu"))
    assert action.isEnabled()
    assert window.tab is not None
    window.tab.view.setFocus()
    qtbot.keyClick(window.tab.view, Qt.Key.Key_J, CONTROL)
    finish(qtbot, window)
    assert "Cancelled" in text_of(bench)
    assert not action.isEnabled()


def test_a_run_that_is_refused_cannot_be_cancelled(qtbot: QtBot, window: MainWindow) -> None:
    bench, action = run_bench(window), window.findChild(QAction, "models.cancel")
    assert isinstance(action, QAction)
    bench.start(RunChoice("nuclei-unet", Extent.CLASS, CAP, class_name="Tumor"))
    assert not bench.runs.active
    assert not action.isEnabled()


def test_nothing_selected_is_said(qtbot: QtBot, window: MainWindow) -> None:
    bench = run_bench(window)
    bench.start(RunChoice("nuclei-unet", Extent.SELECTION, CAP))
    assert not bench.runs.active
    assert "Nothing is selected" in window.notices.text


def test_closing_during_a_run_asks(
    qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = run_bench(window)
    bench.start(RunChoice("nuclei-unet", Extent.SLIDE, CAP))
    no, yes = QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes
    monkeypatch.setattr(QMessageBox, "question", lambda *_args: no)
    assert not window.close()
    monkeypatch.setattr(QMessageBox, "question", lambda *_args: yes)
    assert window.close()
    assert window.work.jobs == ()
    bench.runs.active.clear()


def test_a_file_that_is_no_model_is_refused_in_words(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILESCOPE_MODELS", str(tmp_path / "models"))
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    window.dropped.emit([path])
    qtbot.waitUntil(lambda: "broken.onnx" in window.notices.text, timeout=60_000)
    qtbot.waitUntil(lambda: not window.work.jobs, timeout=60_000)
    assert "Trying out" not in window.status.going
