"""A bar of a round length."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tilescope.domain.scale import PixelSize
from tilescope_desktop.model.viewport import Viewport

_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """How long a bar is on the screen, and what it says."""

    length_px: float
    text: str


def scale_bar(l0_per_px: float, um_per_px_l0: float | None, *, room_px: float) -> ScaleBar:
    """Return the longest bar of 1, 2 or 5 times a power of ten that fits.

    Parameters
    ----------
    l0_per_px
        Level-0 pixels per screen pixel.
    um_per_px_l0
        Micrometres per level-0 pixel; None writes level-0 pixels.
    room_px
        Length that the bar may have on the screen.
    """
    unit_per_px = l0_per_px * (um_per_px_l0 or 1.0)
    room = room_px * unit_per_px
    power = 10.0 ** math.floor(math.log10(room))
    length = max(step * power for step in _STEPS if step * power <= room * (1 + 1e-9))
    text = f"{length:g} px" if um_per_px_l0 is None else _with_unit(length)
    return ScaleBar(length / unit_per_px, text)


def bar_across(viewport: Viewport, pixel_size: PixelSize | None, *, room_px: float) -> ScaleBar:
    """Return the bar that is right from left to right on the screen, however the slide is turned.

    Parameters
    ----------
    pixel_size
        None writes level-0 pixels.
    """
    if pixel_size is None:
        return scale_bar(viewport.l0_per_px, None, room_px=room_px)
    slant = math.radians(viewport.slant_deg)
    um = math.hypot(math.cos(slant) * pixel_size.um_x, math.sin(slant) * pixel_size.um_y)
    return scale_bar(viewport.l0_per_px, um, room_px=room_px)


def _with_unit(length_um: float) -> str:
    if length_um >= 10_000:
        return f"{length_um / 10_000:g} cm"
    if length_um >= 1000:
        return f"{length_um / 1000:g} mm"
    if length_um < 1:
        return f"{length_um * 1000:g} nm"
    return f"{length_um:g} µm"
