"""What readers of XML share: a root to check, objects that are counted, and their way in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import ClassVar

import shapely

from tilescope.domain.annotation import Annotation, Author
from tilescope.errors import AnnotationError
from tilescope.exchange.findings import Findings
from tilescope.exchange.intake import Draft, Intake, Shape, batches
from tilescope.exchange.opening import unpacked
from tilescope.exchange.vertices import NoShape
from tilescope.exchange.xml_stream import Begin, End, xml_events

#: Objects whose geometries are checked together.
_PART = 512


class XmlReader(ABC):
    """Reads the annotations of one file; a subclass says how its format describes them.

    Parameters
    ----------
    path
        The file, plain or packed.
    findings
        Gets what could not be taken.
    """

    #: What the objects' author is said to come from.
    format: ClassVar[str]
    #: Whose files have the root element ``root``, in lower case.
    program: ClassVar[str]
    root: ClassVar[str]
    #: What one object is called in such a file.
    item: ClassVar[str]

    def __init__(self, path: Path, findings: Findings | None) -> None:
        self._path = path
        self._findings = Findings() if findings is None else findings
        self._intake = Intake(Author("import", path.name, {"format": self.format}), self._findings)
        self._count = 0

    def annotations(self) -> Iterator[list[Annotation]]:
        """Yield the objects in order, in batches of at most 4096.

        Raises
        ------
        AnnotationError
            When the file is not of this format, is broken or cut short; objects may have been
            yielded before.
        """
        with unpacked(self._path) as stream:
            parts = (
                self._intake.taken([draft for draft, _ in part], [shape for _, shape in part])
                for part in batches(self._below_root(xml_events(self._path, stream)), _PART)
            )
            yield from batches(chain.from_iterable(parts))

    def _below_root(self, events: Iterator[Begin | End]) -> Iterator[tuple[Draft, Shape]]:
        root = next(events, None)
        if not isinstance(root, Begin) or root.name != self.root:
            raise AnnotationError(self._path, f"is XML, but not of {self.program}")
        self._begin(root)
        yield from self._drafts(events)

    def _begin(self, root: Begin) -> None:  # noqa: B027 - most roots say nothing
        """Take what the root says."""

    @abstractmethod
    def _drafts(self, events: Iterator[Begin | End]) -> Iterator[tuple[Draft, Shape]]:
        """Yield every object with its geometry; ``events`` are those after the root's beginning."""

    def _place(self, line: int) -> str:
        """Count one more object, which begins at ``line``, and return where it is."""
        self._count += 1
        return f"{self.item} {self._count:,} (line {line:,})"

    def _shape(self, place: str, make: Callable[[], shapely.Geometry]) -> Shape:
        """Return what ``make`` returns; None, with a note, when it says that there is no shape."""
        try:
            return make()
        except NoShape as exc:
            self._findings.leave_out(str(exc), place)
            return None
