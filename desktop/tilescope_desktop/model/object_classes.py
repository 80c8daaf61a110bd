"""Classes that a new project begins with."""

from __future__ import annotations

from collections.abc import Sequence

from tilescope.domain.annotation import ObjectClass
from tilescope.exchange.palette import class_colour, colours_beside

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
