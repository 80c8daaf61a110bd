"""Aperio ImageScope's XML: level-0 pixels, layers as classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import shapely

from tilescope.domain.annotation import Annotation
from tilescope.domain.scale import PixelSize
from tilescope.exchange import vertices
from tilescope.exchange.colours import colour_of_bgr_number
from tilescope.exchange.findings import Findings
from tilescope.exchange.intake import Draft, Shape, as_number, as_text
from tilescope.exchange.xml_reader import XmlReader
from tilescope.exchange.xml_stream import Begin, End

#: How far the pixel size of a file may be off that of the slide.
_TOLERANCE = 0.01
#: ``Type`` of a region: drawn freely, rectangle, ellipse, arrow, ruler.
_MAKERS: Mapping[str, Callable[[vertices.Points], shapely.Geometry]] = {
    "0": vertices.polygon,
    "1": vertices.rectangle,
    "2": vertices.ellipse,
    "3": vertices.line,
    "4": vertices.line,
}


def read_imagescope(
    path: Path, *, pixel_size: PixelSize | None = None, findings: Findings | None = None
) -> Iterator[list[Annotation]]:
    """Yield the regions of a file in order, in batches of at most 4096.

    The class is the layer's name, else its description; the name is the region's text.

    Parameters
    ----------
    path
        The XML, plain or packed.
    pixel_size
        Of the slide; when the file says another one, that is noted.
    findings
        Gets what could not be taken.

    Raises
    ------
    AnnotationError
        When the file is not of ImageScope, is broken or cut short; objects may have been yielded
        before.
    """
    return _Reader(path, pixel_size, findings).annotations()


class _Reader(XmlReader):
    format = "ImageScope XML"
    program = "ImageScope"
    root = "annotations"
    item = "region"

    def __init__(self, path: Path, pixel_size: PixelSize | None, findings: Findings | None) -> None:
        super().__init__(path, findings)
        self._pixel_size = pixel_size
        self._layer: Begin | None = None
        self._layer_name: str | None = None

    def _begin(self, root: Begin) -> None:
        """Compare the pixel size that the file was drawn at with the slide's."""
        said = as_number(root.attributes.get("micronsperpixel"))
        if self._pixel_size is None or said is None or said <= 0:
            return
        known = self._pixel_size.mean_um
        if abs(said - known) > _TOLERANCE * known:
            reason = (
                f"was drawn at {said:.4g} µm/px, and the slide has {known:.4g}; outlines were "
                "taken as pixels of the slide"
            )
            self._findings.change(reason, f"line {root.line}")

    def _drafts(self, events: Iterator[Begin | End]) -> Iterator[tuple[Draft, Shape]]:
        region: Begin | None = None
        found = vertices.VertexList()
        for event in events:
            if isinstance(event, End):
                if event.name == "region" and region is not None:
                    yield self._drafted(region, found)
                    region = None
            elif event.name == "annotation":
                self._layer, self._layer_name = event, as_text(event.attributes.get("name"))
            elif event.name == "attribute":
                self._describe(event, of_region=region is not None)
            elif event.name == "region":
                region, found = event, vertices.VertexList()
            elif event.name in ("vertex", "v") and region is not None:
                found.add(event.attributes.get("x", ""), event.attributes.get("y", ""))

    def _describe(self, event: Begin, *, of_region: bool) -> None:
        """Take the name of a layer; of other attributes with a value there is no place."""
        name, value = event.attributes.get("name", ""), as_text(event.attributes.get("value"))
        if not of_region and self._layer_name is None and name.lower() == "description":
            self._layer_name = value
        elif value is not None:
            self._findings.leave_out(f"the attribute {as_text(name)!r}", f"line {event.line}")

    def _drafted(self, region: Begin, found: vertices.VertexList) -> tuple[Draft, Shape]:
        said = region.attributes
        place = self._place(region.line)
        draft = Draft(place, name=as_text(said.get("text")))
        if self._layer is not None:
            colour = colour_of_bgr_number(self._layer.attributes.get("linecolor"))
            draft.class_name = self._intake.meet(self._layer_name, colour)
            draft.locked = self._layer.attributes.get("readonly") == "1"
        kind = said.get("type", "0")
        shape = self._shape(place, lambda: _made(kind, found))
        if shape is not None and said.get("negativeroa") == "1":
            self._findings.change("a negative region became an object of its own", place)
        return draft, shape


def _made(kind: str, found: vertices.VertexList) -> shapely.Geometry:
    make = vertices.maker(_MAKERS, kind)
    return found.shape(vertices.point if len(found.x) == 1 else make)
