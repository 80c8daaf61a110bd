"""Calibration out of the tags that every TIFF may have, and what vendors' readers share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tilescope.domain.scale import PixelSize

if TYPE_CHECKING:
    import tifffile

#: Resolution tags coarser than this come from screens, printers and office scanners.
_COARSEST_BELIEVED_UM = 10.0

_UM_PER_UNIT = {
    "m": 1e6,
    "mm": 1e3,
    "cm": 1e4,
    "meter": 1e6,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "nanometer": 1e-3,
    "picometer": 1e-6,
    "angstrom": 1e-4,
    "micrometer": 1.0,
    "micron": 1.0,
    "um": 1.0,
    "\u00b5m": 1.0,
    "\u03bcm": 1.0,
    "\\u00B5m": 1.0,
    "nm": 1e-3,
    "\u00c5": 1e-4,
    "pm": 1e-6,
    "in": 25400.0,
    "inch": 25400.0,
}


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a file says about itself beyond its pixels."""

    pixel_size: PixelSize | None = None
    pixel_size_source: str | None = None
    objective_power: float | None = None
    channels: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)


def plausible(um_x: float, um_y: float) -> PixelSize | None:
    """Return the pixel size, or None when no microscope has it."""
    try:
        return PixelSize(um_x, um_y)
    except ValueError:
        return None


def um_per_unit(unit: str) -> float | None:
    """Return micrometres per named unit of length, None when it is not one."""
    return _UM_PER_UNIT.get(unit) or _UM_PER_UNIT.get(unit.lower())


def number(text: object) -> float | None:
    """Return a finite positive number read from text, None otherwise."""
    try:
        value = float(str(text).strip())
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def resolution(page: tifffile.TiffPage) -> PixelSize | None:
    """Return the pixel size that the resolution tags say, None when no microscope has it."""
    um = {2: 25400.0, 3: 10000.0}.get(page.tags.valueof(296, 2))
    per_unit = pixels_per_unit(page)
    if um is None or per_unit is None:
        return None
    x, y = um / per_unit[0], um / per_unit[1]
    return plausible(x, y) if max(x, y) <= _COARSEST_BELIEVED_UM else None


def pixels_per_unit(page: tifffile.TiffPage) -> tuple[float, float] | None:
    """Return pixels per unit from XResolution and YResolution."""
    found = []
    for code in (282, 283):
        value = page.tags.valueof(code)
        if not isinstance(value, tuple) or len(value) != 2 or not value[0] or not value[1]:
            return None
        found.append(value[0] / value[1])
    return found[0], found[1]


def text_tags(page: tifffile.TiffPage) -> dict[str, str]:
    """Return what the tags of plain text say."""
    named = {"tiff.ImageDescription": page.description, "tiff.Software": page.software}
    return {key: str(value)[:2000] for key, value in named.items() if value}
