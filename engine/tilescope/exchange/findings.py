"""What an import could not take, and what it had to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tilescope.exchange.palette import RGB

#: A file can bring any number of class names and of reasons that quote it.
_MOST_CLASSES = 10_000
_MOST_REASONS = 200
_OTHER = "other reasons"


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason and what it befell.

    Attributes
    ----------
    reason
        Half a sentence: ``encloses nothing``.
    count
        How many objects, or parts of objects, it was.
    first
        Where in the file the first of them is.
    """

    reason: str
    count: int
    first: str

    def __str__(self) -> str:
        more = "" if self.count == 1 else f", the first of {self.count:,}"
        return f"{self.reason} ({self.first}{more})"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file.

    Attributes
    ----------
    taken
        Objects that were read.
    left_out
        What was not taken, by reason.
    changed
        What was taken otherwise than the file says, by reason.
    classes
        The classes of the objects in order of appearance, each with its colour where the file
        says one.
    """

    taken: int
    left_out: tuple[Finding, ...]
    changed: tuple[Finding, ...]
    classes: Mapping[str, RGB | None]


@dataclass(slots=True)
class Findings:
    """Collects findings while a reader yields objects; complete when the reader is exhausted."""

    taken: int = 0
    classes: dict[str, RGB | None] = field(default_factory=dict)
    _left_out: dict[str, tuple[int, str]] = field(default_factory=dict)
    _changed: dict[str, tuple[int, str]] = field(default_factory=dict)

    def leave_out(self, reason: str, place: str, count: int = 1) -> None:
        """Note that something was not taken."""
        _note(self._left_out, reason, place, count)

    def change(self, reason: str, place: str, count: int = 1) -> None:
        """Note that something was taken, but not as the file says."""
        _note(self._changed, reason, place, count)

    def meet(self, class_name: str, colour: RGB | None) -> None:
        """Note a class and its colour; the first colour that a class comes with stays."""
        if self.classes.get(class_name) is not None:
            return
        if class_name in self.classes or len(self.classes) < _MOST_CLASSES:
            self.classes[class_name] = colour

    @property
    def has_notes(self) -> bool:
        """Whether anything was not taken, or not as the file says."""
        return bool(self._left_out or self._changed)

    def report(self) -> ImportReport:
        """Return what was found so far."""
        return ImportReport(
            self.taken, _told(self._left_out), _told(self._changed), dict(self.classes)
        )


def _note(found: dict[str, tuple[int, str]], reason: str, place: str, count: int) -> None:
    if reason not in found and len(found) >= _MOST_REASONS:
        reason = _OTHER
    before, first = found.get(reason, (0, place))
    found[reason] = (before + count, first)


def _told(found: dict[str, tuple[int, str]]) -> tuple[Finding, ...]:
    return tuple(Finding(reason, count, first) for reason, (count, first) in found.items())
