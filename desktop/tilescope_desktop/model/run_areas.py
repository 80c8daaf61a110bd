"""Areas that a model runs in: each function reads them in the project's thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import shapely

from tilescope.domain.annotation import Annotation
from tilescope.errors import UsageError
from tilescope.ops.areas import MOST_AREAS, Areas
from tilescope.store.project import Project, Selection
from tilescope_desktop.model.project_tasks import OpenSlide

_AREA = 2
#: Objects of a class that are looked at to tell whether it has areas; of more it is believed.
_MOST_LOOKED_AT = 5000


def areas_of_selection(project: Project, slide: OpenSlide, ids: Sequence[str]) -> Areas:
    """Return the areas that are selected.

    Raises
    ------
    UsageError
        When nothing is selected, or something that has no area or lies in another plane.
    """
    found = [one for one in map(project.get, ids) if one is not None]
    if not found:
        raise UsageError("Nothing is selected.")
    shapes = [shapely.from_wkb(one.geometry) for one in found]
    flat = sum(_is_flat(shape) for shape in shapes)
    if flat:
        of_all = "The selected object" if len(found) == 1 else f"{flat:,} of the selected objects"
        verb = "has" if flat == 1 else "have"
        raise UsageError(f"{of_all} {verb} no area; select outlines that enclose something.")
    if any((one.z, one.t) != slide.plane for one in found):
        raise UsageError("The selection lies in another plane; select outlines of this one.")
    return _together(shapes, "The selection")


def areas_of_class(project: Project, slide: OpenSlide, class_name: str | None) -> Areas:
    """Return the areas of a class on the plane of a slide that is shown, whoever made them.

    Raises
    ------
    UsageError
        When there are none, or too many.
    """
    shapes: list[shapely.Geometry] = []
    for batch in _batches(project, slide, class_name):
        shapes += _areas_in(batch, slide)
        if len(shapes) > MOST_AREAS:
            raise UsageError(
                f"{_said(class_name)} has more than {MOST_AREAS:,} areas; choose one of regions."
            )
    if not shapes:
        what = "unclassified outline" if class_name is None else f"outline of class {class_name}"
        raise UsageError(f"No {what} lies on this plane; draw an area first, or choose a class.")
    return _together(shapes, _said(class_name))


def classes_with_areas(project: Project, slide: OpenSlide) -> tuple[str | None, ...]:
    """Return the classes that have areas on the plane of a slide that is shown; None is no class.

    A class whose first few thousand objects are all points or lines is believed to have one.
    """
    if slide.number is None:
        return ()
    counts = project.counts_by_class(slide.number)
    names = [one.name for one in project.classes()]
    ordered = [name for name in [*names, None] if counts.get(name)]
    return tuple(name for name in ordered if _has_area(project, slide, name))


def _has_area(project: Project, slide: OpenSlide, class_name: str | None) -> bool:
    seen = 0
    for batch in _batches(project, slide, class_name):
        seen += len(batch)
        if seen > _MOST_LOOKED_AT or any(True for _ in _areas_in(batch, slide)):
            return True
    return False


def _batches(
    project: Project, slide: OpenSlide, class_name: str | None
) -> Iterable[Sequence[Annotation]]:
    if slide.number is None:
        return ()
    return project.objects(Selection(slide=slide.number, class_names=(class_name,)))


def _areas_in(batch: Sequence[Annotation], slide: OpenSlide) -> Iterator[shapely.Geometry]:
    """Yield the areas among objects that lie on the plane that is shown."""
    shown = [one.geometry for one in batch if (one.z, one.t) == slide.plane]
    for shape in shapely.from_wkb(shown):
        if not _is_flat(shape):
            yield shape


def _is_flat(shape: shapely.Geometry) -> bool:
    return bool(shapely.get_dimensions(shape) != _AREA)


def _together(shapes: Iterable[shapely.Geometry], said: str) -> Areas:
    try:
        return Areas.of(shapes)
    except ValueError as exc:
        raise UsageError(f"{said} {exc}.") from exc


def _said(class_name: str | None) -> str:
    return "What has no class" if class_name is None else f"The class {class_name}"
