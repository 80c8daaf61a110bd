"""How a number of things is said."""

from __future__ import annotations


def counted(number: int, thing: str, things: str | None = None) -> str:
    """Return a number and what it counts: ``1 object``, ``4,321 objects``.

    Parameters
    ----------
    things
        The plural, where it is not ``thing`` with an s.
    """
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"
