"""What was drawn is offered again when its slide is opened, however the window went away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PySide6.QtWidgets import QMenu, QPushButton
from tests.conftest import ROOT
from tests.gui.hand import LEFT, Hand, objects_of

from tilescope.jobs.project_slides import identity_of_slide
from tilescope.store.project import Project
from tilescope_desktop.model.earlier_work import MOST_LOOKED_INTO, earlier_work, projects_of_user

#: Draws a rectangle in a window of its own, says that it is saved, and waits.
_DRAW = """
import sys, time
from pathlib import Path
from PySide6.QtCore import QPoint, QPointF, QEvent, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from tilescope_desktop.app import annotating, make_window

app = QApplication([])
window = make_window()
window.show()
window.dropped.emit([Path(sys.argv[1])])
while window.tab is None or not window.tab.view.is_sharp:
    app.processEvents()
view, left = window.tab.view, Qt.MouseButton.LeftButton
saved = []
annotating(window).annotations.saved.connect(saved.append)
QTest.keyClick(view, Qt.Key.Key_R)
QTest.mousePress(view, left, pos=QPoint(300, 200))
for at in (QPointF(350, 250), QPointF(400, 300)):
    there = view.mapToGlobal(at)
    none = Qt.KeyboardModifier.NoModifier
    app.sendEvent(view, QMouseEvent(QEvent.Type.MouseMove, at, there, left, left, none))
QTest.mouseRelease(view, left, pos=QPoint(400, 300))
while not saved:
    app.processEvents()
print("saved", flush=True)
time.sleep(600)
"""


@contextmanager
def window(hand: Hand, tmp_path: Path, *slides: Path) -> Iterator[Hand]:
    """Open a window as the command line does with these slides."""
    made = Hand(hand.qtbot, tmp_path / "data")
    try:
        made.window.dropped.emit(list(slides))
        made.qtbot.waitUntil(lambda: len(made.window.all_tabs) == len(slides), timeout=60_000)
        made.wait()
        yield made
    finally:
        made.close()


def is_looked_for(hand: Hand) -> bool:
    """Tell whether it was looked for what there is of each slide."""
    hand.wait()
    return not hand.parts.desktop.earlier._waiting and not hand.window.work.jobs


def wait_for_look(hand: Hand) -> None:
    hand.qtbot.waitUntil(lambda: is_looked_for(hand), timeout=20_000)


def button(hand: Hand, title: str) -> QPushButton | None:
    shown = hand.parts.notices.findChildren(QPushButton)
    return next((one for one in shown if one.text() == title and one.isVisible()), None)


def press(hand: Hand, title: str) -> None:
    hand.qtbot.waitUntil(lambda: button(hand, title) is not None, timeout=20_000)
    hand.qtbot.mouseClick(button(hand, title), LEFT)
    hand.wait()


def recent(hand: Hand) -> list[str]:
    (menu,) = [one for one in hand.window.findChildren(QMenu) if one.title() == "Recent"]
    menu.aboutToShow.emit()
    return [action.text() for action in menu.actions()]


def test_what_was_drawn_is_offered_when_the_slide_is_opened_and_is_among_the_recent_files(
    hand: Hand, tmp_path: Path, hes_slide: Path
) -> None:
    hand.rectangle()
    drawn, path = hand.objects(), hand.project_path()
    assert path.name in recent(hand)
    hand.close()
    with window(hand, tmp_path, hes_slide) as again:
        assert again.annotations.project is None
        wait_for_look(again)
        said = again.parts.notices.text
        assert hes_slide.name in said
        assert "1 object in" in said
        assert time.strftime("%d.%m.%Y") in said
        press(again, "Continue")
        assert again.project_path() == path
        assert again.objects() == drawn
        assert len(again.window.all_tabs) == 1
        assert again.parts.notices.text == ""
        again.rectangle(300)
    assert len(objects_of(path)) == 2


def test_a_killed_window_loses_nothing_and_its_slide_says_so(
    hand: Hand, tmp_path: Path, hes_slide: Path
) -> None:
    hand.close()
    drawing = subprocess.Popen(
        [sys.executable, "-c", _DRAW, str(hes_slide)],
        cwd=ROOT,
        env={**os.environ, "TILESCOPE_DATA": str(tmp_path / "data")},
        stdout=subprocess.PIPE,
        text=True,
    )
    with drawing:
        assert drawing.stdout is not None
        try:
            assert drawing.stdout.readline() == "saved\n"
            (path,) = (tmp_path / "data" / "projects").glob("*.tilescope")
            with window(hand, tmp_path, hes_slide) as beside:  # somebody is at work on it
                wait_for_look(beside)
                assert beside.parts.notices.text == ""
        finally:
            drawing.send_signal(signal.SIGKILL)
    with window(hand, tmp_path, hes_slide) as again:
        press(again, "Continue")
        assert again.project_path() == path
        assert len(again.objects()) == 1


def test_a_no_is_taken_for_the_session_and_no_longer(
    hand: Hand, tmp_path: Path, hes_slide: Path
) -> None:
    hand.rectangle()
    path = hand.project_path()
    hand.close()
    with window(hand, tmp_path, hes_slide) as again:
        press(again, "Not now")
        assert again.parts.notices.text == ""
        again.act("file.close")
        again.open(hes_slide)
        wait_for_look(again)
        assert again.parts.notices.text == ""
        again.rectangle()
        own = again.project_path()
        assert own != path
        assert {own.name, path.name} <= set(recent(again))
    with window(hand, tmp_path, hes_slide) as third:
        wait_for_look(third)
        assert own.stem in third.parts.notices.text  # the one that was changed last


def test_a_shape_that_is_drawn_before_the_answer_is_kept_beside(
    hand: Hand, tmp_path: Path, hes_slide: Path
) -> None:
    hand.rectangle()
    path = hand.project_path()
    hand.close()
    with window(hand, tmp_path, hes_slide) as again:
        again.place()
        again.rectangle()
        own = again.project_path()
        press(again, "Continue")
        assert again.project_path() == path
    assert [len(objects_of(one)) for one in (own, path)] == [1, 1]


def test_a_project_that_is_chosen_ends_the_question(
    hand: Hand, tmp_path: Path, hes_slide: Path
) -> None:
    hand.rectangle()
    hand.close()
    other = tmp_path / "other.tilescope"
    Project.create(other).close()
    with window(hand, tmp_path, hes_slide) as again:
        wait_for_look(again)
        assert button(again, "Continue") is not None
        again.window.dropped.emit([other])
        again.wait()
        assert again.project_path() == other
        assert again.parts.notices.text == ""


def test_another_slide_and_an_empty_project_are_not_asked_about(
    hand: Hand, tmp_path: Path, dapi_image: Path, hes_slide: Path
) -> None:
    hand.rectangle()
    hand.act("edit.undo")
    hand.act("file.close")
    hand.open(dapi_image)
    hand.rectangle()
    hand.close()
    with window(hand, tmp_path, hes_slide) as again:
        wait_for_look(again)
        assert again.parts.notices.text == ""
        again.open(dapi_image)
        wait_for_look(again)
        assert dapi_image.name in again.parts.notices.text


def test_the_same_project_is_offered_once_at_the_start_and_with_its_slide(
    hand: Hand, tmp_path: Path, hes_slide: Path
) -> None:
    hand.rectangle()
    path = hand.project_path()
    hand.close()
    again = Hand(hand.qtbot, tmp_path / "data")
    again.parts.desktop.offer_last()
    again.open(hes_slide)
    wait_for_look(again)
    assert again.parts.notices.text.count(path.stem) == 1
    press(again, "Not now")
    again.close()


def test_damaged_projects_are_passed_over_and_the_number_is_bounded(
    hand: Hand, tmp_path: Path, hes_slide: Path
) -> None:
    hand.rectangle()
    path = hand.project_path()
    hand.close()
    folder = tmp_path / "data"
    for number in range(2 * MOST_LOOKED_INTO):
        (path.parent / f"damaged {number}.tilescope").write_bytes(b"x" * 5000)
    os.utime(path, (time.time() + 60,) * 2)
    known = projects_of_user(folder, [path, hes_slide, tmp_path / "gone.tilescope"])
    assert known[0] == path
    assert len(known) == MOST_LOOKED_INTO
    with Project.open(path, writable=False) as project:
        (record,) = project.slides()
    work = earlier_work(known, record.identity)
    assert work is not None
    assert (work.project, work.objects) == (path, 1)
    assert earlier_work(known, record.identity, lambda: True) is None
    assert earlier_work(known, "another") is None


@pytest.mark.parametrize("suffix", ["", "-lock"])
def test_looking_leaves_the_projects_folder_as_it_was(
    hand: Hand, tmp_path: Path, hes_slide: Path, suffix: str
) -> None:
    hand.rectangle()
    path = hand.project_path()
    tab = hand.window.tab
    assert tab is not None
    identity = identity_of_slide(hes_slide, tab.source.info)
    hand.close()
    if suffix:
        path.with_name(path.name + suffix).touch()  # as a killed process leaves it
    before = path.read_bytes()
    assert earlier_work([path], identity) is not None
    assert path.read_bytes() == before
    assert {one.name for one in path.parent.glob("*-*lock")} == set()
