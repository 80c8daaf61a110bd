"""What became of a class when the project says which classes there are now."""

from __future__ import annotations

from dataclasses import replace

from tilescope_desktop.model.object_classes import DEFAULT_CLASSES, followed

FIRST, SECOND, *REST = DEFAULT_CLASSES


def test_a_class_that_was_renamed_is_followed() -> None:
    now = followed(DEFAULT_CLASSES, [FIRST, replace(SECOND, name="Other name"), *REST])
    assert now(SECOND.name) == "Other name"
    assert now(FIRST.name) == FIRST.name
    assert now(None) is None


def test_a_class_that_is_gone_is_none() -> None:
    now = followed(DEFAULT_CLASSES, [FIRST, *REST])
    assert now(SECOND.name) is None
    assert now(FIRST.name) == FIRST.name


def test_classes_of_another_project_are_not_taken_for_renamed_ones() -> None:
    others = [replace(one, name=f"{one.name} of theirs") for one in DEFAULT_CLASSES]
    assert followed(DEFAULT_CLASSES, others)(FIRST.name) is None


def test_a_class_that_is_on_its_way_stays() -> None:
    assert followed(DEFAULT_CLASSES, DEFAULT_CLASSES)("just added") == "just added"
