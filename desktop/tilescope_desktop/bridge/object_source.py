"""The objects of a project as whoever paints them reads them, beside whoever writes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.errors import ProjectBusy, TilescopeError
from tilescope.store.dots import Dots
from tilescope.store.project import Project, View
from tilescope_desktop.bridge.project_desk import ProjectDesk

T = TypeVar("T")


class ObjectSource:
    """A project of its own connection; where there can be one only, that of the desk.

    Used by one thread.
    """

    def __init__(self, desk: ProjectDesk) -> None:
        self._desk = desk
        self._project: Project | None = None
        self._asks_desk = False
        self.path: Path | None = None

    def enter(self, path: Path) -> None:
        """Read from a project from now on."""
        if self.path == path:
            return
        self.leave()
        try:
            self._project = Project.open(path, writable=False)
        except ProjectBusy:
            # On a network drive there can be one connection only.
            self._asks_desk = True
        self.path = path

    def leave(self) -> None:
        """Close the project."""
        with suppress(TilescopeError):
            if self._project is not None:
                self._project.close()
        self._project, self.path, self._asks_desk = None, None, False

    def ask(self, run: Callable[[Project], T]) -> T:
        """Have something looked up."""
        if self._asks_desk:
            return self._desk.wait(run)
        assert self._project is not None
        return run(self._project)

    def count(self, slide: int) -> int:
        """Return the number of objects of a slide."""
        return self.ask(lambda project: sum(project.counts_by_class(slide).values()))


class PlaneSource:
    """One plane of a slide of it; reads dots as ``DotReader`` does."""

    def __init__(self, source: ObjectSource, slide: int, plane: tuple[int, int]) -> None:
        self._source = source
        self._slide = slide
        self._z, self._t = plane

    def look(self, rect_l0: Rect, limit: int) -> View:
        """Return the objects that meet a rectangle."""
        slide, z, t = self._slide, self._z, self._t
        return self._source.ask(lambda project: project.in_view(slide, rect_l0, limit, z=z, t=t))

    def mark(self) -> int:
        """Return a number that grows with every edit."""
        return self._source.ask(lambda project: project.dots(self._slide).mark())

    def names(self) -> dict[int, str | None]:
        """Return the names of all classes by number."""
        return self._source.ask(lambda project: project.dots(self._slide).names())

    def after(self, leaf: int) -> Dots:
        """Return the next leaves that hold objects."""
        slide, z, t = self._slide, self._z, self._t
        return self._source.ask(lambda project: project.dots(slide, z=z, t=t).after(leaf))

    def of(self, leaves: NDArray[np.int64]) -> Dots:
        """Return leaves by number."""
        slide, z, t = self._slide, self._z, self._t
        return self._source.ask(lambda project: project.dots(slide, z=z, t=t).of(leaves))

    def changed(self, since: int, limit: int) -> tuple[int, NDArray[np.int64] | None]:
        """Return the mark now and the leaves that were changed; None for all."""
        return self._source.ask(lambda project: project.dots(self._slide).changed(since, limit))

    def outlines(self, rows: NDArray[np.int64]) -> View:
        """Return objects by row."""
        return self._source.ask(lambda project: project.dots(self._slide).outlines(rows))
