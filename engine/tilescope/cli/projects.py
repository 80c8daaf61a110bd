"""``tilescope import``, ``export`` and ``measure``: what goes into projects and out of them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer

from tilescope.cli.exits import ALL_GOOD, CANCELLED, say
from tilescope.cli.run import cancelled_by_interrupt
from tilescope.domain.counts import counted
from tilescope.exchange.findings import Finding
from tilescope.jobs.export_objects import ExportRequest, ExportResult, export_objects
from tilescope.jobs.import_objects import ImportRequest, ImportResult, import_objects
from tilescope.jobs.measure_objects import MeasureRequest, MeasureResult, measure_objects

_LINE_EVERY_S = 5.0


def import_file(project: Path, file: Path, slide: str | None, *, as_json: bool) -> None:
    """Import a file and print what became of it."""
    request = ImportRequest(project, file, slide)
    with cancelled_by_interrupt() as token:
        result = import_objects(request, token, _CountLine(f"{file.name}: imported"))
    objects = counted(result.objects, "object")
    _print(result, f"{objects} from {file} on {result.slide}", as_json=as_json)
    if not as_json:
        _print_findings(result.left_out, result.changed)


def export_file(request: ExportRequest, *, as_json: bool) -> None:
    """Export to a file and print what was written."""
    with cancelled_by_interrupt() as token:
        result = export_objects(request, token, _CountLine(f"{request.out.name}: exported"))
    objects = counted(result.objects, "object")
    done = f"{objects} of {result.slide} to {request.out}{_simplified(result)}"
    _print(result, done, as_json=as_json)
    if not as_json:
        _print_findings(result.left_out, result.changed)


def measure(request: MeasureRequest, *, as_json: bool) -> int:
    """Measure objects, print what was measured and return the exit code."""
    with cancelled_by_interrupt() as token:
        result = measure_objects(request, token, _CountLine(f"{request.project.name}: looked at"))
    objects = counted(result.objects, "object")
    done = f"{result.measured:,} of {objects} on {result.slide} measured"
    _print(result, done, as_json=as_json)
    if result.status == "complete":
        return ALL_GOOD
    say(f"{request.project.name}: cancelled; run the same command again to measure the rest")
    return CANCELLED


def _print(
    result: ImportResult | ExportResult | MeasureResult, done: str, *, as_json: bool
) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(result), ensure_ascii=False, allow_nan=False))
        return
    typer.echo(
        f"{Path(result.project).name}: {done}, {result.seconds:.1f} s, "
        f"peak memory {result.peak_rss_bytes / 2**20:.0f} MiB"
    )


def _simplified(result: ExportResult) -> str:
    if result.simplify_px is None:
        return ""
    um = "" if result.simplify_um is None else f" ({result.simplify_um:g} µm)"
    return f", simplified to {result.simplify_px:g} px{um}"


def _print_findings(left_out: Sequence[Finding], changed: Sequence[Finding]) -> None:
    for title, findings in (("left out", left_out), ("changed", changed)):
        for finding in findings:
            typer.echo(f"  {title}: {finding}")


class _CountLine:
    """Says on stderr, now and then, how many objects there are."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._next = time.monotonic() + _LINE_EVERY_S

    def __call__(self, count: int) -> None:
        """Take the number of objects."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_EVERY_S
            say(f"{self._title} {counted(count, 'object')}")
