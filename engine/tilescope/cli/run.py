"""``tilescope run``: options to requests, slides one after the other, exit codes."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import typer

from tilescope.cli.exits import (
    ALL_GOOD,
    CANCELLED,
    CAP_TOO_SMALL,
    SOME_FAILED,
    complain,
    say,
    words_of,
)
from tilescope.cli.progress import ProgressLine, run_step
from tilescope.domain.counts import counted
from tilescope.domain.geometry import Rect
from tilescope.errors import Cancelled, TilescopeError, UsageError
from tilescope.inference.session import PRECISIONS, Precision
from tilescope.jobs.report import RunReport
from tilescope.jobs.request import DEFAULT_FORMATS, FORMATS, RunRequest, result_name
from tilescope.ops.areas import Areas
from tilescope.plugins.registry import InstalledModel, find_model
from tilescope.runtime import memory as process_memory
from tilescope.runtime.cancel import CancellationToken


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of the command as the user typed them."""

    region: str | None = None
    within: Path | None = None
    within_class: str | None = None
    memory: str | None = None
    threads: int | None = None
    provider: str = "auto"
    precision: str = "fp32"
    um_per_px: float | None = None
    overwrite: bool = False
    formats: str | None = None
    parameters: tuple[str, ...] = ()
    project: Path | None = None
    as_json: bool = False


def run_slides(model_id: str, slides: Sequence[Path], output: Path, options: RunOptions) -> int:
    """Run a model over every slide, whatever happens to the others; return the exit code."""
    process_memory.return_memory_eagerly()
    requests = _requests(find_model(model_id), slides, output, options)
    codes: list[int] = []
    with cancelled_by_interrupt() as token:
        for request in requests:
            code = _run_one(request, token, as_json=options.as_json)
            codes.append(code)
            if code == CANCELLED:
                return code
    failed = [code for code in codes if code != ALL_GOOD]
    if not failed:
        return ALL_GOOD
    if len(failed) == len(codes) and len(set(failed)) == 1:
        return failed[0]
    return CAP_TOO_SMALL if CAP_TOO_SMALL in failed else SOME_FAILED


def _run_one(request: RunRequest, token: CancellationToken, *, as_json: bool) -> int:
    from tilescope.jobs.run_model import run_model

    try:
        with ProgressLine(request.slide.name, run_step) as progress:
            report = run_model(request, token, progress)
    except Cancelled:
        say(f"{request.slide}: cancelled before the first tile")
        return CANCELLED
    except TilescopeError as exc:
        if as_json:
            failure = {"slide": {"path": str(request.slide)}, "status": "failed"}
            typer.echo(json.dumps({**failure, "errors": [words_of(exc)]}, ensure_ascii=False))
        return complain(exc)
    say(f"{request.slide}: ran on {report.provider} in {report.precision}: {report.provider_why}")
    print_report(request, report, as_json=as_json)
    for error in report.errors:
        say(f"{request.slide}: {error}")
    return {"complete": ALL_GOOD, "cancelled": CANCELLED, "failed": SOME_FAILED}[report.status]


def print_report(request: RunRequest, report: RunReport, *, as_json: bool) -> None:
    """Print what a run did: JSON for programs, two sentences for people."""
    if as_json:
        typer.echo(report.as_json(with_outputs=True))
        return
    tiles = report.tiles
    typer.echo(
        f"{request.slide.name}: {report.status}; {_found(report)} in {_areas_of(report)}"
        f"{tiles.done:,} of {counted(tiles.total, 'tile')} "
        f"({tiles.skipped_background:,} skipped as background, {tiles.failed:,} failed), "
        f"{report.seconds.total:.1f} s, peak memory {report.peak_rss_bytes / 2**20:.0f} MiB of "
        f"{report.memory_cap_bytes / 2**20:.0f} MiB"
    )
    if report.scale["source"] in {"measured", "assumed"}:
        typer.echo(
            f"  the slide does not settle its scale: objects {report.scale['diameter_px']:.0f} px "
            f"across {report.scale['source']}; --param diameter_px=N or --um-per-px overrides it"
        )
    for area in report.areas:
        unit = f"{area['px']:,.0f} px²" if area["um2"] is None else f"{area['um2'] / 1e6:,.4g} mm²"
        share = f", {area['share']:.1%}" if len(report.areas) > 1 else ""
        typer.echo(f"  {area['name']}: {unit}{share}")
    for path in report.outputs.values():
        typer.echo(f"  {path}")
    if report.status == "cancelled":
        typer.echo("  run the same command again to continue")


def _found(report: RunReport) -> str:
    if not report.areas:
        return counted(report.objects, "object")
    return "one class" if len(report.areas) == 1 else f"{len(report.areas)} classes"


def _areas_of(report: RunReport) -> str:
    if report.within is None:
        return ""
    return f"{counted(report.within['areas'], 'area')}, "


def _requests(
    model: InstalledModel, slides: Sequence[Path], output: Path, options: RunOptions
) -> list[RunRequest]:
    parameters = dict(parameter(text) for text in options.parameters)
    folders = [result_name(slide) for slide in slides]
    double = sorted({name for name in folders if folders.count(name) > 1})
    if double:
        raise UsageError(
            f"several slides are called {double[0]!r}; their results would share one folder: run "
            "them into different output folders"
        )
    areas = _areas(slides, options)
    return [
        RunRequest(
            model=model,
            slide=slide,
            out_dir=output,
            memory_bytes=memory_cap(options.memory),
            threads=options.threads or core_count(),
            provider=options.provider,
            precision=_precision(options.precision),
            region_l0=_region(options.region),
            within=areas,
            um_per_px=options.um_per_px,
            parameters=parameters,
            formats=_formats(options.formats),
            overwrite=options.overwrite,
            project=options.project,
        )
        for slide in slides
    ]


def _areas(slides: Sequence[Path], options: RunOptions) -> Areas | None:
    """Return the areas to run in; what of the file is not taken is said."""
    from tilescope.jobs.areas_file import read_areas

    if options.within is None:
        if options.within_class is not None:
            raise UsageError("--within-class chooses outlines of a file: give it with --within")
        return None
    if len(slides) > 1:
        raise UsageError(
            f"--within {options.within}: outlines lie on one slide: run the slides one by one"
        )
    found = read_areas(options.within, options.within_class)
    for title, findings in (("left out", found.left_out), ("changed", found.changed)):
        for finding in findings:
            say(f"{options.within}: {title}: {finding}")
    return found.areas


def memory_cap(text: str | None) -> int:
    """Return the cap in bytes, half of the machine's memory when the user gave none."""
    if text is None:
        return process_memory.machine_memory_bytes() // 2
    return process_memory.parse_size(text)


def core_count() -> int:
    """Return the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _precision(text: str) -> Precision:
    for known in PRECISIONS:
        if text == known:
            return known
    raise UsageError(f"--precision {text!r} is not one of {', '.join(PRECISIONS)}")


def _region(text: str | None) -> Rect | None:
    if text is None:
        return None
    try:
        x, y, width, height = (int(part) for part in text.split(","))
        return Rect(x, y, x + width, y + height)
    except ValueError as exc:
        raise UsageError(f"--region {text!r} is not X,Y,WIDTH,HEIGHT in whole pixels") from exc


def _formats(text: str | None) -> tuple[str, ...]:
    if text is None:
        return DEFAULT_FORMATS
    chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [name for name in chosen if name not in FORMATS]
    if unknown or not chosen:
        raise UsageError(f"--format {text!r}: choose among {', '.join(FORMATS)}")
    return chosen


def parameter(text: str) -> tuple[str, float]:
    """Return name and number of a ``--param``.

    Raises
    ------
    UsageError
        When it is not ``NAME=NUMBER``.
    """
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if equals and math.isfinite(number):
        return name.strip(), number
    raise UsageError(f"--param {text!r} is not NAME=NUMBER")


@contextmanager
def cancelled_by_interrupt() -> Iterator[CancellationToken]:
    """Give a token that Ctrl-C and a polite kill set; a second Ctrl-C ends the program at once."""
    token = CancellationToken()
    before = {}

    def stop(number: int, _frame: FrameType | None) -> None:
        if token.is_cancelled:
            raise KeyboardInterrupt
        token.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield token
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
