"""A project that somebody else writes to: what they do is seen here a moment later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QDockWidget, QFileDialog
from tests.gui.hand import Hand

from tilescope.domain.annotation import Annotation, ObjectClass
from tilescope.store.project import Project

GLAND = ObjectClass("Gland", (200, 0, 120))


@pytest.fixture
def theirs(hand: Hand, tmp_path: Path) -> Iterator[Project]:
    """A project with two rectangles, which they have open for writing and the window to read."""
    for x in (60, 300):
        hand.rectangle(x)
    path = hand.project_path()
    hand.act("project.close")
    with Project.open(path) as project:
        hand.drop(path)
        assert len(hand.objects()) == 2
        yield project


def counts(hand: Hand) -> list[int]:
    return [sum(found.values()) for found in hand.annotations.counts.values()]


def wait_for(hand: Hand, count: int) -> None:
    """Wait until the window knows of so many objects."""
    hand.qtbot.waitUntil(lambda: counts(hand) == [count], timeout=10_000)
    hand.wait()


def shown(hand: Hand) -> int:
    assert hand.overlay.picture is not None
    return hand.overlay.picture.count


def test_what_they_do_is_seen_wherever_objects_are(hand: Hand, theirs: Project) -> None:
    dock = hand.window.findChild(QDockWidget, "dock-objects")
    assert isinstance(dock, QDockWidget)
    dock.show()
    hand.qtbot.waitUntil(lambda: hand.parts.objects.model.rowCount() == 2, timeout=10_000)
    hand.place()
    before, label = hand.pixels(), hand.annotations.undo_label
    theirs.undo()
    wait_for(hand, 1)
    assert shown(hand) == 1
    assert (hand.pixels() != before).any()
    hand.qtbot.waitUntil(lambda: hand.parts.objects.model.rowCount() == 1, timeout=10_000)
    theirs.undo()
    wait_for(hand, 0)
    assert (label, hand.annotations.undo_label) == ("draw area", None)
    assert hand.annotations.redo_label == "draw area"


def test_of_the_selection_stays_what_is_there(hand: Hand, theirs: Project) -> None:
    first, second = (one.id for one in hand.objects())
    hand.act("edit.all")
    assert set(hand.annotations.selected_ids) == {first, second}
    theirs.delete([second])
    wait_for(hand, 1)
    assert hand.annotations.selected_ids == (first,)
    assert [one.id for one in hand.annotations.selected] == [first]
    theirs.delete([first])
    wait_for(hand, 0)
    assert hand.annotations.selected_ids == ()


def test_their_classes_are_seen(hand: Hand, theirs: Project) -> None:
    theirs.put_classes([GLAND])
    hand.qtbot.waitUntil(lambda: GLAND in hand.annotations.classes, timeout=10_000)
    assert counts(hand) == [2]


def test_a_slide_that_they_add_shows_its_objects(
    hand: Hand, theirs: Project, dapi_image: Path
) -> None:
    (known,) = theirs.slides()
    drawn: list[Annotation] = hand.objects()
    hand.open(dapi_image)
    assert hand.window.tab is not None
    identity = hand.parts.bench.slides[hand.window.tab].identity
    assert identity is not None
    number = theirs.add_slide(dapi_image, identity)
    assert number != known.slide
    theirs.delete([drawn[0].id])
    theirs.insert(number, [[drawn[0]]])
    hand.qtbot.waitUntil(lambda: counts(hand) == [1, 1], timeout=10_000)
    hand.wait()
    assert shown(hand) == 1


def test_nothing_is_read_again_while_nothing_changes(hand: Hand, theirs: Project) -> None:
    told: list[object] = []
    hand.annotations.changed.connect(lambda: told.append(None))
    theirs.put_classes([GLAND])
    hand.qtbot.waitUntil(lambda: bool(told), timeout=10_000)
    hand.qtbot.wait(1300)  # it was looked again by then
    assert len(told) == 1


def test_what_was_opened_for_writing_is_not_watched(hand: Hand) -> None:
    hand.rectangle()
    told: list[object] = []
    hand.annotations.desk.altered.connect(lambda: told.append(None))
    hand.rectangle(300)
    hand.qtbot.wait(1300)
    assert told == []


@pytest.mark.parametrize("command", ["project.save-as", "project.close", "project.new"])
def test_what_was_refused_is_over_with_the_project_that_was_read_only(
    hand: Hand,
    theirs: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    hand.rectangle(180)
    assert "Opened read-only" in hand.window.notices.text
    chosen = str(tmp_path / "mine.tilescope"), ""
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: chosen)
    hand.act(command)
    assert len(theirs.slides()) == 1
    assert "read-only" not in hand.window.windowTitle()
    assert hand.window.notices.text == ""


def test_what_was_refused_stays_while_the_project_is_read_only(hand: Hand, theirs: Project) -> None:
    hand.rectangle(180)
    theirs.undo()
    wait_for(hand, 1)
    assert "Opened read-only" in hand.window.notices.text
