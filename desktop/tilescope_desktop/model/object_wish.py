"""What a view wants to see of the objects on its slide, and where that is on a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Point, Size
from tilescope_desktop.model.live import LiveObjects
from tilescope_desktop.model.object_style import ObjectStyle
from tilescope_desktop.model.viewport import Viewport

#: From level-0 pixels to pixels of a picture, ``float64[2, 3]``.
Transform = NDArray[np.float64]

#: How far around a view its picture reaches, in logical pixels: a pan shows something there.
MARGIN_PX = 160
#: Pixels that moved by less than this are where they were.
_STILL_PX = 1e-3


@dataclass(frozen=True, slots=True)
class Where:
    """A slide of a project, and what is seen of it.

    Attributes
    ----------
    project
        None for a slide on which only live objects lie.
    revision
        Counts the changes of the project; what was looked at before is not looked at again.
    viewport
        Larger than the view's by a margin.
    """

    project: Path | None
    slide: int | None
    size: Size
    plane: tuple[int, int]
    revision: int
    viewport: Viewport
    pixel_ratio: float
    style: ObjectStyle
    live: tuple[LiveObjects, ...] = ()
    live_count: int = 0

    @property
    def key(self) -> tuple[Path | None, int | None, tuple[int, int]]:
        """What the objects belong to."""
        return self.project, self.slide, self.plane

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in physical pixels."""
        ratio = self.pixel_ratio
        return round(self.viewport.height * ratio), round(self.viewport.width * ratio)

    @property
    def transform(self) -> Transform:
        """From level-0 pixels to physical pixels."""
        return transform_of(self.viewport, self.pixel_ratio)

    def shift_from(self, old: Where) -> tuple[int, int] | None:
        """Return by how many whole physical pixels an older picture has to be moved to fit.

        None when it looks otherwise: another slide, scale, turn, size or style.
        """
        mine, its = self.viewport, old.viewport
        same = (
            (self.key, self.style, self.live, self.pixel_ratio, self.shape)
            == (old.key, old.style, old.live, old.pixel_ratio, old.shape)
        ) and mine.matrix == its.matrix
        if not same:
            return None
        there = mine.to_screen(its.centre_l0)
        dx = (there.x - mine.width / 2) * self.pixel_ratio
        dy = (there.y - mine.height / 2) * self.pixel_ratio
        if abs(dx - round(dx)) > _STILL_PX or abs(dy - round(dy)) > _STILL_PX:
            return None
        return round(dx), round(dy)


def with_margin(viewport: Viewport) -> Viewport:
    """Return the viewport grown on all sides."""
    return viewport.resized(viewport.width + 2 * MARGIN_PX, viewport.height + 2 * MARGIN_PX)


def ahead(viewport: Viewport, dx: float, dy: float) -> Viewport:
    """Return what a viewport will show when it has moved on by logical pixels."""
    centre = viewport.to_l0(Point(viewport.width / 2 + dx, viewport.height / 2 + dy))
    return replace(viewport, centre_l0=centre)


def transform_of(viewport: Viewport, pixel_ratio: float) -> Transform:
    """Return the map from level-0 pixels to physical pixels of a viewport."""
    m11, m12, m21, m22 = (value * pixel_ratio for value in viewport.matrix)
    centre = viewport.centre_l0
    x = viewport.width * pixel_ratio / 2 - centre.x * m11 - centre.y * m21
    y = viewport.height * pixel_ratio / 2 - centre.x * m12 - centre.y * m22
    return np.array([[m11, m21, x], [m12, m22, y]])


def rect_back(transform: Transform, box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Return left, top, right, bottom in level-0 pixels around a box of the picture."""
    return _around(np.linalg.inv(np.vstack([transform, [0.0, 0.0, 1.0]]))[:2], box)


def rect_there(transform: Transform, box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Return left, top, right, bottom in pixels around a box in level-0 pixels."""
    return _around(transform, box)


def _around(transform: Transform, box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    left, top, right, bottom = box
    corners = np.array([[left, top, 1], [right, top, 1], [left, bottom, 1], [right, bottom, 1]])
    moved = corners @ transform.T
    return np.concatenate([moved.min(axis=0), moved.max(axis=0)])
