"""Tables of objects, read from the project in a thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tilescope.domain.geometry import Rect
from tilescope.errors import ProjectBusy
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project, Selection
from tilescope_desktop.bridge.project_desk import ProjectDesk
from tilescope_desktop.model.object_rows import ObjectRows, RowsMaker

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
    rect_l0: Rect | None = None,
    plane: tuple[int, int] = (0, 0),
    plane_counts: tuple[int, int] = (1, 1),
) -> ObjectRows:
    """Return the objects of a slide, or those that meet a rectangle of a plane of it.

    Parameters
    ----------
    rect_l0
        In level-0 pixels; None for all objects, whatever their plane.
    plane
        z and t of the rectangle.
    plane_counts
        Focal planes and time points of the slide.

    Raises
    ------
    Cancelled
        When the token is set.
    """
    maker_unit = "px" if um_per_px is None else "µm"
    if rect_l0 is not None:
        z, t = plane
        view = project.in_view(slide, rect_l0, _MOST_IN_VIEW, z=z, t=t)
        maker = RowsMaker(maker_unit, len(view) + (0 if view.is_complete else 1))
        for index in range(len(view)):
            token.raise_if_cancelled()
            found = project.get(view.id_of(index))
            if found is not None:
                maker.add([found])
        return maker.rows(um_per_px, plane_counts)
    maker = RowsMaker(maker_unit, sum(project.counts_by_class(slide).values()))
    for batch in project.objects(Selection(slide=slide)):
        token.raise_if_cancelled()
        maker.add(batch)
        if not maker.room:
            break
    return maker.rows(um_per_px, plane_counts)
