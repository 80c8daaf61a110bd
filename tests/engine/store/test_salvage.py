"""A damaged project: noticed, left as it is, and read as far as it goes."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Rect
from tilescope.errors import ProjectDamaged, ProjectError
from tilescope.store import schema
from tilescope.store.project import Project, Selection
from tilescope.store.salvage import salvage

Make = Callable[[int], list[Annotation]]
EVERYWHERE = Rect(-(10**6), -(10**6), 10**6, 10**6)
PAGE = schema.PAGE_BYTES
COUNT = 4000


@pytest.fixture
def lost(project: Project, nuclei: Make) -> tuple[Path, dict[str, Annotation]]:
    """A closed project with deleted and changed objects, and what is there."""
    objects = nuclei(COUNT)
    project.insert(1, [objects])
    project.delete(Selection(class_names=("stroma",)))
    project.set_class(Selection(class_names=("other",)), "tumour")
    there = {a.id: a for batch in project.objects() for a in batch}
    project.close()
    return project.path, there


def overwrite(path: Path, pages: list[int], rng: np.random.Generator) -> bytes:
    data = bytearray(path.read_bytes())
    for page in pages:
        data[(page - 1) * PAGE : page * PAGE] = rng.bytes(PAGE)
    path.write_bytes(data)
    return bytes(data)


def root_of(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        return int(db.execute(query, (table,)).fetchone()[0])


def objects_in(path: Path) -> dict[str, Annotation]:
    with Project.open(path) as found:
        assert found.check() == []
        there = {a.id: a for batch in found.objects() for a in batch}
        assert sum(found.counts_by_class().values()) == len(there)
        assert all(found.get(name) == there[name] for name in list(there)[:5])
        assert found.undo() is None
    return there


def test_a_whole_file_is_salvaged_wholly(lost: tuple[Path, dict[str, Annotation]]) -> None:
    path, there = lost
    new = path.with_name("new.tilescope")
    found = salvage(path, new)
    assert found.losses == ()
    assert found.objects == len(there)
    assert objects_in(new) == there
    with Project.open(new) as project, Project.open(path) as old:
        assert project.slides() == old.slides()
        assert project.classes() == old.classes()
        assert [e.label for e in project.history()] == [e.label for e in old.history()]


@pytest.mark.parametrize("seed", range(6))
def test_pages_of_noise_cost_only_what_was_on_them(
    lost: tuple[Path, dict[str, Annotation]], seed: int
) -> None:
    path, there = lost
    rng = np.random.default_rng(seed)
    pages = path.stat().st_size // PAGE
    hit = [int(p) for p in rng.integers(40, pages, 3)]  # behind the roots of the tables
    damaged = overwrite(path, hit, rng)
    new = path.with_name("new.tilescope")
    found = salvage(path, new)
    assert path.read_bytes() == damaged
    saved = objects_in(new)
    assert len(saved) == found.objects
    wrong = [name for name in there if saved.get(name) != there[name]]
    # A page of states holds some 800 objects, one of outlines no more than 64.
    assert len(wrong) < 3 * 820
    if wrong:
        assert found.losses


@pytest.mark.parametrize("table", ["box_node", "handle", "tally", "class", "author", "edit"])
def test_what_follows_from_the_rest_is_made_anew(
    lost: tuple[Path, dict[str, Annotation]], rng: np.random.Generator, table: str
) -> None:
    path, there = lost
    overwrite(path, [root_of(path, table)], rng)
    new = path.with_name("new.tilescope")
    salvage(path, new)
    saved = objects_in(new)
    assert saved.keys() == there.keys()
    assert all(saved[name].geometry == there[name].geometry for name in there)


def test_a_lost_head_is_replaced(
    lost: tuple[Path, dict[str, Annotation]], rng: np.random.Generator
) -> None:
    path, there = lost
    overwrite(path, [1], rng)
    with pytest.raises(ProjectDamaged):
        Project.open(path)
    new = path.with_name("new.tilescope")
    assert salvage(path, new).losses == ()
    assert objects_in(new) == there
    assert not list(path.parent.glob(".salvage-*"))


def test_lost_states_bring_objects_back(
    lost: tuple[Path, dict[str, Annotation]], rng: np.random.Generator
) -> None:
    path, there = lost
    overwrite(path, [root_of(path, "state")], rng)
    new = path.with_name("new.tilescope")
    found = salvage(path, new)
    assert any("even if they were deleted" in loss for loss in found.losses)
    saved = objects_in(new)
    assert saved.keys() >= there.keys()
    assert len(saved) == COUNT


def test_the_newest_of_several_versions_comes_back(project: Project, nuclei: Make) -> None:
    (one,) = nuclei(1)
    project.insert(1, [[one]])
    for x in range(3):
        changed = Annotation(one.id, nuclei(1)[0].geometry, name=str(x))
        project.edit([changed])
    path = project.path
    project.close()
    overwrite(path, [root_of(path, "state")], np.random.default_rng(0))
    new = path.with_name("new.tilescope")
    assert salvage(path, new).objects == 1
    (saved,) = objects_in(new).values()
    assert (saved.name, saved.geometry) == ("2", changed.geometry)


def test_noise_is_not_a_project(tmp_path: Path, rng: np.random.Generator) -> None:
    path, new = tmp_path / "x.tilescope", tmp_path / "new.tilescope"
    path.write_bytes(rng.bytes(100_000))
    with pytest.raises(ProjectError, match="backups"):
        salvage(path, new)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.tilescope"]


def change(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


def test_a_changed_bit_inside_an_outline_is_noticed(project: Project, nuclei: Make) -> None:
    shape = shapely.box(0, 0, 90, 80).difference(shapely.box(10, 10, 20, 20))
    broken = Annotation(str(uuid.uuid4()), shapely.to_wkb(shape, byte_order=1))
    objects = nuclei(100)
    project.insert(1, [[*objects, broken]])
    path, new = project.path, project.path.with_name("new.tilescope")
    project.close()
    change(path, broken.geometry, b"\x01\x63" + broken.geometry[2:])  # the type of the shape
    with Project.open(path) as project:
        assert project.check() == ["1 unreadable outlines"]
        with pytest.raises(ProjectDamaged, match="salvage"):
            project.in_view(1, EVERYWHERE, 10**6)
    found = salvage(path, new)
    assert found.losses == ("1 object has an outline that cannot be read",)
    assert objects_in(new) == {a.id: a for a in objects}
    with Project.open(new) as project:
        assert len(project.in_view(1, EVERYWHERE, 10**6)) == 100


@pytest.mark.parametrize("ends", [(0, 416), (200, 416), (208, 400), (8, 424), (300, 200)])
def test_vertices_that_belong_to_nobody_are_noticed(
    project: Project, nuclei: Make, ends: tuple[int, int]
) -> None:
    project.insert(1, [nuclei(2)])  # of 13 vertices each, in one leaf
    path = project.path
    project.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT length(geometry) FROM leaf").fetchone() == (416,)
        db.execute("UPDATE leaf SET ends = ?", (np.array(ends, "<u4").tobytes(),))
        db.commit()
    with Project.open(path) as project:
        assert project.check()
        with pytest.raises(ProjectDamaged):
            project.in_view(1, EVERYWHERE, 10)


def test_a_vertex_that_is_no_number_is_noticed(project: Project, nuclei: Make) -> None:
    objects = nuclei(100)
    project.insert(1, [objects])
    path, new = project.path, project.path.with_name("new.tilescope")
    project.close()
    vertices = objects[7].geometry[13:]
    change(path, vertices, vertices[:16] + np.float64(np.nan).tobytes() + vertices[24:])
    with Project.open(path) as project:
        assert project.check() == ["1 unreadable outlines"]
        assert len(project.in_view(1, EVERYWHERE, 10**6)) == 100
    assert salvage(path, new).losses == ("1 object has an outline that cannot be read",)
    assert objects_in(new).keys() == {a.id for a in objects} - {objects[7].id}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("UPDATE state SET objects = substr(objects, 11)", "too few"),
        ("UPDATE state SET objects = substr(objects, 2)", "state of an object"),
        ("UPDATE state SET there = there + 1", "more or fewer"),
        ("DELETE FROM state", "without a state"),
        ("DELETE FROM leaf", "without an outline"),
        ("DELETE FROM box", "missing in the spatial index"),
        ("DELETE FROM handle", "cannot be found by id"),
        ("UPDATE tally SET n = n - 1", "counts that are wrong"),
        ("DELETE FROM edit", "nobody knows"),
        ("UPDATE leaf SET coding = 2", "contradict themselves"),
        ("UPDATE leaf SET ends = zeroblob(length(ends))", "contradict themselves"),
    ],
)
def test_what_does_not_agree_is_found_and_mended(
    lost: tuple[Path, dict[str, Annotation]], damage: str, message: str
) -> None:
    path, _ = lost
    with closing(sqlite3.connect(path)) as db:
        db.execute(damage)
        db.commit()
    with Project.open(path) as project:
        assert any(message in problem for problem in project.check())
    new = path.with_name("new.tilescope")
    salvage(path, new)
    assert len(objects_in(new)) <= COUNT


def test_damage_met_while_reading_is_named(
    lost: tuple[Path, dict[str, Annotation]], rng: np.random.Generator
) -> None:
    path, _ = lost
    overwrite(path, list(range(40, path.stat().st_size // PAGE)), rng)
    with Project.open(path) as project:
        assert project.check()
        with pytest.raises(ProjectDamaged, match="salvage"):
            list(project.objects())
