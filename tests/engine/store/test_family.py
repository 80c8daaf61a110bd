"""Which objects lie in which others: counted and listed without reading them all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.store.project import Project


def box(number: int, **changes: object) -> Annotation:
    x, y = 20 * (number % 100), 20 * (number // 100)
    shape = shapely.to_wkb(shapely.box(x, y, x + 9, y + 9), byte_order=1)
    return replace(Annotation(str(UUID(int=number + 1)), shape), **changes)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "some.tilescope", user="ada") as made:
        made.add_slide(tmp_path / "slide.svs", "slide", name="slide")
        made.add_slide(tmp_path / "other.svs", "other", name="other")
        yield made


def ids(project: Project, parent: str | None, class_name: str | None, limit: int) -> list[str]:
    """Return all pages of a branch, one after the other."""
    family, found, after = project.family(1), [], -1
    while page := family.page(parent, class_name, after, limit):
        assert len(page) <= limit
        found += [one.id for one in page]
        after = page[-1].row
    return found


def test_without_parents_all_objects_stand_at_the_top(project: Project) -> None:
    tumour = [box(n, class_name="Tumor") for n in range(70)]
    others = [box(n) for n in range(70, 80)]
    project.insert(1, [[*tumour, *others]])
    project.insert(2, [[box(500)]])
    assert project.family(1).counts() == {None: 10, "Tumor": 70}
    for limit in (1, 7, 200):
        assert sorted(ids(project, None, "Tumor", limit)) == sorted(one.id for one in tumour)
    assert project.family(1).counts(tumour[0].id) == {}


def test_children_are_counted_and_listed_below_their_parent(project: Project) -> None:
    gland = box(0, class_name="Gland", name="left", locked=True)
    cells = [box(n, parent_id=gland.id, kind="cell") for n in range(1, 90)]
    nucleus = box(90, parent_id=cells[0].id, kind="detection", class_name="Tumor")
    project.insert(1, [[gland, *cells, nucleus, box(91)]])
    family = project.family(1)
    assert family.counts() == {None: 1, "Gland": 1}
    (top,) = family.page(None, "Gland")
    assert (top.id, top.name, top.locked, top.children) == (gland.id, "left", True, 89)
    assert top.box_l0 == (0, 0, 9, 9)
    assert family.counts(gland.id) == {None: 89}
    assert sorted(ids(project, gland.id, None, 8)) == sorted(one.id for one in cells)
    by_id = {one.id: one for one in family.page(gland.id, None)}
    assert by_id[cells[0].id].children == 1
    assert by_id[cells[1].id].children == 0
    assert by_id[cells[0].id].kind == "cell"
    assert [one.id for one in family.page(cells[0].id, "Tumor")] == [nucleus.id]


def test_objects_are_listed_with_their_planes(project: Project) -> None:
    planes = [(n % 3, n % 2) for n in range(90)]
    made = [box(n, z=z, t=t) for n, (z, t) in enumerate(planes)]
    project.insert(1, [made])
    listed = {one.id: one.plane for one in project.family(1).page(None, None)}
    assert listed == {one.id: (one.z, one.t) for one in made}


def test_children_of_what_was_deleted_stand_at_the_top_and_go_back_with_it(
    project: Project,
) -> None:
    gland, cell = box(0), box(1, class_name="Tumor")
    project.insert(1, [[gland, replace(cell, parent_id=gland.id)]])
    assert project.family(1).counts() == {None: 1}
    project.delete([gland.id])
    assert project.family(1).counts() == {"Tumor": 1}
    assert ids(project, None, "Tumor", 5) == [cell.id]
    project.undo()
    assert project.family(1).counts() == {None: 1}
    assert ids(project, None, "Tumor", 5) == []


def test_a_parent_keeps_its_children_when_its_outline_changes(project: Project) -> None:
    gland, cell = box(0), box(1)
    project.insert(1, [[gland, replace(cell, parent_id=gland.id)]])
    project.edit([replace(gland, geometry=box(300).geometry)])
    (top,) = project.family(1).page(None, None)
    assert (top.id, top.children) == (gland.id, 1)
