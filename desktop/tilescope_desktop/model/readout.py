"""What the status bar says of the place under the cursor."""

from __future__ import annotations

import math

from tilescope.domain.geometry import Point
from tilescope.domain.scale import PixelSize
from tilescope.domain.slide import SlideInfo
from tilescope_desktop.model.viewport import Viewport


def place_text(point_l0: Point, pixel_size: PixelSize | None) -> str:
    """Return a position in level-0 pixels, and in µm or mm where the slide is calibrated."""
    # Just beside the edge is 0, not -0.
    pixels = f"{point_l0.x:z.0f}, {point_l0.y:z.0f} px"
    if pixel_size is None:
        return pixels
    x, y = point_l0.x * pixel_size.um_x, point_l0.y * pixel_size.um_y
    if max(abs(x), abs(y)) >= 1000:
        return f"{pixels}   {x / 1000:z.3f}, {y / 1000:z.3f} mm"
    return f"{pixels}   {x:z.1f}, {y:z.1f} µm"


def magnification_text(viewport: Viewport, um_per_px: float | None) -> str:
    """Return how large the slide is shown: as an objective would, or in percent of its pixels."""
    if um_per_px is None:
        return f"{rounded(100 / viewport.l0_per_px, 3)} %"
    return f"{rounded(viewport.magnification(um_per_px), 3)}x"


def rounded(value: float, digits: int) -> str:
    """Return a positive number with so many digits and all before the point, as people write it."""
    decimals = max(0, digits - 1 - math.floor(math.log10(value)))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def pixel_size_text(info: SlideInfo, override_um: float | None) -> str:
    """Return the pixel size and who said so."""
    if override_um is not None:
        return f"{override_um:.6g} µm/px (set by you)"
    if info.pixel_size is None:
        return "µm/px unknown"
    source = f" ({info.pixel_size_source})" if info.pixel_size_source else ""
    return f"{size_figures(info.pixel_size)} µm/px{source}"


def size_figures(pixel_size: PixelSize, digits: int = 6) -> str:
    """Return the size of a pixel in micrometres: of an oblong one across and down."""
    across, down = (f"{um:.{digits}g}" for um in (pixel_size.um_x, pixel_size.um_y))
    return across if across == down else f"{across} \N{MULTIPLICATION SIGN} {down}"


def bytes_text(size_bytes: int) -> str:
    """Return a size with the unit people read."""
    mib = size_bytes / 2**20
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"
