"""What the writers of TIFF slides say about them, each in a way of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from tilescope.domain.scale import PixelSize
from tilescope.io.tiff_metadata import (
    Metadata,
    number,
    pixels_per_unit,
    plausible,
    resolution,
    text_tags,
    um_per_unit,
)

if TYPE_CHECKING:
    import tifffile

_LARGEST_XML = 32 << 20

#: Tags of NDPI that say how a slide was scanned, under the names that OpenSlide gives them.
_HAMAMATSU = {
    65421: "hamamatsu.SourceLens",
    65422: "hamamatsu.XOffsetFromSlideCentre",
    65423: "hamamatsu.YOffsetFromSlideCentre",
    65424: "hamamatsu.ZOffsetFromSlideCentre",
    65427: "hamamatsu.Reference",
    65434: "hamamatsu.Fluorescence",
    65442: "hamamatsu.NDP.S/N",
}

_PHILIPS_SPACING = (
    ".//DataObject[@ObjectType='PixelDataRepresentation']/Attribute[@Name='DICOM_PIXEL_SPACING']"
)

_LONGEST_TEXT = 2000


def read_metadata(
    tif: tifffile.TiffFile, page: tifffile.TiffPage, series: tifffile.TiffPageSeries
) -> Metadata:
    """Return the calibration, objective and channel names of an open ``tifffile.TiffFile``.

    Parameters
    ----------
    tif
        The file.
    page
        First page of the slide's finest level.
    series
        The slide's pages.
    """
    if page.is_svs:
        found = _aperio(page.description)
    elif tif.is_ome:
        found = _ome(tif.ome_metadata or "")
    elif tif.is_imagej:
        found = _imagej(tif, page)
    elif series.kind == "ndpi":
        found = _hamamatsu(page)
    elif series.kind == "qpi":
        found = _akoya(series)
    elif series.kind == "philips":
        found = _philips(page.description)
    else:
        found = Metadata(properties=text_tags(page))
    if found.pixel_size is not None:
        return found
    size = resolution(page)
    source = None if size is None else "tiff.XResolution"
    return replace(found, pixel_size=size, pixel_size_source=source)


def parsed_xml(text: str) -> ElementTree.Element | None:
    """Return the root of a description in XML, None when it is none."""
    if len(text) > _LARGEST_XML:
        return None
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - expat bounds entity expansion
    except (ElementTree.ParseError, ValueError):
        return None


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
    root = parsed_xml(xml)
    pixels = None if root is None else root.find(".//{*}Pixels")
    if root is None or pixels is None:
        return Metadata()
    size = _ome_pixel_size(pixels.attrib)
    names = [c.get("Name") or c.get("ID") or "" for c in pixels.findall("{*}Channel")]
    image = root.find("{*}Image")
    power = _ome_magnification(root, image)
    name = "" if image is None else image.get("Name") or ""
    return Metadata(
        size,
        "ome.PhysicalSizeX" if size else None,
        power,
        tuple(names),
        {"ome.name": name} if name else {},
    )


def _ome_magnification(
    root: ElementTree.Element, image: ElementTree.Element | None
) -> float | None:
    """Return the magnification of the image's objective, of the only one when it names none."""
    objectives = {v.get("ID"): v for v in root.findall("{*}Instrument/{*}Objective")}
    settings = None if image is None else image.find("{*}ObjectiveSettings")
    if settings is not None:
        objective = objectives.get(settings.get("ID"))
    else:
        objective = next(iter(objectives.values())) if len(objectives) == 1 else None
    return None if objective is None else number(objective.get("NominalMagnification"))


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
    per_unit = pixels_per_unit(page)
    if unit is None or per_unit is None:
        return Metadata(channels=names)
    size = plausible(unit / per_unit[0], unit / per_unit[1])
    return Metadata(size, "imagej.unit" if size else None, None, names)


def _hamamatsu(page: tifffile.TiffPage) -> Metadata:
    """Read the private tags of NDPI; the pixel size is in the resolution tags."""
    values = {name: page.tags.valueof(code) for code, name in _HAMAMATSU.items()}
    said = {name: str(value)[:_LONGEST_TEXT] for name, value in values.items() if value is not None}
    return Metadata(
        objective_power=number(page.tags.valueof(65421)), properties=text_tags(page) | said
    )


def _akoya(series: tifffile.TiffPageSeries) -> Metadata:
    """Read the XML of each channel of a QPTIFF; the pixel size is in the resolution tags."""
    roots = [parsed_xml(page.description) for page in series.pages]
    names = [_first_text(root, "Biomarker", "Name") for root in roots]
    said = {
        f"qptiff.{child.tag}": child.text.strip()[:_LONGEST_TEXT]
        for child in (() if roots[0] is None else roots[0])
        if child.text and child.text.strip() and not len(child)
    }
    objective = re.search(r"\d+(\.\d+)?", _first_text(roots[0], "Objective"))
    return Metadata(
        objective_power=number(objective.group()) if objective else None,
        channels=tuple(names),
        properties=said,
    )


def _first_text(root: ElementTree.Element | None, *tags: str) -> str:
    """Return the text of the first of these elements that has one."""
    found = [] if root is None else [root.findtext(tag) for tag in tags]
    return next((text.strip()[:_LONGEST_TEXT] for text in found if text and text.strip()), "")


def _philips(description: str) -> Metadata:
    """Read the spacing of the finest level, millimetres along y and x (DICOM PS3.3, 10.7.1)."""
    root = parsed_xml(description)
    spacing = None if root is None else root.find(_PHILIPS_SPACING)
    text = "" if spacing is None else spacing.text or ""
    numbers = [number(v) for v in text.replace('"', " ").split()]
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        return Metadata()
    size = plausible(numbers[1] * 1e3, numbers[0] * 1e3)
    return Metadata(size, "philips.DICOM_PIXEL_SPACING" if size else None)
