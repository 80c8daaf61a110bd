"""What a project needs now and then: a step back, a check, a copy, saving what is left of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tilescope.errors import ProjectReadOnly
from tilescope.store.project import Edit, Project
from tilescope.store.salvage import Salvaged, salvage


@dataclass(frozen=True, slots=True)
class Turned:
    """A step that was taken back or done again.

    Attributes
    ----------
    edit
        The step; None when there was none.
    """

    project: str
    edit: Edit | None


def turn(project: Path, *, undo: bool) -> Turned:
    """Take the newest step of a project back, or do again what was undone last.

    Raises
    ------
    ProjectError
        When the project cannot be written.
    """
    with Project.open(project) as opened:
        if not opened.writable:
            raise ProjectReadOnly(opened.path, opened.statement)
        return Turned(str(project), opened.undo() if undo else opened.redo())


def history(project: Path, limit: int) -> list[Edit]:
    """Return the newest steps of a project, newest first.

    Raises
    ------
    ProjectError
        When the project cannot be opened.
    """
    with _readable(project) as opened:
        return opened.history(limit)


def problems(project: Path) -> list[str]:
    """Read a whole project and return what is wrong with it, one sentence each.

    Raises
    ------
    ProjectError
        When the project cannot be opened at all.
    """
    with _readable(project) as opened:
        return opened.check()


def back_up(project: Path) -> Path:
    """Copy a project beside itself and return the copy.

    Raises
    ------
    ProjectError
        When the copy cannot be written.
    """
    with _readable(project) as opened:
        return opened.back_up()


def _readable(project: Path) -> Project:
    try:
        return Project.open(project, writable=False)
    except ProjectReadOnly:  # of an older version, which is brought up to date by writing
        return Project.open(project)


def salvage_project(damaged: Path, target: Path | None = None) -> tuple[Path, Salvaged]:
    """Write what can be read of a damaged project to a new one; the damaged one stays as it is.

    Parameters
    ----------
    target
        The new project; beside the damaged one by default.

    Raises
    ------
    ProjectError
        When nothing can be read, or the new file is there already or cannot be written.
    """
    new = target or damaged.with_name(f"{damaged.stem}.salvaged{damaged.suffix}")
    return new, salvage(damaged, new)
