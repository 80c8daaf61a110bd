"""What is seen of runs over their slides: objects as they are found, and maps as they grow."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject

from tilescope.jobs.report import RunReport
from tilescope.jobs.running.events import RunEvent
from tilescope.jobs.running.map_stream import STREAM_NAME
from tilescope_desktop.bridge.model_runs import ModelRun
from tilescope_desktop.model.live import LiveObjects
from tilescope_desktop.model.notices import Notice
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.map_bench import MapBench
from tilescope_desktop.view.map_overlay import MapOverlay
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.tool_bench import ToolBench

_OBJECT_TASKS = ("instances", "detect")


@dataclass(frozen=True, slots=True)
class _MadeMap:
    """The map of a run that ended while its slide was closed; shown when that is opened again."""

    run: ModelRun
    tab: SlideTab
    path: Path


class RunSights(QObject):
    """Shows what runs find; over a slide that is closed and opened again, too."""

    def __init__(self, window: MainWindow, tools: ToolBench, maps: MapBench) -> None:
        super().__init__(window)
        self._window = window
        self._tools = tools
        self._bench = maps
        self._tabs: dict[ModelRun, SlideTab] = {}
        self._live: dict[ModelRun, LiveObjects] = {}
        self._maps: dict[ModelRun, MapOverlay] = {}
        self._made: list[_MadeMap] = []
        window.tab_opened.connect(self._show_again)

    @property
    def objects_so_far(self) -> int:
        """Objects that runs have found and that are not in the project yet."""
        return sum(len(live) for live in self._live.values())

    def tab_of(self, run: ModelRun) -> SlideTab:
        """Return where the slide of a run is or was open last."""
        return self._tabs[run]

    def has_objects(self, run: ModelRun) -> bool:
        """Tell whether a run finds objects, not a map."""
        return run in self._live

    def begin(self, run: ModelRun, tab: SlideTab) -> None:
        """Show what a run that begins finds over a slide, and no longer what was there of others.

        Of these what is in no project is still in their files.
        """
        for other in [one for one in self._live if _is_same(self._tabs[one], tab)]:
            self._hide_live(other)
        self._made = [made for made in self._made if _key(made.run) != _key(run)]
        self._window.notices.take(_key(run))
        self._tabs[run] = tab
        spec = run.request.model.spec
        if spec.task in _OBJECT_TASKS:
            self._live[run] = LiveObjects(run.request.plane)
            self._show_live(run)
        else:
            self._maps[run] = self._bench.begin(tab, spec.title)

    def take(self, run: ModelRun, event: RunEvent) -> None:
        """Show what a run has found."""
        tab = self._tabs[run]
        if event.objects is not None and run in self._live:
            self._live[run].add(event.objects)
            if tab in self._tools.overlays:
                self._tools.overlays[tab].refresh()
        if event.areas and run in self._maps:
            path = run.request.folder / STREAM_NAME
            self._bench.grow(self._maps[run], path, [area.rect_l0 for area in event.areas])

    def end(self, run: ModelRun, outcome: object) -> None:
        """Show the map that a run has written in the end, or say that there is one."""
        if run not in self._maps:
            return
        overlay, path, tab = self._maps.pop(run), _map_of(outcome), self._tabs[run]
        if self._bench.holds(overlay):
            self._bench.end(overlay, path)
        elif path is not None:
            self._made.append(_MadeMap(run, tab, path))
            title, slide = run.request.model.spec.title, tab.path
            text = f"{title} made a map of {slide.name}; it is shown when the slide is open."
            choices = (
                ("Open the slide", lambda: self._window.open_slide(slide)),
                ("Close", lambda: None),
            )
            self._window.notices.put(Notice(_key(run), text, choices))

    def hide(self, run: ModelRun) -> None:
        """Show the objects of a run no longer; they are in the project, or in files only."""
        self._hide_live(run)
        self._tabs.pop(run, None)

    # -- inside -----------------------------------------------------------------------------------

    def _show_live(self, run: ModelRun) -> None:
        tab = self._tabs[run]
        if tab in self._tools.overlays:
            self._tools.overlays[tab].show_live(self._live[run])

    def _hide_live(self, run: ModelRun) -> None:
        live, tab = self._live.pop(run, None), self._tabs.get(run)
        if live is not None and tab in self._tools.overlays:
            self._tools.overlays[tab].hide_live(live)

    def _show_again(self, tab: SlideTab) -> None:
        """Show what belongs over a slide that is opened."""
        for run, before in self._tabs.items():
            if before in self._window.all_tabs or not _is_same(before, tab):
                continue
            self._tabs[run] = tab
            if run in self._live:
                self._show_live(run)
            if run in self._maps:
                self._show_map(run, tab)
        for made in [one for one in self._made if _is_same(one.tab, tab)]:
            self._made.remove(made)
            self._window.notices.take(_key(made.run))
            self._bench.end(self._bench.begin(tab, made.run.request.model.spec.title), made.path)

    def _show_map(self, run: ModelRun, tab: SlideTab) -> None:
        overlay = self._maps[run] = self._bench.begin(tab, run.request.model.spec.title)
        stream = run.request.folder / STREAM_NAME
        if stream.exists():
            self._bench.grow(overlay, stream, ())


def _is_same(before: SlideTab, now: SlideTab) -> bool:
    """Tell whether two tabs are of the same slide."""
    if before.identity is None:
        return before.path == now.path
    return before.identity == now.identity


def _key(run: ModelRun) -> Hashable:
    """Return what the notice about the map of a run is known by."""
    return "map", run.request.out_dir.name


def _map_of(outcome: object) -> Path | None:
    """Return the map that a run has written, None when there is none."""
    outputs = outcome.outputs if isinstance(outcome, RunReport) else {}
    name = outputs.get("heatmap") or outputs.get("ome-zarr")
    return Path(name) if name else None
