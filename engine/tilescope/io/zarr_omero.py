"""Channels as OME-Zarr's ``omero`` block describes them.

What is found becomes text in ``SlideInfo.properties``, per channel ``i``:

=============================== ====================================================
``omero.channel.i.label``       name, as written
``omero.channel.i.color``       ``RRGGBB``, upper case
``omero.channel.i.window.start``, ``.end``   values shown as black and as full colour
``omero.channel.i.window.min``, ``.max``     values that the channel can have
``omero.channel.i.active``      ``true`` or ``false``: shown when the slide is opened
=============================== ====================================================

A field that is missing or makes no sense is left out. Numbers are written as Python's ``repr``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_LONGEST_LABEL = 80
_HUGE = 1e300
_COLOUR = re.compile(r"[0-9A-Fa-f]{6}")
_WINDOW = ("start", "end", "min", "max")


def channels_of(omero: object, count: int) -> tuple[Mapping[str, Any], ...]:
    """Return the description of each of ``count`` channels, none when they do not fit."""
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list) or len(channels) != count:
        return ()
    return tuple(c if isinstance(c, dict) else {} for c in channels)


def colour_of(channel: Mapping[str, Any]) -> str | None:
    """Return the colour of a channel as ``RRGGBB``, upper case."""
    colour = str(channel.get("color", "")).removeprefix("#")
    return colour.upper() if _COLOUR.fullmatch(colour) else None


def labels_of(channels: Sequence[Mapping[str, Any]], count: int) -> tuple[str, ...]:
    """Return a name for each channel, no two the same."""
    unnamed = "grey" if count == 1 else "channel {}"
    names: dict[str, None] = {}
    for index in range(count):
        label = channels[index].get("label") if channels else None
        name = " ".join(str(label or "").split())[:_LONGEST_LABEL] or unnamed.format(index)
        names[name if name not in names else _another(name, names)] = None
    return tuple(names)


def channel_properties(channels: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the channels as text; see the head of this module."""
    return {
        channel_property(index, key): value
        for index, channel in enumerate(channels)
        for key, value in _fields(channel)
    }


def channel_property(index: int, key: str) -> str:
    """Return the name in ``SlideInfo.properties`` of what a slide says of a channel."""
    return f"omero.channel.{index}.{key}"


def _fields(channel: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    label, colour, active = channel.get("label"), colour_of(channel), channel.get("active")
    if isinstance(label, str) and label.strip():
        yield "label", label[:_LONGEST_LABEL]
    if colour is not None:
        yield "color", colour
    window = channel.get("window")
    for key, value in window.items() if isinstance(window, dict) else ():
        if key not in _WINDOW or not isinstance(value, int | float):
            continue
        if type(value) is not bool and -_HUGE < value < _HUGE:
            yield f"window.{key}", repr(value)
    if isinstance(active, bool):
        yield "active", str(active).lower()


def _another(name: str, taken: Mapping[str, None]) -> str:
    number = 2
    while f"{name} ({number})" in taken:
        number += 1
    return f"{name} ({number})"
