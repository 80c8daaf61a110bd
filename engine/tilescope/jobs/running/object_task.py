"""Runs whose result is objects: instances and boxes, each exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tilescope.domain.results import Detections
from tilescope.inference.pipeline import Arrays
from tilescope.inference.planner import Block
from tilescope.jobs.request import RunProgress
from tilescope.jobs.running.events import Found
from tilescope.jobs.running.finders import BoxFinder, Classified, Finder, InstanceFinder
from tilescope.jobs.running.outputs import ResultFrame, object_files
from tilescope.jobs.running.project_results import ProjectResults
from tilescope.jobs.running.result_files import write_files
from tilescope.jobs.running.task_context import TaskContext
from tilescope.store.run_ledger import Item, Kind, RunLedger


class ObjectTask:
    """Finds objects block by block, and settles those on the seams at the end."""

    def __init__(self, context: TaskContext, ledger: RunLedger) -> None:
        self._context = context
        self._ledger = ledger
        self._finder: Finder = (
            BoxFinder(context) if context.spec.task == "detect" else InstanceFinder(context)
        )
        self._outputs: dict[str, Path] = {}
        settings = context.prepared.settings
        self._frame = ResultFrame(
            folder=context.request.folder,
            source=context.opened.source,
            cache=context.opened.cache,
            ledger=ledger,
            factor=context.plan.grid.factor,
            region_l0=settings.region_l0,
            pixel_size=settings.pixel_size,
            class_names=context.spec.classes,
            model=context.spec.ref,
        )

    @property
    def outputs(self) -> dict[str, Path]:
        """Written files by format."""
        return self._outputs

    def decode(self, block: Block, outputs: Arrays) -> Classified:
        """Return the objects of a block."""
        return self._finder.find(block, outputs)

    def store(self, block: Block, value: Classified) -> Found:
        """Put a block into the ledger; whole objects of it are final."""
        found, kinds = value
        self._ledger.finish(block.index, found, kinds)
        whole = found.select(np.flatnonzero(kinds == Kind.WHOLE))
        return Found(self._in_level0(whole), count=int((kinds < Kind.FRAGMENT).sum()))

    def _in_level0(self, found: Detections) -> Detections | None:
        return self._frame.in_level0(found) if len(found) else None

    def begin(self) -> Iterator[Found]:
        """Yield the whole objects of an interrupted run."""
        for found in self._ledger.whole(self._context.spec.classes):
            yield Found(self._in_level0(found))

    def settle(self) -> Iterator[Found]:
        """Yield the objects that blocks share."""
        ledger = self._ledger
        ledger.place_whole()
        settled = self._finder.settle(ledger.undecided(), ledger.whole_near)
        ledger.settle(settled)
        yield Found(self._in_level0(_detections(settled, self._context.spec.classes)))

    def write(self) -> Iterator[RunProgress]:
        """Write the files that were asked for."""
        request, files = self._context.request, object_files(self._frame)
        return write_files(
            files, request.folder, request.formats, self._context.token, self._outputs
        )

    def deliver(self, results: ProjectResults) -> None:
        """Put the objects into a project."""
        results.add(self._frame, self._context.prepared.settings.parameters, self._context.token)
        self._outputs["project"] = results.project

    def summary(self) -> dict[str, Any]:
        """Return nothing: every report counts objects."""
        return {}


def _detections(items: list[Item], class_names: tuple[str, ...]) -> Detections:
    return Detections.of(
        # As the ledger stores them, so that what is told is what is written.
        [item.ring.astype(np.float32).astype(np.float64) for item in items],
        np.array([item.score for item in items], np.float32),
        np.array([item.class_index for item in items], np.uint16),
        class_names,
    )
