"""``tilescope convert``: options to a request, progress, report, exit code."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

import typer

from tilescope.cli.exits import ALL_GOOD, CANCELLED, SOME_FAILED, complain, say
from tilescope.cli.run import cancelled_by_interrupt, core_count, memory_cap
from tilescope.errors import TilescopeError, UsageError
from tilescope.io.ome_metadata import Compressor, Version
from tilescope.io.pyramid_plan import SHARD_PX, OutputForm
from tilescope.jobs.convert import ConvertProgress, ConvertReport, ConvertRequest, convert
from tilescope.runtime import memory as process_memory

_LINE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """The options of the command as the user typed them."""

    version: str = "0.5"
    tile: int = 512
    shard: bool = False
    compressor: str = "blosc"
    memory: str | None = None
    threads: int | None = None
    overwrite: bool = False
    as_json: bool = False


def convert_slide(slide: Path, out: Path, options: ConvertOptions) -> int:
    """Convert a slide and return the exit code."""
    process_memory.return_memory_eagerly()
    try:
        request = _request(slide, out, options)
        with cancelled_by_interrupt() as token, _ProgressLine(slide.name) as progress:
            report = convert(request, token, progress)
    except TilescopeError as exc:
        if options.as_json:
            failure = {"slide": str(slide), "output": str(out), "status": "failed"}
            typer.echo(json.dumps({**failure, "errors": [str(exc)]}, ensure_ascii=False))
        return complain(exc)
    _print_report(report, as_json=options.as_json)
    for error in report.errors:
        say("tilescope: error: " + " ".join(error.split()))
    if report.status != "complete":
        say(f"{out.name}: run the same command again to continue")
    return {"complete": ALL_GOOD, "cancelled": CANCELLED, "failed": SOME_FAILED}[report.status]


def _request(slide: Path, out: Path, options: ConvertOptions) -> ConvertRequest:
    versions: dict[str, Version] = {name: name for name in get_args(Version)}
    compressors: dict[str, Compressor] = {name: name for name in get_args(Compressor)}
    if options.version not in versions:
        raise UsageError(f"--format {options.version!r}: choose among {', '.join(versions)}")
    if options.compressor not in compressors:
        listed = ", ".join(compressors)
        raise UsageError(f"--compressor {options.compressor!r}: choose among {listed}")
    form = OutputForm(
        version=versions[options.version],
        chunk_px=options.tile,
        shard_px=SHARD_PX if options.shard else None,
        compressor=compressors[options.compressor],
    )
    return ConvertRequest(
        slide=slide,
        out=out,
        form=form,
        memory_bytes=memory_cap(options.memory),
        threads=options.threads or core_count(),
        overwrite=options.overwrite,
    )


def _print_report(report: ConvertReport, *, as_json: bool) -> None:
    if as_json:
        typer.echo(report.as_json())
        return
    finest = report.levels[0]
    typer.echo(
        f"{report.output}: {report.status}; {finest['width']} x {finest['height']} pixels in "
        f"{len(report.levels)} levels, {report.units['done']} of {report.units['total']} blocks, "
        f"{report.size_bytes / 2**20:.1f} MiB, {report.seconds:.1f} s, peak memory "
        f"{report.peak_rss_bytes / 2**20:.0f} MiB of {report.memory_cap_bytes / 2**20:.0f} MiB"
    )


class _ProgressLine:
    """Shows progress on stderr: a bar on a terminal, a line now and then anywhere else."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._next_line = 0.0
        self._bar: Any = None
        self._task: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(title, total=None)

    def __call__(self, progress: ConvertProgress) -> None:
        """Show one report."""
        if self._bar is not None:
            self._bar.update(self._task, completed=progress.done, total=progress.total)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_EVERY_S
            left = progress.seconds_left
            rest = "" if left is None else f", {left:.0f} s left"
            say(f"{self._title}: block {progress.done} of {progress.total}{rest}")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
