"""Does the memory cap hold: caps by slides by models, each run in a process of its own."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from networks import WIDTHS, stored, unet
from peer_process import PeerGone, PeerProcess
from report import Report, Settings
from slides import textures

from tilescope.testing.synthetic import write_repeated_slide

_MIB = 1 << 20
CAPS_MIB = (400, 600, 1024, 2048)
SIDES = {1: 32_768, 4: 65_536, 16: 131_072}
#: Side of what is really inferred, whatever the slide's size: the pixel size is set accordingly.
WORKING_PX = 1536
TILE_PX = 1024
#: Coarse, so that the pixel size of the largest slide stays plausible.
_UM = 4.0
_LOOK_S = 0.02
#: Growth by less than a fiftieth is none.
_NEARLY = 0.98


@dataclass(frozen=True, slots=True)
class Cell:
    """One run.

    Attributes
    ----------
    peak_reached_s
        When resident memory first came within 2 % of its peak: long before the end of a run, more
        blocks would not have taken more.
    blocks
        How many tiles were run.
    patches
        How many patches the network was run in, where a tile did not fit at once.
    """

    cap_bytes: int
    gigapixels: int
    model: str
    peak_rss_bytes: int
    seconds: float
    peak_reached_s: float
    blocks: int
    provider: str | None
    patches: int | None
    refused: str | None

    @property
    def is_kept(self) -> bool:
        """Whether the process stayed under its cap."""
        return self.peak_rss_bytes <= self.cap_bytes

    def as_dict(self) -> dict[str, Any]:
        """Return it for the report."""
        return {name: getattr(self, name) for name in self.__slots__}


def run(settings: Settings, report: Report) -> None:
    """Measure every cell."""
    os.environ["TILESCOPE_CACHE"] = str(settings.folder / "cache")
    os.environ["TILESCOPE_MODELS"] = str(settings.folder / "models")
    sides = {1: 4096} if settings.small else SIDES
    caps = CAPS_MIB[:2] if settings.small else CAPS_MIB
    models = list(WIDTHS)[:1] if settings.small else list(WIDTHS)
    names = {model: stored(model, tile_px=TILE_PX, um_per_px=_UM).spec.id for model in models}
    slides = {size: _slide(settings.folder, side) for size, side in sides.items()}
    for size, slide in slides.items():
        report.input(slide.name, gigapixels=size, size_bytes=slide.stat().st_size)
    cells = [
        _cell(settings.folder, slide, size, sides[size], names[model], cap)
        for model in models
        for size, slide in slides.items()
        for cap in caps
        if _is_wanted(settings.cells, model, cap, size)
    ]
    report.value("cells", [cell.as_dict() for cell in cells])
    report.value("cap_kept", all(cell.is_kept for cell in cells))
    report.figure("cells_refused", float(sum(cell.refused is not None for cell in cells)))
    _pyfast(settings, report, slides, cells)


def _is_wanted(cells: Sequence[str], model: str, cap_mib: int, gigapixels: int) -> bool:
    """Tell whether one of ``MODEL:MIB:GIGAPIXELS`` means a cell; ``*`` stands for any."""
    cell = (model, str(cap_mib), str(gigapixels))
    wanted = [text.split(":") for text in cells]
    return not wanted or any(
        all(given in {"*", own} for given, own in zip(parts, cell, strict=True)) for parts in wanted
    )


def _slide(folder: Path, side: int) -> Path:
    path = folder / f"repeated-{side}.tiff"
    if not path.exists():
        write_repeated_slide(path, textures()[0], side, side)
    return path


def _cell(folder: Path, slide: Path, size: int, side: int, model: str, cap_mib: int) -> Cell:
    command = [
        sys.executable, "-c", "from tilescope.cli.main import main; main()",
        "run", model, str(slide), "-o", str(folder / "cells"), "--overwrite", "--json",
        "--memory", f"{cap_mib}MiB", "--um-per-px", repr(_UM * WORKING_PX / side),
    ]  # fmt: skip
    started = time.perf_counter()
    with (folder / "cell.out").open("w+b") as out, (folder / "cell.err").open("w+b") as err:
        process = psutil.Popen(command, stdout=out, stderr=err)
        peak, reached = _watched(process)
        out.seek(0)
        found = json.loads(out.read() or b"{}")
        err.seek(0)
        said = err.read().decode(errors="replace").strip().splitlines()
    seconds = time.perf_counter() - started
    refused = None if process.returncode == 0 else (said or [f"status {process.returncode}"])[-1]
    if process.returncode not in {0, 3}:
        msg = f"{model} over {slide.name} in {cap_mib} MiB: {refused}"
        raise RuntimeError(msg)
    patches = found.get("patches")
    cell = Cell(
        cap_mib * _MIB,
        size,
        model,
        max(peak, found.get("peak_rss_bytes", 0)),
        round(seconds, 2),
        round(reached, 2),
        found.get("tiles", {}).get("done", 0),
        found.get("provider"),
        patches and patches["rows"] * patches["columns"],
        refused,
    )
    print(cell, file=sys.stderr, flush=True)
    return cell


def _watched(process: psutil.Popen) -> tuple[int, float]:
    """Wait for a process and return its most resident memory, and when it was nearly reached.

    What it starts to measure a model is not its own memory and ends before the run begins.
    """
    started = time.perf_counter()
    peak = nearly = 0
    reached = 0.0
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        if _NEARLY * peak > nearly:
            nearly, reached = peak, time.perf_counter() - started
        time.sleep(_LOOK_S)
    process.wait()
    return peak, reached


def _pyfast(settings: Settings, report: Report, slides: dict[int, Path], cells: list[Cell]) -> None:
    """Let pyFAST run the light network over the level that has about as many pixels."""
    key = "pyfast_peak_over_ours"
    light = [cell for cell in cells if cell.model.endswith("light") and cell.refused is None]
    slides = {size: path for size, path in slides.items() if size in {c.gigapixels for c in light}}
    if not slides:
        report.figure(key, None)
        return
    weights = settings.folder / "light-512.onnx"
    weights.write_bytes(unet(WIDTHS["light"], side=512))
    python = settings.pythons.get("pyfast", Path(sys.executable))
    worker = Path(__file__).with_name("pyfast_worker.py")
    peaks = {}
    for size, slide in slides.items():
        with PeerProcess(python, worker) as peer:
            try:
                report.peer("pyfast", peer.ask("hello")["version"])
                answer = peer.ask(
                    "segment_level", slide=str(slide), weights=str(weights), most_px=2 * WORKING_PX
                )
            except PeerGone as gone:
                report.missing("pyfast", str(gone), [key])
                return
            peaks[size] = answer["peak_rss_bytes"]
    ours = {
        size: min(cell.peak_rss_bytes for cell in light if cell.gigapixels == size)
        for size in peaks
    }
    ratios = [peaks[size] / ours[size] for size in peaks]
    report.figure(key, sorted(ratios)[len(ratios) // 2], pyfast=peaks, ours=ours)
