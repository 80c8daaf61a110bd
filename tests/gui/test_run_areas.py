"""Models that run inside outlines of the project, chosen and started by mouse and keys."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QComboBox, QDockWidget, QLabel, QPushButton
from tests.gui.hand import Hand

from tilescope.domain.annotation import Annotation
from tilescope.jobs.report import RunReport
from tilescope_desktop.app import run_bench
from tilescope_desktop.model.run_settings import Extent, RunChoice
from tilescope_desktop.view.run_bench import RunBench
from tilescope_desktop.view.run_panel import RunPanel

LEFT = Qt.MouseButton.LeftButton
CAP = 3 << 30


@pytest.fixture
def bench(hand: Hand) -> RunBench:
    dock = hand.window.findChild(QDockWidget, "dock-models")
    assert isinstance(dock, QDockWidget)
    dock.raise_()
    made = run_bench(hand.window)
    hand.qtbot.waitUntil(made.panel.isVisible)
    return made


def combo(panel: RunPanel, name: str) -> QComboBox:
    return next(one for one in panel.findChildren(QComboBox) if one.accessibleName() == name)


def texts(panel: RunPanel) -> str:
    return " | ".join(label.text() for label in panel.findChildren(QLabel))


def choose(hand: Hand, bench: RunBench, extent: Extent) -> None:
    """Choose over what the model is to run, in the list that a click opens."""
    box = combo(bench.panel, "Over")
    hand.qtbot.mouseClick(box, LEFT)
    entries = box.view()
    hand.qtbot.waitUntil(entries.isVisible)
    # A list that has just opened takes the first release of the button for that of the click.
    hand.qtbot.keyClick(entries, Qt.Key.Key_Home)
    for _ in range(list(Extent).index(extent)):
        hand.qtbot.keyClick(entries, Qt.Key.Key_Down)
    hand.qtbot.keyClick(entries, Qt.Key.Key_Return)
    assert box.currentText() == extent.value
    if QApplication.platformName() == "offscreen":
        # There nobody makes the window active again when its list is gone.
        hand.qtbot.waitUntil(lambda: QApplication.activeWindow() is not hand.window)
        hand.window.activateWindow()
        hand.qtbot.waitUntil(hand.window.isActiveWindow)
    hand.qtbot.waitUntil(lambda: hand.annotations.desk.is_idle)


def run(hand: Hand, bench: RunBench) -> list[RunReport]:
    """Press Run and wait for the end; return the report, if there is one."""
    reports: list[RunReport] = []
    bench.runs.ended.connect(lambda _run, outcome: reports.append(outcome))
    button = next(b for b in bench.panel.findChildren(QPushButton) if b.text() == "Run")
    hand.qtbot.mouseClick(button, LEFT)
    hand.qtbot.waitUntil(
        lambda: (
            hand.annotations.desk.is_idle and not bench.runs.active and not hand.window.work.jobs
        ),
        timeout=120_000,
    )
    hand.qtbot.waitUntil(lambda: hand.annotations.desk.is_idle, timeout=20_000)
    return reports


def draw(hand: Hand, first: tuple[int, int], last: tuple[int, int], class_name: str | None) -> None:
    hand.annotations.active_class = class_name
    hand.key(Qt.Key.Key_R)
    hand.drag(first, last)
    hand.deselect()


def split(hand: Hand) -> tuple[list[Annotation], list[Annotation]]:
    """Return what was drawn and what the model found."""
    objects = hand.objects()
    drawn = [one for one in objects if one.kind == "annotation"]
    return drawn, [one for one in objects if one.kind == "detection"]


def assert_inside(found: list[Annotation], areas: shapely.Geometry) -> None:
    assert found
    for one in found:
        outline = shapely.from_wkb(one.geometry)
        centre = outline.centroid
        point = centre if outline.intersects(centre) else outline.point_on_surface()
        assert areas.intersects(point)
        assert one.author.detail["areas"]["count"] == len(shapely.get_parts(areas))


def test_inside_a_class(hand: Hand, bench: RunBench) -> None:
    draw(hand, (60, 60), (220, 200), "Tumor")
    draw(hand, (300, 300), (420, 420), "Tumor")
    draw(hand, (500, 60), (640, 200), "Stroma")
    choose(hand, bench, Extent.CLASS)
    chooser = combo(bench.panel, "Class of the areas")
    assert chooser.isVisible()
    assert [chooser.itemText(i) for i in range(chooser.count())] == ["Tumor", "Stroma"]
    assert chooser.currentText() == "Tumor"
    (report,) = run(hand, bench)
    assert report.status == "complete"
    drawn, found = split(hand)
    shapes = [shapely.from_wkb(one.geometry) for one in drawn if one.class_name == "Tumor"]
    assert_inside(found, shapely.multipolygons(shapes))
    assert len(found) == report.objects
    assert f"{report.objects} objects inside 2 areas in" in texts(bench.panel)
    hand.act("edit.undo")
    assert split(hand)[1] == []


def test_inside_the_selection_and_not_the_rectangle_around_it(hand: Hand, bench: RunBench) -> None:
    draw(hand, (60, 60), (220, 200), None)
    draw(hand, (300, 300), (420, 420), None)
    hand.act("edit.all")
    hand.wait()
    assert len(hand.annotations.selected_ids) == 2
    choose(hand, bench, Extent.SELECTION)
    assert not combo(bench.panel, "Class of the areas").isVisible()
    (report,) = run(hand, bench)
    drawn, found = split(hand)
    shapes = [shapely.from_wkb(one.geometry) for one in drawn]
    assert_inside(found, shapely.multipolygons(shapes))
    assert report.within is not None
    x0, y0, x1, y1 = shapely.total_bounds(shapes)
    assert report.within["rect"] == f"{x0:.0f},{y0:.0f},{x1 - x0:.0f},{y1 - y0:.0f}"


def test_a_point_has_no_area(hand: Hand, bench: RunBench) -> None:
    hand.key(Qt.Key.Key_Period)
    hand.click(100, 100)
    hand.wait()
    assert len(hand.annotations.selected_ids) == 1
    choose(hand, bench, Extent.SELECTION)
    assert run(hand, bench) == []
    said = "The selected object has no area; select outlines that enclose something."
    assert said in texts(bench.panel)
    assert hand.window.notices.text == said


def test_without_areas_there_is_nothing_to_choose(hand: Hand, bench: RunBench) -> None:
    chooser = combo(bench.panel, "Class of the areas")
    choose(hand, bench, Extent.CLASS)
    assert not chooser.isEnabled()
    assert chooser.placeholderText() == "No areas on this slide"
    assert run(hand, bench) == []
    assert "draw an area first" in texts(bench.panel)
    hand.annotations.active_class = "Tumor"
    hand.key(Qt.Key.Key_Period)
    hand.click(100, 100)  # a point of a class is no area
    hand.wait()
    assert chooser.count() == 0
    assert run(hand, bench) == []
    assert "No unclassified outline lies on this plane" in texts(bench.panel)


def test_the_classes_follow_what_is_drawn(hand: Hand, bench: RunBench) -> None:
    choose(hand, bench, Extent.CLASS)
    chooser = combo(bench.panel, "Class of the areas")
    draw(hand, (60, 60), (220, 200), "Stroma")
    hand.wait()
    assert [chooser.itemText(i) for i in range(chooser.count())] == ["Stroma"]
    draw(hand, (300, 60), (420, 200), "Tumor")
    draw(hand, (300, 260), (420, 300), None)
    hand.wait()
    assert [chooser.itemText(i) for i in range(chooser.count())] == [
        *("Tumor", "Stroma", "Unclassified")
    ]
    assert chooser.currentText() == "Stroma"  # stays chosen
    hand.act("edit.undo")
    hand.wait()
    assert [chooser.itemText(i) for i in range(chooser.count())] == ["Tumor", "Stroma"]


def test_a_second_start_waits_and_a_cancel_forgets_the_first(hand: Hand, bench: RunBench) -> None:
    draw(hand, (60, 60), (220, 200), "Tumor")
    choice = RunChoice("nuclei-unet", Extent.CLASS, CAP, class_name="Tumor")
    bench.start(choice)
    assert not bench.runs.active
    assert "Reading the outlines" in texts(bench.panel)
    bench.start(RunChoice("nuclei-unet", Extent.SLIDE, CAP))
    assert not bench.runs.active
    assert "still being read" in hand.window.notices.text
    button = next(b for b in bench.panel.findChildren(QPushButton) if b.text() == "Cancel")
    assert button.isVisible()
    hand.qtbot.mouseClick(button, LEFT)
    assert "Cancelled." in texts(bench.panel)
    hand.wait()
    assert not bench.runs.active
    assert split(hand)[1] == []


def test_an_outline_beside_the_slide_is_said(hand: Hand, bench: RunBench) -> None:
    assert hand.window.tab is not None
    slide = hand.parts.bench.slides[hand.window.tab]
    outline = Annotation(
        "00000000-0000-4000-8000-000000000001",
        shapely.to_wkb(shapely.box(-500, -500, -100, -100)),
        class_name="Tumor",
    )
    hand.annotations.add(slide, [outline], "import")
    hand.wait()
    choose(hand, bench, Extent.CLASS)
    (outcome,) = run(hand, bench)
    assert "none of the 1 area" in str(outcome)
    assert "none of the 1 area" in texts(bench.panel)
    assert np.all([one.kind == "annotation" for one in hand.objects()])
