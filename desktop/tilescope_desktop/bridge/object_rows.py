"""Tables of objects, read from the project in a thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import shapely

from tilescope.domain.annotation import Annotation
from tilescope.errors import ProjectBusy
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project, Selection
from tilescope_desktop.bridge.project_desk import ProjectDesk
from tilescope_desktop.model.object_rows import ObjectRows, RowsMaker
from tilescope_desktop.model.viewport import Viewport

T = TypeVar("T")

_MOST_IN_VIEW = 2000


def read_project(desk: ProjectDesk, path: Path, run: Callable[[Project], T]) -> T:
    """Look at a project beside whoever writes to it; for other threads than the window's."""
    try:
        with Project.open(path, writable=False) as project:
            return run(project)
    except ProjectBusy:
        # On a network drive there can be one connection only.
        return desk.wait(run)


def rows_of(
    project: Project,
    slide: int,
    um_per_px: float | None,
    token: CancellationToken,
    view: Viewport | None = None,
    plane: tuple[int, int] = (0, 0),
    plane_counts: tuple[int, int] = (1, 1),
) -> ObjectRows:
    """Return the objects of a slide, or those of a plane of it that can be seen.

    Parameters
    ----------
    view
        Where they can be seen; None for all objects, whatever their plane.
    plane
        z and t that the view shows.
    plane_counts
        Focal planes and time points of the slide.

    Raises
    ------
    Cancelled
        When the token is set.
    """
    maker_unit = "px" if um_per_px is None else "µm"
    if view is not None:
        seen, is_complete = _seen(project, slide, view, plane, token)
        maker = RowsMaker(maker_unit, len(seen) + (0 if is_complete else 1))
        maker.add(seen)
        return maker.rows(um_per_px, plane_counts)
    maker = RowsMaker(maker_unit, sum(project.counts_by_class(slide).values()))
    for batch in project.objects(Selection(slide=slide)):
        token.raise_if_cancelled()
        maker.add(batch)
        if not maker.room:
            break
    return maker.rows(um_per_px, plane_counts)


def _seen(
    project: Project,
    slide: int,
    view: Viewport,
    plane: tuple[int, int],
    token: CancellationToken,
) -> tuple[list[Annotation], bool]:
    """Return the objects of a plane that can be seen, and whether they are all of them."""
    z, t = plane
    around = project.in_view(slide, view.bounds_l0, _MOST_IN_VIEW, z=z, t=t)
    # A view that is turned does not show the corners of the box around it.
    frame = shapely.Polygon([(corner.x, corner.y) for corner in view.corners_l0])
    shapely.prepare(frame)
    seen = []
    for index in range(len(around)):
        token.raise_if_cancelled()
        found = project.get(around.id_of(index))
        if found is not None and frame.intersects(shapely.from_wkb(found.geometry)):
            seen.append(found)
    return seen, around.is_complete
