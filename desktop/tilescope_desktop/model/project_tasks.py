"""What the window asks of a project: each function runs in the project's thread."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import shapely

from tilescope.domain.annotation import Annotation, Author, ObjectClass
from tilescope.domain.geometry import Point, Rect
from tilescope.domain.scale import PixelSize
from tilescope.domain.slide import SlideInfo
from tilescope.errors import UsageError
from tilescope.io.address import parse_address
from tilescope.jobs.project_slides import (
    add_slide,
    enter_pixel_size,
    entered_pixel_size,
    forget_pixel_size,
)
from tilescope.ops import measures
from tilescope.ops.validity import clean
from tilescope.store.history import Edit, Standing
from tilescope.store.project import Project, Selection, View
from tilescope_desktop.model.authors import edited, stored_prompt
from tilescope_desktop.model.object_style import ObjectStyle
from tilescope_desktop.model.picking import inside_box, object_at
from tilescope_desktop.model.tools.tool import Draw, Pick, PickBox, Reshape, Selected
from tilescope_desktop.model.view_parts import KINDS, selected

#: Objects that can be selected together, and those of them whose outline is marked.
MOST_SELECTED = 50_000
_MOST_MARKED = 500
_CANDIDATES = 2000
_NOT_STORED = ("Centroid X", "Centroid Y")
_EDITS = 50
_NOUNS = ("point", "line", "area")
_CLICK, _REFINE = "click", "refine by a click"
#: What edits are called that a click made; Escape takes back these and no others.
CLICKS = (_CLICK, _REFINE)


@dataclass(slots=True, eq=False)
class OpenSlide:
    """A slide in the window, and what it is in the project.

    Attributes
    ----------
    identity
        What projects know it by, as it was when it was opened; None where it cannot be in one.
    number
        Its number in the open project; None while nothing of it is there.
    entered_um
        What the open project knows that the user said of the size of a pixel, in micrometres.
    pixel_size
        What the user or else the slide says.
    plane
        z and t that are shown.
    """

    path: Path
    info: SlideInfo
    identity: str | None = None
    number: int | None = None
    entered_um: float | None = None
    pixel_size: PixelSize | None = None
    plane: tuple[int, int] = (0, 0)

    def refusal(self) -> UsageError:
        """Return why it cannot be in a project, and what to do."""
        name = parse_address(self.path).name
        return UsageError(f"{name}: a project holds slides on a disk; copy the slide to one first")

    def meets(self, geometry: shapely.Geometry) -> bool:
        """Tell whether any of an outline lies on it."""
        size = self.info.size
        return bool(shapely.box(0, 0, size.width, size.height).intersects(geometry))

    def is_same(self, other: OpenSlide | None) -> bool:
        """Tell whether both are one slide of the project, which may be open twice."""
        if other is None or self is other:
            return self is other
        return self.number is not None and self.number == other.number


@dataclass(slots=True, eq=False)
class Fresh:
    """An object that is painted from memory until a picture of the project shows it.

    ``revision`` is None until it is stored.
    """

    slide: OpenSlide
    annotation: Annotation
    revision: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Objects by their ids, ``total`` of them in all where not all can be selected."""

    ids: tuple[str, ...]
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What the window has to know after something was done.

    Attributes
    ----------
    counts
        Objects by class of every open slide.
    undo, redo
        What would be undone and done again, None for nothing.
    slide, ids, marked
        What is selected, on which slide, and the outlines of the first of them.
    """

    classes: tuple[ObjectClass, ...]
    counts: dict[OpenSlide, dict[str | None, int]]
    undo: str | None
    redo: str | None
    slide: OpenSlide | None = None
    ids: tuple[str, ...] = ()
    marked: tuple[Selected, ...] = ()


def state_of(
    project: Project,
    slides: Sequence[OpenSlide],
    slide: OpenSlide | None,
    ids: Sequence[str],
) -> State:
    """Return what holds now; of the selection what is still there."""
    edits = project.history(_EDITS)
    done = [edit.label for edit in edits if edit.standing is Standing.DONE]
    undone = [edit.label for edit in edits if edit.standing is Standing.UNDONE]
    marked, there = [], list(ids[_MOST_MARKED:])
    for name in ids[:_MOST_MARKED]:
        found = project.get(name)
        if found is not None:
            shape = shapely.from_wkb(found.geometry)
            place = found.z, found.t
            marked.append(
                Selected(name, shape, found.class_name, found.locked, found.author, place)
            )
    there = [*(one.id for one in marked), *there]
    return State(
        tuple(project.classes()),
        {s: {} if s.number is None else project.counts_by_class(s.number) for s in slides},
        done[0] if done else None,
        undone[-1] if undone else None,
        slide if there else None,
        tuple(there),
        tuple(marked),
    )


def find_slides(project: Project, slides: Sequence[OpenSlide]) -> None:
    """Give open slides their numbers; one that was moved is linked anew."""
    known = {record.identity: record for record in project.slides()}
    for slide in slides:
        record = None if slide.identity is None else known.get(slide.identity)
        slide.number = None if record is None else record.slide
        slide.entered_um = None if record is None else entered_pixel_size(record)
        if record is None or not project.writable:
            continue
        if not record.is_found(project.path):
            project.relink(record.slide, slide.path, record.identity)


def put_slide(project: Project, slide: OpenSlide) -> int:
    """Return the number of a slide, which is added if it is new."""
    if slide.number is None:
        slide.number = add_slide(
            project, slide.path, slide.info, slide.pixel_size, identity=slide.identity
        )
    return slide.number


def enter_size(
    project: Project, slide: OpenSlide, um_per_px: float | None, slides: Sequence[OpenSlide]
) -> None:
    """Store what the user says of the size of a pixel; a slide that is new is added.

    What was measured on its objects follows.

    Parameters
    ----------
    um_per_px
        None goes back to what the slide says itself.
    slides
        All that are open: the same slide may be open twice.
    """
    number = put_slide(project, slide)
    if um_per_px is None:
        forget_pixel_size(project, number, slide.info)
    else:
        enter_pixel_size(project, number, um_per_px)
    slide.entered_um = um_per_px
    find_slides(project, slides)


def insert(
    project: Project,
    slide: OpenSlide,
    annotations: Sequence[Annotation],
    label: str,
    slides: Sequence[OpenSlide],
) -> None:
    """Add objects to a slide, which is added too if it is new; ``slides`` as in `enter_size`."""
    is_new = slide.number is None
    project.insert(put_slide(project, slide), [annotations], label=label)
    if is_new:
        find_slides(project, slides)


def drawn(
    wish: Draw, slide: OpenSlide, class_name: str | None, user: str = ""
) -> tuple[Annotation, str]:
    """Return the object that was drawn, valid and measured, and what to call the edit.

    Raises
    ------
    UsageError
        When the outline cannot be an object.
    """
    shape = _cleaned(wish.geometry)
    z, t = wish.plane or slide.plane
    annotation = Annotation(
        str(uuid4()),
        _wkb(shape),
        wish.kind,
        class_name,
        measurements=measured(shape, slide.pixel_size),
        author=wish.author or Author("user", user),
        z=z,
        t=t,
    )
    if stored_prompt(annotation.author) is not None:
        return annotation, _CLICK
    return annotation, f"draw {_NOUNS[shapely.get_dimensions(shape)]}"


def slide_aside(project: Project, edit: Edit | None, shown: Collection[int | None]) -> str:
    """Return the name of the slide of an edit when it is none of those that are shown, else ""."""
    if edit is None or edit.slide is None or edit.slide in shown:
        return ""
    return next((one.name for one in project.slides() if one.slide == edit.slide), "")


def undo_click(project: Project) -> Edit | None:
    """Take the newest edit back if a click made it; None when it did not."""
    newest = next((e for e in project.history(_EDITS) if e.standing is Standing.DONE), None)
    is_click = newest is not None and newest.label in CLICKS
    return project.undo() if is_click else None


def reshape(project: Project, wish: Reshape, pixel_size: PixelSize | None) -> None:
    """Give an object its new outline and measure it again, or delete it.

    Raises
    ------
    UsageError
        When it is gone or locked, or the outline cannot be an object.
    """
    if wish.geometry is None:
        project.delete([wish.object_id])
        return
    old = project.get(wish.object_id)
    if old is None:
        raise UsageError("the object is no longer there")
    new = reshaped(old, wish.geometry, pixel_size, wish.author)
    label = "change outline" if stored_prompt(wish.author) is None else _REFINE
    project.edit([new], label=label)


def foreseen(
    wish: Reshape, slide: OpenSlide, marked: Sequence[Selected]
) -> tuple[tuple[Selected, ...], list[Fresh]]:
    """Return what is marked once an object has its new outline, and what to paint until then."""
    known = next((one for one in marked if one.id == wish.object_id), None)
    if wish.geometry is None or known is None:
        return tuple(marked), []
    author = wish.author or (known.author and edited(known.author))
    changed = replace(known, geometry=wish.geometry, author=author)
    shown, _ = drawn(Draw(wish.geometry, plane=known.plane), slide, known.class_name)
    after = tuple(changed if one is known else one for one in marked)
    return after, [Fresh(slide, replace(shown, id=known.id))]


def reshaped(
    old: Annotation,
    geometry: shapely.Geometry,
    pixel_size: PixelSize | None,
    author: Author | None = None,
) -> Annotation:
    """Return an object with another outline, measured again.

    Parameters
    ----------
    author
        Who made the outline; None is the user, by hand.
    """
    shape = _cleaned(geometry)
    stale = measured(shapely.from_wkb(old.geometry), pixel_size)
    kept = {name: value for name, value in old.measurements.items() if name not in stale}
    return replace(
        old,
        geometry=_wkb(shape),
        measurements={**kept, **measured(shape, pixel_size)},
        author=author or edited(old.author),
    )


def delete(project: Project, ids: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """Delete objects that are not locked; return how many, and the ids of those that stay.

    Raises
    ------
    UsageError
        When all of them are locked.
    """
    try:
        return project.delete(ids), ()
    except UsageError:
        found = [one for one in map(project.get, ids) if one is not None]
        free = [one.id for one in found if not one.locked]
        if not free:
            raise
        return project.delete(free), tuple(one.id for one in found if one.locked)


def put_into(project: Project, ids: Sequence[str], parent: str | None) -> None:
    """Let objects lie in another, or in none, as one edit.

    Raises
    ------
    UsageError
        When one is gone or locked, or would lie in itself.
    """
    found = [project.get(name) for name in ids]
    above, name = set[str](), parent
    while name is not None and name not in above:
        above.add(name)
        holder = project.get(name)
        name = None if holder is None else holder.parent_id
    if above & set(ids):
        raise UsageError("an object cannot lie in itself, nor in one that lies in it")
    moved = [replace(one, parent_id=parent) for one in found if one and one.parent_id != parent]
    if moved:
        label = "take out of its object" if parent is None else "put into an object"
        project.edit(moved, label=label)


def measured(shape: shapely.Geometry, pixel_size: PixelSize | None) -> dict[str, float]:
    """Return the measurements of an outline by the names that QuPath gives them."""
    columns = measures.measure(np.array([shape], object), pixel_size).named()
    return {
        name: round(float(values[0]), 4)
        for name, values in columns.items()
        if not name.startswith(_NOT_STORED) and np.isfinite(values[0])
    }


def picked(
    project: Project, slide: OpenSlide, wish: Pick, style: ObjectStyle, before: Sequence[str]
) -> tuple[str, ...]:
    """Return what is selected after a click."""
    name = _name_at(project, slide, wish.at_l0, wish.reach_px, style)
    if wish.keeps and (name is None or name in before):
        return tuple(before)
    if not wish.toggles:
        return () if name is None else (name,)
    kept = tuple(one for one in before if one != name)
    return kept if name is None or name in before else (*kept, name)


def boxed(
    project: Project, slide: OpenSlide, wish: PickBox, style: ObjectStyle, before: Sequence[str]
) -> tuple[str, ...]:
    """Return what is selected after a box was drawn."""
    rect = _around(wish.frame.placed(shapely.box(*wish.box)).bounds)
    found = _shown(project, slide, rect, MOST_SELECTED, style)
    names = []
    if found is not None:
        names = [found.id_of(int(i)) for i in inside_box(found, wish.box, wish.frame)]
    kept = before if wish.adds else ()
    return tuple(dict.fromkeys([*kept, *names]))[:MOST_SELECTED]


def all_of(project: Project, slide: OpenSlide, style: ObjectStyle) -> Found:
    """Return the objects of a slide that are shown, up to those that can be selected."""
    found = _shown(project, slide, Rect(-(2**30), -(2**30), 2**30, 2**30), MOST_SELECTED, style)
    if found is None:
        return Found((), 0)
    ids = tuple(found.id_of(index) for index in range(len(found)))
    if found.is_complete:
        return Found(ids, len(ids))
    total = _count_shown(project, slide, style)
    if len(ids) < min(total, MOST_SELECTED):  # what is hidden was read in the place of the rest
        ids = tuple(islice(_ids_shown(project, slide, style), MOST_SELECTED))
    return Found(ids, total)


def still_shown(project: Project, ids: Sequence[str], style: ObjectStyle) -> tuple[str, ...]:
    """Return those objects that a style shows."""
    found = (project.get(name) for name in ids)
    return tuple(one.id for one in found if one and style.shows(one.kind, one.class_name))


def _count_shown(project: Project, slide: OpenSlide, style: ObjectStyle) -> int:
    """Return how many objects of the plane in sight are shown; the slide is in the project."""
    count, last = 0, -1
    if slide.number is None:
        return count
    z, t = slide.plane
    reader = project.dots(slide.number, z=z, t=t)
    names = reader.names()
    while len(dots := reader.after(last)):
        is_shown = style.shown(dots.classes, dots.kinds, names)
        count += int(np.count_nonzero(is_shown & dots.there))
        last = int(dots.leaves[-1])
    return count


def _ids_shown(project: Project, slide: OpenSlide, style: ObjectStyle) -> Iterator[str]:
    """Yield the objects of the plane in sight that are shown, kind by kind."""
    names = (None, *(one.name for one in project.classes()))
    shown = tuple(name for name in names if name not in style.hidden)
    for kind in KINDS:
        if not style.shows_kind(kind):
            continue
        for batch in project.objects(Selection(slide.number, shown, kind)):
            yield from (one.id for one in batch if (one.z, one.t) == slide.plane)


def _name_at(
    project: Project, slide: OpenSlide, at: Point, reach: float, style: ObjectStyle
) -> str | None:
    rect = _around((at.x - reach, at.y - reach, at.x + reach, at.y + reach))
    found = _shown(project, slide, rect, _CANDIDATES, style)
    if found is not None and not found.is_complete and reach > 1:
        # Of a crowd, seen from afar, what is nearest; not any that happens to be read first.
        return _name_at(project, slide, at, reach / 4, style)
    index = None if found is None else object_at(found, at, reach)
    return None if found is None or index is None else found.id_of(index)


def _shown(
    project: Project, slide: OpenSlide, rect: Rect, limit: int, style: ObjectStyle
) -> View | None:
    if slide.number is None:
        return None
    z, t = slide.plane
    view = project.in_view(slide.number, rect, limit, z=z, t=t)
    return selected(view, style.shown(view.classes, view.kinds, view.class_names))


def _around(box: tuple[float, float, float, float]) -> Rect:
    left, top = int(np.floor(box[0])), int(np.floor(box[1]))
    return Rect(left, top, max(left + 1, int(np.ceil(box[2]))), max(top + 1, int(np.ceil(box[3]))))


def _cleaned(geometry: shapely.Geometry) -> Any:  # noqa: ANN401 - shapely is untyped
    found = clean(np.array([geometry], object))
    if found.refused:
        raise UsageError(f"nothing was changed: the outline {found.refused[0]}")
    return found.geometries[0]


def _wkb(shape: shapely.Geometry) -> bytes:
    data: bytes = shapely.to_wkb(shape, byte_order=1, output_dimension=2)
    return data
