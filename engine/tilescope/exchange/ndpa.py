"""Hamamatsu NDPA: nanometres from the centre of the glass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Size
from tilescope.domain.scale import PixelSize
from tilescope.errors import AnnotationError
from tilescope.exchange import vertices
from tilescope.exchange.findings import Findings
from tilescope.exchange.intake import Draft, Shape, as_text
from tilescope.exchange.xml_reader import XmlReader
from tilescope.exchange.xml_stream import Begin, End


@dataclass(frozen=True, slots=True)
class GlassFrame:
    """Where level-0 pixels lie on the glass.

    Attributes
    ----------
    size
        Level-0 pixels of the slide.
    pixel_size
        Of a level-0 pixel.
    offset_nm
        Where the centre of the image lies from the centre of the glass, x then y: what an NDPI
        file says in ``XOffsetFromSlideCentre`` and ``YOffsetFromSlideCentre``.
    """

    size: Size
    pixel_size: PixelSize
    offset_nm: tuple[float, float]

    def to_pixels(self, points_nm: vertices.Points) -> vertices.Points:
        """Return level-0 pixels of positions on the glass."""
        nm_per_px = np.array([self.pixel_size.um_x, self.pixel_size.um_y]) * 1000
        centre = np.array([self.size.width, self.size.height]) / 2
        points: vertices.Points = (points_nm - np.array(self.offset_nm)) / nm_per_px + centre
        return points


def read_ndpa(
    path: Path, *, frame: GlassFrame, findings: Findings | None = None
) -> Iterator[list[Annotation]]:
    """Yield the objects of a file in order, in batches of at most 4096; titles become names.

    Parameters
    ----------
    path
        The ``.ndpa`` beside the slide, plain or packed.
    frame
        Of the slide that the file belongs to.
    findings
        Gets what could not be taken.

    Raises
    ------
    AnnotationError
        When the file is no NDPA, is broken or cut short, or is not in nanometres; objects may
        have been yielded before.
    """
    return _Reader(path, frame, findings).annotations()


@dataclass(slots=True)
class _View:
    """One ``ndpviewstate``: texts of its elements, and of its annotation's."""

    line: int
    kind: str = ""
    special: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    found: vertices.VertexList = field(default_factory=vertices.VertexList)


class _Reader(XmlReader):
    format = "NDPA"
    program = "NDP.view"
    root = "annotations"
    item = "object"

    def __init__(self, path: Path, frame: GlassFrame, findings: Findings | None) -> None:
        super().__init__(path, findings)
        self._frame = frame

    def _drafts(self, events: Iterator[Begin | End]) -> Iterator[tuple[Draft, Shape]]:
        view: _View | None = None
        above: list[str] = []
        for event in events:
            if isinstance(event, Begin):
                above.append(event.name)
                if event.name == "ndpviewstate":
                    view = _View(event.line)
                elif event.name == "annotation" and view is not None:
                    view.kind = event.attributes.get("type", "").lower()
                    view.special = event.attributes.get("specialtype", "").lower()
                continue
            if above:
                above.pop()
            if view is None:
                continue
            if event.name == "ndpviewstate":
                yield self._drafted(view)
                view = None
            else:
                _note(view, event, above)

    def _drafted(self, view: _View) -> tuple[Draft, Shape]:
        place = self._place(view.line)
        unit = view.texts.get("view coordformat", "nanometers").lower()
        if not unit.startswith("nanomet"):
            reason = f"is in {unit[:40]!r}, not in nanometres"
            raise AnnotationError(self._path, reason, place)
        draft = Draft(place, name=as_text(view.texts.get("view title")))
        if view.texts.get("view details"):
            self._findings.leave_out("the details of an object", place)
        return draft, self._shape(place, lambda: _made(view, self._frame))


def _note(view: _View, event: End, above: list[str]) -> None:
    """Keep the text of an element that ended; ``above`` are the elements it stood in."""
    inside = above[-1] if above else ""
    if inside == "point":
        view.texts[f"point {event.name}"] = event.text
    elif event.name == "point":
        view.found.add(view.texts.pop("point x", ""), view.texts.pop("point y", ""))
    elif inside == "annotation":
        view.texts[event.name] = event.text
    elif inside == "ndpviewstate":
        view.texts[f"view {event.name}"] = event.text


def _made(view: _View, frame: GlassFrame) -> shapely.Geometry:
    make = _MAKERS.get(view.kind)
    if make is None:
        raise vertices.NoShape(f"is of the unknown type {view.kind[:40]!r}")
    return make(view, frame)


def _named(view: _View, *names: tuple[str, str]) -> vertices.Points:
    """Return the points whose coordinates are in elements of these names, in nanometres."""
    x = [view.texts.get(a, "") for a, _ in names]
    y = [view.texts.get(b, "") for _, b in names]
    return vertices.as_points(x, y)


def _freehand(view: _View, frame: GlassFrame) -> shapely.Geometry:
    closed = view.texts.get("closed", "1") != "0" or view.special == "rectangle"
    make = vertices.polygon if closed else vertices.line
    return view.found.shape(lambda points_nm: make(frame.to_pixels(points_nm)))


def _circle(view: _View, frame: GlassFrame) -> shapely.Geometry:
    centre = _named(view, ("x", "y"))
    ((radius, _),) = vertices.as_points([view.texts.get("radius", "")], ["0"]).tolist()
    if radius <= 0:
        raise vertices.NoShape("has a circle without a radius")
    corners = centre + np.array([[-radius, -radius], [radius, radius]])
    return vertices.ellipse(frame.to_pixels(corners))


def _pin(view: _View, frame: GlassFrame) -> shapely.Geometry:
    return vertices.point(frame.to_pixels(_named(view, ("x", "y"))))


def _straight(view: _View, frame: GlassFrame) -> shapely.Geometry:
    return vertices.line(frame.to_pixels(_named(view, ("x1", "y1"), ("x2", "y2"))))


_MAKERS: Mapping[str, Callable[[_View, GlassFrame], shapely.Geometry]] = {
    "freehand": _freehand,
    "circle": _circle,
    "pin": _pin,
    "pointer": _straight,
    "linearmeasure": _straight,
}
