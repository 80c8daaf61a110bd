"""What is drawn on a slide, by people, models or other programs.

Coordinates are level-0 pixels of the slide the object lies on. Geometry stays WKB, the form in
which it is stored and which shapely reads for whole columns at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

__all__ = ["Annotation", "Author", "AuthorKind", "ObjectClass", "ObjectKind"]

ObjectKind = Literal["annotation", "detection", "cell", "tile"]
"""What an object is for: drawn by hand, found by a model, a cell with a nucleus, a patch.

The names are those of QuPath's ``objectType``.
"""

AuthorKind = Literal["user", "model", "import"]

_OBJECT_KINDS = frozenset(get_args(ObjectKind))
_AUTHOR_KINDS = frozenset(get_args(AuthorKind))


@dataclass(frozen=True, slots=True)
class Author:
    """Who made an object.

    Attributes
    ----------
    kind
        A person, a model, or another program's file.
    name
        The person's name, the model's id, or the name of the file it came from.
    detail
        What JSON can hold: the model's version and sha256, the clicks that prompted it, the
        file's format.

    Raises
    ------
    ValueError
        For an unknown kind.
    """

    kind: AuthorKind
    name: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in _AUTHOR_KINDS:
            raise ValueError(f"an author is one of {sorted(_AUTHOR_KINDS)}, not {self.kind!r}")


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object on a slide.

    Attributes
    ----------
    id
        UUID as text, unique in a project.
    geometry
        Little-endian WKB of a valid, finite Point, LineString, Polygon or Multi* in two
        dimensions, level-0 pixels.
    kind
        What the object is for.
    class_name
        Name of its class, ``None`` for an unclassified object.
    name
        Name of this one object.
    measurements
        Finite numbers by name; the unit is part of the name.
    locked
        Whether tools refuse to change it.
    parent_id
        Id of the object it belongs to.
    author
        Who made it.
    z, t
        Plane and time point, from 0.

    Raises
    ------
    ValueError
        For an empty id, empty geometry, an unknown kind or a negative plane.
    """

    id: str
    geometry: bytes
    kind: ObjectKind = "annotation"
    class_name: str | None = None
    name: str | None = None
    measurements: Mapping[str, float] = field(default_factory=dict)
    locked: bool = False
    parent_id: str | None = None
    author: Author = field(default_factory=lambda: Author("user", ""))
    z: int = 0
    t: int = 0

    def __post_init__(self) -> None:
        if not self.id or not self.geometry:
            raise ValueError("an object needs an id and a geometry")
        refuse_unknown(self.kind, self.z, self.t)


def refuse_unknown(kind: str, z: int, t: int) -> None:
    """Raise ``ValueError`` for a kind of object, a plane or a time point that there is not."""
    if kind not in _OBJECT_KINDS:
        raise ValueError(f"an object is one of {sorted(_OBJECT_KINDS)}, not {kind!r}")
    if z < 0 or t < 0:
        raise ValueError(f"plane {z} and time point {t} count from 0")


@dataclass(frozen=True, slots=True)
class ObjectClass:
    """A class objects are sorted into.

    Attributes
    ----------
    name
        Its name, unique in a project.
    color
        Red, green, blue, each 0..255.
    hot_key
        The key that chooses it, ``None`` for none.

    Raises
    ------
    ValueError
        For an empty name or a colour out of range.
    """

    name: str
    color: tuple[int, int, int]
    hot_key: str | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a class needs a name")
        if [0 <= part <= 255 for part in self.color] != [True] * 3:
            raise ValueError(f"a colour is three numbers from 0 to 255, not {self.color}")
