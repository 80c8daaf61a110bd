"""Annotations as ASAP's XML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.exchange.colours import hex_of_colour
from tilescope.exchange.findings import Findings
from tilescope.exchange.losses import note_losses
from tilescope.exchange.palette import RGB, class_colour
from tilescope.exchange.staging import staged_file

_HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n<ASAP_Annotations>\n\t<Annotations>\n'
_NO_CLASS = "#F4FA58"


def write_asap(
    path: Path,
    annotations: Iterable[Sequence[Annotation]],
    *,
    colours: Mapping[str, RGB] | None = None,
    findings: Findings | None = None,
) -> int:
    """Write every object and return how many objects there were; classes become groups.

    An object of several parts becomes several annotations of the same name.

    Parameters
    ----------
    path
        Appears when it is whole.
    annotations
        Batches in order; only one is held at a time.
    colours
        Of classes; a class that is not in it gets a colour of its own.
    findings
        Gets what the format has no room for: holes, bent lines, measurements.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    writer = _Elements(dict(colours or {}), Findings() if findings is None else findings)
    with staged_file(path) as file:
        file.write(_HEAD)
        for batch in annotations:
            shapes = shapely.from_wkb(np.array([a.geometry for a in batch], object))
            file.write(
                "".join(
                    [
                        writer.annotation(annotation, part)
                        for annotation, shape in zip(batch, shapes, strict=True)
                        for part in writer.parts(annotation, shape)
                    ]
                ).encode()
            )
            writer.objects += len(batch)
        file.write(writer.groups().encode())
    return writer.objects


class _Elements:
    def __init__(self, colours: dict[str, RGB], findings: Findings) -> None:
        self._colours = colours
        self._findings = findings
        self._groups: dict[str, RGB] = {}
        self._written = 0
        self.objects = 0

    def parts(self, annotation: Annotation, shape: shapely.Geometry) -> list[shapely.Geometry]:
        """Return the geometries to write for one object."""
        note_losses(annotation, self._findings)
        if annotation.measurements:
            self._findings.leave_out("measurements", annotation.id)
        if shapely.get_type_id(shape) == shapely.GeometryType.MULTIPOINT:
            return [shape]
        parts: list[shapely.Geometry] = []
        for part in shapely.get_parts(shape):
            if shapely.get_num_interior_rings(part):
                self._findings.leave_out("the holes of an area", annotation.id)
            if shapely.get_type_id(part) == shapely.GeometryType.LINESTRING and (
                shapely.get_num_points(part) > 2
            ):
                self._findings.leave_out("a line of more than two vertices", annotation.id)
            else:
                parts.append(part)
        return parts

    def annotation(self, annotation: Annotation, part: shapely.Geometry) -> str:
        """Return the element of one geometry."""
        kind, outline = _KINDS[shapely.GeometryType(shapely.get_type_id(part))]
        group = annotation.class_name
        colour = _NO_CLASS if group is None else hex_of_colour(self._colour(group))
        name = annotation.name or f"Annotation {self._written}"
        self._written += 1
        rows = "".join(
            f'\t\t\t\t<Coordinate Order="{i}" X="{x:.4f}" Y="{y:.4f}"/>\n'
            for i, (x, y) in enumerate(outline(part).tolist())
        )
        # A group that is not declared makes ASAP refuse the whole file; this one means no group.
        return (
            f'\t\t<Annotation Name={_quoted(name)} Type="{kind}" '
            f'PartOfGroup={_quoted(group or "None")} Color="{colour}">\n'
            f"\t\t\t<Coordinates>\n{rows}\t\t\t</Coordinates>\n\t\t</Annotation>\n"
        )

    def groups(self) -> str:
        """Return the rest of the file."""
        groups = "".join(
            f'\t\t<Group Name={_quoted(name)} PartOfGroup="None" '
            f'Color="{hex_of_colour(colour)}">\n\t\t\t<Attributes/>\n\t\t</Group>\n'
            for name, colour in self._groups.items()
        )
        return (
            f"\t</Annotations>\n\t<AnnotationGroups>\n{groups}"
            "\t</AnnotationGroups>\n</ASAP_Annotations>\n"
        )

    def _colour(self, group: str) -> RGB:
        if group not in self._groups:
            chosen = self._colours.get(group) or class_colour(len(self._groups))
            self._groups[group] = chosen
        return self._groups[group]


def _vertices(part: shapely.Geometry) -> np.ndarray:
    points: np.ndarray = shapely.get_coordinates(part)
    return points


def _outline(part: shapely.Geometry) -> np.ndarray:
    points: np.ndarray = shapely.get_coordinates(shapely.get_exterior_ring(part))[:-1]
    return points


_KINDS: dict[shapely.GeometryType, tuple[str, Callable[[shapely.Geometry], np.ndarray]]] = {
    shapely.GeometryType.POINT: ("Dot", _vertices),
    shapely.GeometryType.MULTIPOINT: ("PointSet", _vertices),
    shapely.GeometryType.LINESTRING: ("Measurement", _vertices),
    shapely.GeometryType.POLYGON: ("Polygon", _outline),
}


def _quoted(text: str) -> str:
    # What XML 1.0 has no word for, not even as a reference.
    allowed = "".join(c if c.isprintable() else " " for c in text)
    return quoteattr(allowed)
