"""``tilescope demo``: nuclei on the slides that come with Tilescope."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import typer

from tilescope.cli.exits import ALL_GOOD, CANCELLED, SOME_FAILED, say
from tilescope.cli.progress import ProgressLine, run_step
from tilescope.cli.run import cancelled_by_interrupt, core_count
from tilescope.domain.counts import counted
from tilescope.jobs.report import RunReport
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import run_model
from tilescope.jobs.running.summary import summarise
from tilescope.plugins.registry import find_model
from tilescope.runtime.memory import parse_size, return_memory_eagerly

MODEL = "nuclei-unet"
SAMPLES = {
    "CMU-1-Small-Region.svs": "H&E, Aperio SVS",
    "fluorescence-nuclei.png": "cultured cells, nuclear stain, PNG without a pixel size",
}
_DEFAULT_MEMORY = "1GiB"


def run_demo(output: Path, *, as_json: bool, memory: str | None, threads: int | None) -> int:
    """Run the nuclei model over both samples, say what was found, and return the exit code."""
    return_memory_eagerly()
    model = find_model(MODEL)
    reports = []
    with cancelled_by_interrupt() as token:
        for name, title in SAMPLES.items():
            with as_file(files("tilescope") / "samples" / name) as slide:
                request = RunRequest(
                    model=model,
                    slide=slide,
                    out_dir=output,
                    memory_bytes=parse_size(memory or _DEFAULT_MEMORY),
                    threads=threads or core_count(),
                )
                with ProgressLine(name, run_step) as progress:
                    report = run_model(request, token, progress)
            reports.append(report)
            if as_json:
                typer.echo(report.as_json(with_outputs=True))
            elif report.status == "complete":
                _print_sample(name, title, report)
            if report.status == "cancelled":
                say("tilescope: cancelled; run the same command again to continue")
                return CANCELLED
    return ALL_GOOD if all(r.status == "complete" for r in reports) else SOME_FAILED


def _print_sample(name: str, title: str, report: RunReport) -> None:
    folder = Path(report.outputs["csv"]).parent
    found = summarise(Path(report.outputs["csv"]))
    typer.echo(f"\n{name} ({title}), {report.slide['width']} x {report.slide['height']} pixels")
    if found.diameters is None or found.median_area is None:
        typer.echo("  no nuclei found")
    else:
        low, middle, high = found.diameters
        typer.echo(
            f"  {counted(found.count, 'nucleus', 'nuclei')}, "
            f"median diameter {middle:.1f} {found.unit} (80 % between {low:.1f} and {high:.1f}), "
            f"median area {found.median_area:.0f} {found.unit}²"
        )
    typer.echo(
        f"  {report.seconds.total:.1f} s, {counted(report.tiles.done, 'tile')}, peak memory "
        f"{report.peak_rss_bytes / 2**20:.0f} MiB of {report.memory_cap_bytes / 2**20:.0f} MiB"
    )
    typer.echo(f"  look at    {folder / 'overview.png'}")
    typer.echo(f"  for QuPath {folder / 'objects.geojson'}")
    typer.echo(f"  for napari {folder / 'labels.ome.zarr'}")
    typer.echo(f"  as a table {folder / 'objects.csv'}")
