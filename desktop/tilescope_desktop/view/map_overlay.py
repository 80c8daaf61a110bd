"""Class maps and heat maps over a slide, read from their Zarr while they are being written.

Workers read and colour the tiles that are seen; a frame moves a picture of them and draws it once.
A running model keeps every level of its map up to date (``tilescope.exchange.classmap_stream``), so
far and near views are read in the same way while it goes on as when it is over, and nothing has to
be made smaller here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PySide6.QtCore import QObject, QRectF, QTimer, Signal
from PySide6.QtGui import QPainter, QTransform

from tilescope.domain.geometry import Rect
from tilescope.domain.tiles import TileKey
from tilescope_desktop.bridge.map_tiles import MapTiles
from tilescope_desktop.bridge.tiles import TileService
from tilescope_desktop.model.map_colors import Picture
from tilescope_desktop.model.map_facts import TILE_PX, RectL0
from tilescope_desktop.model.object_wish import transform_of
from tilescope_desktop.model.resolve import wanted
from tilescope_desktop.model.run_settings import plane_text
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.canvas import Canvas
from tilescope_desktop.view.slide_view import SlideView

#: What one map may want at once of the picture cache, which is part of the window's budget.
MOST_BYTES = 64 << 20
_MOST_TILES = MOST_BYTES // (4 * TILE_PX**2)
#: A frame repairs the picture for about so long, and the next one goes on.
_REPAIR_S = 0.002
_LATER_MS = 16
#: Rectangles that became final are looked at so often, however many there are.
_RENEW_MS = 80
_HELD: Picture = np.zeros((0, 0), np.uint32)


class MapOverlay(QObject):
    """One map over the view of a slide; shows nothing until there is a map, nor on other planes.

    ``failed`` tells once per map why some of it cannot be shown.
    """

    failed = Signal(str)

    def __init__(
        self, view: SlideView, service: TileService, title: str, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.title = title
        self.is_growing = False
        self._view = view
        self._service = service
        self._map: MapTiles | None = None
        # The slide, where the map reaches beyond it: its last pixels or tiles may.
        self._edge: Rect | None = None
        self._canvas = Canvas(is_layer=True)
        self._opacity = 0.5
        self._is_visible = True
        self._plane = (0, 0)
        self._wish: set[TileKey] = set()
        self._stale: set[TileKey] = set()
        # Tiles that are read again, whose place shows meanwhile what they were before.
        self._held: set[TileKey] = set()
        self._changed: list[RectL0] = []
        self._broken: set[TileKey] = set()
        self._trouble: str | None = None
        self._has_told = False
        self._later = QTimer(self, interval=_LATER_MS, singleShot=True)
        self._later.timeout.connect(view.update)
        self._renews = QTimer(self, interval=_RENEW_MS, singleShot=True)
        self._renews.timeout.connect(self._renew)
        view.viewport_changed.connect(self._want)
        service.ready.connect(self._take)

    # -- what is shown ----------------------------------------------------------------------------

    @property
    def map(self) -> MapTiles | None:
        """The map; None before there is one."""
        return self._map

    @property
    def opacity(self) -> float:
        """From 0 to 1."""
        return self._opacity

    @opacity.setter
    def opacity(self, opacity: float) -> None:
        self._opacity = opacity
        self._view.update()

    @property
    def is_visible(self) -> bool:
        """Whether it is painted, on its plane."""
        return self._is_visible

    @is_visible.setter
    def is_visible(self, is_visible: bool) -> None:
        self._is_visible = is_visible
        self._want()
        self._view.update()

    @property
    def is_on_plane(self) -> bool:
        """Whether it was made of the plane that is shown, or says no plane."""
        return self._map is None or self._map.facts.is_on(self._plane)

    @property
    def plane_words(self) -> str:
        """Which plane it was made of; nothing where it says none, or the slide has only one."""
        slide, tiles = self._view.slide, self._map
        if slide is None or tiles is None or tiles.facts.plane is None:
            return ""
        return plane_text(slide.info, tiles.facts.plane)

    @property
    def _is_shown(self) -> bool:
        return self._is_visible and self.is_on_plane

    @property
    def is_current(self) -> bool:
        """Tell whether all that is seen of the map is painted as it is in its files."""
        viewport = self._view.viewport
        if self._map is None or viewport is None or not self._is_shown:
            return True
        is_quiet = not self._renews.isActive() and not self._changed and not self._stale
        ratio = self._view.devicePixelRatioF()
        is_painted = self._canvas.is_sharp_at(self._map.frame(viewport), ratio)
        return is_quiet and is_painted and self._service.is_idle

    def show_map(self, tiles: MapTiles | None) -> None:
        """Show another map, or none; what the one before showed stays until there is better."""
        before, self._map = self._map, tiles
        self._held = _taken_over(before, tiles, {key for key in self._wish if self._is_seen(key)})
        self._changed.clear()
        self._stale.clear()
        self._has_told, self._trouble = False, None
        self._edge = None if tiles is None else self._overhung(tiles)
        self._service.loader.want(id(self), ())
        if before is not None:
            self._service.loader.forgive(self._broken)
            self._service.hide(before)
            before.close()
        self._broken.clear()
        if tiles is not None:
            self._service.add(tiles)
            if not self._held:
                self._canvas.soil()
            self._want()
        self._view.update()

    def show_plane(self, plane: tuple[int, int]) -> None:
        """Follow the slide to another focal plane and time point."""
        self._plane = plane
        self._want()
        self._view.update()

    def renew(self, rects_l0: Sequence[RectL0]) -> None:
        """Read again what lies in some rectangles of the slide; soon, and all of it at once."""
        self._changed += rects_l0
        if not self._renews.isActive():
            self._renews.start()

    def close(self) -> None:
        """Stop reading and forget the map; calling it twice is fine."""
        self._later.stop()
        self._renews.stop()
        self.show_map(None)

    # -- tiles ------------------------------------------------------------------------------------

    def _renew(self) -> None:
        rects, self._changed = self._changed, []
        if self._map is None:
            return
        if self._trouble is not None:
            self._tell(self._trouble)
        keys = {key for rect in rects for key in self._map.touched(rect)}
        self._held |= {key for key in keys & self._wish if self._is_seen(key)}
        self._service.pictures.drop(keys)
        self._broken -= keys
        # One that is being read now may have been read too early.
        self._stale |= keys & self._wish
        self._service.loader.forgive(keys)

    def _want(self) -> None:
        viewport = self._view.viewport
        if self._map is None or viewport is None or not self._is_shown:
            self._wish = set()
            self._stale.clear()
            self._held.clear()
            self._service.loader.want(id(self), ())
            return
        keys = wanted(
            self._map.info,
            self._map.id,
            self._map.frame(viewport),
            pixel_ratio=self._view.devicePixelRatioF(),
        )[:_MOST_TILES]
        self._wish = set(keys)
        self._stale &= self._wish
        self._held &= self._wish
        self._service.loader.want(id(self), keys)

    def _take(self, keys: Sequence[TileKey]) -> None:
        if self._map is None:
            return
        mine = [key for key in keys if key.slide == self._map.id]
        for key in mine:
            is_there = self._is_seen(key)
            failure = None if is_there else self._service.loader.failure(key)
            if failure is not None:
                self._broken.add(key)
                self._report(failure)
            elif not is_there and key in self._stale:
                self._service.loader.forgive((key,))
            self._stale.discard(key)
            if is_there or failure is not None:
                self._held.discard(key)
                self._canvas.soil_tile(self._map.info, key, self._peek)
        if mine and not self._canvas.is_sharp and not self._later.isActive():
            self._later.start()

    def _is_seen(self, key: TileKey) -> bool:
        return self._service.pictures.peek(key) is not None

    def _peek(self, key: TileKey) -> Picture | None:
        """Return a tile, or something for one that need not be covered by coarser ones."""
        return _HELD if key in self._held else self._service.pictures.peek(key)

    def _report(self, failure: str) -> None:
        # A growing map goes when the run's files take its place, which nobody has to hear of.
        if self.is_growing:
            self._trouble = failure
        else:
            self._tell(failure)

    def _tell(self, failure: str) -> None:
        self._trouble = None
        if not self._has_told:
            self._has_told = True
            self.failed.emit(f"Some of the map {self.title} cannot be shown: {failure}")

    # -- painting ---------------------------------------------------------------------------------

    def paint(self, painter: QPainter, viewport: Viewport) -> None:
        """Paint in logical pixels of the widget."""
        if self._map is None or not self._is_shown:
            return
        ratio = painter.device().devicePixelRatio()
        self._canvas.follow(self._map.frame(viewport), ratio)
        name = TileKey(self._map.id, 0, 0, 0)
        peek = self._service.pictures.peek
        if not self._canvas.repair(self._map.info, name, peek, _REPAIR_S):
            self._later.start()
        image = self._canvas.image
        image.setDevicePixelRatio(ratio)
        painter.save()
        if self._edge is not None and not self._edge.encloses(viewport.bounds_l0):
            _clip(painter, self._edge, viewport)
        painter.setOpacity(self._opacity)
        painter.drawImage(0, 0, image)
        painter.restore()
        image.setDevicePixelRatio(1.0)

    def _overhung(self, tiles: MapTiles) -> Rect | None:
        if self._view.slide is None:
            return None
        size, whole = self._view.slide.info.size, tiles.info.size
        x, y = tiles.facts.origin_l0
        step_x, step_y = tiles.facts.factor
        right, bottom = x + whole.width * step_x, y + whole.height * step_y
        is_beyond = min(x, y) < 0 or right > size.width or bottom > size.height
        return Rect.of_size(size) if is_beyond else None


def _clip(painter: QPainter, slide: Rect, viewport: Viewport) -> None:
    """Let nothing be painted beyond the slide until the painter is restored."""
    (m11, m21, dx), (m12, m22, dy) = transform_of(viewport, 1.0).tolist()
    before = painter.transform()
    painter.setTransform(QTransform(m11, m12, m21, m22, dx, dy), combine=True)
    painter.setClipRect(QRectF(0, 0, slide.width, slide.height))
    painter.setTransform(before)


def _taken_over(
    before: MapTiles | None, after: MapTiles | None, seen: set[TileKey]
) -> set[TileKey]:
    """Return the tiles of a map whose place shows the same tile of the map before."""
    if before is None or after is None or before.info.levels != after.info.levels:
        return set()
    if before.facts.origin_l0 != after.facts.origin_l0:
        return set()
    return {replace(key, slide=after.id) for key in seen}
