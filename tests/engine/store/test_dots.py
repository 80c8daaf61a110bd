"""Objects as dots: all of them without their outlines, and only what was changed since."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Rect
from tilescope.store import dots
from tilescope.store.dots import DotReader, Dots
from tilescope.store.project import Project, Selection
from tilescope.store.schema import LEAF_SIZE

COUNT = 200


def circle(number: int, x: float, y: float, **changes: object) -> Annotation:
    shape = shapely.Point(x, y).buffer(5)
    values: dict[str, object] = {"kind": "detection", "class_name": "a", **changes}
    return Annotation(str(UUID(int=number)), shapely.to_wkb(shape, byte_order=1), **values)


@pytest.fixture
def project(tmp_path: Path, rng: np.random.Generator) -> Iterator[Project]:
    places = rng.uniform(0, 1000, (COUNT, 2)).tolist()
    with Project.create(tmp_path / "p.tilescope") as made:
        first = made.add_slide(Path("a.svs"), "a")
        other = made.add_slide(Path("b.svs"), "b")
        made.insert(first, [[circle(i, x, y) for i, (x, y) in enumerate(places)]])
        made.insert(first, [[circle(COUNT + i, 10, 10, z=1) for i in range(3)]])
        made.insert(other, [[circle(2 * COUNT + i, 10, 10) for i in range(5)]])
        yield made


def everything(reader: DotReader) -> Iterator[Dots]:
    leaf = -1
    while len(found := reader.after(leaf)):
        yield found
        leaf = int(found.leaves[-1])


def test_every_object_of_the_plane_is_a_dot(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dots, "AT_ONCE", 3)
    parts = list(everything(project.dots(1)))
    assert len(parts) > 1
    view = project.in_view(1, Rect(-100, -100, 2000, 2000), 10**6)
    boxes = np.concatenate([part.boxes for part in parts])
    assert len(boxes) == len(view) == COUNT
    assert all(part.there.all() and part.ends[-1] == len(part) for part in parts)
    starts = view.ring_offsets[view.object_offsets[:-1]]
    low = np.minimum.reduceat(view.points, starts)
    np.testing.assert_allclose(np.sort(boxes[:, :2], axis=0), np.sort(low, axis=0), atol=1e-3)
    assert sum(len(part) for part in everything(project.dots(1, z=1))) == 3
    assert sum(len(part) for part in everything(project.dots(2))) == 5


EDITS: list[tuple[Callable[[Project], object], list[int]]] = [
    (lambda p: p.delete([str(UUID(int=7))]), [7]),
    (lambda p: p.set_class([str(UUID(int=9))], "b"), [9]),
    (lambda p: p.insert(1, [[circle(999, 500, 500)]]), [999]),
    (lambda p: p.edit([circle(11, 600, 600)]), [11]),
]


@pytest.mark.parametrize(("edit", "touched"), EDITS)
def test_what_an_edit_touched_is_in_the_leaves_that_are_named(
    project: Project, edit: Callable[[Project], object], touched: list[int]
) -> None:
    reader = project.dots(1)
    mark = reader.mark()
    before = leaf_of(reader)
    edit(project)
    after = leaf_of(reader)
    now, leaves = reader.changed(mark, 1000)
    assert leaves is not None
    assert len(leaves) <= 2
    for number in touched:
        places = {table[number] for table in (before, after) if number in table}
        assert places <= set(leaves.tolist())
    project.undo()
    later, back = reader.changed(now, 1000)
    assert later > now
    assert back is not None
    assert back.tolist() == leaves.tolist()
    assert reader.changed(later, 1000)[1].tolist() == []


def leaf_of(reader: DotReader) -> dict[int, int]:
    """Return the leaf in which each object that is there lies."""
    found = {}
    for part in everything(reader):
        rows = part.rows[part.there]
        view = reader.outlines(rows)
        for index, row in enumerate(rows.tolist()):
            found[UUID(view.id_of(index)).int] = row // LEAF_SIZE
    return found


def test_a_large_edit_means_everything(project: Project) -> None:
    reader = project.dots(1)
    mark = reader.mark()
    project.delete(Selection(slide=1))
    assert reader.changed(mark, 10)[1] is None
    assert reader.changed(mark, 1000)[1] is not None
    assert reader.changed(reader.mark() + 1, 1000)[1] is None
    assert len(reader.after(-1)) == 0


def test_leaves_are_read_again_with_what_is_gone(project: Project) -> None:
    reader = project.dots(1)
    whole = next(everything(reader))
    gone = reader.outlines(whole.rows[:1]).id_of(0)
    project.delete([gone])
    again = reader.of(whole.leaves)
    np.testing.assert_array_equal(again.rows, whole.rows)
    assert np.flatnonzero(~again.there).tolist() == [0]
    assert len(again.leaf_boxes()) == len(whole.leaves)
    assert len(reader.outlines(whole.rows[:2])) == 1
    assert len(project.dots(2).of(whole.leaves)) == 0


def test_outlines_are_those_of_the_objects(project: Project) -> None:
    reader = project.dots(1)
    rows = next(everything(reader)).rows[:4]
    view = reader.outlines(rows)
    for index in range(4):
        found = project.get(view.id_of(index))
        assert found is not None
        ring = view.points[view.ring_offsets[index] : view.ring_offsets[index + 1]]
        np.testing.assert_allclose(
            ring, shapely.get_coordinates(shapely.from_wkb(found.geometry)), atol=1e-3
        )
