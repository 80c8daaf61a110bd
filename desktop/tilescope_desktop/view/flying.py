"""Going to an object of a slide so that it is seen with what is around it."""

from __future__ import annotations

from tilescope.domain.geometry import Point
from tilescope_desktop.view.slide_tab import SlideTab

#: The view shows this many times the size of the object.
_ROOM = 4.0
_CLOSEST_L0_PER_PX = 0.125


def fly_to(
    tab: SlideTab, box_l0: tuple[float, float, float, float], plane: tuple[int, int]
) -> None:
    """Show a box on its plane, large; a point keeps the zoom.

    Parameters
    ----------
    box_l0
        Left, top, right, bottom in level-0 pixels.
    plane
        z and t.
    """
    tab.planes.go_to(*plane)
    view = tab.view.viewport
    if view is None:
        return
    left, top, right, bottom = box_l0
    scale = max((right - left) / view.width, (bottom - top) / view.height) * _ROOM
    if scale == 0:
        scale = min(view.l0_per_px, 1.0)
    factor = view.l0_per_px / max(scale, _CLOSEST_L0_PER_PX)
    centre = Point((left + right) / 2, (top + bottom) / 2)
    tab.view.move_to(view.zoomed(factor, slide=tab.source.info.size).centred(centre))
