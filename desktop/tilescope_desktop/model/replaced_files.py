"""Files that took the place of those that a project has objects of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tilescope.domain.counts import counted
from tilescope.store.project import Project
from tilescope_desktop.model.project_tasks import OpenSlide


def left_behind(project: Project, slides: Iterable[OpenSlide]) -> dict[Path, int]:
    """Return how many objects the project has of other files that lay where slides lie now."""
    records = project.slides()
    found: dict[Path, int] = {}
    for slide in slides:
        if slide.identity is None:
            continue
        here = slide.path.absolute()
        before = [r for r in records if r.path == here and r.identity != slide.identity]
        count = sum(sum(project.counts_by_class(r.slide).values()) for r in before)
        if count:
            found[slide.path] = count
    return found


def words(path: Path, count: int) -> str:
    """Return what to tell of it."""
    verb = "it is" if count == 1 else "they are"
    return (
        f"{path.name} is another file than the one that was here before. The project has "
        f"{counted(count, 'object')} of that one; {verb} kept, and not shown over this one."
    )
