"""Which of the selected objects a command means: those on the planes that are shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tilescope.domain.slide import SlideInfo
from tilescope.errors import UsageError
from tilescope.store.project import Project
from tilescope_desktop.model.project_tasks import OpenSlide
from tilescope_desktop.model.tools.tool import Selected

Plane = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """What of a selection lies on planes that are shown.

    Attributes
    ----------
    ids, marked
        What is known to lie there; of all but the first ids there are no outlines.
    unread
        Ids of which the project has to tell where they lie.
    away
        Planes, z and t, of what is known to lie elsewhere.
    planes
        Those that are shown.
    """

    slide: OpenSlide
    ids: tuple[str, ...]
    marked: tuple[Selected, ...]
    unread: tuple[str, ...] = ()
    away: tuple[Plane, ...] = ()
    planes: Collection[Plane] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be meant."""
        return not self.ids and not self.unread

    @property
    def refusal(self) -> str:
        """Where what is selected lies when nothing can be meant, and what to do."""
        one = "object is" if len(self.away) == 1 else "objects are"
        planes = set(self.away)
        where = _name(next(iter(planes)), self.slide.info) if len(planes) == 1 else "other planes"
        return f"the selected {one} on {where}; go there first"

    def read(self, project: Project) -> tuple[str, ...]:
        """Return the ids of what is meant, in the order in which it was selected.

        Raises
        ------
        UsageError
            When it is nothing.
        """
        info = self.slide.info
        found = [one for one in map(project.get, self.unread) if one is not None]
        here = [one.id for one in found if _nearest((one.z, one.t), info) in self.planes]
        if not self.ids and not here:
            raise UsageError(
                "nothing was changed: the selected objects are on other planes; go there first"
            )
        return (*self.ids, *here)


def reach_of(
    slide: OpenSlide, ids: Sequence[str], marked: Sequence[Selected], planes: Collection[Plane]
) -> Reach:
    """Return what of a selection lies on planes of its slide.

    An object on a plane that the slide lacks lies where one goes to see it, on the nearest.

    Parameters
    ----------
    marked
        The first of the objects.
    """
    if slide.info.z * slide.info.t == 1:
        return Reach(slide, tuple(ids), tuple(marked))
    places = [_nearest(one.plane, slide.info) for one in marked]
    here = tuple(one for one, at in zip(marked, places, strict=True) if at in planes)
    return Reach(
        slide,
        tuple(one.id for one in here),
        here,
        tuple(ids[len(marked) :]),
        tuple(at for at in places if at not in planes),
        planes,
    )


def _nearest(plane: Plane, info: SlideInfo) -> Plane:
    return min(plane[0], info.z - 1), min(plane[1], info.t - 1)


def _name(plane: Plane, info: SlideInfo) -> str:
    """Return what a plane is called where the slide has several."""
    parts = (("focal plane", plane[0], info.z), ("time point", plane[1], info.t))
    return ", ".join(f"{name} {at + 1}" for name, at, count in parts if count > 1)
