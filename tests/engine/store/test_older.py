"""A project that the first version of the format holds, as it was written at the time."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

from tilescope.domain.annotation import Annotation, Author, ObjectClass
from tilescope.domain.geometry import Rect
from tilescope.errors import ProjectReadOnly
from tilescope.store import older, schema
from tilescope.store.backup import backups
from tilescope.store.project import Project, RunRecord
from tilescope.store.salvage import salvage

EVERYWHERE = Rect(-(10**6), -(10**6), 10**6, 10**6)
MODEL = Author("model", "nuclei-unet", {"version": "1.0"})
PAGE = 4096


def an_id(number: int) -> str:
    return str(UUID(int=number))


def wkb(shape: shapely.Geometry) -> bytes:
    data: bytes = shapely.to_wkb(shape, byte_order=1)
    return data


def nucleus(i: int) -> Annotation:
    return Annotation(
        an_id(i),
        wkb(shapely.box(10 * i, 5, 10 * i + 6, 5.5 + i)),
        "detection",
        ("tumour", "stroma", None)[i % 3],
        measurements={"area µm²": float(i)} if i % 2 else {},
        author=MODEL,
    )


def drawn() -> list[Annotation]:
    shapes = [
        shapely.Point(5, 6),
        shapely.box(0, 0, 900, 800).difference(shapely.box(10, 10, 20, 20)),
        shapely.LineString([(0, 0), (7, 8)]),
        shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(3, 3, 4, 4)]),
    ]
    return [
        Annotation(
            an_id(1000 + i),
            wkb(shape),
            "annotation",
            name=f"region {i}",
            parent_id=an_id(1001) if i else None,
            z=i // 3,
            author=Author("user", "ada"),
        )
        for i, shape in enumerate(shapes)
    ]


def states() -> Iterator[dict[str, Annotation]]:
    """Yield what was there after every edit that the file remembers."""
    there: dict[str, Annotation] = {}
    yield dict(there)
    there |= {an_id(i): nucleus(i) for i in range(1, 101)}
    yield dict(there)
    there |= {a.id: a for a in drawn()}
    yield dict(there)
    there[an_id(2)] = replace(there[an_id(2)], measurements={"mean": 7.5})
    yield dict(there)
    for name, found in there.items():
        if found.class_name == "stroma":
            there[name] = replace(found, class_name="immune")
    yield dict(there)
    there[an_id(3)] = replace(there[an_id(3)], locked=True)
    yield dict(there)
    for i in range(41, 51):
        del there[an_id(i)]
    yield dict(there)
    there[an_id(4)] = replace(nucleus(4), name="changed", geometry=wkb(shapely.Point(1, 2)))
    yield dict(there)
    there |= {an_id(i): nucleus(i) for i in range(200, 205)}
    yield dict(there)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The file; its last edit was undone."""
    path = tmp_path / "old.tilescope"
    packed = Path(__file__).with_name("version-1.tilescope.gz")
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return path


def everything(project: Project) -> dict[str, Annotation]:
    return {a.id: a for batch in project.objects() for a in batch}


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_what_the_first_version_wrote_is_there(old: Path) -> None:
    *_, now, _ = states()
    with Project.open(old) as project:
        assert project.check() == []
        assert everything(project) == now
        (slide,) = project.slides()
        assert (slide.identity, slide.um_per_px, slide.notes) == (
            "identity of a",
            (0.25, 0.25),
            "first",
        )
        assert project.classes()[0] == ObjectClass("tumour", (1, 2, 3), "t")
        run = RunRecord(1, "nuclei-unet", {"version": "1.0"}, "2026-11-23T00:00:00+00:00")
        assert project.runs() == [run]
        view = project.in_view(1, EVERYWHERE, 1000)
        assert {view.id_of(i) for i in range(len(view))} == {n for n, a in now.items() if not a.z}
        assert sum(project.counts_by_class().values()) == len(now)
        assert project.get(an_id(4)) == now[an_id(4)]
        assert project.get(an_id(45)) is None
    assert version_of(old) == schema.SCHEMA_VERSION


def test_its_history_goes_back_and_forth(old: Path) -> None:
    wanted = list(states())
    with Project.open(old) as project:
        for before in reversed(wanted[:-2]):
            assert project.undo() is not None
            assert everything(project) == before
            assert project.check() == []
        assert project.undo() is None
        for after in wanted[1:]:
            assert project.redo() is not None
            assert everything(project) == after
        assert project.redo() is None
        assert project.check() == []
        project.insert(1, [[nucleus(300)]])
        assert project.check() == []


def test_it_is_backed_up_as_it_was(old: Path) -> None:
    with pytest.raises(ProjectReadOnly, match="project check"):
        Project.open(old, writable=False)
    Project.open(old).close()
    (copy,) = backups(old)
    assert version_of(copy) == 1
    with Project.open(copy) as project:
        *_, now, _ = states()
        assert everything(project) == now


def test_polygons_are_stored_as_in_a_new_file(old: Path, tmp_path: Path) -> None:
    *_, now, _ = states()
    Project.open(old).close()
    with Project.create(tmp_path / "new.tilescope") as project:
        project.add_slide(Path("a.svs"), "a")
        project.insert(1, [list(now.values())])
    codings = []
    for path in (old, tmp_path / "new.tilescope"):
        with closing(sqlite3.connect(path)) as db:
            codings.append({row[0] for row in db.execute("SELECT DISTINCT coding FROM leaf")})
            columns = [row[1] for row in db.execute("PRAGMA table_info(leaf)")]
            assert columns[-2:] == ["geometry", "coding"]
    assert codings == [{schema.WKB, schema.RINGS}] * 2


def test_a_migration_that_is_cut_off_leaves_the_old_version(old: Path) -> None:
    def fail(db: sqlite3.Connection) -> None:
        older.first_to_second(db)
        raise sqlite3.OperationalError("the disk is full")

    before = old.read_bytes()
    with closing(sqlite3.connect(old, isolation_level=None)) as db:
        with pytest.raises(sqlite3.OperationalError):
            older.migrate(db, 1, {1: fail}, target=2)
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert version_of(old) == 1
    assert len(before) == old.stat().st_size
    with Project.open(old) as project:
        *_, now, _ = states()
        assert everything(project) == now


def test_a_damaged_one_is_salvaged(old: Path, rng: np.random.Generator) -> None:
    *_, now, _ = states()
    new = old.with_name("new.tilescope")
    assert salvage(old, new).losses == ()
    with Project.open(new) as project:
        assert everything(project) == now
        assert project.check() == []
    new.unlink()
    with closing(sqlite3.connect(old)) as db:
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'state'").fetchone()[0]
    data = bytearray(old.read_bytes())
    data[(root - 1) * PAGE : root * PAGE] = rng.bytes(PAGE)
    old.write_bytes(data)
    found = salvage(old, new)
    assert any("even if they were deleted" in loss for loss in found.losses)
    with Project.open(new) as project:
        assert project.check() == []
        assert everything(project).keys() >= now.keys()
