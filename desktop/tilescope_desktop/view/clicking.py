"""The click tool in the window: its model, its slide, what it must not run into."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence

from tilescope.domain.annotation import Annotation
from tilescope.domain.clicks import Prompt
from tilescope.domain.geometry import Rect
from tilescope.domain.manifest import ModelSpec
from tilescope.errors import TilescopeError, UsageError
from tilescope.plugins.registry import installed_models
from tilescope.store.project import Project, View
from tilescope_desktop.bridge.click_desk import ClickDesk, ClickPlace
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.notices import Notice
from tilescope_desktop.model.tools.click import Answer, ClickTool
from tilescope_desktop.model.tools.tool import Wishes
from tilescope_desktop.view.annotating import Annotating
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.tool_bench import ToolBench

_TASK = "click"
_SHORTCUT = "K"
_SCRIBBLE_KEY = Qt.Key.Key_S
_AREA = 2
#: Objects this close to a click, level-0 pixels, are kept clear of; larger ones are regions that
#: cells lie in.
_AROUND_PX = 400
_MOST_BESIDE = 2000
#: What it is known by that a model does not answer.
_OVERDUE = "click-overdue"


@dataclass(slots=True, eq=False)
class _Home:
    """The project that clicks are made in, wherever it goes on; None before there is one."""

    path: Path | None = None


class Clicking(QObject):
    """Adds the click tool to a window, when a click model is installed."""

    def __init__(self, window: MainWindow, objects: Annotating) -> None:
        super().__init__(window)
        self._window = window
        self._objects = objects
        self._home = _Home()
        models = [model for model in installed_models() if model.spec.task == _TASK]
        self._titles = {model.spec.id: model.spec.title for model in models}
        self.desk = ClickDesk(self._place, models[0].spec.id if models else "", self)
        self.desk.failed.connect(window.show_error)
        self.desk.unanswered.connect(self._tell_overdue)
        objects.annotations.went_on.connect(self._follow)
        objects.annotations.project_changed.connect(self._change_home)
        bench = objects.bench
        undo, say = objects.annotations.undo_click, objects.annotations.said.emit
        tool = self.tool = ClickTool(bench, self.desk, self._deliver, bench.repaint, undo, say)
        bench.add_tool(tool)
        self._key = ScribbleKey(window, bench, tool)
        bench.tool_changed.connect(lambda taken: self._warm(is_mine=taken is tool))
        window.tab_opened.connect(self._key.watch)
        window.tab_changed.connect(lambda _tab: self._warm(is_mine=bench.tool is tool))
        window.add_commands(
            [
                Command(
                    f"tool.{tool.id}",
                    tool.title,
                    "Tools",
                    lambda: bench.take_tool(tool.id),
                    _SHORTCUT,
                    is_enabled=lambda: bool(models),
                    is_checked=lambda: bench.tool is tool,
                ),
                *(self._choice(model.spec) for model in models),
            ]
        )
        objects.bar.add(tool)
        window.tab_closed.connect(self._release)
        window.closed.connect(self.desk.close)

    def _choice(self, spec: ModelSpec) -> Command:
        def choose() -> None:
            self.desk.model_id = spec.id
            self._objects.bench.take_tool(self.tool.id)
            self.desk.warm()
            self._window.status.showMessage(f"Clicks are answered by {spec.id}: {spec.licence}")

        return Command(
            f"click.{spec.id}",
            f"{spec.title} ({spec.licence.partition(':')[0]})",
            "Models/Click to outline",
            choose,
            is_checked=lambda: self.desk.model_id == spec.id,
        )

    def _warm(self, *, is_mine: bool) -> None:
        self._key.let_go()
        if is_mine:
            self.tool.begin()
            self.desk.warm()

    def _tell_overdue(self, model_id: str | None) -> None:
        """Say that a model does not answer, until it does or is stopped."""
        if model_id is None:
            self._window.notices.take(_OVERDUE)
            return
        title = self._titles.get(model_id, model_id)
        keys = self._window.keys.get("tool.cancel")
        text = f"{title}: no answer to the click yet; wait for it, or stop it"
        text += f" ({keys})" if keys else ""
        self._window.notices.put(Notice(_OVERDUE, text, (("Stop it", self._stop),)))

    def _stop(self) -> None:
        self.desk.stop()

    # -- where to ---------------------------------------------------------------------------------

    def _follow(self, _before: Path | None, now: Path) -> None:
        self._home.path = now.resolve()

    def _change_home(self) -> None:
        if self._home.path != self._open_path:
            self._home = _Home(self._open_path)
            self.tool.begin()  # nothing in this project is the tool's to take back

    @property
    def _open_path(self) -> Path | None:
        project = self._objects.annotations.project
        return None if project is None else project.path.resolve()

    def _deliver(self, wishes: Wishes, answer: Answer) -> None:
        tab = next((t for t in self._objects.bench.slides if t.source is answer.slide), None)
        if tab is None:
            return
        home = answer.project
        if isinstance(home, _Home) and home.path not in (None, self._open_path):
            text = f"The click on {tab.path.name} was not kept: its project was closed"
            self._objects.annotations.edit_failed.emit(UsageError(text))
            self.tool.begin()
        else:
            self._objects.bench.fulfil(wishes, tab)

    def _release(self, tab: SlideTab) -> None:
        self.desk.release(tab.source)

    def _place(self) -> ClickPlace | None:
        tab = self._objects.bench.tab
        if tab is None or not self.desk.model_id:
            return None
        slide = self._objects.bench.slides.get(tab)
        number, plane = (None, (0, 0)) if slide is None else (slide.number, slide.plane)
        annotations = self._objects.annotations

        def committed(prompt: Prompt, left_out: str | None) -> Sequence[NDArray[np.float64]]:
            around = _around(prompt)
            if number is not None:
                # It may be lent to a job, or closed: that is no reason to lose a click.
                with suppress(TilescopeError):
                    return _rings(
                        annotations.desk.wait(
                            lambda project: _in_view(project, number, around, plane)
                        ),
                        left_out,
                    )
            fresh = [one for one in tuple(annotations.fresh) if one.slide.is_same(slide)]
            return _fresh_rings([one.annotation for one in fresh], around, plane, left_out)

        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
        shown = tab.planes.plane
        return ClickPlace(
            tab.source, tab.path, tab.um_override, shown, threads, committed, self._home
        )


class ScribbleKey(QObject):
    """S held makes the click tool scribble; tapped it does what the key is for otherwise."""

    def __init__(self, window: MainWindow, bench: ToolBench, tool: ClickTool) -> None:
        super().__init__(window)
        self._window = window
        self._bench = bench
        self._tool = tool
        self._was_used = False

    def watch(self, tab: SlideTab) -> None:
        """Heed the key over a slide."""
        tab.view.installEventFilter(self)

    def let_go(self) -> None:
        """Scribble no longer."""
        self._tool.scribbles = False

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Take the key before it is a shortcut; called by Qt."""
        if event.type() == QEvent.Type.FocusOut:
            self.let_go()
        elif event.type() == QEvent.Type.MouseButtonPress:
            self._was_used = True
        elif isinstance(event, QKeyEvent) and self._is_mine(event):
            self._take(event)
            return True
        return super().eventFilter(watched, event)

    def _is_mine(self, event: QKeyEvent) -> bool:
        is_plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        return event.key() == _SCRIBBLE_KEY and is_plain and self._bench.tool is self._tool

    def _take(self, event: QKeyEvent) -> None:
        event.accept()
        if event.isAutoRepeat():
            return
        if event.type() == QEvent.Type.KeyPress:
            self._tool.scribbles, self._was_used = True, False
        elif event.type() == QEvent.Type.KeyRelease:
            was_held, self._tool.scribbles = self._tool.scribbles, False
            if was_held and not self._was_used:
                self._do_shortcut()

    def _do_shortcut(self) -> None:
        keys = QKeySequence(_SCRIBBLE_KEY)
        for action in self._window.actions():
            if action.isEnabled() and keys in action.shortcuts():
                action.trigger()
                return


def _around(prompt: Prompt) -> Rect:
    x, y = (round(value) for value in prompt.clicks.middle)
    return Rect(x - _AROUND_PX, y - _AROUND_PX, x + _AROUND_PX, y + _AROUND_PX)


def _in_view(project: Project, slide: int, rect: Rect, plane: tuple[int, int]) -> View:
    z, t = plane
    return project.in_view(slide, rect, _MOST_BESIDE, z=z, t=t)


def _rings(view: View, left_out: str | None) -> list[NDArray[np.float64]]:
    """Return the outer rings of areas that are not much larger than a cell, but for one by id."""
    found = []
    for index in np.flatnonzero(view.dimensions == _AREA).tolist():
        if view.id_of(index) == left_out:
            continue
        first = int(view.object_offsets[index])
        start, end = (int(v) for v in view.ring_offsets[first : first + 2])
        found.append(view.points[start:end].astype(np.float64))
    return [_opened(ring) for ring in found if _is_small(ring)]


def _fresh_rings(
    drawn: Sequence[Annotation], rect: Rect, plane: tuple[int, int], left_out: str | None
) -> list[NDArray[np.float64]]:
    """Return what `_rings` does of objects that are not in a view of the project."""
    there = [one for one in drawn if (one.z, one.t) == plane and one.id != left_out]
    areas = [area for one in there for area in shapely.get_parts(shapely.from_wkb(one.geometry))]
    around = shapely.box(rect.x0, rect.y0, rect.x1, rect.y1)
    rings = [
        shapely.get_coordinates(area.exterior)
        for area in areas
        if isinstance(area, shapely.Polygon) and area.intersects(around)
    ]
    return [_opened(ring) for ring in rings if _is_small(ring)]


def _is_small(ring: NDArray[np.float64]) -> bool:
    return len(ring) > 3 and bool(np.ptp(ring, axis=0).max() < _AROUND_PX)


def _opened(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    return ring[:-1] if (ring[0] == ring[-1]).all() else ring
