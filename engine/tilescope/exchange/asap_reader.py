"""ASAP's XML: level-0 pixels, groups as classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import shapely

from tilescope.domain.annotation import Annotation, Author
from tilescope.errors import AnnotationError
from tilescope.exchange import vertices
from tilescope.exchange.colours import colour_of_hex
from tilescope.exchange.findings import Findings
from tilescope.exchange.intake import Draft, Intake, Shape, as_text, batches
from tilescope.exchange.opening import unpacked
from tilescope.exchange.xml_stream import Begin, End, xml_events

_PART = 512
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
    findings = Findings() if findings is None else findings
    reader = _Reader(path, findings)
    intake = reader.intake
    with unpacked(path) as stream:
        drafted = reader.drafts(xml_events(path, stream))
        parts = (
            intake.taken([draft for draft, _ in part], [shape for _, shape in part])
            for part in batches(drafted, _PART)
        )
        yield from batches(chain.from_iterable(parts))


class _Reader:
    def __init__(self, path: Path, findings: Findings) -> None:
        self.intake = Intake(Author("import", path.name, {"format": "ASAP XML"}), findings)
        self._path = path
        self._findings = findings
        self._count = 0

    def drafts(self, events: Iterator[Begin | End]) -> Iterator[tuple[Draft, Shape]]:
        """Yield every object with its geometry."""
        begun: Begin | None = None
        found = vertices.VertexList()
        orders: list[str] = []
        root = next(events, None)
        if not isinstance(root, Begin) or root.name != "asap_annotations":
            raise AnnotationError(self._path, "is XML, but not of ASAP")
        for event in events:
            if isinstance(event, End):
                if event.name == "annotation" and begun is not None:
                    self._count += 1
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
        place = f"annotation {self._count:,} (line {begun.line:,})"
        group = as_text(said.get("partofgroup"))
        draft = Draft(place, name=as_text(said.get("name")))
        if group is not None and group != "None":
            draft.class_name = self.intake.meet(group, colour_of_hex(said.get("color")))
        kind = said.get("type", "").lower()
        shape: Shape = None
        try:
            _sort(found, orders)
            shape = found.shape(vertices.maker(_MAKERS, kind))
        except vertices.NoShape as exc:
            self._findings.leave_out(str(exc), place)
        else:
            if kind == "spline":
                self._findings.change("a spline became the polygon through its points", place)
        return draft, shape

    def _group(self, event: Begin) -> None:
        name = as_text(event.attributes.get("name"))
        parent = as_text(event.attributes.get("partofgroup"))
        if name is not None:
            # The colour of the group counts, not that of its first object.
            self._findings.classes.pop(name, None)
            self.intake.meet(name, colour_of_hex(event.attributes.get("color")))
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
