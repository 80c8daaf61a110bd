"""pyFAST's end of the benchmarks; runs in whatever environment pyFAST is installed in."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pairs import in_threads
from peer_process import serve

_open: dict[str, Any] = {}


def hello() -> dict[str, Any]:
    from importlib.metadata import version

    import fast

    fast.Reporter.setGlobalReportMethod(fast.Reporter.NONE)
    return {"version": version("pyfast"), "engines": _engines()}


def _engines() -> list[str]:
    import fast

    manager = fast.InferenceEngineManager
    return [name for name in manager.getEngineList() if manager.isEngineAvailable(name)]


def open_slide(path: str) -> dict[str, Any]:
    import fast

    importer = fast.WholeSlideImageImporter.create(path)
    pyramid = importer.runAndGetOutputData()
    _open["importer"], _open["pyramid"] = importer, pyramid
    _open["access"] = pyramid.getAccess(fast.ACCESS_READ)
    return {"width": pyramid.getLevelWidth(0), "height": pyramid.getLevelHeight(0)}


def patch(place: list[int]) -> np.ndarray:
    x, y, width, height = place
    return np.asarray(_open["access"].getPatchAsImage(0, x, y, width, height))


def save(place: list[int], path: str) -> dict[str, Any]:
    np.save(Path(path), patch(place))
    return {}


def patches(batch: list[list[int]], threads: int) -> dict[str, Any]:
    return asdict(in_threads(patch, threads)(batch))


def segment(batch: list[str], slide: str, weights: str, engine: str, tile: int) -> dict[str, Any]:
    """Segment a whole slide once per item, from opening it to the stitched result."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in batch:
        _segment(slide, weights, engine, tile)
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def _segment(slide: str, weights: str, engine: str, tile: int) -> None:
    import fast

    importer = fast.WholeSlideImageImporter.create(slide)
    patches = fast.PatchGenerator.create(tile, tile).connect(importer)
    network = fast.SegmentationNetwork.create(
        weights, scaleFactor=1 / 255, inferenceEngine=engine
    ).connect(patches)
    stitcher = fast.PatchStitcher.create().connect(network)
    for stitched in fast.DataStream(stitcher):
        _open["mask"] = stitched


def segment_level(slide: str, weights: str, most_px: int) -> dict[str, Any]:
    """Segment the finest level that is not larger, and say how much memory that took."""
    import fast

    importer = fast.WholeSlideImageImporter.create(slide)
    pyramid = importer.runAndGetOutputData()
    levels = range(pyramid.getNrOfLevels())
    level = next((i for i in levels if pyramid.getLevelWidth(i) <= most_px), levels[-1])
    patches = fast.PatchGenerator.create(512, 512, level=level).connect(importer)
    network = fast.SegmentationNetwork.create(weights, scaleFactor=1 / 255).connect(patches)
    for stitched in fast.DataStream(fast.PatchStitcher.create().connect(network)):
        _open["mask"] = stitched
    status = Path("/proc/self/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    return {"peak_rss_bytes": int(peak.group(1)) * 1024, "level": level}


def save_mask(path: str) -> dict[str, Any]:
    np.save(Path(path), np.asarray(_open["mask"]).squeeze())
    return {}


HANDLERS = {
    "hello": hello,
    "open": open_slide,
    "save": save,
    "patches": patches,
    "segment": segment,
    "segment_level": segment_level,
    "save_mask": save_mask,
}

if __name__ == "__main__":
    serve(HANDLERS)
