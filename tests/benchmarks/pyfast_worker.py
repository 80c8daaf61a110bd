"""pyFAST's end of the benchmarks; runs in whatever environment pyFAST is installed in."""

from __future__ import annotations

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
    return {"version": version("pyfast")}


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


if __name__ == "__main__":
    serve({"hello": hello, "open": open_slide, "save": save, "patches": patches})
