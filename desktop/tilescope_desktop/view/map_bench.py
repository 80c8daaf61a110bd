"""The maps over the open slides: of running models, and of earlier runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QDockWidget, QFileDialog

from tilescope.errors import UsageError
from tilescope.jobs.running.map_stream import STREAM_NAME
from tilescope_desktop.bridge.map_tiles import MAP_NAMES, MapTiles
from tilescope_desktop.bridge.work import Job
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.map_facts import RectL0
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.map_overlay import MapOverlay
from tilescope_desktop.view.map_panel import MapPanel
from tilescope_desktop.view.slide_tab import SlideTab

#: Folders of these names are maps and no slides.
MAP_SUFFIXES = (*MAP_NAMES, STREAM_NAME)


class MapBench(QObject):
    """Opens maps off the window's thread, puts them over their slide and closes them with it.

    ``changed`` tells that there are other maps, or that one of them was opened.
    """

    changed = Signal()

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._maps: dict[SlideTab, list[MapOverlay]] = {}
        self._jobs: dict[MapOverlay, Job] = {}
        self.panel = MapPanel()
        self.panel.show_wanted.connect(self.ask)
        self.panel.removal_wanted.connect(self.remove)
        self.changed.connect(lambda: self.panel.show_maps(self.shown))
        self._dock = window.add_panel("Maps", self.panel)
        channels = window.findChild(QDockWidget, "dock-channels")
        if isinstance(channels, QDockWidget):
            window.tabifyDockWidget(channels, self._dock)
            channels.raise_()
        window.tab_opened.connect(self._follow_planes)
        window.tab_changed.connect(lambda _tab: self.changed.emit())
        window.tab_closed.connect(self.release)
        window.add_commands(
            [
                Command(
                    "models.show-map",
                    "Show a class or heat map…",
                    "Models",
                    self.ask,
                    is_enabled=lambda: window.tab is not None,
                )
            ]
        )

    @property
    def shown(self) -> Sequence[MapOverlay]:
        """The maps over the slide in front, the lowest first."""
        tab = self._window.tab
        return () if tab is None else tuple(self._maps.get(tab, ()))

    # -- running models ---------------------------------------------------------------------------

    def begin(self, tab: SlideTab, title: str) -> MapOverlay:
        """Put the map of a model that begins to run over a slide; it is empty as yet."""
        overlay = self._add(tab, title)
        overlay.is_growing = True
        self._show_legend()
        return overlay

    def holds(self, overlay: MapOverlay) -> bool:
        """Tell whether a map is over an open slide."""
        return self._tab_of(overlay) is not None

    def grow(self, overlay: MapOverlay, path: Path, rects_l0: Sequence[RectL0]) -> None:
        """Show rectangles that a run has written into its growing map."""
        if self._tab_of(overlay) is None:
            return
        if overlay.map is not None:
            overlay.renew(rects_l0)
        elif overlay not in self._jobs:
            self._open(overlay, path, is_alone=True)

    def end(self, overlay: MapOverlay, path: Path | None) -> None:
        """Show what a run has written in the end; None leaves what there is."""
        if self._tab_of(overlay) is None:
            return
        overlay.is_growing = False
        if path is not None:
            self._open(overlay, path, is_alone=overlay.map is None)
        elif overlay.map is None and overlay not in self._jobs:
            self.remove(overlay)
        else:
            # What could not be read is told of now: nothing takes its place.
            overlay.renew(())

    # -- earlier runs -----------------------------------------------------------------------------

    def ask(self) -> None:
        """Let the user choose a map for the slide in front."""
        name = QFileDialog.getExistingDirectory(
            self._window, "Show a class or heat map: an OME-Zarr, or the folder of a run"
        )
        if name:
            self.open(Path(name))

    def open(self, path: Path) -> None:
        """Show a map of an earlier run over the slide in front, or say why not."""
        tab = self._window.tab
        if tab is None:
            self._window.show_error(
                UsageError(f"{path.name} is a map: open its slide first, then the map")
            )
            return
        self._open(self._add(tab, _title(path)), path)
        self._show_legend()

    def remove(self, overlay: MapOverlay) -> None:
        """Take a map away."""
        tab = self._tab_of(overlay)
        if tab is not None:
            self._maps[tab].remove(overlay)
            self._close(tab, overlay)
            tab.view.update()
            self.changed.emit()

    def release(self, tab: SlideTab) -> None:
        """Close the maps of a slide that is closed."""
        for overlay in self._maps.pop(tab, ()):
            self._close(tab, overlay)

    # -- inside -----------------------------------------------------------------------------------

    def _add(self, tab: SlideTab, title: str) -> MapOverlay:
        overlay = MapOverlay(tab.view, self._window.tiles, title, self)
        overlay.show_plane(tab.planes.place)
        overlay.failed.connect(lambda text: self._window.show_error(UsageError(text)))
        layers = self._maps.setdefault(tab, [])
        # Above the maps that are there, below objects and the scale bar.
        tab.view.overlays.insert(len(layers), overlay)
        layers.append(overlay)
        self.changed.emit()
        return overlay

    def _show_legend(self) -> None:
        self._dock.show()
        self._dock.raise_()

    def _open(self, overlay: MapOverlay, path: Path, *, is_alone: bool = False) -> None:
        """Show a map once it is open.

        Parameters
        ----------
        is_alone
            Whether it hides the others of its plane, which can be shown again.
        """
        tab = self._tab_of(overlay)
        assert tab is not None
        if overlay in self._jobs:
            self._jobs.pop(overlay).cancel()
        slide = tab.source.info

        def done(tiles: MapTiles) -> None:
            self._jobs.pop(overlay, None)
            for other in list(self._maps[tab]):
                # The same files were shown before; now they are looked at anew.
                if other is not overlay and other.map is not None and other.map.path == tiles.path:
                    self.remove(other)
                elif other is not overlay and is_alone and _share_a_plane(other, tiles):
                    other.is_visible = False
            overlay.show_map(tiles)
            self.changed.emit()

        def fail(error: BaseException) -> None:
            self._jobs.pop(overlay, None)
            self._window.show_error(error)
            if overlay.map is None and not overlay.is_growing:
                self.remove(overlay)

        self._jobs[overlay] = self._window.work.start(
            "map",
            lambda _token, _report: MapTiles.open(path, slide),
            done,
            fail,
            discard=lambda tiles: tiles.close(),
        )

    def _follow_planes(self, tab: SlideTab) -> None:
        tab.planes.moved.connect(lambda _plane: self._turn(tab))

    def _turn(self, tab: SlideTab) -> None:
        for overlay in self._maps.get(tab, ()):
            overlay.show_plane(tab.planes.place)
        self.panel.tell_planes()

    def _close(self, tab: SlideTab, overlay: MapOverlay) -> None:
        job = self._jobs.pop(overlay, None)
        if job is not None:
            job.cancel()
        if overlay in tab.view.overlays:
            tab.view.overlays.remove(overlay)
        overlay.close()
        overlay.deleteLater()

    def _tab_of(self, overlay: MapOverlay) -> SlideTab | None:
        return next((tab for tab, layers in self._maps.items() if overlay in layers), None)


def _share_a_plane(overlay: MapOverlay, tiles: MapTiles) -> bool:
    plane = None if overlay.map is None else overlay.map.facts.plane
    return plane is None or tiles.facts.is_on(plane)


def _title(path: Path) -> str:
    name = path.name.removesuffix(".ome.zarr")
    return f"{path.parent.name}: {name}" if name != path.name else path.name
