"""A project whose file other programs delete, move or replace: nothing drawn is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog, QMessageBox, QPushButton
from tests.gui.hand import LEFT, Hand, objects_of

from tilescope.store.project import Project
from tilescope_desktop.model.places import PROJECT_SUFFIX


def saved(hand: Hand) -> str:
    text: str = hand.window.status._saved.text()
    return text


def delete(path: Path) -> None:
    """Delete a project and what lies beside it, as a file manager does."""
    for one in path.parent.glob(path.stem + "*"):
        one.unlink()


def press(hand: Hand, title: str) -> None:
    found = hand.window.notices.findChildren(QPushButton)
    hand.qtbot.mouseClick(next(b for b in found if b.text() == title and b.isVisible()), LEFT)


def test_a_deleted_project_goes_on_in_a_copy(hand: Hand) -> None:
    hand.rectangle()
    path = hand.project_path()
    (first,) = hand.objects()
    delete(path)
    hand.rectangle(300)
    now = hand.project_path()
    assert now != path
    assert not path.exists()
    assert len(objects_of(now)) == 2
    assert first in objects_of(now)
    assert str(path) in hand.window.notices.text
    assert "was deleted" in hand.window.notices.text
    assert str(now) in hand.window.notices.text
    assert now.stem in hand.window.windowTitle()
    assert saved(hand).startswith("saved")
    hand.act("edit.undo")
    assert objects_of(now) == [first]
    assert hand.overlay.picture is not None
    assert hand.overlay.picture.count == 1
    hand.close()
    again = Hand(hand.qtbot, hand.annotations.folder)
    assert again.annotations.remembered.project == now
    again.close()


def test_a_project_that_is_deleted_again_is_called_kept_once(hand: Hand) -> None:
    hand.rectangle()
    first = hand.project_path()
    for count in (2, 3):
        delete(hand.project_path())
        hand.rectangle(200 * count)
        now = hand.project_path()
        assert now.name.startswith(f"{first.stem} kept ")
        assert now.name.count("kept") == 1
        assert len(objects_of(now)) == count
        assert str(now) in hand.window.notices.text
    assert [one for one in now.parent.iterdir() if one.suffix == PROJECT_SUFFIX] == [now]


def test_a_deletion_is_noticed_without_an_edit(hand: Hand) -> None:
    hand.rectangle()
    path = hand.project_path()
    drawn = hand.objects()
    delete(path)
    hand.qtbot.waitUntil(lambda: "was deleted" in hand.window.notices.text, timeout=20_000)
    assert objects_of(hand.project_path()) == drawn


def test_another_file_in_its_place_is_left_alone(hand: Hand, tmp_path: Path) -> None:
    hand.rectangle()
    path = hand.project_path()
    other = tmp_path / f"other{PROJECT_SUFFIX}"
    Project.create(other).close()
    theirs = other.read_bytes()
    shutil.move(other, path)
    hand.rectangle(300)
    assert hand.project_path() != path, hand.window.notices.text
    assert len(objects_of(hand.project_path())) == 2
    hand.wait()
    hand.qtbot.wait(400)  # panels that looked into the file before have answered by then
    assert len(hand.window.notices.shown) == 1, hand.window.notices.text
    assert objects_of(path) == []  # and no log of ours is taken for theirs
    assert path.read_bytes() == theirs


def test_closing_after_a_deletion_keeps_everything(hand: Hand) -> None:
    hand.rectangle()
    path = hand.project_path()
    drawn = hand.objects()
    delete(path)
    hand.close()
    again = Hand(hand.qtbot, hand.annotations.folder)
    kept = again.annotations.remembered.project
    assert kept is not None
    assert kept != path
    assert objects_of(kept) == drawn
    again.close()


def test_what_is_in_no_file_is_never_called_saved(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.rectangle()
    path = hand.project_path()
    shutil.rmtree(path.parent)
    path.parent.write_text("in the way")  # so that no copy can be made anywhere
    hand.rectangle(300)
    assert saved(hand) == "not saved"
    assert "What you draw is not saved" in hand.window.notices.text
    hand.rectangle(500)
    assert saved(hand) == "not saved"
    asked: list[str] = []

    def question(*args: object) -> QMessageBox.StandardButton:
        asked.append(str(args[2]))
        return QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", question)
    assert not hand.window.close()
    hand.act("project.close")
    assert len(asked) == 2
    assert "gone" in asked[0]
    names = iter(["", str(tmp_path / "mine")])
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (next(names), ""))
    press(hand, "Save as…")  # and think again
    assert "not saved" in hand.window.notices.text
    hand.wait()
    press(hand, "Save as…")
    now = hand.project_path()
    assert now == tmp_path / f"mine{PROJECT_SUFFIX}"
    assert len(objects_of(now)) == 3
    assert hand.window.notices.text == ""
    hand.rectangle(60)
    assert len(objects_of(now)) == 4
    assert saved(hand).startswith("saved")
    path.parent.unlink()


def test_save_as_goes_on_in_the_copy(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.rectangle()
    before = hand.project_path()
    target = tmp_path / f"copy{PROJECT_SUFFIX}"
    target.write_bytes(b"something older")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(target), ""))
    hand.act("project.save-as")
    assert hand.project_path() == target
    hand.rectangle(300)
    assert len(objects_of(target)) == 2
    assert len(objects_of(before)) == 1


def test_opening_the_open_project_again_leaves_it_writable(hand: Hand) -> None:
    hand.rectangle()
    hand.drop(hand.project_path())
    hand.rectangle(300)
    assert len(hand.objects()) == 2
    assert hand.window.notices.text == ""


def test_an_import_that_fails_leaves_no_project(hand: Hand, tmp_path: Path) -> None:
    bad = tmp_path / "bad.geojson"
    bad.write_text('{"type": "FeatureCollection", "features": [{"type":')
    hand.drop(bad)
    assert "bad.geojson" in hand.window.notices.text
    assert hand.annotations.project is None
    assert list((tmp_path / "data").rglob(f"*{PROJECT_SUFFIX}*")) == []
    assert hand.annotations.remembered.project is None
    ring = [[100, 100], [200, 100], [200, 200], [100, 100]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {}}
    bad.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    hand.drop(bad)
    assert len(hand.objects()) == 1
    assert hand.window.notices.text == ""
