"""napari's end of the benchmark ``viewer``; runs under an X server, Xvfb will do."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

from peer_process import serve
from viewer_path import FRAME_S, WINDOW, Step, jumps, steps

_PATIENCE_S = 60.0
_held: dict[str, Any] = {}


def hello() -> dict[str, Any]:
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = _held["viewer"] = napari.Viewer(show=True)
    _held["app"] = QApplication.instance()
    _spin(1.0)
    window = viewer.window._qt_window
    canvas = viewer.window._qt_viewer.canvas.native
    window.resize(
        window.width() + WINDOW[0] - canvas.width(), window.height() + WINDOW[1] - canvas.height()
    )
    _spin(1.0)
    return {"version": napari.__version__, "view": [canvas.width(), canvas.height()]}


def open_slide(path: str) -> dict[str, Any]:
    """Return the milliseconds until something of the slide is seen: tifffile, zarr and dask."""
    import dask.array as da
    import tifffile
    import zarr

    began = time.perf_counter()
    group = zarr.open(tifffile.imread(path, aszarr=True), mode="r")
    keys = sorted(group.array_keys(), key=int)
    levels = [da.from_zarr(group[key]) for key in keys]
    _held["layer"] = _held["viewer"].add_image(levels, multiscale=True, rgb=True)
    _until(_is_loaded)
    _draw()
    return {"first_pixels_ms": (time.perf_counter() - began) * 1e3}


def load(points: str) -> dict[str, Any]:
    """Show points (a file of ``float32[n, 2]``, y and x) as squares of a nucleus's size."""
    import numpy as np

    began = time.perf_counter()
    _held["viewer"].add_points(
        np.load(points), size=16, symbol="square", face_color="red", border_width=0
    )
    _draw()
    return {"objects_ms": (time.perf_counter() - began) * 1e3}


def go(side: int, every: int = 1) -> dict[str, Any]:
    """Return what frames of the path took on the window's thread, in milliseconds.

    Only every so manieth step is shown, so that a slow way comes to an end.
    """
    path = steps(side)[::every]
    _show(path[0])
    _until(_is_loaded)
    frames = []
    for step in path:
        began = time.perf_counter()
        _show(step)
        _draw()
        frames.append(time.perf_counter() - began)
        _spin(FRAME_S - frames[-1])
    return {"frames_ms": [frame * 1e3 for frame in frames]}


def jump(side: int, count: int, seed: int) -> dict[str, Any]:
    """Return the milliseconds from each jump to a sharp picture."""
    found = []
    for step in jumps(side, count, seed):
        began = time.perf_counter()
        _show(step)
        _until(_is_loaded)
        _draw()
        found.append((time.perf_counter() - began) * 1e3)
    return {"sharp_ms": found}


def memory() -> dict[str, Any]:
    return {"peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def close() -> dict[str, Any]:
    _held["viewer"].close()
    return {}


def _show(step: Step) -> None:
    camera = _held["viewer"].camera
    camera.center = (0, step.y, step.x)
    camera.zoom = 1 / step.l0_per_px


def _draw() -> None:
    _held["viewer"].window._qt_viewer.canvas.native.repaint()
    _held["app"].processEvents()


def _is_loaded() -> bool:
    return bool(_held["layer"].loaded)


def _until(is_so: Callable[[], bool]) -> None:
    limit = time.perf_counter() + _PATIENCE_S
    _held["app"].processEvents()
    while not is_so():
        _held["app"].processEvents()
        if time.perf_counter() > limit:
            raise TimeoutError("the view did not get sharp")


def _spin(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        _held["app"].processEvents()
        time.sleep(0.0005)


if __name__ == "__main__":
    serve({f.__name__: f for f in (hello, open_slide, load, go, jump, memory, close)})
