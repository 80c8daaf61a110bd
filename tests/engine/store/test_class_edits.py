"""Classes that are renamed, recoloured and deleted, and back: objects go with them."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
import shapely

from tilescope.domain.annotation import Annotation, ObjectClass
from tilescope.domain.geometry import Rect
from tilescope.errors import ProjectDamaged, UsageError
from tilescope.store.project import Project

TUMOUR, STROMA = ObjectClass("tumour", (1, 2, 3), "1"), ObjectClass("stroma", (4, 5, 6), "2")
EVERYWHERE = Rect(-1000, -1000, 1000, 1000)


@pytest.fixture
def sorted_project(project: Project) -> Project:
    """Return a project of two classes with three tumours (one locked), one stroma, one of none."""
    project.put_classes([TUMOUR, STROMA])
    names = ["tumour", "tumour", "tumour", "stroma", None]
    shapes = [shapely.to_wkb(shapely.Point(x, 0), byte_order=1) for x in range(5)]
    objects = [
        Annotation(str(uuid.uuid4()), shape, class_name=name, locked=x == 2)
        for x, (shape, name) in enumerate(zip(shapes, names, strict=True))
    ]
    project.insert(1, [objects])
    return project


def by_class(project: Project) -> dict[str | None, int]:
    counted: dict[str | None, int] = {}
    for batch in project.objects():
        for one in batch:
            counted[one.class_name] = counted.get(one.class_name, 0) + 1
    assert counted == project.counts_by_class()
    view = project.in_view(1, EVERYWHERE, 100)
    assert {view.class_names.get(number) for number in view.classes.tolist()} == set(counted)
    assert project.check() == []
    return counted


def test_objects_follow_a_class_that_is_renamed(sorted_project: Project) -> None:
    project = sorted_project
    project.class_edits().change("tumour", replace(TUMOUR, name="carcinoma"))
    assert project.classes() == [replace(TUMOUR, name="carcinoma"), STROMA]
    assert by_class(project) == {"carcinoma": 3, "stroma": 1, None: 1}
    undone = project.undo()
    assert undone is not None
    assert undone.label == "rename class tumour to carcinoma"
    assert project.classes() == [TUMOUR, STROMA]
    assert by_class(project) == {"tumour": 3, "stroma": 1, None: 1}
    project.redo()
    assert by_class(project) == {"carcinoma": 3, "stroma": 1, None: 1}
    project.undo()
    project.undo()
    assert by_class(project) == {}


def test_a_class_without_objects_is_renamed_as_an_edit_too(project: Project) -> None:
    project.put_classes([TUMOUR])
    project.class_edits().change("tumour", replace(TUMOUR, name="carcinoma"))
    assert project.undo() is not None
    assert project.classes() == [TUMOUR]


def test_what_is_drawn_after_a_rename_goes_into_the_renamed_class(sorted_project: Project) -> None:
    project = sorted_project
    project.class_edits().change("tumour", replace(TUMOUR, name="carcinoma"))
    shape = shapely.to_wkb(shapely.Point(9, 9), byte_order=1)
    project.insert(1, [[Annotation(str(uuid.uuid4()), shape, class_name="carcinoma")]])
    assert by_class(project)["carcinoma"] == 4
    project.put_class(ObjectClass("tumour", (7, 8, 9)))
    project.insert(1, [[Annotation(str(uuid.uuid4()), shape, class_name="tumour")]])
    assert by_class(project)["tumour"] == 1
    project.undo()
    project.undo()
    project.undo()
    # "tumour" was made anew meanwhile, and keeps its name.
    assert [one.name for one in project.classes()] == ["tumour (2)", "stroma", "tumour"]
    assert by_class(project) == {"tumour (2)": 3, "stroma": 1, None: 1}


def test_a_name_belongs_to_one_class(sorted_project: Project) -> None:
    before = sorted_project.history()
    with pytest.raises(UsageError, match="there is a class stroma already"):
        sorted_project.class_edits().change("tumour", replace(TUMOUR, name="stroma"))
    with pytest.raises(UsageError, match="there is no class necrosis"):
        sorted_project.class_edits().change("necrosis", TUMOUR)
    assert sorted_project.history() == before


def test_colour_and_key_are_an_edit_and_a_key_chooses_one_class(sorted_project: Project) -> None:
    project = sorted_project
    project.class_edits().change("stroma", ObjectClass("stroma", (7, 8, 9), "1"))
    assert project.classes() == [
        ObjectClass("tumour", (1, 2, 3)),
        ObjectClass("stroma", (7, 8, 9), "1"),
    ]
    project.undo()
    assert project.classes() == [TUMOUR, STROMA]


def test_objects_of_a_deleted_class_have_none_and_get_it_back(sorted_project: Project) -> None:
    project = sorted_project
    assert project.class_edits().remove("tumour") == 3
    assert project.classes() == [STROMA]
    assert by_class(project) == {"stroma": 1, None: 4}
    project.undo()
    assert project.classes() == [TUMOUR, STROMA]
    assert by_class(project) == {"tumour": 3, "stroma": 1, None: 1}
    project.redo()
    assert by_class(project) == {"stroma": 1, None: 4}


def test_a_class_goes_into_another(sorted_project: Project) -> None:
    project = sorted_project
    assert project.class_edits().remove("tumour", into="stroma") == 3
    assert project.classes() == [STROMA]
    assert by_class(project) == {"stroma": 4, None: 1}
    project.undo()
    assert by_class(project) == {"tumour": 3, "stroma": 1, None: 1}
    with pytest.raises(UsageError, match="into itself"):
        project.class_edits().remove("tumour", into="tumour")


def test_a_new_class_never_takes_the_place_of_a_deleted_one(sorted_project: Project) -> None:
    project = sorted_project
    project.class_edits().remove("stroma")
    project.put_class(ObjectClass("necrosis", (10, 11, 12), "2"))
    project.undo()
    assert by_class(project) == {"tumour": 3, "stroma": 1, None: 1}
    assert project.classes() == [
        TUMOUR,
        replace(STROMA, hot_key=None),  # its key has another owner now
        ObjectClass("necrosis", (10, 11, 12), "2"),
    ]


def test_a_record_of_classes_that_is_damaged_is_told(sorted_project: Project) -> None:
    project = sorted_project
    project.class_edits().change("tumour", replace(TUMOUR, name="carcinoma"))
    project._db.execute("UPDATE delta SET other = '[[1]]' WHERE field = 'classes'")
    with pytest.raises(ProjectDamaged):
        project.undo()
    assert project.classes()[0].name == "carcinoma"


def point(x: int, class_name: str) -> Annotation:
    shape = shapely.to_wkb(shapely.Point(x, 9), byte_order=1)
    return Annotation(str(uuid.uuid4()), shape, class_name=class_name)


def test_classes_that_an_edit_makes_come_and_go_with_it(sorted_project: Project) -> None:
    project = sorted_project
    before = project.classes()
    project.insert(1, [[point(1, "gland"), point(2, "tumour")], [point(3, "vessel")]])
    project.put_class(ObjectClass("gland", (7, 7, 7), "g"))
    project.insert(1, [[point(4, "gland")]])
    made = project.classes()
    assert [one.name for one in made[2:]] == ["gland", "vessel"]
    project.undo()
    assert project.classes() == made  # the edit that made it still holds
    project.undo()
    assert project.classes() == before
    assert by_class(project) == {"tumour": 3, "stroma": 1, None: 1}
    project.redo()
    assert project.classes() == made
    project.redo()
    assert project.classes() == made
    assert by_class(project) == {"tumour": 4, "stroma": 1, None: 1, "gland": 2, "vessel": 1}
    project.undo()
    project.undo()
    project.insert(1, [[point(1, "vessel"), point(2, "duct")]])  # and nothing is redone over it
    assert project.redo() is None
    assert by_class(project) == {"tumour": 3, "stroma": 1, None: 1, "vessel": 1, "duct": 1}


def test_a_class_that_somebody_sorted_objects_into_stays(sorted_project: Project) -> None:
    project = sorted_project
    new = point(1, "vessel")
    project.insert(1, [[new]])
    project.set_class([new.id], "duct")
    project.set_class([], "gland")
    project.undo()
    project.undo()
    assert [one.name for one in project.classes()] == ["tumour", "stroma", "duct", "gland"]
    twice = point(2, "duct")
    with pytest.raises(UsageError):
        project.insert(1, [[twice], [twice]])
    project.insert(1, [[point(3, "gland")]])
    project.undo()
    assert [one.name for one in project.classes()] == ["tumour", "stroma", "duct", "gland"]
