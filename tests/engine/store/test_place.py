"""Projects whose file other programs delete or replace while they are open."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from tilescope.errors import ProjectError
from tilescope.store.place import Place, is_displaced
from tilescope.store.project import Project


def logs_of(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir() if p.name.startswith(f"{path.name}-"))


def test_a_project_knows_whether_its_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "p.tilescope"
    with Project.create(path):
        assert not is_displaced(path)
        path.rename(tmp_path / "elsewhere")
        assert is_displaced(path)
        shutil.copy(tmp_path / "elsewhere", path)
        assert is_displaced(path)
    assert not is_displaced(path)


def test_a_file_in_the_place_of_an_open_project_is_not_opened_with_its_log(tmp_path: Path) -> None:
    path, other = tmp_path / "p.tilescope", tmp_path / "other.tilescope"
    Project.create(other).close()
    theirs = other.read_bytes()
    with Project.create(path) as project:
        project.add_slide(Path("s.svs"), "s")
        assert len(logs_of(path)) == 3
        assert not is_displaced(path)
        other.replace(path)
        with pytest.raises(ProjectError, match="deleted or replaced"):
            Project.open(path, writable=False)
        copy = tmp_path / "copy.tilescope"
        project.copy_to(copy)
    assert logs_of(path) == []
    assert path.read_bytes() == theirs
    with Project.open(path, writable=False) as opened:
        assert opened.slides() == []
    with Project.open(copy) as opened:
        assert [record.identity for record in opened.slides()] == ["s"]


def test_a_copy_takes_the_place_of_what_was_there_with_its_log(tmp_path: Path) -> None:
    path, copy = tmp_path / "p.tilescope", tmp_path / "copy.tilescope"
    copy.write_bytes(b"something")
    copy.with_name("copy.tilescope-wal").write_bytes(b"stale")
    with Project.create(path) as project:
        project.add_slide(Path("s.svs"), "s")
        project.copy_to(copy)
        nowhere = tmp_path / "no" / "such" / "copy.tilescope"
        with pytest.raises(ProjectError, match="copy") as refused:
            project.copy_to(nowhere)
        assert str(refused.value).startswith(f"{nowhere}: ")
    assert logs_of(copy) == []
    with Project.open(copy) as opened:
        assert len(opened.slides()) == 1


def test_the_lock_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.tilescope"
    lock = path.with_name("p.tilescope-lock")
    with Project.create(path):
        lock.unlink()
        lock.write_text("theirs")
    assert lock.read_text() == "theirs"


def test_a_folder_that_is_gone_does_not_keep_a_project_from_closing(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    project = Project.create(folder / "p.tilescope")
    shutil.rmtree(folder)
    folder.write_text("in the way")
    project.close()


def test_a_file_that_was_never_there_is_displaced(tmp_path: Path) -> None:
    with Place(tmp_path / "nothing") as place:
        assert not place.is_kept


def test_a_log_that_comes_and_goes_is_not_taken_for_the_project(tmp_path: Path) -> None:
    path = tmp_path / "a.tilescope"
    log = tmp_path / "a.tilescope-wal"
    path.touch()
    is_over = threading.Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            log.touch()
            log.unlink()

    reader = threading.Thread(target=come_and_go)
    reader.start()
    try:
        with Place(path) as place:
            assert all(place.is_kept for _ in range(5_000))
    finally:
        is_over.set()
        reader.join()
