"""Objects sorted into a class beside locked ones, which keep theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.errors import UsageError
from tilescope.io.registry import open_slide
from tilescope.jobs.project_slides import add_slide
from tilescope.store.project import Project

COUNT = 9000


@pytest.fixture
def project(tmp_path: Path, hes_slide: Path) -> Iterator[Project]:
    """Objects without a class, every third of them locked."""
    with Project.create(tmp_path / "study.tilescope") as made:
        with open_slide(hes_slide) as slide:
            number = add_slide(made, hes_slide, slide.info, slide.info.pixel_size)
        outline = shapely.to_wkb(shapely.box(10, 10, 20, 20), byte_order=1)
        names = [str(UUID(int=at + 1)) for at in range(COUNT)]
        made.insert(
            number, [[Annotation(n, outline, locked=at % 3 == 0) for at, n in enumerate(names)]]
        )
        yield made


def ids(project: Project, *, locked: bool) -> list[str]:
    return [one.id for batch in project.objects() for one in batch if one.locked is locked]


def test_locked_objects_keep_their_class(project: Project) -> None:
    free, locked = ids(project, locked=False), ids(project, locked=True)
    assert project.class_edits().assign([*free, *locked], "new") == (len(free), len(locked))
    assert project.counts_by_class() == {"new": len(free), None: len(locked)}
    assert project.class_edits().assign(free, "new") == (len(free), 0)
    assert project.class_edits().assign([*free, *locked], None) == (len(free), 0)
    for _ in range(3):
        project.undo()
    assert project.counts_by_class() == {None: COUNT}
    assert project.check() == []


def test_locked_objects_alone_are_refused_and_no_class_is_made(project: Project) -> None:
    locked, before = ids(project, locked=True), project.history()
    with pytest.raises(UsageError, match="3,000 objects are locked; unlock them first"):
        project.class_edits().assign(locked, "new")
    with pytest.raises(UsageError, match="the object is locked; unlock it first"):
        project.class_edits().assign(locked[:1], "new")
    assert project.history() == before
    assert project.classes() == []
    assert project.class_edits().assign(locked, None) == (0, 0)
