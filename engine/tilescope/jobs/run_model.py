"""One model over one slide: survey, plan, blocks, seams, files; resumable at every block."""

from __future__ import annotations

import shutil
import time
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilescope import __version__
from tilescope.domain.geometry import Rect
from tilescope.domain.results import Detections
from tilescope.errors import Cancelled, OutputError, PluginBroken, TilescopeError
from tilescope.exchange.staging import output_errors, staged_file
from tilescope.inference.pipeline import Arrays, Stages, StageSeconds, run_blocks
from tilescope.inference.planner import Block
from tilescope.inference.receptive import compute_halo
from tilescope.inference.seams import Outline, classify, settle
from tilescope.inference.session import OnnxSession
from tilescope.io.cache import TileCache
from tilescope.io.region import read_working
from tilescope.io.registry import open_slide
from tilescope.jobs.footprint import BLOCKS_IN_FLIGHT, cache_bytes
from tilescope.jobs.outputs import ResultFrame, write_outputs
from tilescope.jobs.preparation import (
    Opened,
    Prepared,
    Remembered,
    Settings,
    check_settings,
    identity_of,
    prepare,
)
from tilescope.jobs.project_results import ProjectResults
from tilescope.jobs.report import RunReport, SecondsReport, Status, TileReport, head_sha256
from tilescope.jobs.request import OnProgress, RunProgress, RunRequest, ignore_progress
from tilescope.ops.contours import outlines, thinned
from tilescope.plugins.api import TileImage
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.ledger import MemoryLedger
from tilescope.store.run_ledger import Item, Kind, RunLedger

LEDGER_NAME = "run.ledger"
REPORT_NAME = "run.json"
#: Small arrays of many sizes leave holes in the heap; without this it creeps up over a long run.
_TRIM_EVERY = 16


@dataclass(slots=True)
class _Clock:
    """Where the time of this process went, in seconds."""

    started: float = field(default_factory=time.perf_counter)
    stages: StageSeconds = field(default_factory=StageSeconds)
    write: float = 0.0

    def report(self) -> SecondsReport:
        stages = self.stages
        total = time.perf_counter() - self.started
        values = (total, stages.read, stages.infer, stages.decode, self.write)
        return SecondsReport(*(round(value, 3) for value in values))


def run_model(
    request: RunRequest,
    token: CancellationToken,
    on_progress: OnProgress = ignore_progress,
) -> RunReport:
    """Run a model over a slide and return the report, which is also in ``run.json``.

    A run that was killed or cancelled continues where it stopped. Tiles that fail are named in
    the report and tried again by the next run.

    Raises
    ------
    SlideError
        When the slide cannot be opened; nothing is written then.
    UsageError, ModelError, PluginBroken, BudgetTooSmall
        When the request cannot be carried out; nothing is written then.
    RunMismatch
        When the folder holds a run of another model, slide or set of parameters.
    ProjectError
        When the project is busy or damaged, or cannot be written; nothing is written then.
    OutputError
        When the output folder cannot be made. A disk that fills up later ends the run with the
        status ``failed``; the same request resumes it when there is room.
    Cancelled
        When the token is set before the first block.
    """
    clock = _Clock()
    weights = request.model.verified_weights()
    adapter = request.model.load_adapter()
    cache = TileCache(cache_bytes(request.memory_bytes))
    halo = compute_halo(weights)
    session = OnnxSession(weights, threads=request.threads, provider=request.provider)
    with session, open_slide(request.slide, cache=cache) as source:
        session.check(request.model.spec)
        opened = Opened(source, cache, session, adapter, halo)
        settings = check_settings(request, source)
        identity = identity_of(request, settings, source)
        earlier = _earlier(request, identity)
        results = _results(request, settings)
        if results is not None:
            results.check(source)
        prepared = prepare(request, settings, opened, earlier, token, on_progress)
        token.raise_if_cancelled()
        with _create(request, identity) as ledger:
            if earlier is None:
                decisions = Remembered(
                    prepared.scale,
                    prepared.tile_px,
                    request.memory_bytes,
                    prepared.survey.contrast,
                )
                ledger.remember("decisions", decisions.as_dict())
            return _Run(request, opened, prepared, ledger, clock, token, on_progress).execute()


def _results(request: RunRequest, settings: Settings) -> ProjectResults | None:
    if request.project is None:
        return None
    model = request.model.spec.ref
    return ProjectResults(request.project, request.slide, model, settings.region_l0)


def _earlier(request: RunRequest, identity: dict[str, str]) -> Remembered | None:
    """Return the decisions of an interrupted run in the folder, None when there is none."""
    path = request.folder / LEDGER_NAME
    if request.overwrite or not path.exists():
        return None
    with RunLedger(path, identity) as ledger:
        values = ledger.note("decisions")
    return Remembered.of(values) if values else None


def _create(request: RunRequest, identity: dict[str, str]) -> RunLedger:
    folder = request.folder
    with output_errors(folder):
        if request.overwrite and (folder / LEDGER_NAME).exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
    return RunLedger(folder / LEDGER_NAME, identity)


class _Run:
    """The blocks, seams and files of one prepared run."""

    def __init__(
        self,
        request: RunRequest,
        opened: Opened,
        prepared: Prepared,
        ledger: RunLedger,
        clock: _Clock,
        token: CancellationToken,
        on_progress: OnProgress,
    ) -> None:
        self._request = request
        self._opened = opened
        self._prepared = prepared
        self._ledger = ledger
        self._clock = clock
        self._token = token
        self._on_progress = on_progress
        self._outputs: dict[str, Path] = {}

    def execute(self) -> RunReport:
        try:
            self._run_blocks()
            # The network is done; its weights and threads make room for what follows.
            self._opened.session.close()
            memory.trim()
            self._settle_seams()
            frame = self._frame()
            self._write_files(frame)
            report = self._completed(frame)
        except Cancelled:
            report = self._report("cancelled")
        except OutputError as exc:
            report = self._report("failed", str(exc))
        # The disk that could not take the results may not take the report either.
        with suppress(OutputError) if report.errors else nullcontext():
            self._save(report)
        return report

    def _run_blocks(self) -> None:
        prepared, ledger = self._prepared, self._ledger
        finished = ledger.finished_tiles()
        todo = [block for block in prepared.plan.blocks if block.index not in finished]
        empty = [b.index for b in todo if not prepared.survey.holds_something(prepared.rect_l0(b))]
        ledger.skip(empty)
        skipped = set(empty)
        work = [block for block in todo if block.index not in skipped]
        done, objects = len(finished) + len(empty), ledger.count_found()
        budget = MemoryLedger(BLOCKS_IN_FLIGHT * max(map(self._flight_bytes, work), default=1))
        stages = Stages(self._read, self._decode, self._flight_bytes)
        session, seconds = self._opened.session, self._clock.stages
        started = time.perf_counter()
        self._tell(done, objects, None)
        for count, result in enumerate(
            run_blocks(work, stages, session, budget, self._token, seconds), 1
        ):
            if result.value is None:
                ledger.fail(result.block.index, result.error or "")
            else:
                ledger.finish(result.block.index, *result.value)
                objects += int((result.value[1] < Kind.FRAGMENT).sum())
            if count % _TRIM_EVERY == 0:
                memory.trim()
            rate = (time.perf_counter() - started) / count
            self._tell(done + count, objects, rate * (len(work) - count))

    def _tell(self, done: int, objects: int, seconds_left: float | None) -> None:
        total = len(self._prepared.plan.blocks)
        self._on_progress(RunProgress("tiles", done, total, objects, seconds_left))

    def _flight_bytes(self, block: Block) -> int:
        return block.outer.area * self._prepared.footprint.flight_bytes_per_px

    def _read(self, outer: Rect) -> Arrays:
        opened, prepared = self._opened, self._prepared
        pixels = read_working(opened.source, opened.cache, outer, prepared.plan.grid.factor)
        try:
            return opened.adapter.encode(TileImage(pixels, prepared.survey.contrast))
        except Exception as exc:  # plugin code: one of the boundaries
            raise PluginBroken(self._request.model.plugin_id, "encode", exc) from exc

    def _decode(self, block: Block, outputs: Arrays) -> tuple[Detections, NDArray[np.uint8]]:
        valid, outer = block.valid, block.outer
        rows = slice(valid.y0 - outer.y0, valid.y1 - outer.y0)
        columns = slice(valid.x0 - outer.x0, valid.x1 - outer.x0)
        cut = {name: array[..., rows, columns] for name, array in outputs.items()}
        spec = self._request.model.spec
        try:
            found = self._opened.adapter.decode(cut, self._prepared.settings.parameters)
            traced = outlines(found.labels, tolerance_px=None)
            index = traced.values - 1
            detections = Detections(
                traced.rings + np.array([valid.x0, valid.y0], np.float64),
                traced.offsets,
                found.scores[index],
                found.classes[index],
                spec.classes,
            )
        except Exception as exc:  # plugin code: one of the boundaries
            raise PluginBroken(self._request.model.plugin_id, "decode", exc) from exc
        kinds = classify(self._prepared.plan, block, detections)
        kept = np.flatnonzero(kinds <= Kind.FRAGMENT)
        return _thinned(detections.select(kept), kinds[kept]), kinds[kept]

    def _settle_seams(self) -> None:
        self._token.raise_if_cancelled()
        self._on_progress(RunProgress("seams"))
        ledger = self._ledger
        ledger.place_whole()
        settled = settle(
            self._prepared.plan,
            [_outline(item) for item in ledger.undecided()],
            lambda *box: [_outline(item) for item in ledger.whole_near(*box)],
        )
        ledger.settle([Item(0, o.tile, Kind.SEAM, o.class_index, o.score, o.ring) for o in settled])

    def _completed(self, frame: ResultFrame) -> RunReport:
        if self._ledger.counts().failed:
            return self._report("failed")
        results = _results(self._request, self._prepared.settings)
        if results is None:
            return self._report("complete")
        self._token.raise_if_cancelled()
        self._on_progress(RunProgress(results.project.name))
        try:
            results.add(frame, self._prepared.settings.parameters, self._token)
        except TilescopeError as exc:
            return self._report("failed", f"{exc}; {self._way_out(results)}")
        self._outputs["project"] = results.project
        return self._report("complete")

    def _way_out(self, results: ProjectResults) -> str:
        """Return how the results get into the project later."""
        way = f"the results are in {self._request.folder}: run the same command again"
        file = self._outputs.get("geojson")
        if file is None:
            return way
        slide = self._request.slide
        return f"{way}, or: tilescope import {results.project} {file} --slide {slide}"

    def _frame(self) -> ResultFrame:
        return ResultFrame(
            folder=self._request.folder,
            source=self._opened.source,
            cache=self._opened.cache,
            ledger=self._ledger,
            factor=self._prepared.plan.grid.factor,
            region_l0=self._prepared.settings.region_l0,
            pixel_size=self._prepared.settings.pixel_size,
            class_names=self._request.model.spec.classes,
            model=self._request.model.spec.ref,
        )

    def _write_files(self, frame: ResultFrame) -> None:
        started = time.perf_counter()
        self._outputs = write_outputs(frame, self._request.formats, self._token, self._on_progress)
        self._clock.write = time.perf_counter() - started

    def _save(self, report: RunReport) -> None:
        with staged_file(self._request.folder / REPORT_NAME) as file:
            file.write(report.as_json(with_outputs=False).encode() + b"\n")

    def _report(self, status: Status, *errors: str) -> RunReport:
        request, prepared, ledger = self._request, self._prepared, self._ledger
        info, spec = self._opened.source.info, request.model.spec
        counts = ledger.counts()
        failures = [f"tile {tile}: {cause}" for tile, cause in ledger.failures()]
        halo = self._opened.halo
        return RunReport(
            model=asdict(spec.ref),
            slide={
                "path": str(request.slide),
                "sha256_head": head_sha256(request.slide),
                "width": info.size.width,
                "height": info.size.height,
            },
            parameters=dict(prepared.settings.parameters),
            provider=self._opened.session.provider,
            tiles=TileReport(
                len(prepared.plan.blocks), counts.done, counts.background, counts.failed
            ),
            objects=ledger.count_objects() if status == "complete" else ledger.count_found(),
            seconds=self._clock.report(),
            peak_rss_bytes=memory.peak_rss_bytes(),
            memory_cap_bytes=request.memory_bytes,
            halo_px=prepared.plan.margins.halo_px,
            halo_exact=halo.is_exact,
            tilescope_version=__version__,
            status=status,
            scale=asdict(prepared.scale),
            contrast=asdict(prepared.survey.contrast),
            errors=[*errors, *failures],
            outputs={name: str(path) for name, path in self._outputs.items()},
        )


def _thinned(found: Detections, kinds: NDArray[np.uint8]) -> Detections:
    """Return the objects with thinned outlines; fragments are thinned once they are joined."""
    rings, offsets = thinned(found.rings, found.offsets)
    thin = replace(found, rings=rings, offsets=offsets)
    kept = [(found if kind == Kind.FRAGMENT else thin).ring(i) for i, kind in enumerate(kinds)]
    return Detections.of(kept, found.scores, found.classes, found.class_names)


def _outline(item: Item) -> Outline:
    return Outline(item.ring, item.tile, item.kind == Kind.FRAGMENT, item.score, item.class_index)
