"""New projects where there is one already."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog, QMessageBox
from tests.gui.hand import Hand, objects_of

from tilescope.store.project import Project
from tilescope_desktop.model.object_classes import DEFAULT_CLASSES


@pytest.fixture
def other(hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an object, which the user chooses in every dialog."""
    path = tmp_path / "other.tilescope"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(path), ""))
    hand.act("project.new")
    hand.rectangle()
    assert len(objects_of(path)) == 1
    return path


def test_a_project_that_is_there_is_replaced_as_the_dialog_said(hand: Hand, other: Path) -> None:
    hand.act("project.close")
    hand.act("project.new")
    assert hand.project_path() == other
    assert hand.objects() == []
    assert hand.window.notices.text == ""
    with Project.open(other, writable=False) as project:
        assert {one.name for one in project.classes()} == {one.name for one in DEFAULT_CLASSES}
    hand.rectangle()
    assert len(hand.objects()) == 1


def test_the_project_that_is_open_is_replaced_too(hand: Hand, other: Path) -> None:
    hand.act("project.new")
    assert hand.project_path() == other
    assert hand.objects() == []
    assert hand.annotations.counts[hand.parts.bench.front_slide] == {}
    hand.rectangle()
    assert len(objects_of(other)) == 1


def test_a_project_that_somebody_works_on_is_not_replaced(
    hand: Hand, other: Path, tmp_path: Path
) -> None:
    hand.act("project.close")
    with Project.open(other):
        hand.act("project.new")
        assert "was not replaced: another window or program" in hand.window.notices.text
    assert len(objects_of(other)) == 1


def test_the_project_that_stays_open_gets_no_classes(
    hand: Hand, other: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare.tilescope"
    Project.create(bare).close()
    hand.drop(bare)
    with Project.open(other):
        hand.act("project.new")
    assert hand.project_path() == bare
    with Project.open(bare, writable=False) as project:
        assert project.classes() == []


def test_a_name_that_was_completed_is_asked_about(
    hand: Hand, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = (str(other.with_suffix("")), "")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: typed)
    asked: list[str] = []

    def refuse(*args: object) -> object:
        asked.append(str(args[2]))
        return QMessageBox.StandardButton.Cancel

    monkeypatch.setattr(QMessageBox, "question", refuse)
    hand.act("project.close")
    hand.act("project.new")
    assert asked == ["other.tilescope is there already. Replace it? What is in it is lost."]
    assert hand.annotations.project is None
    assert len(objects_of(other)) == 1
