"""Which slide an edit lies on, told where it is undone and redone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
import shapely

from tilescope.domain.annotation import Annotation, ObjectClass
from tilescope.errors import UsageError
from tilescope.io.registry import open_slide
from tilescope.jobs.project_slides import add_slide
from tilescope.store.project import Project


def square(number: int) -> Annotation:
    return Annotation(
        str(UUID(int=number)), shapely.to_wkb(shapely.box(10, 10, 20, 20), byte_order=1)
    )


@pytest.fixture
def project(tmp_path: Path, hes_slide: Path, dapi_image: Path) -> Iterator[Project]:
    """Two slides with two objects each, numbered from 10 and from 20."""
    with Project.create(tmp_path / "study.tilescope") as made:
        for number, path in enumerate((hes_slide, dapi_image), 1):
            with open_slide(path) as slide:
                assert add_slide(made, path, slide.info, slide.info.pixel_size) == number
            made.insert(number, [[square(10 * number), square(10 * number + 1)]])
        yield made


def slides(project: Project) -> tuple[int | None, int | None]:
    """Undo the newest edit, redo it, and return which slides were told."""
    undone, redone = project.undo(), project.redo()
    assert undone is not None
    assert redone is not None
    return undone.slide, redone.slide


def test_edits_of_every_kind_tell_their_slide(project: Project) -> None:
    first, second = [str(UUID(int=number)) for number in (10, 20)]
    assert slides(project) == (2, 2)
    project.edit([square(10)])
    assert slides(project) == (1, 1)
    project.set_locked([second], True)
    assert slides(project) == (2, 2)
    project.set_class([first], "new")
    assert slides(project) == (1, 1)
    project.delete([first])
    assert slides(project) == (1, 1)


def test_edits_of_several_slides_or_of_none_tell_none(project: Project) -> None:
    project.set_class([str(UUID(int=number)) for number in (10, 20)], "new")
    assert slides(project) == (None, None)
    project.class_edits().change("new", ObjectClass("new", (1, 2, 3)))
    assert slides(project) == (None, None)


def test_one_that_is_locked_is_spoken_of_as_one(project: Project) -> None:
    names = [str(UUID(int=number)) for number in (10, 11, 20)]
    for locked, wanted, words in (
        (names[:1], names[:1], "^the object is locked; unlock it first"),
        (names[:1], names, "^one of the objects is locked; unlock it first"),
        (names[:2], names, "^2 of the objects are locked; unlock them first"),
    ):
        project.set_locked(locked, True)
        with pytest.raises(UsageError, match=words):
            project.delete(wanted)
