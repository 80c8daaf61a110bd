"""ASAP's XML: level-0 pixels, groups as classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import shapely

from tilescope.domain.annotation import Annotation
from tilescope.exchange import vertices
from tilescope.exchange.colours import colour_of_hex
from tilescope.exchange.findings import Findings
from tilescope.exchange.intake import Draft, Shape, as_text
from tilescope.exchange.xml_reader import XmlReader
from tilescope.exchange.xml_stream import Begin, End

_MAKERS: Mapping[str, Callable[[vertices.Points], shapely.Geometry]] = {
    "dot": vertices.point,
    "polygon": vertices.polygon,
    "spline": vertices.polygon,
    "pointset": vertices.point_set,
    "measurement": vertices.line,
    "rectangle": vertices.rectangle,
}


def read_asap(path: Path, *, findings: Findings | None = None) -> Iterator[list[Annotation]]:
    """Yield the objects of a file in order, in batches of at most 4096.

    Parameters
    ----------
    path
        The XML, plain or packed.
    findings
        Gets what could not be taken.

    Raises
    ------
    AnnotationError
        When the file is not of ASAP, is broken or cut short; objects may have been yielded before.
    """
    return _Reader(path, findings).annotations()


class _Reader(XmlReader):
    format = "ASAP XML"
    program = "ASAP"
    root = "asap_annotations"
    item = "annotation"

    def _drafts(self, events: Iterator[Begin | End]) -> Iterator[tuple[Draft, Shape]]:
        begun: Begin | None = None
        found = vertices.VertexList()
        orders: list[str] = []
        for event in events:
            if isinstance(event, End):
                if event.name == "annotation" and begun is not None:
                    yield self._drafted(begun, found, orders)
                    begun = None
            elif event.name == "annotation":
                begun, found, orders = event, vertices.VertexList(), []
            elif event.name == "coordinate" and begun is not None:
                found.add(event.attributes.get("x", ""), event.attributes.get("y", ""))
                orders.append(event.attributes.get("order", ""))
            elif event.name == "group":
                self._group(event)

    def _drafted(
        self, begun: Begin, found: vertices.VertexList, orders: list[str]
    ) -> tuple[Draft, Shape]:
        said = begun.attributes
        place = self._place(begun.line)
        group = as_text(said.get("partofgroup"))
        draft = Draft(place, name=as_text(said.get("name")))
        if group is not None and group != "None":
            draft.class_name = self._intake.meet(group, colour_of_hex(said.get("color")))
        kind = said.get("type", "").lower()
        _sort(found, orders)
        shape = self._shape(place, lambda: found.shape(vertices.maker(_MAKERS, kind)))
        if shape is not None and kind == "spline":
            self._findings.change("a spline became the polygon through its points", place)
        return draft, shape

    def _group(self, event: Begin) -> None:
        name = as_text(event.attributes.get("name"))
        parent = as_text(event.attributes.get("partofgroup"))
        if name is not None:
            # The colour of the group counts, not that of its first object.
            self._findings.classes.pop(name, None)
            self._intake.meet(name, colour_of_hex(event.attributes.get("color")))
            if parent not in (None, "None"):
                self._findings.leave_out("the place of a group in another group", f"group {name!r}")


def _sort(found: vertices.VertexList, orders: list[str]) -> None:
    """Put the vertices into their order where the file gives each another number."""
    if len(orders) != len(found.x) or not all(order.isdecimal() for order in orders):
        return
    numbers = [int(order[:18]) for order in orders]
    if len(set(numbers)) == len(numbers):
        index = sorted(range(len(numbers)), key=numbers.__getitem__)
        found.x = [found.x[i] for i in index]
        found.y = [found.y[i] for i in index]
