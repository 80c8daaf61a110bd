"""Calibration and names out of TIFF metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from tilescope.domain.scale import PixelSize

if TYPE_CHECKING:
    import tifffile

_LARGEST_XML = 32 << 20

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


def read_metadata(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> Metadata:
    """Return the calibration, objective and channel names of an open ``tifffile.TiffFile``.

    Parameters
    ----------
    tif
        The file.
    page
        First page of the slide's finest level.
    """
    if page.is_svs:
        found = _aperio(page.description)
    elif tif.is_ome:
        found = _ome(tif.ome_metadata or "")
    elif tif.is_imagej:
        found = _imagej(tif, page)
    else:
        found = Metadata(properties=_text(page))
    if found.pixel_size is not None:
        return found
    size = _resolution(page)
    return Metadata(
        size,
        None if size is None else "tiff.XResolution",
        found.objective_power,
        found.channels,
        found.properties,
    )


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


def _aperio(description: str) -> Metadata:
    """Read ``Aperio Image Library ...|AppMag = 20|MPP = 0.499``."""
    pairs = dict(re.findall(r"\|\s*([^=|]{1,64}?)\s*=\s*([^|]{0,400})", description[:65536]))
    properties = {f"aperio.{key}": value.strip() for key, value in pairs.items()}
    um = number(pairs.get("MPP"))
    size = plausible(um, um) if um else None
    return Metadata(
        size,
        "aperio.MPP" if size else None,
        number(pairs.get("AppMag")),
        (),
        properties,
    )


def _ome(xml: str) -> Metadata:
    """Read the first image of OME-XML, schema 2016-06: PhysicalSizeX, Channel, Objective."""
    if len(xml) > _LARGEST_XML:
        return Metadata()
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314 - expat bounds entity expansion
    except ElementTree.ParseError:
        return Metadata()
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return Metadata()
    size = _ome_pixel_size(pixels.attrib)
    names = [c.get("Name") or c.get("ID") or "" for c in pixels.findall("{*}Channel")]
    objective = root.find(".//{*}Objective")
    power = None if objective is None else number(objective.get("NominalMagnification"))
    image = root.find("{*}Image")
    name = "" if image is None else image.get("Name") or ""
    return Metadata(
        size,
        "ome.PhysicalSizeX" if size else None,
        power,
        tuple(names),
        {"ome.name": name} if name else {},
    )


def _ome_pixel_size(attributes: Mapping[str, str]) -> PixelSize | None:
    micrometres = []
    for axis in "XY":
        value = number(attributes.get(f"PhysicalSize{axis}"))
        unit = um_per_unit(attributes.get(f"PhysicalSize{axis}Unit", "\u00b5m"))
        micrometres.append(value * unit if value and unit else None)
    x, y = micrometres
    x, y = x or y, y or x
    return plausible(x, y) if x and y else None


def _imagej(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> Metadata:
    values = tif.imagej_metadata or {}
    unit = um_per_unit(str(values.get("unit", "")))
    labels = values.get("Labels")
    names = tuple(str(v) for v in labels) if isinstance(labels, list) else ()
    per_unit = _per_unit(page)
    if unit is None or per_unit is None:
        return Metadata(channels=names)
    size = plausible(unit / per_unit[0], unit / per_unit[1])
    return Metadata(size, "imagej.unit" if size else None, None, names)


def _resolution(page: tifffile.TiffPage) -> PixelSize | None:
    um = {2: 25400.0, 3: 10000.0}.get(page.tags.valueof(296, 2))
    per_unit = _per_unit(page)
    if um is None or per_unit is None:
        return None
    x, y = um / per_unit[0], um / per_unit[1]
    return plausible(x, y) if max(x, y) <= _COARSEST_BELIEVED_UM else None


def _per_unit(page: tifffile.TiffPage) -> tuple[float, float] | None:
    """Return pixels per unit from XResolution and YResolution."""
    found = []
    for code in (282, 283):
        value = page.tags.valueof(code)
        if not isinstance(value, tuple) or len(value) != 2 or not value[0] or not value[1]:
            return None
        found.append(value[0] / value[1])
    return found[0], found[1]


def _text(page: tifffile.TiffPage) -> dict[str, str]:
    named = {"tiff.ImageDescription": page.description, "tiff.Software": page.software}
    return {key: str(value)[:2000] for key, value in named.items() if value}
