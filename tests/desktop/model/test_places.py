"""What is remembered, and where projects go that nobody made."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from tilescope_desktop.model.object_classes import DEFAULT_CLASSES, new_class
from tilescope_desktop.model.places import Remembered, data_folder, new_project_path, refuges


def test_a_new_project_never_takes_the_place_of_another(tmp_path: Path) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5)
    first = new_project_path(tmp_path, "a/b: c?.svs", when)
    assert first.name == "b_ c_ 2026-01-02 03.04.05.tilescope"
    first.parent.mkdir(parents=True)
    first.touch()
    assert new_project_path(tmp_path, "b: c?.svs", when) != first


def test_the_name_of_a_project_says_once_that_it_was_kept(tmp_path: Path) -> None:
    when, later = datetime(2026, 1, 2, 3, 4, 5), datetime(2026, 1, 2, 3, 4, 6)
    path = tmp_path / "mine, kept for ever.tilescope"
    for moment, name in (
        (when, "mine, kept for ever kept 2026-01-02 03.04.05.tilescope"),
        (when, "mine, kept for ever kept 2026-01-02 03.04.05 2.tilescope"),
        (when, "mine, kept for ever kept 2026-01-02 03.04.05.tilescope"),
        (later, "mine, kept for ever kept 2026-01-02 03.04.06.tilescope"),
    ):
        beside, among = refuges(tmp_path / "data", path, moment)
        assert beside == tmp_path / name
        assert among == tmp_path / "data" / "projects" / name
        path = beside
    path.with_name("b kept 2026-01-02 03.04.05.tilescope").touch()
    often = tmp_path / "b kept 2025-01-02 03.04.05 2 kept 2025-01-03 03.04.05.tilescope"
    assert refuges(tmp_path, often, when)[0].name == "b kept 2026-01-02 03.04.05 2.tilescope"


def test_files_are_remembered_newest_first_and_once(tmp_path: Path) -> None:
    memory = Remembered(tmp_path / "new")
    for number in range(20):
        memory.note_file(tmp_path / f"{number}.svs")
    memory.note_file(tmp_path / "15.svs")
    names = [path.name for path in Remembered(tmp_path / "new").recent]
    assert names[:3] == ["15.svs", "19.svs", "18.svs"]
    assert len(names) == len(set(names)) == 12


def test_the_last_project_is_remembered_until_it_is_closed_or_gone(tmp_path: Path) -> None:
    memory = Remembered(tmp_path)
    assert memory.project is None
    path = tmp_path / "p.tilescope"
    path.touch()
    memory.note_project(path)
    assert Remembered(tmp_path).project == path
    path.unlink()
    assert memory.project is None
    memory.note_project(None)
    assert memory.project is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"recent": 5, "project": []}', "\0\1"])
def test_what_cannot_be_read_is_forgotten(tmp_path: Path, content: str) -> None:
    (tmp_path / "recent.json").write_text(content)
    memory = Remembered(tmp_path)
    assert memory.recent == []
    assert memory.project is None
    memory.note_file(tmp_path / "a.svs")
    assert [path.name for path in memory.recent] == ["a.svs"]


def test_the_data_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILESCOPE_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.delenv("TILESCOPE_DATA")
    assert data_folder().name == "tilescope"


def test_a_new_class_has_a_colour_and_key_of_its_own() -> None:
    made = new_class("Glands", DEFAULT_CLASSES)
    assert made.color not in {one.color for one in DEFAULT_CLASSES}
    assert made.hot_key == "6"
    many = [new_class(str(i), DEFAULT_CLASSES) for i in range(9)]
    assert new_class("more", [*DEFAULT_CLASSES, *many]).name == "more"
