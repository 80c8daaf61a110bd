"""Outlines put together, cut and rounded: each function is one edit of a project.

They run in the project's thread. The object that was selected first keeps its id, class and place
among others; what it becomes is measured again, and holds what lay in the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.errors import UsageError
from tilescope.ops.combination import difference, intersection, union
from tilescope.ops.smoothing import smooth
from tilescope.store.project import Project
from tilescope_desktop.model.project_tasks import OpenSlide, reshaped

#: Changes the outlines of objects by their ids, in the order in which they were selected.
OutlineEdit = Callable[[Project, OpenSlide, Sequence[str]], None]

_AREA = 2


def unite(project: Project, slide: OpenSlide, ids: Sequence[str]) -> None:
    """Make one object of several.

    Raises
    ------
    UsageError
        When there are fewer than two areas of one plane, or one is locked.
    """
    _become_one(project, slide, _areas(project, ids, 2), union, "unite objects")


def intersect(project: Project, slide: OpenSlide, ids: Sequence[str]) -> None:
    """Make one object of what several have in common.

    Raises
    ------
    UsageError
        As ``unite``; and when they have nothing in common.
    """
    _become_one(project, slide, _areas(project, ids, 2), intersection, "intersect objects")


def cut_out(project: Project, slide: OpenSlide, ids: Sequence[str]) -> None:
    """Cut the other objects out of the first, and keep them.

    Raises
    ------
    UsageError
        As ``unite``; and when nothing would be left.
    """
    first, *others = _areas(project, ids, 2)
    left = difference(_shape(first), [_shape(one) for one in others])
    if left is None:
        raise UsageError("nothing was changed: the other objects cover the first one")
    project.edit([reshaped(first, left, slide.pixel_size)], label="cut out objects")


def round_off(project: Project, slide: OpenSlide, ids: Sequence[str]) -> None:
    """Round the corners of outlines; their areas stay.

    Raises
    ------
    UsageError
        When one is no area, or locked.
    """
    found = _areas(project, ids, 1)
    smoothed = smooth(np.array([_shape(one) for one in found], object))
    changed = [
        reshaped(one, shape, slide.pixel_size) for one, shape in zip(found, smoothed, strict=True)
    ]
    project.edit(changed, label="smooth outlines")


def _become_one(
    project: Project,
    slide: OpenSlide,
    found: Sequence[Annotation],
    combine: Callable[[Sequence[shapely.Geometry]], shapely.Geometry | None],
    label: str,
) -> None:
    shape = combine([_shape(one) for one in found])
    if shape is None or slide.number is None:
        raise UsageError("nothing was changed: the selected objects have no area in common")
    ids = [each.id for each in found]
    inside = _lying_in(project, slide.number, ids)
    if any(one.locked for one in inside):
        raise UsageError("nothing was changed: an object in them is locked; unlock it first")
    one = replace(
        reshaped(found[0], shape, slide.pixel_size), parent_id=_holder(project, found[0], ids)
    )
    moved = [replace(each, parent_id=one.id) for each in inside]
    gone = [*ids, *(each.id for each in moved)]
    project.replace(gone, slide.number, [[one, *moved]], label=label)


def _lying_in(project: Project, number: int, ids: Sequence[str]) -> list[Annotation]:
    """Return what lies directly in one of the objects but the first, and is none of them."""
    family = project.family(number)
    names = [
        kin.id
        for parent in ids[1:]
        for class_name, count in family.counts(parent).items()
        for kin in family.page(parent, class_name, limit=count)
    ]
    return [one for one in map(project.get, names) if one is not None and one.id not in ids]


def _holder(project: Project, first: Annotation, ids: Sequence[str]) -> str | None:
    """Return what the united object lies in: nothing that lies in one of those that it was."""
    holder = above = first.parent_id
    passed = set[str]()
    while above is not None and above not in passed:
        passed.add(above)
        found = project.get(above)
        upper = None if found is None else found.parent_id
        if above in ids:
            holder = upper
        above = upper
    return holder


def _areas(project: Project, ids: Sequence[str], least: int) -> list[Annotation]:
    """Return objects that may be changed together."""
    found = [one for one in map(project.get, ids) if one is not None]
    if len(found) < least:
        raise UsageError("nothing was changed: select two objects or more")
    if any(one.locked for one in found):
        raise UsageError("nothing was changed: a selected object is locked; unlock it first")
    if any(shapely.get_dimensions(_shape(one)) != _AREA for one in found):
        raise UsageError("nothing was changed: lines and points have no area")
    if len({(one.z, one.t) for one in found}) > 1:
        raise UsageError("nothing was changed: the selected objects lie in different planes")
    return found


def _shape(one: Annotation) -> shapely.Geometry:
    return shapely.from_wkb(one.geometry)
