"""``tilescope convert``: options to a request, progress, report, exit code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import typer

from tilescope.cli.exits import ALL_GOOD, CANCELLED, SOME_FAILED, complain, say
from tilescope.cli.progress import ProgressLine, Step, time_left
from tilescope.cli.run import cancelled_by_interrupt, core_count, memory_cap
from tilescope.domain.counts import counted
from tilescope.errors import TilescopeError, UsageError
from tilescope.io.ome_metadata import Compressor, Version
from tilescope.io.pyramid_plan import SHARD_PX, OutputForm
from tilescope.jobs.convert import ConvertProgress, ConvertReport, ConvertRequest, convert
from tilescope.runtime import memory as process_memory


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
        with cancelled_by_interrupt() as token, ProgressLine(slide.name, _step) as progress:
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
        f"{counted(len(report.levels), 'level')}, {report.units['done']:,} of "
        f"{counted(report.units['total'], 'block')}, "
        f"{report.size_bytes / 2**20:.1f} MiB, {report.seconds:.1f} s, peak memory "
        f"{report.peak_rss_bytes / 2**20:.0f} MiB of {report.memory_cap_bytes / 2**20:.0f} MiB"
    )


def _step(progress: ConvertProgress) -> Step:
    detail = f"block {progress.done} of {progress.total}{time_left(progress.seconds_left)}"
    return Step("blocks", progress.done, progress.total, detail)
