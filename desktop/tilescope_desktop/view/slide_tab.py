"""One open slide: its view, its map and what is painted over it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QWidget

from tilescope.domain.scale import PixelSize
from tilescope.domain.slide import SlideId
from tilescope.io.source import SlideSource
from tilescope.ops.compose import ChannelStyle
from tilescope_desktop.bridge.tiles import PictureTiles, TileService
from tilescope_desktop.view.overview_map import OverviewMap
from tilescope_desktop.view.plane_bar import PlaneBar
from tilescope_desktop.view.scale_overlay import ScaleOverlay
from tilescope_desktop.view.slide_view import SlideView

_MARGIN_PX = 12


class SlideTab(QWidget):
    """A slide that is open; it is closed with the tab.

    ``um_override`` is what the user says of the size of a pixel, ``measured_anew`` tells that it is
    another one; ``identity`` what projects know the slide by, None where it cannot be in one.
    """

    measured_anew = Signal()

    def __init__(
        self,
        path: Path,
        source: SlideSource,
        styles: Sequence[ChannelStyle],
        tiles: TileService,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.path = path
        self.source = source
        self.um_override: float | None = None
        self.identity: str | None = None
        self._service = tiles
        self._pictures: PictureTiles = tiles.show(source, styles)
        self.view = SlideView(tiles, self)
        self.view.setAccessibleName(f"Slide {path.name}")
        self._color_around()
        self.map = OverviewMap(tiles, self)
        self.map.setAccessibleName(f"Overview of {path.name}")
        self.scale = ScaleOverlay()
        self.view.overlays.append(self.scale)
        self.view.viewport_changed.connect(self.map.follow)
        self.map.moved.connect(self._go)
        self.map.zoomed.connect(self._zoom)
        self.scale.pixel_size = self.pixel_size
        self.planes = PlaneBar(source.info, self)
        self.planes.moved.connect(self._show_plane)
        self.view.show_slide(self._pictures)
        self.map.show_slide(self._pictures, self.planes.plane)
        self.view.show_plane(self.planes.plane)

    @property
    def pictures_id(self) -> SlideId:
        """The name under which its pictures are kept; another one after a change of colours."""
        return self._pictures.id

    @property
    def pixel_size(self) -> PixelSize | None:
        """Size of a level-0 pixel, as the user or else the slide says; None if neither."""
        if self.um_override is not None:
            return PixelSize(self.um_override, self.um_override)
        return self.source.info.pixel_size

    @property
    def um_per_px(self) -> float | None:
        """Micrometres per level-0 pixel on average: for magnifications and areas, not lengths."""
        if self.um_override is not None:
            return self.um_override
        size = self.source.info.pixel_size
        return None if size is None else size.mean_um

    @property
    def styles(self) -> tuple[ChannelStyle, ...]:
        """How the bands are shown."""
        return self._pictures.styles

    def restyle(self, styles: Sequence[ChannelStyle]) -> None:
        """Show the bands otherwise."""
        old = self._pictures
        self._pictures = self._service.show(self.source, styles)
        self.view.show_slide(self._pictures)
        self.map.show_slide(self._pictures, self.planes.plane)
        self._service.hide(old)

    def override_um_per_px(self, um_per_px: float | None) -> None:
        """Measure with another pixel size from now on; None goes back to the slide's own."""
        before = self.um_per_px
        self.um_override = um_per_px
        self.scale.pixel_size = self.pixel_size
        self.view.update()
        if self.um_per_px != before:
            self.measured_anew.emit()

    def close_slide(self) -> None:
        """Give back the file and its tiles."""
        self.view.show_slide(None)
        self.map.show_slide(None)
        self._service.hide(self._pictures)
        self.source.close()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Keep the map in its corner; called by Qt."""
        bar = self.planes.sizeHint().height() if self.planes.isVisibleTo(self) else 0
        self.planes.setGeometry(0, self.height() - bar, self.width(), bar)
        self.view.setGeometry(0, 0, self.width(), self.height() - bar)
        self.map.fit_in(self.view.width(), self.view.height())
        self.map.move(self.width() - self.map.width() - _MARGIN_PX, _MARGIN_PX)
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Take on the colours of another theme; called by Qt."""
        if event.type() == QEvent.Type.PaletteChange:
            self._color_around()
        super().changeEvent(event)

    def _color_around(self) -> None:
        # Black around a bright slide dazzles; around fluorescence it is what belongs there.
        if self.source.info.is_rgb:
            self.view.set_background(self.palette().mid().color())

    def _show_plane(self, plane: int) -> None:
        self.view.show_plane(plane)
        self.map.show_slide(self._pictures, plane)

    def _go(self, point_l0: object) -> None:
        if self.view.viewport is not None:
            self.view.move_to(self.view.viewport.centred(point_l0))  # type: ignore[arg-type]

    def _zoom(self, point_l0: object, factor: float) -> None:
        if self.view.viewport is not None:
            self.view.zoom(factor, self.view.viewport.to_screen(point_l0))  # type: ignore[arg-type]
