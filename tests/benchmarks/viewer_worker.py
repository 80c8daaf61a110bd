"""Our window's end of the benchmark ``viewer``, without a screen."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peer_process import serve
from viewer_path import FRAME_S, WINDOW, Step, jumps, steps

_PATIENCE_S = 30.0
_held: dict[str, Any] = {}


def hello() -> dict[str, Any]:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from PySide6.QtWidgets import QApplication

    from tilescope_desktop.app import make_window
    from tilescope_desktop.view.theme import Theme, apply_theme

    _held["app"] = QApplication([])
    apply_theme(_held["app"], Theme.LIGHT)
    window = _held["window"] = make_window()
    window.show()
    _spin(0.5)
    import PySide6

    return {"version": PySide6.__version__}


def open_slide(path: str) -> dict[str, Any]:
    """Return the milliseconds until something of the slide is seen, and until all of it is."""
    window = _held["window"]
    began = time.perf_counter()
    window.open_slide(Path(path))
    _until(lambda: window.tab is not None and _shows_something())
    first = time.perf_counter() - began
    _until(lambda: window.tab.view.is_sharp)
    sharp = time.perf_counter() - began
    view = window.tab.view
    window.resize(
        window.width() + WINDOW[0] - view.width(), window.height() + WINDOW[1] - view.height()
    )
    _until(lambda: view.is_sharp)
    return {
        "first_pixels_ms": first * 1e3,
        "sharp_ms": sharp * 1e3,
        "view": [view.width(), view.height()],
    }


def load(project: str) -> dict[str, Any]:
    """Open a project; return the milliseconds until all its objects are seen."""
    from tilescope_desktop.app import annotating

    window = _held["window"]
    objects = _held["objects"] = annotating(window)
    began = time.perf_counter()
    objects.annotations.open_project(Path(project))
    slide = objects.bench.slides[window.tab]
    _until(lambda: bool(objects.annotations.counts.get(slide)))
    _until(_shows_objects)
    return {"objects_ms": (time.perf_counter() - began) * 1e3}


def edit(count: int) -> dict[str, Any]:
    """Return the milliseconds from deleting one object, and from undoing it, to their picture."""
    annotations = _held["objects"].annotations
    found = []
    for _ in range(count):
        _select_one()
        for act in (annotations.delete_selected, annotations.undo):
            before, began = annotations.revision, time.perf_counter()
            act()
            _until(lambda b=before: annotations.revision > b and _shows_objects())
            found.append((time.perf_counter() - began) * 1e3)
    return {"edit_ms": found}


def _select_one() -> None:
    objects, tab = _held["objects"], _held["window"].tab
    slide, rect = objects.bench.slides[tab], tab.view.viewport.bounds_l0
    ids: list[str] = []

    def take(view: Any) -> None:
        ids.append(view.id_of(0))

    objects.annotations.desk.ask(lambda p: p.in_view(slide.number, rect, 1), take, _fail)
    _until(lambda: bool(ids))
    objects.annotations.select(slide, ids)
    _until(lambda: bool(objects.annotations.selected_ids))


def _fail(error: BaseException) -> None:
    raise error


def go(side: int) -> dict[str, Any]:
    """Return what every frame of the path took on the window's thread, in milliseconds."""
    view = _held["window"].tab.view
    path = steps(side)
    _show(path[0])
    _until(lambda: view.is_sharp and _shows_objects())
    frames = []
    for step in path:
        began = time.perf_counter()
        _show(step)
        view.repaint()
        _held["app"].processEvents()
        frames.append(time.perf_counter() - began)
        _spin(FRAME_S - frames[-1])
    return {"frames_ms": [frame * 1e3 for frame in frames]}


def jump(side: int, count: int, seed: int) -> dict[str, Any]:
    """Return the milliseconds from each jump to a sharp picture."""
    view = _held["window"].tab.view
    found = []
    for step in jumps(side, count, seed):
        began = time.perf_counter()
        _show(step)
        _until(lambda: view.is_sharp)
        found.append((time.perf_counter() - began) * 1e3)
    return {"sharp_ms": found}


def memory() -> dict[str, Any]:
    return {"peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def close() -> dict[str, Any]:
    _held["window"].close()
    return {}


def _show(step: Step) -> None:
    from dataclasses import replace

    from tilescope.domain.geometry import Point

    view = _held["window"].tab.view
    place = replace(view.viewport, centre_l0=Point(step.x, step.y), l0_per_px=step.l0_per_px)
    old = view.viewport
    if old.l0_per_px == place.l0_per_px:
        # As a hand does: by whole pixels of the screen.
        view.pan(
            (old.centre_l0.x - step.x) / step.l0_per_px,
            (old.centre_l0.y - step.y) / step.l0_per_px,
        )
    else:
        view.move_to(place)


def _shows_objects() -> bool:
    """Tell whether the picture of the objects is the newest one; there may be none."""
    objects = _held.get("objects")
    return objects is None or objects.bench.overlays[_held["window"].tab].is_current


def _shows_something() -> bool:
    image = _held["window"].tab.view.picture()
    if image.isNull():
        return False
    colors = {
        image.pixel(image.width() * i // 16, image.height() * j // 16)
        for i in range(4, 13)
        for j in range(4, 13)
    }
    return len(colors) > 3


def _until(is_so: Callable[[], bool]) -> None:
    from PySide6.QtCore import QEventLoop

    limit = time.perf_counter() + _PATIENCE_S
    while not is_so():
        _held["app"].processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 5)
        if time.perf_counter() > limit:
            raise TimeoutError("the view did not get sharp")


def _spin(seconds: float) -> None:
    from PySide6.QtCore import QEventLoop

    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        _held["app"].processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 2)
        time.sleep(0.0005)


if __name__ == "__main__":
    serve({f.__name__: f for f in (hello, open_slide, load, go, edit, jump, memory, close)})
