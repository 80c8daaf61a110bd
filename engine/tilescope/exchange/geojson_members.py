"""What members of GeoJSON features say: the kind of an object, its class and colour, its plane."""

from __future__ import annotations

from typing import Any

from tilescope.domain.annotation import ObjectKind
from tilescope.exchange.colours import colour_of_rgb_number
from tilescope.exchange.intake import as_text
from tilescope.exchange.palette import RGB

Json = dict[str, Any]

KINDS: dict[str, ObjectKind] = {
    "annotation": "annotation",
    "detection": "detection",
    "cell": "cell",
    "tile": "tile",
    # What QuPath called its objects before 0.3.
    "pathannotationobject": "annotation",
    "pathdetectionobject": "detection",
    "pathcellobject": "cell",
    "pathtileobject": "tile",
    "tmacore": "annotation",
    "tmacoreobject": "annotation",
}


def is_kind(said: object) -> bool:
    """Tell whether ``type`` says what the object is, and not its class."""
    return isinstance(said, str) and said.replace("_", "").lower() in KINDS


def plane_of(value: object) -> int:
    """Return the number of a plane or a time point; the first for what is none."""
    return value if type(value) is int and 0 <= value < 2**31 else 0


def class_name_of(said: Json) -> str | None:
    """Return the name of a class that is told as an object."""
    return joined(said.get("name")) or joined(said.get("names"))


def joined(said: object) -> str | None:
    """Return the name of a class; one derived from others lists them from the general on."""
    if isinstance(said, list):
        return ": ".join(filter(None, map(as_text, said))) or None
    return as_text(said)


def colour_of(said: Json) -> RGB | None:
    """Return a colour given as a list, or packed into one whole number as Java does."""
    value = said.get("color", said.get("colorRGB"))
    if type(value) is int:
        return colour_of_rgb_number(value)
    if isinstance(value, list) and len(value) >= 3 and all(type(v) is int for v in value[:3]):
        red, green, blue = (min(255, max(0, v)) for v in value[:3])
        return red, green, blue
    return None
