"""A project file opened for a job, made when it is not there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tilescope.domain.annotation import ObjectClass
from tilescope.errors import ProjectError, ProjectReadOnly, UsageError
from tilescope.exchange.palette import RGB
from tilescope.io.address import parse_address
from tilescope.store.project import Project

_COMPANIONS = ("", "-wal", "-shm", "-lock")


@contextmanager
def writable_project(path: Path) -> Iterator[Project]:
    """Give a project open for writing; a new one vanishes again when the block raises.

    One that was not backed up for a day is copied beside itself first.

    Raises
    ------
    ProjectError
        When it is busy, damaged, or cannot be written or made.
    """
    path = path.resolve()
    if path.exists():
        with Project.open(path) as project:
            _check(project)
            project.back_up_if_due()
            yield project
        return
    project = Project.create(path)
    try:
        with project:
            yield project
    except BaseException:
        remove_project(path)
        raise


def _check(project: Project) -> None:
    if not project.writable:
        raise ProjectReadOnly(project.path, project.statement)


def check_writable(path: Path) -> None:
    """Make sure that a project can be written, or made; nothing is.

    Raises
    ------
    ProjectError
        When it is busy or damaged, or its folder cannot be written.
    """
    path = path.resolve()
    if path.exists():
        with writable_project(path):
            return
    if not path.parent.is_dir():
        raise ProjectError(path, "cannot be created: make its folder first")
    if not os.access(path.parent, os.W_OK):
        raise ProjectError(path, "cannot be created: choose a folder you may write to")


def add_classes(project: Project, classes: Mapping[str, RGB | None]) -> None:
    """Give classes their colours, but not those that the project had before.

    Parameters
    ----------
    classes
        Colours by name; None leaves the one that the project chose.
    """
    coloured = ((name, colour) for name, colour in classes.items() if colour is not None)
    project.put_classes([ObjectClass(name, colour) for name, colour in coloured])


def refuse_sources(
    out: Path, sources: Iterable[Path], what: str = "the project or one of its slides"
) -> None:
    """Refuse to write over what is looked at or drawn in.

    Parameters
    ----------
    sources
        Files that must not be replaced, slides as they are named.
    what
        They, in words.

    Raises
    ------
    UsageError
        When ``out`` is one of them, by whatever name.
    """
    addresses = (parse_address(source) for source in sources)
    if any(one.url is None and _is_same(out, one.path) for one in addresses):
        raise UsageError(f"{out} is {what}; choose another name")


def _is_same(a: Path, b: Path) -> bool:
    with suppress(OSError):  # one of them is not there, or cannot be asked for
        return a.resolve() == b.resolve() or a.samefile(b)
    return False


def remove_project(path: Path) -> None:
    """Delete the file of a project and what SQLite keeps beside it."""
    for companion in _COMPANIONS:
        with suppress(OSError):
            path.with_name(path.name + companion).unlink()
