"""Shapes put in the middle of the view: drawing without a mouse.

Keys move, zoom and turn the view, and so say where a shape goes and how large it is.
"""

from __future__ import annotations

from collections.abc import Callable

import shapely

from tilescope.domain.geometry import Point
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.frame import Frame
from tilescope_desktop.model.tools.shapes import ellipse_in
from tilescope_desktop.model.tools.tool import Draw
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.tool_bench import ToolBench

#: Which part of the view, across and down, a shape takes.
_SHARE = 0.5

Shape = Callable[[Viewport], shapely.Geometry]


def middle_commands(
    window: MainWindow, bench: ToolBench, annotations: Annotations
) -> list[Command]:
    """Return the commands; each draws one shape over the middle half of the view in front."""

    def put(shape: Shape) -> None:
        slide, tab = bench.front_slide, window.tab
        viewport = None if tab is None else tab.view.viewport
        if slide is not None and viewport is not None:
            annotations.fulfil(slide, [Draw(shape(viewport))])

    def command(name: str, title: str, shape: Shape, keys: str) -> Command:
        return Command(
            f"edit.middle-{name}",
            f"{title} in the middle of the view",
            "Edit",
            lambda: put(shape),
            keys,
            lambda: bench.front_slide is not None,
        )

    return [
        command("rectangle", "Rectangle", _rectangle, "Ctrl+Shift+B"),
        command("ellipse", "Ellipse", _ellipse, "Ctrl+Shift+E"),
        command("point", "Point", _point, "Ctrl+Shift+D"),
    ]


def _rectangle(viewport: Viewport) -> shapely.Geometry:
    frame, box = _middle(viewport)
    return frame.placed(shapely.box(*box))


def _ellipse(viewport: Viewport) -> shapely.Geometry:
    frame, box = _middle(viewport)
    return frame.placed(ellipse_in(box))


def _point(viewport: Viewport) -> shapely.Geometry:
    return shapely.Point(viewport.centre_l0.x, viewport.centre_l0.y)


def _middle(viewport: Viewport) -> tuple[Frame, tuple[float, float, float, float]]:
    """Return the box, along the screen, that the middle of the view is, and its axes."""
    frame = Frame.turned(viewport.slant_deg)
    corners = (
        viewport.to_l0(Point(viewport.width * share, viewport.height * share))
        for share in ((1 - _SHARE) / 2, (1 + _SHARE) / 2)
    )
    return frame, frame.box(*corners)
