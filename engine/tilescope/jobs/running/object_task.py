"""Runs whose result is objects: instances and boxes, each exactly once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.results import Detections
from tilescope.inference.pipeline import Arrays
from tilescope.inference.planner import Block
from tilescope.jobs.request import RunProgress
from tilescope.jobs.running.events import Found
from tilescope.jobs.running.finders import BoxFinder, Classified, Finder, InstanceFinder
from tilescope.jobs.running.ground import lie_on
from tilescope.jobs.running.outputs import RectL0, ResultFrame, object_files
from tilescope.jobs.running.project_results import Delivery, ProjectResults
from tilescope.jobs.running.result_files import write_files
from tilescope.jobs.running.task_context import TaskContext
from tilescope.jobs.running.tiles_within import tiles_reached
from tilescope.ops.areas import Polygons
from tilescope.ops.inner_points import inner_points
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
        self._delivery: Delivery | None = None
        settings, ground = context.prepared.settings, context.prepared.ground
        assert ground is not None
        self._ground = ground
        self._frame = ResultFrame(
            folder=context.request.folder,
            source=context.opened.source,
            cache=context.opened.cache,
            ledger=ledger,
            factor=context.plan.grid.factor,
            scope=settings.scope,
            covered_l0=settings.covered_l0,
            pixel_size=settings.pixel_size,
            class_names=context.spec.classes,
            model=context.spec.ref,
            are_boxes=context.spec.task == "detect",
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
        kinds = self._sorted_out(found, kinds)
        self._ledger.finish(block.index, found, kinds)
        whole = found.select(np.flatnonzero(kinds == Kind.WHOLE))
        return Found(self._in_level0(whole), count=int((kinds < Kind.FRAGMENT).sum()))

    def _sorted_out(self, found: Detections, kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the kinds, with whole objects that do not count marked as outside."""
        whole = np.flatnonzero(kinds == Kind.WHOLE)
        outside = whole[~self._is_inside(_stored(found.select(whole)))]
        kinds = kinds.copy()
        kinds[outside] = Kind.OUTSIDE
        return kinds

    def _is_inside(self, found: Detections) -> NDArray[np.bool_]:
        """Return ``bool[n]``: which objects, in working pixels, lie where objects are looked for.

        That is near tissue, in the region and its areas.
        """
        scope, size = self._frame.scope, self._frame.source.info.size
        placed = self._frame.in_level0(found)
        inside = lie_on(self._ground, placed)
        if scope.is_all_of(size) or not inside.any():
            return inside
        part = placed.select(np.flatnonzero(inside))
        inside[inside] = scope.hold(inner_points(part.rings, part.offsets), size)
        return inside

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
        settled = self._finder.settle(ledger.undecided(), ledger.whole_near, ledger.looked_at())
        found = _detections(settled, self._context.spec.classes)
        is_inside = self._is_inside(found)
        kinds = np.where(is_inside, Kind.SEAM, Kind.OUTSIDE).tolist()
        items = zip(settled, kinds, strict=True)
        ledger.settle([replace(item, kind=Kind(kind)) for item, kind in items])
        yield Found(self._in_level0(found.select(np.flatnonzero(is_inside))))

    def lacking(self, known: Collection[int]) -> set[int]:
        """Return blocks besides the known ones that objects that may count reach into."""
        plan = self._context.plan
        if len(known) == len(plan.blocks):
            return set()
        return tiles_reached(plan, self._ledger.undecided(), self._may_hold, known)

    def _may_hold(self, outlines: Polygons) -> NDArray[np.bool_]:
        """Return ``bool[n]``: what of objects, in level-0 pixels, may hold the point of one."""
        areas = self._frame.scope.areas
        near = self._ground.meet(shapely.bounds(outlines))
        return near if areas is None else near & areas.met(outlines)

    def write(self) -> Iterator[RunProgress]:
        """Write the files that were asked for."""
        request, files = self._context.request, object_files(self._frame)
        return write_files(
            files, request.folder, request.formats, self._context.token, self._outputs
        )

    def deliver(self, results: ProjectResults, failed_l0: tuple[RectL0, ...]) -> None:
        """Put the objects into a project."""
        frame = replace(self._frame, failed_l0=failed_l0)
        self._delivery = results.add(
            frame, self._context.prepared.settings.parameters, self._context.token
        )
        self._outputs["project"] = results.project

    def summary(self) -> dict[str, Any]:
        """Return what became of the objects in a project: every report counts them."""
        return {} if self._delivery is None else {"project": asdict(self._delivery)}


def _as_stored(rings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return outlines as the ledger stores them, so that what is told is what is written."""
    return rings.astype(np.float32).astype(np.float64)


def _stored(found: Detections) -> Detections:
    return replace(found, rings=_as_stored(found.rings))


def _detections(items: list[Item], class_names: tuple[str, ...]) -> Detections:
    return Detections.of(
        [_as_stored(item.ring) for item in items],
        np.array([item.score for item in items], np.float32),
        np.array([item.class_index for item in items], np.uint16),
        class_names,
    )
