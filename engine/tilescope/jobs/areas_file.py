"""The areas of a GeoJSON file, for a run inside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import shapely

from tilescope.domain.annotation import Annotation
from tilescope.errors import AnnotationError
from tilescope.exchange.findings import Finding, Findings
from tilescope.exchange.geojson_reader import read_geojson
from tilescope.ops.areas import MOST_AREAS, Areas

_POLYGONS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
#: Names of classes that a message lists.
_LISTED = 8


@dataclass(frozen=True, slots=True)
class AreasInFile:
    """What a file holds.

    Attributes
    ----------
    areas
        The areas in level-0 pixels.
    left_out, changed
        What was not taken, and what was taken otherwise than the file says, by reason.
    """

    areas: Areas
    left_out: tuple[Finding, ...]
    changed: tuple[Finding, ...]


def read_areas(path: Path, class_name: str | None = None) -> AreasInFile:
    """Return the polygons and multipolygons of a GeoJSON file.

    Parameters
    ----------
    path
        As `exchange.geojson_reader.read_geojson` takes it; coordinates are level-0 pixels.
    class_name
        Only objects of this class; None is all objects.

    Raises
    ------
    AnnotationError
        When the file is no GeoJSON, is broken, or holds no area or too many.
    """
    findings = Findings()
    shapes: list[shapely.Geometry] = []
    classes: dict[str, None] = {}
    for batch in read_geojson(path, findings=findings):
        shapes += _areas_of(batch, class_name, classes, findings)
        if len(shapes) > MOST_AREAS:
            raise AnnotationError(
                path, f"holds more than {MOST_AREAS:,} areas; give the outlines of regions"
            )
    report = findings.report()
    if not shapes:
        raise AnnotationError(path, _nothing(class_name, tuple(classes), report.left_out))
    try:
        areas = Areas.of(shapes)
    except ValueError as exc:
        raise AnnotationError(path, f"{exc}; give the outlines of regions") from exc
    return AreasInFile(areas, report.left_out, report.changed)


def _areas_of(
    batch: Sequence[Annotation],
    class_name: str | None,
    classes: dict[str, None],
    findings: Findings,
) -> Iterator[shapely.Geometry]:
    """Yield the areas of a class among objects; the classes of other areas are noted."""
    for one in batch:
        shape = shapely.from_wkb(one.geometry)
        if shapely.get_type_id(shape) not in _POLYGONS:
            findings.leave_out("a point or line has no area", one.name or one.id)
        elif class_name is None or one.class_name == class_name:
            yield shape
        elif one.class_name is not None and len(classes) <= _LISTED:
            classes[one.class_name] = None


def _nothing(class_name: str | None, classes: tuple[str, ...], left_out: Sequence[Finding]) -> str:
    """Return why there is no area in a file."""
    if class_name is not None and classes:
        listed = ", ".join(classes[:_LISTED]) + (", …" if len(classes) > _LISTED else "")
        return f"holds no area of the class {class_name!r}; its areas are of: {listed}"
    what = "no area" if class_name is None else f"no area of the class {class_name!r}"
    reasons = "; ".join(str(finding) for finding in left_out[:3])
    return f"holds {what}" + (f": {reasons}" if reasons else "")
