"""The blocks, seams and files of one prepared run, as a sequence of events."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tilescope import __version__
from tilescope.domain.geometry import Rect
from tilescope.errors import Cancelled, OutputError, SlideError, TilescopeError
from tilescope.exchange.staging import staged_file
from tilescope.inference.pipeline import Arrays, BlockResult, Stages, StageSeconds, run_blocks
from tilescope.inference.planner import Block
from tilescope.io.region import read_working
from tilescope.jobs.report import RunReport, SecondsReport, Status, TileReport, head_sha256
from tilescope.jobs.request import RunProgress
from tilescope.jobs.running.events import Found, RunEvent, TaskRun
from tilescope.jobs.running.footprint import BLOCKS_IN_FLIGHT
from tilescope.jobs.running.outputs import RectL0, region_text
from tilescope.jobs.running.patchwork import described
from tilescope.jobs.running.preparation import Settings
from tilescope.jobs.running.project_results import ProjectResults
from tilescope.jobs.running.task_context import TaskContext
from tilescope.plugins.api import TileImage
from tilescope.plugins.calling import graph_inputs
from tilescope.runtime import memory
from tilescope.runtime.ledger import MemoryLedger
from tilescope.runtime.watchdog import MemoryWatch
from tilescope.store.map_ledger import MapLedger
from tilescope.store.run_ledger import RunLedger

REPORT_NAME = "run.json"
#: Small arrays of many sizes leave holes in the heap; without this it creeps up over a long run.
_TRIM_EVERY = 16


@dataclass(slots=True)
class Clock:
    """Where the time of this process went, in seconds."""

    started: float = field(default_factory=time.perf_counter)
    stages: StageSeconds = field(default_factory=StageSeconds)
    write: float = 0.0

    def report(self) -> SecondsReport:
        """Return the seconds up to now."""
        stages = self.stages
        total = time.perf_counter() - self.started
        values = (total, stages.read, stages.infer, stages.decode, self.write)
        return SecondsReport(*(round(value, 3) for value in values))


class BlockRun:
    """One prepared run.

    Parameters
    ----------
    task
        What this kind of run does with blocks.
    results
        The project that takes the objects, None for none.
    """

    def __init__(
        self,
        context: TaskContext,
        ledger: RunLedger,
        task: TaskRun[Any],
        results: ProjectResults | None,
        clock: Clock,
    ) -> None:
        self._context = context
        self._ledger = ledger
        self._task = task
        self._results = results
        self._clock = clock
        # Now: the slide may be gone when the run is over.
        self._slide_head = head_sha256(context.request.slide)
        wanted = (block.index for block in context.plan.blocks if context.prepared.is_within(block))
        finished = ledger.finished_tiles()
        self._known = finished.union(wanted)
        self._tiles = self._so_far(len(finished))
        self._is_settled = False

    def events(self) -> Iterator[RunEvent]:
        """Yield every step, the last one with the report; closing the iterator cancels the run."""
        errors: list[str] = []
        status: Status = "complete"
        try:
            yield from self._steps()
            if self._known - self._ledger.finished_tiles():
                status = "failed"
            if self._results is not None and (status == "complete" or self._keeps_partial):
                yield RunEvent(RunProgress(self._results.project.name))
                errors += self._deliver(self._results)
                status = "failed" if errors else status
        except Cancelled:
            status = "cancelled"
        except (OutputError, SlideError) as exc:
            status, errors = "failed", [str(exc)]
        except GeneratorExit:
            self._save(self._report("cancelled", []))
            raise
        report = self._report(status, errors)
        self._save(report)
        yield RunEvent(RunProgress("end"), report=report)

    def _steps(self) -> Iterator[RunEvent]:
        for found in self._task.begin():
            yield self._event(found)
        yield from self._blocks()
        # The network is done; its weights and threads make room for what follows.
        self._context.opened.session.close()
        memory.trim()
        self._context.token.raise_if_cancelled()
        yield RunEvent(RunProgress("seams"))
        for found in self._task.settle():
            yield self._event(found, RunProgress("seams"))
        self._is_settled = True
        started = time.perf_counter()
        try:
            for progress in self._task.write():
                yield RunEvent(progress)
        finally:
            self._clock.write = time.perf_counter() - started

    def _event(self, found: Found, progress: RunProgress | None = None) -> RunEvent:
        return RunEvent(progress or self._tiles, found.objects, found.areas)

    def _so_far(self, done: int) -> RunProgress:
        """Return how far the run is before this process does any more of it."""
        ledger = self._ledger
        objects = None if isinstance(ledger, MapLedger) else ledger.count_found()
        return RunProgress("tiles", done, len(self._known), objects)

    def _blocks(self) -> Iterator[RunEvent]:
        blocks, ledger = self._context.plan.blocks, self._ledger
        if self._context.request.stores_only:
            return
        todo = self._known - ledger.finished_tiles()
        empty = {index for index in todo if self._context.prepared.is_empty(blocks[index])}
        ledger.skip(sorted(empty))
        todo -= empty
        while True:
            yield from self._run([blocks[index] for index in sorted(todo)])
            skipped = ledger.finished_tiles() - ledger.looked_at()
            todo = self._task.lacking(self._known - skipped)
            if not todo:
                return
            self._known |= todo

    def _run(self, work: Sequence[Block]) -> Iterator[RunEvent]:
        """Run the known blocks that are still to be done."""
        context, prepared = self._context, self._context.prepared
        before = self._tiles = self._so_far(len(self._known) - len(work))
        yield RunEvent(before)
        in_flight = BLOCKS_IN_FLIGHT * prepared.batch_size
        budget = MemoryLedger(in_flight * max(map(self._flight_bytes, work), default=1))
        stages = Stages(self._read, self._task.decode, self._flight_bytes, prepared.batch_size)
        session, seconds = context.opened.session, self._clock.stages
        results = run_blocks(
            work, stages, session, budget, context.token, seconds, self._watch(work)
        )
        with closing(results):
            yield from self._stored(results, before, len(work))

    def _stored(
        self, results: Iterator[BlockResult[Any]], before: RunProgress, work: int
    ) -> Iterator[RunEvent]:
        """Put blocks into the ledger as they come, and tell of each."""
        started, objects = time.perf_counter(), before.objects
        for count, result in enumerate(results, 1):
            if result.value is None:
                self._ledger.fail(result.block.index, result.error or "")
                found = Found()
            else:
                found = self._task.store(result.block, result.value)
            objects = None if objects is None else objects + found.count
            if count % _TRIM_EVERY == 0:
                memory.trim()
            per_tile = max(time.perf_counter() - started, 1e-6) / count
            self._tiles = replace(
                before,
                tiles_done=before.tiles_done + count,
                objects=objects,
                seconds_left=per_tile * (work - count),
                tiles_per_s=1 / per_tile,
            )
            yield self._event(found)

    def _watch(self, work: Sequence[Block]) -> MemoryWatch:
        opened, prepared = self._context.opened, self._context.prepared
        aside = 0 if opened.session.keeps_memory or not work else prepared.runtime_bytes
        return MemoryWatch(self._context.request.memory_bytes, opened.cache.clear, aside)

    def _flight_bytes(self, block: Block) -> int:
        return block.outer.area * self._context.prepared.footprint.flight_bytes_per_px

    def _read(self, outer: Rect) -> Arrays:
        opened, prepared = self._context.opened, self._context.prepared
        factor, plane = prepared.plan.grid.factor, self._context.plane
        pixels = read_working(opened.source, opened.cache, outer, factor, plane=plane)
        with self._context.request.model.calling("encode"):
            return graph_inputs(opened.adapter.encode(TileImage(pixels, prepared.survey.contrast)))

    def _deliver(self, results: ProjectResults) -> list[str]:
        """Put the objects into the project; return why it did not take them, if it did not."""
        self._context.token.raise_if_cancelled()
        try:
            self._task.deliver(results, tuple(self._failed_l0()))
        except TilescopeError as exc:
            return [f"{exc}; {self._way_out(results)}"]
        return []

    @property
    def _keeps_partial(self) -> bool:
        return self._context.request.keeps_partial

    def _failed_l0(self) -> Iterator[RectL0]:
        """Yield what the tiles cover that failed."""
        for index in sorted(self._known - self._ledger.finished_tiles()):
            yield self._context.prepared.rect_l0(self._context.plan.blocks[index])

    def _way_out(self, results: ProjectResults) -> str:
        """Return how the results get into the project later."""
        request = self._context.request
        way = f"the results are in {request.folder}: run it again"
        file = self._task.outputs.get("geojson")
        if file is None:
            return way
        return f"{way}, or: tilescope import {results.project} {file} --slide {request.slide}"

    def _save(self, report: RunReport) -> None:
        # The disk that could not take the results may not take the report either.
        with (
            suppress(OutputError) if report.errors else nullcontext(),
            staged_file(self._context.request.folder / REPORT_NAME) as file,
        ):
            file.write(report.as_json(with_outputs=False).encode() + b"\n")

    def _report(self, status: Status, errors: list[str]) -> RunReport:
        request, prepared, ledger = self._context.request, self._context.prepared, self._ledger
        opened, spec = self._context.opened, self._context.spec
        counts, halo = ledger.counts(), opened.network.halo
        failures = [f"tile {tile}: {cause}" for tile, cause in ledger.failures()]
        return RunReport(
            model=asdict(spec.ref),
            slide={
                "path": str(request.slide),
                "sha256_head": self._slide_head,
                "width": opened.source.info.size.width,
                "height": opened.source.info.size.height,
            },
            parameters=dict(prepared.settings.parameters),
            provider=opened.session.provider,
            precision=opened.session.precision,
            provider_why=opened.choice.why,
            patches=None if prepared.cut.schedule is None else described(prepared.cut.schedule),
            batch=prepared.batch_size,
            tiles=TileReport(len(self._known), counts.done, counts.background, counts.failed),
            objects=ledger.count_objects() if self._is_settled else ledger.count_found(),
            seconds=self._clock.report(),
            peak_rss_bytes=memory.peak_rss_bytes(),
            memory_cap_bytes=request.memory_bytes,
            halo_px=prepared.plan.margins.halo_px,
            halo_exact=prepared.cut.is_exact,
            tilescope_version=__version__,
            status=status,
            within=_within(prepared.settings),
            task=spec.task,
            licence=spec.licence,
            halo_inexact_because=None if prepared.cut.is_exact else halo.culprit,
            blended=prepared.cut.blend_px > 0,
            scale=asdict(prepared.scale),
            contrast=asdict(prepared.survey.contrast),
            errors=[*errors, *failures],
            outputs={name: str(path) for name, path in self._task.outputs.items()},
            **self._task.summary(),
        )


def _within(settings: Settings) -> dict[str, Any] | None:
    """Return what the report says of the areas."""
    areas = settings.areas
    if areas is None:
        return None
    return {
        "areas": len(areas),
        "sha256": areas.sha256,
        "rect": region_text(settings.covered_l0),
    }
