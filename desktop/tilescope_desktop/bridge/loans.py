"""What happens to edits while a job has the project's file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tilescope.errors import UsageError
from tilescope.store.project import Project
from tilescope_desktop.model.project_tasks import Fresh, OpenSlide


class ProjectLent(UsageError):
    """An edit was refused because a job writes to the project."""

    def __init__(self) -> None:
        super().__init__(
            "Nothing was changed: the project is being written to. Do it again when that is done, "
            "or cancel it first."
        )


@dataclass(frozen=True, slots=True, eq=False)
class WaitingEdit:
    """Something that was drawn or said meanwhile; it is stored when the loan ends.

    Attributes
    ----------
    slide, ids
        What is selected then.
    fresh
        What is painted from memory until it is stored.
    """

    run: Callable[[Project], object]
    slide: OpenSlide | None
    ids: Sequence[str]
    fresh: Sequence[Fresh] = ()
