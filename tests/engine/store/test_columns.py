"""Objects given as tables are stored as if they were given one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shapely

from tilescope.domain.annotation import Annotation, Author
from tilescope.domain.annotation_ids import id_bytes
from tilescope.domain.annotation_rings import Rings
from tilescope.domain.annotation_table import AnnotationTable, Traits
from tilescope.domain.geometry import Rect
from tilescope.errors import UsageError
from tilescope.store.objects import BATCH
from tilescope.store.project import Project

MODEL = Author("model", "nuclei-unet", {"version": "1.0"})


def table_of(objects: list[Annotation], *, as_rings: bool = True) -> AnnotationTable:
    """Return polygons of one ring as a table."""
    kinds = [
        Traits(
            *(a.kind, a.class_name, a.name, tuple(a.measurements), a.locked),
            *(a.parent_id, a.author, a.z, a.t),
        )
        for a in objects
    ]
    traits: list[Traits] = []
    for one in kinds:
        if one not in traits:
            traits.append(one)
    geometry = [a.geometry for a in objects]
    points, index = shapely.get_coordinates(shapely.from_wkb(geometry), return_index=True)
    offsets = np.searchsorted(index, np.arange(len(objects) + 1))
    return AnnotationTable(
        np.array([[*id_bytes(a.id)] for a in objects], np.uint8),
        Rings(points, offsets) if as_rings else geometry,
        traits,
        np.array([traits.index(one) for one in kinds], np.int64),
        np.array([number for a in objects for number in a.measurements.values()], float),
    )


def varied(objects: list[Annotation]) -> list[Annotation]:
    """Return objects that differ in all that traits can say."""
    others = [
        replace(a, author=Author("user", "ada"), locked=True, z=1)
        if i % 7 == 0
        else replace(a, name=f"name {i % 3}", measurements={"score": i / 8})
        if i % 5 == 0
        else replace(a, parent_id=objects[0].id, measurements={})
        if i % 11 == 0
        else a
        for i, a in enumerate(objects)
    ]
    assert others != objects
    return others


def everything(project: Project) -> list[Annotation]:
    return sorted((a for batch in project.objects() for a in batch), key=lambda a: a.id)


def test_a_table_is_stored_as_its_objects_are(
    tmp_path: Path, nuclei: Callable[[int], list[Annotation]]
) -> None:
    objects = varied(nuclei(700))
    row = Annotation(objects[0].id[:-3] + "fff", shapely.to_wkb(shapely.Point(5, 5), byte_order=1))
    given = {
        "one": [objects, [row]],
        "rings": [table_of(objects), [row]],
        "wkb": [table_of(objects, as_rings=False), [row]],
        "mixed": [table_of(objects[:90]), objects[90:91], table_of(objects[91:]), [row]],
    }
    found = {}
    for name, batches in given.items():
        with Project.create(tmp_path / f"{name}.tilescope") as project:
            slide = project.add_slide(tmp_path / "a.svs", "a")
            assert project.insert(slide, batches) == 701
            view = project.in_view(slide, Rect(100, 200, 1500, 1300), 1000)
            found[name] = (
                everything(project),
                project.counts_by_class(),
                sorted(map(view.id_of, range(len(view)))),
            )
            assert project.check() == []
    assert found["one"][0] == sorted([*objects, row], key=lambda a: a.id)
    assert found["rings"] == found["wkb"] == found["mixed"] == found["one"]


def test_batches_of_any_size_are_laid_out_together(
    project: Project, nuclei: Callable[[int], list[Annotation]]
) -> None:
    objects = nuclei(BATCH + 300)
    cuts = [0, 1, 2, 300, 301, BATCH - 1, BATCH + 2, len(objects)]
    parts = [objects[a:b] for a, b in pairwise(cuts)]
    batches = [table_of(part) if i % 2 else part for i, part in enumerate(parts)]
    assert project.insert(1, [[], *batches, []]) == len(objects)
    assert everything(project) == sorted(objects, key=lambda a: a.id)
    assert project.check() == []


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_table_that_cannot_be_stored_adds_nothing(
    project: Project, nuclei: Callable[[int], list[Annotation]], number: float
) -> None:
    table = table_of(nuclei(40))
    table.numbers[-1] = number
    with pytest.raises(UsageError, match="not a finite number"):
        project.insert(1, [table])
    far = table_of(nuclei(40))
    assert isinstance(far.geometry, Rings)
    far.geometry.points[1] = number
    with pytest.raises(UsageError, match="infinite coordinates"):
        project.insert(1, [far])
    twins = table_of(nuclei(40))
    twins.ids[3] = twins.ids[8]
    with pytest.raises(UsageError, match="is already there"):
        project.insert(1, [twins])
    assert everything(project) == []
