"""The window against napari: frames, first pixels, sharpness after a jump, memory.

Both go the same way over the same slide, each in a process of its own, in turns. A frame is what
the window's thread does from being told a place until it has nothing left to do for it.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from million import make_points, make_project
from peer_process import PeerGone, PeerProcess
from report import Report, Settings

from tilescope.domain.geometry import Rect
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.registry import open_slide
from tilescope.testing.synthetic import write_repeated_slide

_HERE = Path(__file__).resolve().parent
_MOST_ROUNDS = 5
_JUMPS = 12
_EDITS = 5
#: With a million points the peer shows only so many steps of the way: it takes seconds for each.
_PEER_EVERY = 16
_RATIOS = ("frame_p95_vs_napari", "first_pixels_vs_napari", "rss_vs_napari")


def run(settings: Settings, report: Report) -> None:
    """Measure both sides in turns and report medians over the rounds."""
    side = settings.scaled(80_000, 8_000)
    slide = _slide(settings.folder, side)
    report.input("slide", side=side, size_bytes=slide.stat().st_size)
    rounds = min(settings.pairs, settings.scaled(_MOST_ROUNDS, 1))
    napari = settings.pythons.get("napari", Path(sys.executable))
    ours, theirs = [], []
    with _screen() as has_screen:
        for index in range(rounds):
            seed = settings.seed + index
            ours.append(_round(Path(sys.executable), "viewer_worker.py", slide, side, seed))
            if has_screen and index == len(theirs):
                try:
                    theirs.append(_round(napari, "napari_worker.py", slide, side, seed))
                except PeerGone as gone:
                    report.missing("napari", str(gone), _RATIOS)
    if not has_screen:
        report.missing("napari", "Xvfb is not installed", _RATIOS)
    _say(report, ours)
    if theirs:
        report.peer("napari", theirs[0]["version"])
        _compare(report, ours, theirs)
    _million(settings, report, slide, side)


def _million(settings: Settings, report: Report, slide: Path, side: int) -> None:
    """Measure the same way with a million nuclei; the peer has them as points."""
    count = settings.scaled(1_000_000, 5_000)
    seed, folder = settings.seed, settings.folder
    project = make_project(folder, slide, side, count, seed)
    report.input("nuclei", objects=count, size_bytes=project.stat().st_size)
    with PeerProcess(Path(sys.executable), _HERE / "viewer_worker.py") as ours:
        for request, values in (("hello", {}), ("open_slide", {"path": str(slide)})):
            ours.ask(request, **values)
        found = ours.ask("load", project=str(project))
        found.update(ours.ask("go", side=side))
        found.update(ours.ask("memory"))
        found.update(ours.ask("edit", count=_EDITS))
        ours.ask("close")
    for percent in (50, 95, 99):
        report.figure(f"frame_ms_p{percent}_million", _percentile(found["frames_ms"], percent))
    report.figure("peak_rss_mib_million", found["peak_rss_mib"])
    report.figure("objects_ms_million", found["objects_ms"])
    report.figure("edit_ms_million", statistics.median(found["edit_ms"]))
    keys = ("million_frame_p95_vs_napari_points", "million_rss_vs_napari_points")
    napari = settings.pythons.get("napari", Path(sys.executable))
    with _screen() as has_screen:
        if not has_screen:
            report.missing("napari", "Xvfb is not installed", keys)
            return
        try:
            with PeerProcess(napari, _HERE / "napari_worker.py") as peer:
                peer.ask("hello")
                peer.ask("open_slide", path=str(slide))
                peer.ask("load", points=str(make_points(folder, side, count, seed)))
                theirs = peer.ask("go", side=side, every=_PEER_EVERY)
                theirs.update(peer.ask("memory"))
                peer.ask("close")
        except PeerGone as gone:
            report.missing("napari", str(gone), keys)
            return
    mine = [_percentile(frames["frames_ms"], 95) for frames in (found, theirs)]
    report.figure(keys[0], mine[1] / mine[0], ours=[mine[0]], peer=[mine[1]])
    sizes = [side["peak_rss_mib"] for side in (found, theirs)]
    report.figure(keys[1], sizes[1] / sizes[0], ours=[sizes[0]], peer=[sizes[1]])


def _slide(folder: Path, side: int) -> Path:
    path = folder / f"viewer-{side}.tiff"
    if not path.exists():
        sample = Path(__file__).resolve().parents[2] / "engine" / "tilescope" / "samples"
        cache = TileCache(1 << 26)
        with open_slide(sample / "CMU-1-Small-Region.svs", cache=cache) as source:
            texture = read_region(source, cache, 0, Rect(800, 800, 1824, 1824))
        write_repeated_slide(path, texture, side, side, um_per_px=0.25)
    return path


def _round(python: Path, worker: str, slide: Path, side: int, seed: int) -> dict[str, Any]:
    """Return what one process measured on the whole way."""
    with PeerProcess(python, _HERE / worker) as peer:
        found = {**peer.ask("hello"), **peer.ask("open_slide", path=str(slide))}
        found.update(peer.ask("go", side=side))
        found["jumps_ms"] = peer.ask("jump", side=side, count=_JUMPS, seed=seed)["sharp_ms"]
        found.update(peer.ask("memory"))
        peer.ask("close")
    return found


@contextmanager
def _screen() -> Iterator[bool]:
    """Provide an X server for the peer; tell whether there is one."""
    if shutil.which("Xvfb") is None:
        yield False
        return
    number = 90 + os.getpid() % 400
    command = ["Xvfb", f":{number}", "-screen", "0", "2400x1500x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    before = os.environ.get("DISPLAY")
    os.environ["DISPLAY"] = f":{number}"
    time.sleep(1.0)
    try:
        yield True
    finally:
        server.terminate()
        server.wait()
        os.environ.pop("DISPLAY")
        if before is not None:
            os.environ["DISPLAY"] = before


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _say(report: Report, rounds: Sequence[dict[str, Any]]) -> None:
    def figure(key: str, values: Sequence[float]) -> None:
        report.figure(key, statistics.median(values), rounds=[round(v, 2) for v in values])

    for percent in (50, 95, 99):
        figure(f"frame_ms_p{percent}", [_percentile(r["frames_ms"], percent) for r in rounds])
    figure("first_pixels_ms", [r["first_pixels_ms"] for r in rounds])
    figure("sharp_after_jump_ms", [statistics.median(r["jumps_ms"]) for r in rounds])
    figure("sharp_after_jump_ms_p95", [_percentile(r["jumps_ms"], 95) for r in rounds])
    figure("peak_rss_mib", [r["peak_rss_mib"] for r in rounds])


def _compare(
    report: Report, ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]
) -> None:
    def ratio(key: str, mine: Sequence[float], other: Sequence[float]) -> None:
        pairs = [b / a for a, b in zip(mine, other, strict=False)]
        report.figure(
            key,
            statistics.median(pairs),
            ours=[round(v, 2) for v in mine],
            peer=[round(v, 2) for v in other],
        )

    def p95(rounds: Sequence[dict[str, Any]]) -> list[float]:
        return [_percentile(r["frames_ms"], 95) for r in rounds]

    def each(rounds: Sequence[dict[str, Any]], key: str) -> list[float]:
        return [r[key] for r in rounds]

    ratio("frame_p95_vs_napari", p95(ours), p95(theirs))
    for key, name in (
        ("first_pixels_vs_napari", "first_pixels_ms"),
        ("rss_vs_napari", "peak_rss_mib"),
    ):
        ratio(key, each(ours, name), each(theirs, name))
    jumps = [[statistics.median(r["jumps_ms"]) for r in side] for side in (ours, theirs)]
    ratio("sharp_after_jump_vs_napari", *jumps)
