"""Colours of classes and instances: the same every time, and told apart by colour-blind eyes."""

from __future__ import annotations

import colorsys
from collections.abc import Collection, Iterable

RGB = tuple[int, int, int]

#: Okabe and Ito's colours without black, those first that stand out from haematoxylin and eosin.
_CLASSES: tuple[RGB, ...] = (
    (0, 158, 115),
    (240, 228, 66),
    (86, 180, 233),
    (230, 159, 0),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)


def class_colour(index: int) -> RGB:
    """Return the colour of a class; they repeat after seven."""
    return _CLASSES[index % len(_CLASSES)]


def colours_beside(names: Iterable[str], taken: Collection[RGB]) -> dict[str, RGB]:
    """Return colours for new classes beside those that have theirs; they repeat when all are taken.

    Parameters
    ----------
    names
        The new classes, in their order.
    taken
        Colours of the classes that are there.
    """
    free = [colour for colour in _CLASSES if colour not in taken] or list(_CLASSES)
    return {name: free[index % len(free)] for index, name in enumerate(names)}


def instance_colour(number: int) -> RGB:
    """Return a bright colour whose hue is far from that of the neighbouring numbers."""
    golden = 0.618033988749895
    r, g, b = colorsys.hsv_to_rgb(number * golden % 1.0, 0.75, 1.0)
    return round(255 * r), round(255 * g), round(255 * b)
