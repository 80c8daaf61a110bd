"""What a project remembers, and the way back and forth through its edits."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tilescope.domain.annotation import Annotation, Author, ObjectClass
from tilescope.domain.geometry import Rect
from tilescope.errors import UsageError
from tilescope.store.history import Standing
from tilescope.store.objects import BATCH
from tilescope.store.project import Project, RunRecord, Selection

Make = Callable[[int], list[Annotation]]
EVERYWHERE = Rect(-(10**6), -(10**6), 10**6, 10**6)


def everything(project: Project) -> dict[str, Annotation]:
    found = [a for batch in project.objects() for a in batch]
    by_id = {a.id: a for a in found}
    assert len(by_id) == len(found)
    return by_id


def by_id(objects: Sequence[Annotation]) -> dict[str, Annotation]:
    return {a.id: a for a in objects}


def a_point(x: float, y: float, **values: object) -> Annotation:
    shape = shapely.to_wkb(shapely.Point(x, y), byte_order=1)
    return replace(Annotation(str(uuid.uuid4()), shape), **values)


def test_what_goes_in_comes_out(project: Project, nuclei: Make) -> None:
    parent = a_point(5, 6, name="region 1", locked=True, kind="annotation")
    hole = shapely.box(0, 0, 900, 800).difference(shapely.box(10, 10, 20, 20))
    shapes = [
        shapely.LineString([(0, 0), (7, 8)]),
        hole,
        shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(3, 3, 4, 4)]),
        shapely.MultiPoint([(1, 2), (3, 4)]),
        shapely.MultiLineString([[(0, 0), (1, 1)], [(5, 5), (6, 7)]]),
    ]
    others = [
        replace(
            a_point(0, 0),
            geometry=shapely.to_wkb(shape, byte_order=1),
            parent_id=parent.id,
            kind="cell",
            z=2,
            t=1,
            author=Author("user", "ada", {"clicks": [[1, 2], [3, 4]]}),
            measurements={"length µm": 3.5},
        )
        for shape in shapes
    ]
    wanted = [*nuclei(100), parent, *others, *nuclei(100)]
    assert project.insert(1, [wanted[:50], [], wanted[50:]]) == len(wanted)
    assert everything(project) == by_id(wanted)
    assert project.get(parent.id) == parent
    assert project.get(str(uuid.uuid4())) is None
    assert project.check() == []


def test_everything_is_there_after_opening_again(project: Project, nuclei: Make) -> None:
    wanted = nuclei(50)
    project.insert(1, [wanted])
    project.put_class(ObjectClass("tumour", (1, 2, 3), "t"))
    project.add_run(RunRecord(1, "nuclei-unet", {"version": "1.0"}))
    project.close()
    with Project.open(project.path, writable=False) as again:
        assert everything(again) == by_id(wanted)
        assert again.classes()[0] == ObjectClass("tumour", (1, 2, 3), "t")
        assert len({c.color for c in again.classes()}) == 3
        assert [(r.slide, r.model, r.detail) for r in again.runs()] == [
            (1, "nuclei-unet", {"version": "1.0"})
        ]
        slide = again.slides()[0]
        assert (slide.identity, slide.um_per_px, slide.name) == (
            "identity of a",
            (0.25, 0.25),
            "a.svs",
        )


def test_a_view_holds_what_meets_the_rectangle(project: Project, nuclei: Make) -> None:
    large = replace(a_point(0, 0), geometry=shapely.to_wkb(shapely.box(0, 0, 3000, 3000)))
    objects = [*nuclei(3000), large]
    project.insert(1, [objects])
    other = project.add_slide(Path("b.svs"), "identity of b")
    project.insert(other, [nuclei(200)])
    project.insert(1, [[a_point(1500, 1500, z=1)]])
    rect = Rect(1000, 1200, 2000, 1900)
    box = shapely.bounds(shapely.from_wkb([a.geometry for a in objects]))
    meets = (box[:, 2] >= rect.x0) & (box[:, 0] <= rect.x1)
    meets &= (box[:, 3] >= rect.y0) & (box[:, 1] <= rect.y1)
    expected = {objects[i].id: objects[i] for i in np.flatnonzero(meets)}
    view = project.in_view(1, rect, 10_000)
    assert view.is_complete
    assert {view.id_of(i) for i in range(len(view))} == set(expected)
    for i in range(len(view)):
        found = expected[view.id_of(i)]
        first, last = view.object_offsets[i : i + 2]
        assert last == first + 1
        points = view.points[view.ring_offsets[first] : view.ring_offsets[last]]
        wanted = shapely.get_coordinates(shapely.from_wkb(found.geometry))
        assert np.array_equal(points, wanted.astype(np.float32))
        assert view.class_names[int(view.classes[i])] == found.class_name
        assert ("annotation", "detection")[view.kinds[i]] == found.kind
    few = project.in_view(1, rect, 7)
    assert len(few) == 7
    assert len(few.object_offsets) == 8
    assert not few.is_complete
    assert project.in_view(1, rect, len(expected)).is_complete
    assert len(project.in_view(1, rect, 9, z=1)) == 1
    assert len(project.in_view(1, Rect(9000, 9000, 9001, 9001), 9)) == 0


def test_shapes_of_all_kinds_are_drawn_as_rings(project: Project) -> None:
    hole = shapely.box(0, 0, 9, 8).difference(shapely.box(1, 1, 2, 2))
    several = shapely.MultiPolygon([hole, shapely.box(20, 20, 21, 21)])
    shapes = [shapely.Point(1, 2), hole, shapely.box(5, 5, 6, 6), several]
    shapes.append(shapely.LineString([(0, 0), (7, 8)]))
    objects = [replace(a_point(0, 0), geometry=shapely.to_wkb(shape)) for shape in shapes]
    project.insert(1, [objects])
    view = project.in_view(1, EVERYWHERE, 100)
    found = {view.id_of(i): i for i in range(len(view))}
    dimensions, lengths = [], []
    for annotation in objects:
        i = found[annotation.id]
        dimensions.append(int(view.dimensions[i]))
        rings = range(view.object_offsets[i], view.object_offsets[i + 1])
        lengths.append([int(view.ring_offsets[r + 1] - view.ring_offsets[r]) for r in rings])
    assert dimensions == [0, 2, 2, 2, 1]
    assert lengths == [[1], [5, 5], [5], [5, 5, 5], [2]]


def test_edits_undone_and_done_again(project: Project, nuclei: Make) -> None:
    objects = nuclei(400)
    project.insert(1, [objects], label="run")
    states = [everything(project)]
    moved = replace(objects[5], geometry=a_point(1, 2).geometry, measurements={}, name="moved")
    steps: list[Callable[[], int]] = [
        lambda: project.edit([moved, replace(objects[6], class_name="new")]),
        lambda: project.delete(Selection(class_names=("tumour", None))),
        lambda: project.set_class(Selection(slide=1), "all"),
        lambda: project.set_locked([objects[1].id], True),
        lambda: project.measure([{objects[1].id: {"area µm²": 7.0, "mean": 2.0}}]),
        lambda: project.delete([objects[2].id]),
        lambda: project.insert(1, [nuclei(50)]),
    ]
    for step in steps:
        assert step() > 0
        assert project.check() == []
        states.append(everything(project))
    assert states[1][objects[5].id] == moved
    assert set(project.counts_by_class()) == {"all", "tumour", "stroma", "other", None}
    for before in reversed(states[:-1]):
        assert project.undo() is not None
        assert everything(project) == before
        assert project.check() == []
    project.close()
    with Project.open(project.path) as again:
        for after in states[1:]:
            assert again.redo() is not None
            assert everything(again) == after
            assert again.check() == []
        assert again.redo() is None


def test_a_new_edit_drops_what_could_be_redone(project: Project, nuclei: Make) -> None:
    kept, dropped, new = nuclei(10), nuclei(20), nuclei(30)
    for objects in (kept, dropped):
        project.insert(1, [objects])
    project.undo()
    project.insert(1, [new])
    assert project.redo() is None
    assert everything(project) == by_id([*kept, *new])
    assert [e.standing for e in project.history()] == [
        Standing.DONE,
        Standing.DROPPED,
        Standing.DONE,
    ]
    project.insert(1, [dropped])  # the ids of dropped objects are free again
    assert everything(project) == by_id([*kept, *new, *dropped])
    while project.undo():
        pass
    assert everything(project) == {}
    assert project.counts_by_class() == {}
    assert project.check() == []


def test_deleting_many_stores_ranges_not_copies(project: Project, nuclei: Make) -> None:
    project.insert(1, [nuclei(4000)])
    project.close()
    before = project.path.stat().st_size
    with Project.open(project.path) as again:
        assert again.delete(Selection()) == 4000
        deleted = again.path.stat().st_size
        again.undo()
        assert sum(again.counts_by_class().values()) == 4000
        assert len(again.in_view(1, EVERYWHERE, 10**6)) == 4000
    assert again.path.stat().st_size < 1.03 * before
    assert deleted < 1.03 * before
    with closing(sqlite3.connect(project.path)) as db:
        assert db.execute("SELECT sum(length(places)) FROM delta").fetchone()[0] < 10_000


def test_the_journal_says_who_did_what_and_only_grows(project: Project, nuclei: Make) -> None:
    project.insert(1, [nuclei(3)], label="import x.geojson")
    project.undo()
    project.redo()
    newest = project.history(1)[0]
    assert (newest.label, newest.user, newest.added) == ("import x.geojson", "ada", 3)
    project.close()
    with closing(sqlite3.connect(project.path)) as db:
        rows = db.execute("SELECT user, action FROM journal ORDER BY entry").fetchall()
        assert rows[-3:] == [("ada", "do"), ("ada", "undo"), ("ada", "redo")]
        for statement in ("DELETE FROM journal", "UPDATE journal SET user = 'eve'"):
            with pytest.raises(sqlite3.IntegrityError, match="only grows"):
                db.execute(statement)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "not a uuid"}, "UUID"),
        ({"parent_id": "x"}, "UUID"),
        ({"geometry": b"nonsense"}, "well-known binary"),
        ({"geometry": shapely.to_wkb(shapely.Point(1, 2), byte_order=0)}, "little-endian"),
        ({"geometry": shapely.to_wkb(shapely.Point(1, 2, 3), byte_order=1)}, "two-dimensional"),
        ({"geometry": shapely.to_wkb(shapely.Point(np.nan, 2), byte_order=1)}, "infinite"),
        ({"geometry": shapely.to_wkb(shapely.Polygon(), byte_order=1)}, "empty"),
        ({"geometry": shapely.to_wkb(shapely.GeometryCollection([shapely.Point(1, 2)]))}, "coll"),
        ({"measurements": {"area": float("nan")}}, "finite"),
        ({"measurements": {str(i): 1.0 for i in range(1001)}}, "more than 1000"),
    ],
)
def test_what_cannot_be_stored_leaves_the_project_as_it_was(
    project: Project, nuclei: Make, change: dict[str, object], message: str
) -> None:
    before = nuclei(5)
    project.insert(1, [before])
    bad = replace(nuclei(1)[0], **change)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message):
        project.insert(1, [nuclei(20), [bad]])
    assert everything(project) == by_id(before)
    assert len(project.history()) == 1
    assert project.check() == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_ring_that_is_not_finite_or_not_closed_is_refused(project: Project, bad: float) -> None:
    ring = bytearray(shapely.to_wkb(shapely.box(0, 0, 5, 6)))
    ring[13 + 16 : 13 + 24] = np.float64(bad).tobytes()
    with pytest.raises(UsageError, match="infinite"):
        project.insert(1, [[replace(a_point(0, 0), geometry=bytes(ring))]])
    ring = bytearray(shapely.to_wkb(shapely.box(0, 0, 5, 6)))
    ring[-8:] = np.float64(7).tobytes()
    with pytest.raises(UsageError, match="not closed"):
        project.insert(1, [[replace(a_point(0, 0), geometry=bytes(ring))]])


def test_an_id_is_there_once(project: Project, nuclei: Make) -> None:
    objects = nuclei(10)
    twice = nuclei(1)
    with pytest.raises(UsageError, match=f"{twice[0].id} is already there"):
        project.insert(1, [objects, twice, twice])
    project.insert(1, [objects])
    with pytest.raises(UsageError, match=f"{objects[3].id} is already there"):
        project.insert(1, [nuclei(20), [objects[3]]])
    project.delete([objects[3].id])
    project.insert(1, [[objects[3]]])
    assert everything(project) == by_id(objects)


def test_an_import_that_fails_half_way_adds_nothing(project: Project, nuclei: Make) -> None:
    class Broken(Exception):
        pass

    def batches() -> Iterator[list[Annotation]]:
        yield nuclei(BATCH + 1)
        raise Broken

    with pytest.raises(Broken):
        project.insert(1, batches())
    assert everything(project) == {}
    assert project.classes() == []
    project.insert(1, [nuclei(8)])  # the numbers of classes that were rolled back are not reused
    assert set(project.counts_by_class()) == {"tumour", "stroma", "other", None}


def test_locked_objects_stay_as_they_are(project: Project, nuclei: Make) -> None:
    objects = nuclei(8)
    project.insert(1, [objects])
    project.set_locked([objects[0].id], True)
    for act in (
        lambda: project.delete([objects[1].id, objects[0].id]),
        lambda: project.edit([replace(objects[0], name="x")]),
    ):
        with pytest.raises(UsageError, match="locked"):
            act()
    assert len(everything(project)) == 8
    assert project.delete(Selection()) == 7
    assert list(everything(project)) == [objects[0].id]
    project.set_locked([objects[0].id], False)
    assert project.delete([objects[0].id]) == 1


def test_unknown_objects_and_slides_are_named(project: Project) -> None:
    stranger = str(uuid.uuid4())
    with pytest.raises(UsageError, match=stranger):
        project.delete([stranger])
    with pytest.raises(UsageError, match=stranger):
        project.edit([a_point(1, 2, id=stranger)])
    with pytest.raises(UsageError, match=stranger):
        project.measure([{stranger: {"a": 1.0}}])
    with pytest.raises(UsageError, match="no slide 9"):
        project.insert(9, [])
    assert project.history() == []
    assert project.delete(Selection(class_names=("no such class",))) == 0
    assert project.history() == []  # what changes nothing is no step


def test_counts_follow_slides_and_classes(project: Project, nuclei: Make) -> None:
    other = project.add_slide(Path("b.svs"), "identity of b")
    project.insert(1, [nuclei(8)])
    project.insert(other, [nuclei(4)])
    each = {"tumour": 3, "stroma": 3, "other": 3, None: 3}
    assert project.counts_by_class() == each
    assert project.counts_by_class(other) == dict.fromkeys(each, 1)
    project.set_class(Selection(slide=other, class_names=(None,)), "tumour")
    assert project.counts_by_class(other) == {"tumour": 2, "stroma": 1, "other": 1}


def test_measurements_differ_from_object_to_object(project: Project) -> None:
    objects = [a_point(i, i, measurements={f"m{i % 3}": 1.0} if i % 4 else {}) for i in range(99)]
    project.insert(1, [objects])
    assert everything(project) == by_id(objects)
    new = {a.id: {"m1": 2.0, "mean": float(i)} for i, a in enumerate(objects)}
    assert project.measure([new]) == 99
    for annotation in objects:
        found = project.get(annotation.id)
        assert found is not None
        assert found.measurements == {**annotation.measurements, **new[annotation.id]}
    project.undo()
    assert everything(project) == by_id(objects)


def test_measuring_the_same_objects_twice_is_one_step(project: Project) -> None:
    objects = [a_point(i, i, measurements={"a": 1.0}) for i in range(40)]
    project.insert(1, [objects])
    first = [{a.id: {"a": 2.0} for a in objects[:20]}, {a.id: {"b": 3.0} for a in objects}]
    project.measure([*first, {objects[0].id: {"a": 4.0}}])
    measured = everything(project)
    assert measured[objects[0].id].measurements == {"a": 4.0, "b": 3.0}
    project.undo()
    assert everything(project) == by_id(objects)
    project.redo()
    assert everything(project) == measured


def test_a_slide_that_moved_is_found_by_its_identity(project: Project, tmp_path: Path) -> None:
    here = tmp_path / "scans" / "c.svs"
    here.parent.mkdir()
    here.write_bytes(b"pixels")
    number = project.add_slide(here, "identity of c")
    assert project.add_slide(tmp_path / "copy.svs", "identity of c") == number
    assert project.slides()[-1].path == here
    there = tmp_path / "archive.svs"
    here.rename(there)
    assert project.add_slide(there, "identity of c") == number
    assert project.slides()[-1].path == there
    assert len(project.slides()) == 2
    with pytest.raises(UsageError, match="content differs"):
        project.relink(1, there, "identity of c")
    record = replace(project.slides()[-1], notes="re-scan", um_per_px=(0.5, 0.4))
    project.change_slide(record)
    assert project.slides()[-1] == record


def test_a_project_moved_with_its_slides_finds_them(project: Project, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "scans").mkdir(parents=True)
    (old / "scans" / "a.svs").write_bytes(b"pixels")
    with Project.create(old / "p.tilescope") as made:
        made.add_slide(old / "scans" / "a.svs", "a")
    old.rename(new)
    with Project.open(new / "p.tilescope") as moved:
        (slide,) = moved.slides()
        assert [p for p in slide.candidates(moved.path) if p.exists()] == [new / "scans" / "a.svs"]


def test_a_hot_key_belongs_to_one_class(project: Project) -> None:
    project.put_class(ObjectClass("a", (1, 2, 3), "k"))
    project.put_class(ObjectClass("b", (4, 5, 6), "k"))
    assert project.classes() == [ObjectClass("a", (1, 2, 3)), ObjectClass("b", (4, 5, 6), "k")]


def test_many_classes_are_one_entry_of_the_journal(project: Project) -> None:
    classes = [ObjectClass(f"c{i}", (i, 0, 0)) for i in range(20)]
    project.put_classes(classes)
    project.put_classes([])
    assert project.classes() == classes
    with pytest.raises(UnicodeEncodeError):
        project.put_classes([ObjectClass("new", (1, 2, 3)), ObjectClass("\ud800", (0, 0, 0))])
    assert project.classes() == classes
    project.close()
    with closing(sqlite3.connect(project.path)) as db:
        (action,) = db.execute("SELECT action FROM journal ORDER BY entry DESC").fetchone()
    assert action == "class c0 and 19 more"


class Walk:
    """A project beside a model of it: dictionaries of what is there after every step."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.done: list[dict[str, Annotation]] = [{}]
        self.undone: list[dict[str, Annotation]] = []

    def put(self, new: Sequence[Annotation]) -> None:
        self._step(self.done[-1] | by_id(new), bool(new))

    def take(self, old: Sequence[Annotation]) -> None:
        self._step({k: a for k, a in self.done[-1].items() if a not in old}, bool(old))

    def _step(self, state: dict[str, Annotation], changed: bool) -> None:
        if changed:
            self.done.append(state)
            self.undone.clear()

    def act(self, name: str, chosen: Sequence[Annotation], new: Sequence[Annotation]) -> None:
        match name:
            case "insert":
                self.project.insert(1, [new])
                self.put(new)
            case "delete":
                self.project.delete([a.id for a in chosen])
                self.take(chosen)
            case "class":
                self.project.set_class([a.id for a in chosen], "c")
                self.put([replace(a, class_name="c") for a in chosen])
            case "edit":
                moved = [replace(a, geometry=a_point(9, 9).geometry) for a in chosen]
                self.project.edit(moved)
                self.put(moved)
            case "undo" if self.project.undo():
                self.undone.append(self.done.pop())
            case "redo" if self.project.redo():
                self.done.append(self.undone.pop())


@settings(max_examples=20)
@given(data=st.data())
def test_any_walk_through_history_ends_where_it_should(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Project.create(tmp_path_factory.mktemp("walk") / "p.tilescope") as project:
        project.add_slide(Path("a.svs"), "a")
        walk = Walk(project)
        for _ in range(data.draw(st.integers(1, 8))):
            act = data.draw(st.sampled_from(["insert", "delete", "class", "edit", "undo", "redo"]))
            names = sorted(walk.done[-1])
            chosen = data.draw(st.sets(st.sampled_from(names), max_size=5)) if names else ()
            new = [a_point(i, i, class_name="a") for i in range(data.draw(st.integers(1, 40)))]
            walk.act(act, [walk.done[-1][name] for name in chosen], new)
            assert everything(project) == walk.done[-1]
            assert sum(e.standing is Standing.DONE for e in project.history()) == (
                len(walk.done) - 1
            )
        assert project.check() == []
        assert len(project.in_view(1, EVERYWHERE, 10**6)) == len(walk.done[-1])


def test_what_objects_share_is_stored_as_plain_json(project: Project, nuclei: Make) -> None:
    project.insert(1, [nuclei(3)])
    project.close()
    with closing(sqlite3.connect(project.path)) as db:
        (detail,) = db.execute("SELECT detail FROM author").fetchone()
        (names,) = db.execute("SELECT list FROM measure_names").fetchone()
    assert json.loads(detail) == {"version": "1.0"}
    assert json.loads(names) == ["area µm²", "score"]
