"""How objects are painted over a slide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tilescope.exchange.palette import RGB, colours_beside

#: Objects without a class: far from all colours of classes for every kind of colour blindness, from
#: tissue and from black.
UNCLASSIFIED: RGB = (165, 0, 255)
#: Number of the kind in ``View.kinds``; the other kinds are what models find.
ANNOTATION = 0


@dataclass(frozen=True, slots=True)
class ObjectStyle:
    """What of the objects is shown, and in which colours.

    Attributes
    ----------
    colors
        By class.
    hidden
        Classes that are not shown; None stands for objects without a class.
    opacity
        Of everything, 0 to 1.
    fills_annotations, fills_detections
        Whether areas are tinted inside.
    shows_annotations, shows_detections
        Whether they are shown at all.
    """

    colors: Mapping[str, RGB] = field(default_factory=dict)
    hidden: frozenset[str | None] = frozenset()
    opacity: float = 0.9
    fills_annotations: bool = False
    fills_detections: bool = True
    shows_annotations: bool = True
    shows_detections: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            msg = f"an opacity lies between 0 and 1, not {self.opacity}"
            raise ValueError(msg)

    def color_of(self, class_name: str | None) -> RGB:
        """Return the colour of a class."""
        if class_name is None:
            return UNCLASSIFIED
        return self.beside([class_name]).colors[class_name]

    def beside(self, class_names: Iterable[str | None]) -> Self:
        """Return the style with colours for classes that the project has not got yet."""
        new = [name for name in class_names if name is not None and name not in self.colors]
        if not new:
            return self
        colors = {**self.colors, **colours_beside(new, self.colors.values())}
        return replace(self, colors=colors)

    def switched(self, name: str, is_on: bool) -> Self:
        """Return the style with one of its switches, by its name, on or off."""
        changes: dict[str, Any] = {name: is_on}
        return replace(self, **changes)

    def toggled(self, class_name: str | None) -> Self:
        """Return the style with a class hidden, or shown again."""
        return replace(self, hidden=self.hidden ^ {class_name})

    def shows_kind(self, kind: str) -> bool:
        """Tell whether objects of a kind are shown, as far as their classes are."""
        return self.shows_annotations if kind == "annotation" else self.shows_detections

    def shows(self, kind: str, class_name: str | None) -> bool:
        """Tell whether an object is shown."""
        return self.shows_kind(kind) and class_name not in self.hidden

    def hides_more_than(self, other: ObjectStyle) -> bool:
        """Tell whether something is hidden that another style shows."""
        return (
            bool(self.hidden - other.hidden)
            or self.shows_annotations < other.shows_annotations
            or self.shows_detections < other.shows_detections
        )

    def shown(
        self,
        classes: NDArray[np.int32],
        kinds: NDArray[np.uint8],
        names: Mapping[int, str | None],
    ) -> NDArray[np.bool_]:
        """Tell which objects are shown, ``bool[n]``."""
        keep = np.where(kinds == ANNOTATION, self.shows_annotations, self.shows_detections)
        gone = [number for number, name in names.items() if name in self.hidden]
        return keep & ~np.isin(classes, gone) if gone else keep


def color_table(style: ObjectStyle, names: Mapping[int, str | None]) -> NDArray[np.uint8]:
    """Return ``uint8[k, 3]``: the colour of every class by its number."""
    table = np.full((max(names, default=0) + 1, 3), UNCLASSIFIED, np.uint8)
    style = style.beside(names.values())
    for number, name in names.items():
        table[number] = style.color_of(name)
    return table
