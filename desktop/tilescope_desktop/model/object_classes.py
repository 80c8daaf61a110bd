"""Classes: those a new project begins with, a new one, and what became of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tilescope.domain.annotation import ObjectClass
from tilescope.exchange.palette import class_colour, colours_beside

#: What objects without a class are called in lists.
NO_CLASS = "Unclassified"
_NAMES = ("Tumor", "Stroma", "Immune cells", "Necrosis", "Other")

#: In colours that colour-blind eyes tell apart, under the keys 1 to 5.
DEFAULT_CLASSES: tuple[ObjectClass, ...] = tuple(
    ObjectClass(name, class_colour(index), str(index + 1)) for index, name in enumerate(_NAMES)
)


def new_class(name: str, known: Sequence[ObjectClass]) -> ObjectClass:
    """Return a class with a colour and a key that no other has yet, as far as there are any."""
    color = colours_beside([name], [one.color for one in known])[name]
    keys = {one.hot_key for one in known}
    key = next((str(number) for number in range(1, 10) if str(number) not in keys), None)
    return ObjectClass(name, color, key)


def colors_of(classes: Sequence[ObjectClass]) -> dict[str, tuple[int, int, int]]:
    """Return the colours of classes by name."""
    return {one.name: one.color for one in classes}


def followed(
    before: Sequence[ObjectClass], after: Sequence[ObjectClass]
) -> Callable[[str | None], str | None]:
    """Return what tells how a class is called now; None when it is gone.

    When one name alone is another one, that class was renamed. Names that were not there before
    stay: they belong to classes that are still on their way.
    """
    old, new = [one.name for one in before], [one.name for one in after]
    gone = {*old} - {*new}
    pairs = [(a, b) for a, b in zip(old, new, strict=False) if a != b]
    renamed = dict(pairs) if len(old) == len(new) and len(pairs) == 1 else {}
    return lambda name: renamed.get(name) if name is not None and name in gone else name
