"""Projects under a careless hand: nothing is replaced unasked, lost, or left at a wrong scale."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import shapely
from PySide6.QtCore import QPoint, QTimer
from PySide6.QtWidgets import QApplication, QFileDialog, QMessageBox
from tests.gui.hand import LEFT, NONE, Hand, objects_of
from tests.gui.sizes_by_hand import give_size

from tilescope.domain.annotation import Annotation
from tilescope.errors import ProjectBusy
from tilescope.store.project import Project
from tilescope_desktop.bridge.lending import Lender
from tilescope_desktop.model.places import PROJECT_SUFFIX
from tilescope_desktop.model.tools.tool import Draw, Reshape

Name = Callable[[Path, str], None]


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> Name:
    """Let the next dialogs to save in return a name."""

    def say(path: Path, title: str = "") -> None:
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(path), title))

    return say


def drag(hand: Hand, x: int) -> None:
    """Draw and do not wait for what becomes of it."""
    hand.qtbot.mousePress(hand.view, LEFT, NONE, QPoint(x, 60))
    for step in (40, 100):
        hand.move((x + step, 60 + step))
    hand.qtbot.mouseRelease(hand.view, LEFT, NONE, QPoint(x + 100, 160))
    QApplication.processEvents()


def answer(button: QMessageBox.StandardButton | None) -> list[str]:
    """Press a button of the next question, None for what Return presses; return what it asked."""
    asked: list[str] = []

    def press() -> None:
        box = QApplication.activeModalWidget()
        if not isinstance(box, QMessageBox):
            QTimer.singleShot(20, press)
            return
        asked.append(box.text())
        found = box.defaultButton() if button is None else box.button(button)
        found.click()

    QTimer.singleShot(20, press)
    return asked


@contextmanager
def lent(hand: Hand) -> Iterator[threading.Event]:
    """Let a job have the project until the event is set, or the job is cancelled."""
    is_over, has_begun = threading.Event(), threading.Event()

    def run(_path: Path, token: object, _report: object) -> None:
        has_begun.set()
        while not is_over.wait(0.01) and not token.is_cancelled:  # type: ignore[attr-defined]
            pass

    Lender(hand.annotations, hand.window.work).lend("test", run, lambda _result: None)
    assert has_begun.wait(20)
    assert hand.annotations.is_lent
    try:
        yield is_over
    finally:
        is_over.set()


def other_project(path: Path) -> bytes:
    Project.create(path).close()
    return path.read_bytes()


# -- names without an ending --------------------------------------------------------------------


@pytest.mark.parametrize("button", [None, QMessageBox.StandardButton.Cancel])
def test_save_as_asks_about_the_file_it_would_replace(
    hand: Hand, tmp_path: Path, name: Name, button: QMessageBox.StandardButton | None
) -> None:
    target = tmp_path / f"study{PROJECT_SUFFIX}"
    before = other_project(target)
    hand.rectangle()
    own = hand.project_path()
    name(tmp_path / "study")
    asked = answer(button)
    hand.act("project.save-as")
    assert len(asked) == 1
    assert target.name in asked[0]
    assert hand.project_path() == own
    assert target.read_bytes() == before


def test_save_as_replaces_what_may_go(hand: Hand, tmp_path: Path, name: Name) -> None:
    target = tmp_path / f"study{PROJECT_SUFFIX}"
    other_project(target)
    hand.rectangle()
    name(tmp_path / "study")
    answer(QMessageBox.StandardButton.Yes)
    hand.act("project.save-as")
    assert hand.project_path() == target
    assert len(objects_of(target)) == 1


def test_export_asks_about_the_file_it_would_replace(
    hand: Hand, tmp_path: Path, name: Name
) -> None:
    out = tmp_path / "x.geojson"
    out.write_text("precious")
    hand.rectangle()
    name(tmp_path / "x", "GeoJSON (*.geojson)")
    asked = answer(None)
    hand.act("project.export")
    assert len(asked) == 1
    assert out.read_text() == "precious"
    out.unlink()
    hand.act("project.export")  # nobody is asked about a file that is not there
    assert len(asked) == 1
    assert "Feature" in out.read_text()


def test_save_as_refuses_a_project_that_somebody_writes_to(
    hand: Hand, tmp_path: Path, name: Name
) -> None:
    target = tmp_path / f"busy{PROJECT_SUFFIX}"
    hand.rectangle()
    own = hand.project_path()
    name(target)
    with Project.create(target) as other:
        hand.act("project.save-as")
        assert hand.project_path() == own
        assert "working on it" in hand.window.notices.text
        assert str(target) in hand.window.notices.text
        assert hand.annotations.project is not None
        assert hand.annotations.project.writable
        other.add_slide(tmp_path / "a.tif", "a")
    with Project.open(target) as again:
        assert [record.name for record in again.slides()] == ["a.tif"]
    hand.rectangle(300)
    assert len(objects_of(own)) == 2
    hand.act("project.save-as")
    assert hand.project_path() == target
    assert len(objects_of(target)) == 2


def test_a_copy_leaves_no_lock_behind(tmp_path: Path) -> None:
    target = tmp_path / "b.tilescope"
    other_project(target)
    with Project.create(tmp_path / "a.tilescope") as project:
        with Project.open(target), pytest.raises(ProjectBusy, match="another name"):
            project.copy_to(target)
        project.copy_to(target)
        Project.open(target).close()
    assert not list(tmp_path.glob("*-lock"))


# -- while a job writes -------------------------------------------------------------------------


def test_what_is_drawn_during_a_loan_is_seen_and_stored(hand: Hand) -> None:
    hand.rectangle()
    hand.deselect()
    with lent(hand) as is_over:
        drag(hand, 200)
        drag(hand, 340)
        assert len(hand.annotations.fresh) == 2
        assert hand.window.notices.text == ""
        is_over.set()
        hand.wait()
    lefts = [round(shape.bounds[0] - hand.l0(0, 0).x) for shape in hand.shapes()]
    assert sorted(lefts) == [60, 200, 340]
    assert not any(one.revision is None for one in hand.annotations.fresh)
    hand.act("edit.undo")  # the one that was drawn last
    lefts = [round(shape.bounds[0] - hand.l0(0, 0).x) for shape in hand.shapes()]
    assert sorted(lefts) == [60, 200]


def test_what_was_drawn_on_a_slide_that_closed_during_a_loan_is_stored(
    hand: Hand,
) -> None:
    hand.rectangle()
    hand.deselect()
    path = hand.project_path()
    with lent(hand) as is_over:
        drag(hand, 200)
        assert hand.window.tab is not None
        hand.window.close_tab(hand.window.tab)
        is_over.set()
        hand.wait()
    assert hand.annotations.fresh == []  # nobody shows it, so nobody would let go of it
    assert len(objects_of(path)) == 2


def test_an_outline_that_was_changed_during_a_loan_is_stored(hand: Hand) -> None:
    hand.rectangle()
    (one,) = hand.objects()
    slide = hand.annotations.selected_slide
    assert slide is not None
    larger = shapely.box(*shapely.from_wkb(one.geometry).buffer(10).bounds)
    with lent(hand) as is_over:
        hand.annotations.fulfil(slide, [Reshape(one.id, larger)])
        assert hand.annotations.selected[0].geometry.equals(larger)
        is_over.set()
        hand.wait()
    (after,) = hand.shapes()
    assert after.equals(larger)


def test_what_is_refused_during_a_loan_stays_told(hand: Hand) -> None:
    hand.rectangle()
    with lent(hand) as is_over:
        hand.annotations.delete_selected()
        assert "being written to" in hand.window.notices.text
        is_over.set()
        hand.wait()
    hand.rectangle(300)
    assert len(hand.objects()) == 2
    assert "being written to" in hand.window.notices.text


def test_closing_the_window_during_a_loan_loses_nothing(hand: Hand) -> None:
    hand.rectangle()
    path = hand.project_path()
    with lent(hand):
        drag(hand, 200)
        hand.close()
    assert len(objects_of(path)) == 2


def test_what_is_drawn_keeps_the_project_of_a_job_that_failed(hand: Hand) -> None:
    hand.act("tool.rectangle")
    with lent(hand):
        drag(hand, 200)
        hand.window.work.jobs[0].cancel()
        hand.wait()
    assert len(objects_of(hand.project_path())) == 1


# -- the size of a pixel ------------------------------------------------------------------------


def enter_um(hand: Hand, um: float) -> None:
    enter_um_now(hand, um)
    hand.wait()


def enter_um_now(hand: Hand, um: float) -> None:
    give_size(f"{um:g}")
    hand.window.ask_pixel_size()


def test_measurements_follow_the_size_of_a_pixel(hand: Hand) -> None:
    hand.rectangle()
    hand.deselect()
    slide = hand.parts.bench.front_slide
    assert slide is not None
    hand.annotations.fulfil(slide, [Draw(shapely.LineString([(0, 0), (30, 40)]))])
    square = next(one for one in hand.objects() if "Area µm^2" in one.measurements)
    assert square.measurements["Area µm^2"] == pytest.approx(1e4 * 0.499**2)
    hand.rectangle(300)
    hand.act("edit.delete")
    enter_um(hand, 1.0)
    found = {one.id: one.measurements for one in hand.objects()}
    after = found.pop(square.id)
    assert after["Area µm^2"] == pytest.approx(1e4)
    assert after["Perimeter µm"] == pytest.approx(400.0)
    assert after["Major axis µm"] == pytest.approx(square.measurements["Major axis µm"] / 0.499)
    assert after["Circularity"] == square.measurements["Circularity"]
    assert after.keys() == square.measurements.keys()
    assert [one["Length µm"] for one in found.values()] == [pytest.approx(50.0)]
    hand.rectangle(450)
    areas = [o.measurements["Area µm^2"] for o in hand.objects() if "Area µm^2" in o.measurements]
    assert areas == [pytest.approx(1e4)] * 2
    hand.act("edit.undo")
    hand.act("edit.undo")  # what was deleted comes back, at the size of today
    areas = [o.measurements["Area µm^2"] for o in hand.objects() if "Area µm^2" in o.measurements]
    assert areas == [pytest.approx(1e4)] * 2


def test_a_size_that_is_entered_during_a_loan_holds_for_all(hand: Hand) -> None:
    hand.rectangle()
    with lent(hand) as is_over:
        drag(hand, 200)
        enter_um_now(hand, 1.0)
        drag(hand, 340)
        is_over.set()
        hand.wait()
    areas = [one.measurements["Area µm^2"] for one in hand.objects()]
    assert areas == [pytest.approx(1e4)] * 3


def measured(number: int, **values: float) -> Annotation:
    geometry = shapely.to_wkb(shapely.box(number, 0, number + 10, 10), byte_order=1)
    given = {key.replace("_", " ").replace("um", "µm"): value for key, value in values.items()}
    name = f"00000000-0000-4000-8000-{number:012}"
    return Annotation(name, geometry, measurements=given)


def test_history_other_slides_and_other_words_at_another_size(tmp_path: Path) -> None:
    with Project.create(tmp_path / "a.tilescope") as project:
        a = project.add_slide(tmp_path / "a.tif", "a", um_per_px=(0.5, 0.5))
        b = project.add_slide(tmp_path / "b.tif", "b", um_per_px=(0.5, 0.5))
        one, two = measured(1, Perimeter_um=20.0, Depth_um=3.0), measured(2)
        other = measured(3, Perimeter_um=20.0)
        project.insert(a, [[one, two]])
        project.insert(b, [[other]])
        project.measure([{one.id: {"Perimeter µm": 22.0}, other.id: {"Perimeter µm": 22.0}}])
        record = next(record for record in project.slides() if record.slide == a)
        project.change_slide(replace(record, um_per_px=(1.0, 1.0)))

        def now(which: Annotation) -> dict[str, float]:
            found = project.get(which.id)
            assert found is not None
            return dict(found.measurements)

        assert now(one) == {"Perimeter µm": 44.0, "Depth µm": 3.0}
        assert now(two) == {}
        assert now(other) == {"Perimeter µm": 22.0}
        project.undo()
        assert now(one) == {"Perimeter µm": 40.0, "Depth µm": 3.0}
        assert now(other) == {"Perimeter µm": 20.0}
        project.redo()
        assert now(one) == {"Perimeter µm": 44.0, "Depth µm": 3.0}
        project.change_slide(replace(record, um_per_px=(1.0, 1.0), notes="said again"))
        assert now(one)["Perimeter µm"] == 44.0
        assert project.check() == []


def test_pixels_become_micrometres_once_their_size_is_known(tmp_path: Path) -> None:
    with Project.create(tmp_path / "a.tilescope") as project:
        slide = project.add_slide(tmp_path / "a.tif", "a")
        drawn = measured(1, **{"Area_px^2": 100.0, "Perimeter_px": 40.0, "Score": 0.5})
        brought = measured(2, **{"Area_um^2": 7.0})
        project.insert(slide, [[drawn, brought]])
        project.change_slide(replace(project.slides()[0], um_per_px=(0.5, 0.5)))
        found = project.get(drawn.id), project.get(brought.id)
        assert found[0] is not None
        assert found[1] is not None
        assert found[0].measurements == {"Area µm^2": 25.0, "Perimeter µm": 20.0, "Score": 0.5}
        assert found[1].measurements == {"Area µm^2": 7.0}
        assert project.check() == []
