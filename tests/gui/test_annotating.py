"""Drawing on a real slide by mouse and keys: what is seen is in the project, and comes back."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import shapely
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QApplication,
    QDockWidget,
    QFileDialog,
    QInputDialog,
    QLabel,
    QPushButton,
)
from pytestqt.qtbot import QtBot
from tests.gui.hand import ALT, LEFT, NONE, SHIFT, Hand

from tilescope.domain.annotation import Author
from tilescope.domain.geometry import Point
from tilescope.store.project import Project
from tilescope_desktop.model.pointer import Pointer
from tilescope_desktop.model.tools.tool import Draw, Tool, Wishes


def draw_one_of_each(hand: Hand) -> None:
    """Draw by every tool, in classes 1 to 5 and none."""
    for number, (tool, places) in enumerate(
        {
            Qt.Key.Key_R: [(60, 60), (100, 100), (160, 120)],
            Qt.Key.Key_O: [(200, 60), (240, 90), (300, 120)],
            Qt.Key.Key_L: [(340, 60), (400, 120)],
            Qt.Key.Key_B: [(100, 300), (140, 310), (200, 300)],
            Qt.Key.Key_W: [(300, 300), (304, 302)],
        }.items()
    ):
        hand.deselect()
        hand.key(Qt.Key(Qt.Key.Key_1 + number), ALT)
        hand.key(tool)
        hand.drag(*places)
    hand.deselect()
    hand.key(Qt.Key.Key_0, ALT)
    hand.key(Qt.Key.Key_Period)
    hand.click(60, 400)
    hand.key(Qt.Key.Key_P)
    for x, y in ((400, 300), (460, 310), (470, 380), (410, 370)):
        hand.click(x, y)
    hand.key(Qt.Key.Key_Return)
    hand.wait()


def test_every_tool_draws_what_the_hand_did(hand: Hand) -> None:
    draw_one_of_each(hand)
    found = {one.class_name: shapely.from_wkb(one.geometry) for one in hand.objects()}
    assert len(hand.objects()) == 7
    start, end = hand.l0(60, 60), hand.l0(160, 120)
    assert found["Tumor"].bounds == (start.x, start.y, end.x, end.y)
    assert found["Stroma"].area == pytest.approx(math.pi * 50 * 30, rel=0.01)
    assert found["Immune cells"].length == pytest.approx(math.hypot(60, 60))
    assert found["Necrosis"].bounds[2] - found["Necrosis"].bounds[0] == pytest.approx(140, abs=1)
    assert found["Other"].area > 0
    kinds = sorted(shape.geom_type for shape in hand.shapes())
    assert kinds == ["LineString", "Point", *["Polygon"] * 5]
    tumour = next(one for one in hand.objects() if one.class_name == "Tumor")
    assert tumour.measurements["Area µm^2"] == pytest.approx(100 * 60 * 0.499**2, rel=1e-3)
    assert tumour.author.kind == "user"


def test_what_is_drawn_is_seen_and_can_be_hidden(hand: Hand) -> None:
    before = hand.pixels()
    hand.key(Qt.Key.Key_1, ALT)
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (100, 100), (160, 120))
    hand.key(Qt.Key.Key_M)
    hand.deselect()
    hand.wait()
    changed = np.abs(hand.pixels() - before).sum(axis=2) > 60
    assert changed[60, 61:159].all()
    assert changed[62:118, 60].all()
    assert not changed[75:105, 75:145].any()
    hand.act("objects.fills-annotations")
    tinted = np.abs(hand.pixels() - before).sum(axis=2) > 20
    assert tinted[75:105, 75:145].mean() > 0.9
    hand.key(Qt.Key.Key_A)
    hand.wait()
    np.testing.assert_array_equal(hand.pixels(), before)


def test_a_shape_never_vanishes_between_mouse_and_disk(hand: Hand) -> None:
    before = hand.pixels()
    hand.key(Qt.Key.Key_R)
    hand.qtbot.mousePress(hand.view, LEFT, NONE, QPoint(60, 60))
    for place in ((100, 100), (160, 120)):
        hand.move(place)
    assert (np.abs(hand.pixels() - before).sum(axis=2) > 60)[60, 61:159].all()
    hand.qtbot.mouseRelease(hand.view, LEFT, NONE, QPoint(160, 120))
    for _ in range(200):
        assert (np.abs(hand.pixels() - before).sum(axis=2) > 60)[60, 61:159].all()
        if hand._is_settled():
            break
        QApplication.processEvents()
    assert len(hand.objects()) == 1


def test_what_is_begun_is_finished_on_its_slide(hand: Hand, dapi_image: Path) -> None:
    first = hand.window.tab
    assert first is not None
    hand.key(Qt.Key.Key_P)
    for place in ((100, 100), (200, 100), (200, 220)):
        hand.click(*place)
    begun = [hand.l0(*place) for place in ((100, 100), (200, 100), (200, 220))]
    hand.window.open_slide(dapi_image)
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) == 2, timeout=60_000)
    second = hand.window.tab
    assert second is not None
    assert second is not first
    hand.qtbot.keyClick(second.view, Qt.Key.Key_Return)
    (drawn,) = hand.shapes()
    expected = shapely.Polygon([(p.x, p.y) for p in begun])
    assert drawn.symmetric_difference(expected).area < 0.05 * expected.area
    assert hand.parts.bench.slides[first].number is not None
    assert hand.parts.bench.slides[second].number is None


def test_undo_and_redo_go_all_the_way_and_back(hand: Hand) -> None:
    draw_one_of_each(hand)
    drawn = hand.objects()
    assert hand.annotations.undo_label == "draw area"
    for left in range(6, -1, -1):
        hand.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        assert len(hand.objects()) == left
    assert not hand.window.findChild(QAction, "edit.undo").isEnabled()
    for _ in range(7):
        hand.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | SHIFT)
        hand.wait()
    assert hand.objects() == drawn


def test_a_brush_adds_inside_and_cuts_with_alt(hand: Hand) -> None:
    hand.key(Qt.Key.Key_B)
    hand.drag((100, 200), (160, 200))
    (first,) = hand.shapes()
    hand.drag((160, 200), (160, 280))
    (second,) = hand.shapes()
    assert second.area == pytest.approx(first.area + 80 * 40, rel=0.03)
    hand.drag((100, 200), (110, 200), keys=ALT)
    (third,) = hand.shapes()
    assert third.area < second.area - 1000
    assert not third.contains(shapely.Point(hand.l0(100, 200).x, hand.l0(100, 200).y))
    hand.drag((400, 200), (420, 200), keys=SHIFT)
    (fourth,) = hand.shapes()
    assert fourth.geom_type == "MultiPolygon"
    area = hand.objects()[0].measurements["Area µm^2"]
    assert area == pytest.approx(fourth.area * 0.499**2, rel=1e-3)
    hand.deselect()
    hand.drag((400, 400), (420, 400))
    assert len(hand.shapes()) == 2


def test_objects_are_selected_moved_deleted_and_locked(hand: Hand) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    hand.deselect()
    hand.drag((300, 60), (340, 160))
    hand.key(Qt.Key.Key_S)
    hand.click(110, 110)
    hand.wait()
    (chosen,) = hand.annotations.selected
    hand.click(320, 110, SHIFT)
    hand.wait()
    assert len(hand.annotations.selected_ids) == 2
    hand.drag((40, 40), (100, 100), (200, 200))
    assert hand.annotations.selected_ids == (chosen.id,)
    hand.drag((110, 110), (120, 140), (130, 150))
    moved = next(one for one in hand.objects() if one.id == chosen.id)
    assert shapely.from_wkb(moved.geometry).bounds[:2] == (
        chosen.geometry.bounds[0] + 20,
        chosen.geometry.bounds[1] + 40,
    )
    hand.act("edit.lock")
    hand.key(Qt.Key.Key_Delete)
    hand.wait()
    assert len(hand.objects()) == 2
    assert "locked" in hand.window.notices.text
    hand.act("edit.unlock")
    hand.key(Qt.Key.Key_Delete)
    assert [one.id for one in hand.objects()] != [chosen.id]
    assert len(hand.objects()) == 1
    hand.act("edit.undo")
    assert len(hand.objects()) == 2


def test_keys_give_classes_to_what_is_selected(hand: Hand) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    assert hand.objects()[0].class_name is None
    hand.key(Qt.Key.Key_2, ALT)
    assert hand.objects()[0].class_name == "Stroma"
    hand.act("edit.undo")
    assert hand.objects()[0].class_name is None


def test_corners_can_be_dragged(hand: Hand) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    hand.key(Qt.Key.Key_E)
    hand.drag((160, 160), (180, 190), (200, 220))
    corner = hand.l0(200, 220)
    assert (corner.x, corner.y) in set(hand.shapes()[0].exterior.coords)
    hand.click(200, 220, ALT)
    hand.wait()
    assert len(hand.shapes()[0].exterior.coords) == 4


def test_escape_forgets_what_is_begun_then_the_selection_then_the_tool(hand: Hand) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    hand.key(Qt.Key.Key_P)
    for x, y in ((300, 300), (360, 310), (370, 380)):
        hand.click(x, y)
    hand.key(Qt.Key.Key_Escape)
    assert not hand.parts.bench.tool.is_busy
    assert hand.annotations.selected_ids
    hand.key(Qt.Key.Key_Escape)
    assert not hand.annotations.selected_ids
    assert hand.parts.bench.tool.id == "polygon"
    hand.key(Qt.Key.Key_Escape)
    assert hand.parts.bench.tool.id == "move"
    assert len(hand.objects()) == 1


def test_a_project_is_made_unasked_and_offered_again(
    hand: Hand, qtbot: QtBot, tmp_path: Path, hes_slide: Path
) -> None:
    assert hand.annotations.project is None
    draw_one_of_each(hand)
    drawn = hand.objects()
    project = hand.annotations.project
    assert project is not None
    assert project.path.is_relative_to(tmp_path / "data")
    assert not list(hes_slide.parent.glob("*.tilescope*"))
    saved = hand.window.status.findChildren(type(hand.window.status._saved))
    assert any(label.text().startswith("saved ") for label in saved)
    hand.close()
    again = Hand(qtbot, tmp_path / "data")
    again.parts.desktop.offer_last()
    assert again.parts.notices.isVisible()
    button = next(
        b for b in again.parts.notices.findChildren(QPushButton) if b.text() == "Continue"
    )
    button.click()
    qtbot.waitUntil(lambda: again.window.tab is not None, timeout=60_000)
    again.place()
    assert again.objects() == drawn
    assert again.overlay.picture is not None
    assert again.overlay.picture.count == 7
    again.close()


def test_a_slide_that_moved_is_known_by_its_content(
    hand: Hand, qtbot: QtBot, tmp_path: Path, hes_slide: Path
) -> None:
    copy = tmp_path / "there" / "slide.svs"
    copy.parent.mkdir()
    shutil.copy(hes_slide, copy)
    hand.act("file.close")
    hand.open(copy)
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    project = hand.annotations.project
    assert project is not None
    hand.act("file.close")
    hand.act("project.close")
    moved = tmp_path / "elsewhere.svs"
    copy.rename(moved)
    hand.window.dropped.emit([project.path])
    qtbot.waitUntil(hand.parts.notices.isVisible, timeout=20_000)
    hand.open(moved)
    assert hand.overlay.picture is not None
    assert hand.overlay.picture.count == 1
    with Project.open(project.path, writable=False) as opened:
        assert [record.path for record in opened.slides()] == [moved]


def test_objects_come_and_go_as_geojson(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_one_of_each(hand)
    out = tmp_path / "out.geojson"
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_args: (str(out), "GeoJSON (*.geojson)")
    )
    hand.act("project.export")
    written = json.loads(out.read_text())["features"]
    assert len(written) == 7
    before = hand.objects()
    hand.act("edit.all")
    assert len(hand.annotations.selected_ids) == 7
    hand.key(Qt.Key.Key_Delete)
    assert hand.objects() == []
    for feature in written:
        feature.pop("id")
    out.write_text(json.dumps({"type": "FeatureCollection", "features": written}))
    hand.drop(out)
    hand.wait()
    areas = sorted(round(shape.area) for shape in hand.shapes())
    old = sorted(round(shapely.from_wkb(one.geometry).area) for one in before)
    assert areas == old
    assert not hand.annotations.is_lent
    hand.act("edit.undo")
    assert hand.objects() == []


def test_a_broken_file_changes_nothing_and_says_why(hand: Hand, tmp_path: Path) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    bad = tmp_path / "bad.geojson"
    bad.write_text('{"type": "FeatureCollection", "features": [{"type":')
    hand.drop(bad)
    assert "bad.geojson" in hand.window.notices.text
    assert len(hand.objects()) == 1
    hand.deselect()
    hand.drag((260, 60), (300, 160))
    assert len(hand.objects()) == 2


def test_the_table_lists_finds_and_flies(hand: Hand, qtbot: QtBot) -> None:
    draw_one_of_each(hand)
    dock = hand.window.findChild(QDockWidget, "dock-objects")
    assert isinstance(dock, QDockWidget)
    panel = hand.parts.objects
    with qtbot.waitSignal(panel.shown, timeout=20_000):
        dock.show()
    assert panel.model.rowCount() == 7
    panel.words.setText("tumor")
    assert panel.model.rowCount() == 1
    index = panel.model.index(0, 0)
    before = hand.view.viewport
    panel.table.activated.emit(index)
    assert hand.view.viewport != before
    assert hand.view.viewport is not None
    rectangle = next(one for one in hand.objects() if one.class_name == "Tumor")
    centre = shapely.from_wkb(rectangle.geometry).centroid
    assert hand.view.viewport.centre_l0 == Point(centre.x, centre.y)
    panel.table.selectRow(0)
    hand.wait()
    assert hand.annotations.selected_ids == (rectangle.id,)
    panel.words.clear()
    column = panel.model.rows.columns.index("Area µm^2")
    panel.table.sortByColumn(column, Qt.SortOrder.DescendingOrder)
    texts = [panel.model.data(panel.model.index(row, column)) for row in range(7)]
    areas = [float(text) for text in texts if text]
    assert areas == sorted(areas, reverse=True)
    assert panel.histogram.counts.sum() == len(areas) == 5


def test_classes_can_be_added_hidden_and_counted(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QInputDialog, "getText", lambda *_args: ("Glands", True))
    panel = hand.parts.classes
    next(b for b in panel.findChildren(QPushButton) if b.text() == "Add…").click()
    hand.wait()
    assert [one.name for one in hand.annotations.classes][-1] == "Glands"
    assert hand.annotations.active_class == "Glands"
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    rows = [panel._list.topLevelItem(i) for i in range(panel._list.topLevelItemCount())]
    glands = next(row for row in rows if row.text(0) == "Glands")
    assert glands.text(1) == "1"
    hand.key(Qt.Key.Key_M)
    hand.deselect()
    hand.wait()
    shown = hand.pixels()
    glands.setCheckState(0, Qt.CheckState.Unchecked)
    hand.wait()
    assert (hand.pixels() != shown).any()
    assert hand.annotations.style.hidden == {"Glands"}
    hand.key(Qt.Key.Key_S)
    hand.click(110, 110)
    hand.wait()
    assert not hand.annotations.selected_ids


def test_a_project_that_somebody_writes_to_can_be_seen_but_not_changed(
    hand: Hand, tmp_path: Path
) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    project = hand.annotations.project
    assert project is not None
    hand.act("project.close")
    with Project.open(project.path):
        hand.window.dropped.emit([project.path])
        hand.wait()
        assert hand.overlay.picture is not None
        assert hand.overlay.picture.count == 1
        assert hand.window.windowTitle() == f"{project.path.stem} (read-only) - Tilescope"
        assert saved_label(hand).text() == "read-only"
        assert saved_label(hand).toolTip().startswith("Opened read-only")
        hand.drag((260, 60), (300, 160))
        assert "read-only" in hand.window.notices.text
        assert saved_label(hand).text() == "read-only"
        assert len(hand.objects()) == 1
        hand.act("project.close")
        assert hand.window.windowTitle() == "Tilescope"
        assert saved_label(hand).text() == saved_label(hand).toolTip() == ""
    hand.window.dropped.emit([project.path])
    hand.wait()
    assert hand.window.windowTitle() == f"{project.path.stem} - Tilescope"
    assert saved_label(hand).text() == "all changes saved"
    hand.drag((260, 60), (300, 160))
    assert len(hand.objects()) == 2
    assert saved_label(hand).text().startswith("saved ")


def saved_label(hand: Hand) -> QLabel:
    labels = hand.window.status.findChildren(QLabel)
    return next(label for label in labels if label.accessibleName() == "Saved")


def test_what_the_view_shows_can_be_copied(hand: Hand) -> None:
    hand.key(Qt.Key.Key_R)
    hand.drag((60, 60), (160, 160))
    hand.key(Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    image = QApplication.clipboard().image()
    assert image.size() == hand.view.grab().toImage().size()
    assert image == hand.view.grab().toImage()


def test_no_key_does_two_things(hand: Hand) -> None:
    keys = [one.shortcut for one in hand.window.commands if one.shortcut]
    assert sorted(keys) == sorted(set(keys))
    ids = [one.id for one in hand.window.commands]
    assert len(ids) == len(set(ids))


def test_a_tool_of_somebody_else_is_offered_everywhere(hand: Hand) -> None:
    class Stamp(Tool):
        def press(self, pointer: Pointer) -> Wishes:
            at = shapely.Point(pointer.at_l0.x, pointer.at_l0.y)
            return (Draw(at.buffer(10), Author("model", "stamp"), "detection"),)

    hand.parts.add_tool(Stamp(hand.parts.bench, "stamp", "Stamp"), "Ctrl+Alt+Y")
    assert "Stamp" in [action.text() for action in hand.parts.bar.actions()]
    hand.act("tool.stamp")
    hand.click(100, 100)
    (made,) = hand.objects()
    assert made.author.name == "stamp"
    assert made.kind == "detection"


def test_space_pans_under_every_tool(hand: Hand) -> None:
    hand.key(Qt.Key.Key_R)
    before = hand.view.viewport
    hand.qtbot.keyPress(hand.view, Qt.Key.Key_Space)
    hand.drag((60, 60), (100, 90))
    hand.qtbot.keyRelease(hand.view, Qt.Key.Key_Space)
    assert hand.view.viewport != before
    assert hand.objects() == []


def test_a_drag_that_is_held_still_does_not_fling(hand: Hand) -> None:
    hand.act("tool.move")
    assert not flung(hand, held_ms=150)
    # A machine that is busy elsewhere may hold it still, too.
    assert any(flung(hand, held_ms=0) for _ in range(5))


def flung(hand: Hand, *, held_ms: int) -> bool:
    """Drag, hold still, let go, and tell whether the slide went on."""
    hand.qtbot.mousePress(hand.view, LEFT, NONE, QPoint(100, 100))
    for x in range(120, 300, 20):
        hand.move((x, 100))
    if held_ms:
        hand.qtbot.wait(held_ms)
    let_go = hand.view.viewport
    hand.qtbot.mouseRelease(hand.view, LEFT, NONE, QPoint(280, 100))
    hand.qtbot.wait(150)
    return hand.view.viewport != let_go


def test_the_cursor_of_a_tool_comes_back_after_a_pan(hand: Hand) -> None:
    hand.act("tool.brush")
    own = hand.view.cursor().shape()
    middle = Qt.MouseButton.MiddleButton
    hand.qtbot.mousePress(hand.view, middle, NONE, QPoint(100, 100))
    assert hand.view.cursor().shape() == Qt.CursorShape.ClosedHandCursor
    hand.qtbot.mouseRelease(hand.view, middle, NONE, QPoint(100, 100))
    assert hand.view.cursor().shape() == own
