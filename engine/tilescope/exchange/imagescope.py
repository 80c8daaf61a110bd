"""Aperio ImageScope's XML: level-0 pixels, layers as classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import shapely

from tilescope.domain.annotation import Annotation, Author
from tilescope.errors import AnnotationError
from tilescope.exchange import vertices
from tilescope.exchange.colours import colour_of_bgr_number
from tilescope.exchange.findings import Findings
from tilescope.exchange.intake import Draft, Intake, Shape, as_text, batches
from tilescope.exchange.opening import unpacked
from tilescope.exchange.xml_stream import Begin, End, xml_events

_PART = 512
#: ``Type`` of a region: drawn freely, rectangle, ellipse, arrow, ruler.
_MAKERS: Mapping[str, Callable[[vertices.Points], shapely.Geometry]] = {
    "0": vertices.polygon,
    "1": vertices.rectangle,
    "2": vertices.ellipse,
    "3": vertices.line,
    "4": vertices.line,
}


def read_imagescope(path: Path, *, findings: Findings | None = None) -> Iterator[list[Annotation]]:
    """Yield the regions of a file in order, in batches of at most 4096.

    The class is the layer's name, else its description; the name is the region's text.

    Parameters
    ----------
    path
        The XML, plain or packed.
    findings
        Gets what could not be taken.

    Raises
    ------
    AnnotationError
        When the file is not of ImageScope, is broken or cut short; objects may have been yielded
        before.
    """
    findings = Findings() if findings is None else findings
    reader = _Reader(path, findings)
    with unpacked(path) as stream:
        parts = (
            reader.intake.taken([draft for draft, _ in part], [shape for _, shape in part])
            for part in batches(reader.drafts(xml_events(path, stream)), _PART)
        )
        yield from batches(chain.from_iterable(parts))


class _Reader:
    def __init__(self, path: Path, findings: Findings) -> None:
        self.intake = Intake(Author("import", path.name, {"format": "ImageScope XML"}), findings)
        self._path = path
        self._findings = findings
        self._count = 0
        self._layer: Begin | None = None
        self._layer_name: str | None = None

    def drafts(self, events: Iterator[Begin | End]) -> Iterator[tuple[Draft, Shape]]:
        """Yield every region with its geometry."""
        region: Begin | None = None
        found = vertices.VertexList()
        root = next(events, None)
        if not isinstance(root, Begin) or root.name != "annotations":
            raise AnnotationError(self._path, "is XML, but not of ImageScope")
        for event in events:
            if isinstance(event, End):
                if event.name == "region" and region is not None:
                    self._count += 1
                    yield self._drafted(region, found)
                    region = None
            elif event.name == "annotation":
                self._layer, self._layer_name = event, as_text(event.attributes.get("name"))
            elif event.name == "attribute" and region is None:
                self._describe(event)
            elif event.name == "region":
                region, found = event, vertices.VertexList()
            elif event.name in ("vertex", "v") and region is not None:
                found.add(event.attributes.get("x", ""), event.attributes.get("y", ""))

    def _describe(self, event: Begin) -> None:
        if self._layer_name is None and event.attributes.get("name", "").lower() == "description":
            self._layer_name = as_text(event.attributes.get("value"))

    def _drafted(self, region: Begin, found: vertices.VertexList) -> tuple[Draft, Shape]:
        said = region.attributes
        place = f"region {self._count:,} (line {region.line:,})"
        draft = Draft(place, name=as_text(said.get("text")))
        if self._layer is not None:
            colour = colour_of_bgr_number(self._layer.attributes.get("linecolor"))
            draft.class_name = self.intake.meet(self._layer_name, colour)
            draft.locked = self._layer.attributes.get("readonly") == "1"
        kind = said.get("type", "0")
        shape: Shape = None
        try:
            make = vertices.maker(_MAKERS, kind)
            shape = found.shape(vertices.point if len(found.x) == 1 else make)
        except vertices.NoShape as exc:
            self._findings.leave_out(str(exc), place)
        else:
            if said.get("negativeroa") == "1":
                self._findings.change("a negative region became an object of its own", place)
        return draft, shape
