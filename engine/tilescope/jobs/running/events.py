"""What a run tells while it goes on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.results import Detections
from tilescope.inference.pipeline import Arrays
from tilescope.inference.planner import Block
from tilescope.jobs.report import RunReport
from tilescope.jobs.request import RunProgress
from tilescope.jobs.running.outputs import RectL0
from tilescope.jobs.running.project_results import ProjectResults

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class MapArea:
    """A finished rectangle of a class map, or a classified tile.

    Attributes
    ----------
    rect_l0
        x0, y0, x1, y1 in level-0 pixels; what it covers, which may reach beyond the slide by part
        of a pixel of the map.
    values
        ``uint8`` or ``uint16[h, w]``: 0 for background, else the number of the class, from 1; of
        a model with one class ``uint8``, its probability in 255ths. A classified tile has one.
    probabilities
        ``float32[classes]`` of a classified tile, None of a class map.
    """

    rect_l0: tuple[float, float, float, float]
    values: NDArray[np.uint8] | NDArray[np.uint16]
    probabilities: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What one step of a run made final; neither is ever told again or taken back.

    Attributes
    ----------
    objects
        Objects in level-0 pixels, None for none.
    areas
        Rectangles of the map.
    count
        Objects the step found, those included that wait for a neighbour.
    """

    objects: Detections | None = None
    areas: tuple[MapArea, ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class RunEvent:
    """One step of a run.

    Attributes
    ----------
    progress
        How far the run is.
    objects
        Objects that became final, in level-0 pixels; None for none. Over a whole run these are
        all objects of its files, each once; those that neighbouring tiles share come at the end.
    areas
        Rectangles of a class map that became final, or the tile that was classified.
    report
        The report of the run, with its last event.
    """

    progress: RunProgress
    objects: Detections | None = None
    areas: tuple[MapArea, ...] = ()
    report: RunReport | None = None


class TaskRun(Protocol, Generic[T]):
    """What a kind of task does with blocks; everything but this is the same for all of them.

    All methods are called from the thread that follows the run.
    """

    def decode(self, block: Block, outputs: Arrays) -> T:
        """Return what a block holds.

        Raises
        ------
        PluginBroken, InferenceFailed
            When the adapter raises or what it gives makes no sense.
        """
        ...

    def store(self, block: Block, value: T) -> Found:
        """Put a block into the ledger."""
        ...

    def begin(self) -> Iterator[Found]:
        """Yield what an interrupted run had made final; called before the first block."""
        ...

    def settle(self) -> Iterator[Found]:
        """Yield what only all blocks together decide."""
        ...

    def lacking(self, known: Collection[int]) -> set[int]:
        """Return blocks besides the known ones that what counts reaches into.

        Called when the blocks that come near tissue and areas are done, and again when these are.
        """
        ...

    def write(self) -> Iterator[RunProgress]:
        """Write the files, yielding before each; they are added to ``outputs``."""
        ...

    @property
    def outputs(self) -> dict[str, Path]:
        """Written files by format."""
        ...

    def deliver(self, results: ProjectResults, failed_l0: tuple[RectL0, ...]) -> None:
        """Put the objects of a run into a project.

        Parameters
        ----------
        failed_l0
            Rectangles of the tiles that failed; what an earlier run found there stays.

        Raises
        ------
        TilescopeError
            When the project does not take them.
        """
        ...

    def summary(self) -> dict[str, Any]:
        """Return the fields that the report has of this kind of result."""
        ...
