"""Projects in which something was done on a slide before: looked for, never changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from tilescope.domain.counts import counted
from tilescope.errors import TilescopeError
from tilescope.jobs.project_slides import known_slide
from tilescope.store.project import Project
from tilescope.store.writer_lock import WriterLock
from tilescope_desktop.model.places import PROJECT_SUFFIX

#: Projects that are opened to look into them, the newest first.
MOST_LOOKED_INTO = 12
_MOST_LISTED = 2000


@dataclass(frozen=True, slots=True)
class EarlierWork:
    """What a project holds of a slide.

    Attributes
    ----------
    slide
        Its name.
    objects
        How many objects it has there; at least one.
    at
        When the project was changed last.
    """

    project: Path
    slide: str
    objects: int
    at: datetime

    @property
    def text(self) -> str:
        """What to tell the user of it."""
        return (
            f"You worked on {self.slide} before: {counted(self.objects, 'object')} in "
            f"{self.project.stem}, the last change at {moment_text(self.at)}."
        )


def moment_text(at: datetime) -> str:
    """Return a time as the window says it, where the user is."""
    return f"{at.astimezone():%H:%M:%S on %d.%m.%Y}"


def changed_at(project: Path) -> float:
    """Return when a project's file, or the log of its newest changes, was written; 0 for never."""
    found = 0.0
    for path in (project, project.with_name(f"{project.name}-wal")):
        with suppress(OSError):
            found = max(found, path.stat().st_mtime)
    return found


def projects_of_user(folder: Path, known: Iterable[Path]) -> list[Path]:
    """Return projects to look into, those that were changed last first.

    Parameters
    ----------
    folder
        Where projects are that nobody made.
    known
        Files that were opened before; what is no project is left out.
    """
    there = {path.resolve() for path in known if path.suffix == PROJECT_SUFFIX}
    with suppress(OSError), os.scandir(folder / "projects") as entries:
        listed = islice(entries, _MOST_LISTED)
        there |= {Path(one.path).resolve() for one in listed if one.name.endswith(PROJECT_SUFFIX)}
    times = {path: changed_at(path) for path in there}
    newest = sorted((path for path in there if times[path]), key=lambda p: times[p], reverse=True)
    return newest[:MOST_LOOKED_INTO]


def earlier_work(
    projects: Iterable[Path], identity: str, is_over: Callable[[], bool] = lambda: False
) -> EarlierWork | None:
    """Return the newest work on a slide, None for none.

    Projects are opened read-only; those are passed over that cannot be read, or that somebody
    is working on.

    Parameters
    ----------
    identity
        What projects know the slide by.
    is_over
        Whether nobody wants to know any more.
    """
    found = list(_work_in(projects, identity, is_over))
    return max(found, key=lambda work: work.at, default=None)


def _work_in(
    projects: Iterable[Path], identity: str, is_over: Callable[[], bool]
) -> Iterator[EarlierWork]:
    for path in projects:
        if is_over():
            return
        with suppress(TilescopeError, OSError):
            work = _work(path, identity)
            if work is not None:
                yield work


def _work(path: Path, identity: str) -> EarlierWork | None:
    if path.with_name(f"{path.name}-lock").exists():
        # What a killed process left behind locks nothing; whoever is at work raises here.
        WriterLock(path, "").close()
    with closing(Project.open(path, writable=False)) as project:
        slide = known_slide(project, identity)
        count = 0 if slide is None else sum(project.counts_by_class(slide.slide).values())
        if slide is None or not count:
            return None
        edits = project.history(1)
    at = datetime.fromisoformat(edits[0].at) if edits else datetime.fromtimestamp(changed_at(path))
    return EarlierWork(path, slide.name, count, at.astimezone())
