"""``tilescope project``: output and exit codes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shapely
from tests.engine.cli.conftest import assert_one_line_about, only_json
from typer.testing import CliRunner, Result

from tilescope.cli.project import project_app
from tilescope.domain.annotation import Annotation
from tilescope.errors import ProjectReadOnly
from tilescope.store.project import Project, Selection

Run = Callable[..., Result]
MANY = 2000


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(project_app, [str(a) for a in arguments])


def objects() -> Iterator[list[Annotation]]:
    yield [
        Annotation(
            f"00000000-0000-0000-0000-{i:012}",
            shapely.to_wkb(shapely.box(i, 0, i + 1, 1), byte_order=1),
            class_name="a",
        )
        for i in range(MANY)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed project with two steps."""
    with Project.create(tmp_path / "study.tilescope", user="ada") as project:
        project.add_slide(Path("a.svs"), "a")
        project.insert(1, objects(), label="import a.geojson")
        project.delete(Selection())
    return tmp_path / "study.tilescope"


def counted(path: Path) -> int:
    with Project.open(path, writable=False) as project:
        return sum(project.counts_by_class().values())


def test_steps_go_back_and_forth(run: Run, path: Path) -> None:
    assert only_json(run("undo", path, "--json"))["edit"]["label"] == "delete objects"
    assert counted(path) == MANY
    assert "undone: 1 import a.geojson (2,000 added)" in run("undo", path).stdout
    assert counted(path) == 0
    assert run("undo", path).stdout == "study.tilescope: nothing can be undone\n"
    assert only_json(run("undo", path, "--json"))["edit"] is None
    assert "done again: 1 import" in run("redo", path).stdout
    assert counted(path) == MANY
    listed = only_json(run("history", path, "--json"))["edits"]
    assert [(edit["number"], edit["standing"]) for edit in listed] == [(2, "undone"), (1, "done")]
    first, second = run("history", path).stdout.splitlines()
    assert first.startswith("2 delete objects (2,000 removed), ")
    assert second.endswith(" by ada, done")
    assert len(run("history", path, "--limit", 1).stdout.splitlines()) == 1


def test_a_whole_project_is_said_to_be_whole_and_copied(run: Run, path: Path) -> None:
    assert run("check", path).stdout == "study.tilescope: everything agrees\n"
    assert only_json(run("check", path, "--json"))["problems"] == []
    copy = Path(only_json(run("backup", path, "--json"))["backup"])
    assert copy.parent == path.parent
    assert run("check", copy).exit_code == 0
    run("undo", path)
    assert (counted(path), counted(copy)) == (MANY, 0)


def test_a_project_of_an_older_version_is_brought_up_to_date(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "old.tilescope"
    packed = Path(__file__).parents[1] / "store" / "version-1.tilescope.gz"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    with pytest.raises(ProjectReadOnly, match="tilescope project check"):
        Project.open(path, writable=False)
    assert run("check", path).stdout == "old.tilescope: everything agrees\n"
    assert counted(path) == 94


def test_a_damaged_project_is_salvaged(run: Run, path: Path) -> None:
    run("undo", path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20_000] = b"\xa5" * 20_000
    path.write_bytes(data)
    checked = run("check", path, "--json")
    assert checked.exit_code == 1
    assert json.loads(checked.stdout)["problems"]
    assert "everything agrees" not in run("check", path).stdout
    found = only_json(run("salvage", path, "--json"))
    new = path.with_name("study.salvaged.tilescope")
    assert found["new"] == str(new)
    assert 0 < found["objects"] <= MANY
    assert found["losses"]
    assert counted(new) == found["objects"]
    assert run("check", new).exit_code == 0
    assert path.read_bytes() == data
    again = run("salvage", path)
    assert again.exit_code == 2
    assert_one_line_about(again.stderr, "study.salvaged.tilescope: something of that name")
    other = run("salvage", path, "-o", path.with_name("other.tilescope"))
    assert "objects saved to" in other.stdout
    assert "  lost: " in other.stdout


@pytest.mark.parametrize("command", ["undo", "redo", "history", "check", "backup", "salvage"])
def test_what_is_no_project_is_named_and_left_alone(run: Run, tmp_path: Path, command: str) -> None:
    other = tmp_path / "x.tilescope"
    other.write_bytes(b"\xff\xd8\xff\xe0 a JPEG, of course" * 99)
    for path in (other, tmp_path / "none.tilescope"):
        result = run(command, path)
        assert result.exit_code == 2
        assert_one_line_about(result.stderr, path.name)
    assert list(tmp_path.iterdir()) == [other]


def test_a_project_that_others_write_cannot_be_undone(run: Run, path: Path) -> None:
    with Project.open(path, user="grace"):
        result = run("undo", path)
        assert result.exit_code == 2
        assert_one_line_about(result.stderr, "grace")
        assert run("check", path).exit_code == 0
