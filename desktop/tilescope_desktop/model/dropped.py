"""Files that were opened together: what has to be there before what, and which belong together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: Told once something is over, well or badly.
Over = Callable[[], None]


def each(things: Sequence[T], begin: Callable[[T, Over], None], then: Over) -> None:
    """Begin something with each of several things, and go on once all of it is over.

    Parameters
    ----------
    begin
        Tells by its second argument when it is over, at once or later.
    """
    left = len(things)
    if not left:
        then()

    def over() -> None:
        nonlocal left
        left -= 1
        if not left:
            then()

    for thing in things:
        begin(thing, over)


def slide_of(file: Path, stem: str, slides: Sequence[Path]) -> Path | None:
    """Return to which of several slides a file of objects belongs, None when that is not clear.

    Parameters
    ----------
    stem
        The name of the file without what says its kind.
    """
    wanted = stem.casefold()
    for names_of in (_stem, _beginnings):
        found = [slide for slide in slides if wanted in names_of(slide)]
        beside = [slide for slide in found if slide.parent == file.parent]
        for alike in (found, beside):
            if len(alike) == 1:
                return alike[0]
    return slides[0] if len(slides) == 1 else None


def _stem(slide: Path) -> tuple[str, ...]:
    return (slide.stem.casefold(),)


def _beginnings(slide: Path) -> list[str]:
    """Return the name of a slide with all, some and none of its endings."""
    parts = slide.name.casefold().split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
