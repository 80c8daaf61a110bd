"""Names of files where Qt takes a ``&`` for the mark of a letter to press, as on tabs and menus."""

from __future__ import annotations


def caption(name: str) -> str:
    """Return what has Qt show a name, on one line and with every ``&`` in it."""
    return " ".join(name.splitlines()).replace("&", "&&")


def name_in(caption: str) -> str:
    """Return the name that Qt shows for a caption."""
    return caption.replace("&&", "&")
