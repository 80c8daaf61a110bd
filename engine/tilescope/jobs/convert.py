"""A slide to an OME-Zarr image: streamed, under a memory cap, continued after a kill."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from tilescope import __version__
from tilescope.domain.geometry import Rect
from tilescope.domain.slide import SlideInfo
from tilescope.errors import Cancelled, OutputError, RunMismatch, TileReadError, UsageError
from tilescope.exchange.staging import output_errors
from tilescope.io.cache import TileCache
from tilescope.io.pyramid_plan import OutputForm, PyramidPlan, Unit, plan_pyramid
from tilescope.io.pyramid_writer import PyramidWriter
from tilescope.io.region import read_region
from tilescope.io.registry import open_slide
from tilescope.io.source import SlideSource
from tilescope.jobs.conversion_memory import MemoryShare, share_memory
from tilescope.jobs.conversion_record import ConversionRecord
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken

RECORD_NAME = ".tilescope-convert"

Status = Literal["complete", "cancelled", "failed"]

_CHUNK_PX = range(64, 4097, 16)
#: Units on their way beside those in the threads' hands, so that no thread waits for the record.
_WAITING = 2
_LOOK_S = 0.2
#: Small arrays of many sizes leave holes in the heap; without this it creeps up.
_TRIM_EVERY = 16


@dataclass(frozen=True, slots=True)
class ConvertRequest:
    """One slide to convert.

    Attributes
    ----------
    slide, out
        What is read, and the folder that appears when it is whole.
    form
        How the image is stored.
    memory_bytes
        Cap on the peak resident memory of the process.
    threads
        Most threads that decode and compress.
    overwrite
        Replace an image at ``out``, and discard an unfinished conversion with other parameters.
    """

    slide: Path
    out: Path
    form: OutputForm
    memory_bytes: int
    threads: int
    overwrite: bool = False

    @property
    def part(self) -> Path:
        """The folder under construction."""
        return self.out.with_name(f"{self.out.name}.part")


@dataclass(frozen=True, slots=True)
class ConvertProgress:
    """How far a conversion is, in units of work; ``seconds_left`` is None before it is known."""

    done: int
    total: int
    seconds_left: float | None = None


OnProgress = Callable[[ConvertProgress], None]


@dataclass(frozen=True, slots=True)
class ConvertReport:
    """What a conversion did; sizes count compressed pixels, the time is that of this process."""

    slide: str
    output: str
    status: Status
    form: dict[str, Any]
    levels: list[dict[str, int]]
    units: dict[str, int]
    size_bytes: int
    threads: int
    seconds: float
    peak_rss_bytes: int
    memory_cap_bytes: int
    tilescope_version: str = __version__
    errors: list[str] = field(default_factory=list)

    def as_json(self) -> str:
        """Return the report as one JSON object on one line."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)


def convert(
    request: ConvertRequest,
    token: CancellationToken,
    on_progress: OnProgress = lambda _progress: None,
) -> ConvertReport:
    """Write the slide as OME-Zarr and return the report.

    A conversion that was killed, cancelled or out of room leaves ``OUT.part`` behind; the same
    request continues it, with the same result byte for byte.

    Raises
    ------
    SlideError
        When the slide cannot be opened; nothing is written then.
    UsageError, BudgetTooSmall
        When the request cannot be carried out; nothing is written then.
    RunMismatch
        When an unfinished conversion with other parameters is there.
    OutputError
        When the folder cannot be made. A disk that fills up later, like a tile that cannot be
        read, ends the conversion with the status ``failed``.
    Cancelled
        When the token is set before the first unit.
    """
    started = time.perf_counter()
    _check_form(request.form)
    # level 0 alone is read: overviews made on demand would need a cache
    with open_slide(request.slide, cache=TileCache(0)) as source:
        _check_places(request)
        identity = _identity(request, source.info)
        share = share_memory(source, request.form, request.memory_bytes, request.threads)
        token.raise_if_cancelled()
        with _record(request, identity, share) as record:
            depth = int(record.settings.get("first_depth", share.first_depth))
            plan = plan_pyramid(source.info, request.form, first_depth=depth)
            conversion = _Conversion(request, plan, share, record, token, on_progress)
            status, errors = conversion.execute(source)
        return ConvertReport(
            slide=str(request.slide),
            output=str(request.out),
            status=status,
            form=asdict(request.form),
            levels=[{"width": v.size.width, "height": v.size.height} for v in plan.levels],
            units=conversion.counts(),
            size_bytes=sum(record.done.values()),
            threads=share.threads,
            seconds=round(time.perf_counter() - started, 3),
            peak_rss_bytes=memory.peak_rss_bytes(),
            memory_cap_bytes=request.memory_bytes,
            errors=errors,
        )


class _Conversion:
    """The units and the metadata of one conversion."""

    def __init__(
        self,
        request: ConvertRequest,
        plan: PyramidPlan,
        share: MemoryShare,
        record: ConversionRecord,
        token: CancellationToken,
        on_progress: OnProgress,
    ) -> None:
        self._request = request
        self._plan = plan
        self._share = share
        self._record = record
        self._token = token
        self._on_progress = on_progress
        self._earlier = len(record.done)
        self._started = time.perf_counter()

    def execute(self, source: SlideSource) -> tuple[Status, list[str]]:
        cache = TileCache(self._share.cache_bytes)

        def read(rect: Rect, plane: int) -> NDArray[Any]:
            return read_region(source, cache, 0, rect, plane=plane)

        writer = PyramidWriter(self._request.part, self._plan, read)
        try:
            for stage in range(len(self._plan.stages)):
                self._run_stage(stage, writer)
            self._token.raise_if_cancelled()
            with output_errors(self._request.part):
                writer.write_metadata()
            self._record.close()
            _publish(self._request)
        except Cancelled:
            return "cancelled", []
        except (OutputError, TileReadError) as exc:
            return "failed", [str(exc)]
        return "complete", []

    def counts(self) -> dict[str, int]:
        """Return units by what became of them."""
        done = len(self._record.done)
        return {"total": self._plan.count_units(), "done": done, "earlier": self._earlier}

    def _run_stage(self, stage: int, writer: PyramidWriter) -> None:
        todo = (unit for unit in self._plan.units(stage) if unit not in self._record.done)
        local = CancellationToken()
        forget = self._token.on_cancel(lambda: local.cancel())  # noqa: PLW0108 - drops the cause
        threads = self._share.threads

        def write(unit: Unit, token: CancellationToken) -> int:
            with output_errors(self._request.part):
                return writer.write_unit(unit, token)

        self._tell()
        with ThreadPoolExecutor(threads, thread_name_prefix="convert") as pool:
            try:
                for unit, size_bytes in _in_any_order(pool, write, todo, threads, local):
                    self._record.add(unit, size_bytes)
                    if len(self._record.done) % _TRIM_EVERY == 0:
                        memory.trim()
                    self._tell()
            finally:
                local.cancel()
                forget()

    def _tell(self) -> None:
        done, total = len(self._record.done), self._plan.count_units()
        new = done - self._earlier
        elapsed = time.perf_counter() - self._started
        self._on_progress(
            ConvertProgress(done, total, elapsed / new * (total - done) if new else None)
        )


def _in_any_order(
    pool: ThreadPoolExecutor,
    write: Callable[[Unit, CancellationToken], int],
    todo: Iterator[Unit],
    threads: int,
    token: CancellationToken,
) -> Iterator[tuple[Unit, int]]:
    """Yield each unit and its size once it is written; few are waiting at any time."""
    pending: dict[Future[int], Unit] = {}
    while True:
        token.raise_if_cancelled()
        while len(pending) < threads + _WAITING and (unit := next(todo, None)) is not None:
            pending[pool.submit(write, unit, token)] = unit
        if not pending:
            return
        done, _ = wait(pending, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
        for future in done:
            yield pending.pop(future), future.result()


def _check_form(form: OutputForm) -> None:
    if form.chunk_px not in _CHUNK_PX:
        raise UsageError(
            f"--tile {form.chunk_px}: give a multiple of {_CHUNK_PX.step} from {_CHUNK_PX.start} "
            f"to {_CHUNK_PX.stop - 1}"
        )
    if form.shard_px is not None and form.version == "0.4":
        raise UsageError("--shard needs --format 0.5: Zarr version 2 has no shards")


def _check_places(request: ConvertRequest) -> None:
    """Refuse an output that would cost the slide or something that is no image."""
    slide, out = request.slide.resolve(), request.out.resolve()
    if out == slide or out in slide.parents or slide in out.parents:
        raise UsageError(f"{request.out} is the slide, holds it or lies in it; give another output")
    if not request.out.exists() and not request.out.is_symlink():
        return
    with output_errors(request.out):
        # killed right after the image got its name
        (request.out / RECORD_NAME).unlink(missing_ok=True)
        names = {p.name for p in request.out.iterdir()}
    if names and names.isdisjoint({"zarr.json", ".zgroup", ".zarray"}):
        raise UsageError(f"{request.out} is no Zarr image and is not replaced; give another output")
    if not request.overwrite:
        raise UsageError(f"{request.out} exists; use --overwrite to replace it")


def _identity(request: ConvertRequest, info: SlideInfo) -> dict[str, str]:
    form = request.form
    return {
        "slide": f"{request.slide.name} [{info.id.value[:8]}]",
        "format": form.version,
        "tile": str(form.chunk_px),
        "shard": "no" if form.shard_px is None else str(form.shard_px),
        "compressor": form.compressor,
    }


def _record(
    request: ConvertRequest, identity: dict[str, str], share: MemoryShare
) -> ConversionRecord:
    """Return the record of an unfinished conversion, or of a new one."""
    part = request.part
    path, settings = part / RECORD_NAME, {"first_depth": share.first_depth}
    with output_errors(part):
        part.mkdir(exist_ok=True)
        if not path.exists() and any(part.iterdir()):
            raise UsageError(f"{part} is in the way and no unfinished conversion; remove it")
    try:
        return ConversionRecord.open(path, identity, settings)
    except RunMismatch:
        if not request.overwrite:
            raise
    with output_errors(part):
        shutil.rmtree(part)
        part.mkdir()
    return ConversionRecord.open(path, identity, settings)


def _publish(request: ConvertRequest) -> None:
    """Give the finished folder its name."""
    out = request.out
    old = out.with_name(f".{out.name}.old")
    with output_errors(out):
        if old.exists():
            shutil.rmtree(old)
        # a folder that is not empty cannot be replaced in one step
        if out.exists():
            out.replace(old)
        request.part.replace(out)
        (out / RECORD_NAME).unlink()
        if old.exists():
            shutil.rmtree(old)
