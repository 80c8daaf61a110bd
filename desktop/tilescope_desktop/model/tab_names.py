"""Names of files on tabs that are too narrow for them."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

_GAP = "…"
#: Between the names of two slides that share a tab.
_BESIDE = " | "
#: So many letters lead to the one in which names differ.
_LEAD = 2
_FEWEST = 8


def joined(names: Collection[str]) -> str:
    """Return the names of the slides of one tab as one text."""
    return _BESIDE.join(names)


def parted(text: str) -> list[str]:
    """Return the names of which ``joined`` made a text."""
    return text.split(_BESIDE)


def tab_text(names: Collection[str], most_chars: int, others: Collection[str]) -> str:
    """Return what a tab shows of the names of its slides, one or two.

    Parameters
    ----------
    others
        Names on all tabs, from which these are to be told apart.
    """
    whole = joined(names)
    if len(whole) <= most_chars:
        return whole
    room = (most_chars - len(_BESIDE) * (len(names) - 1)) // len(names)
    return joined([shortened(name, room, others) for name in names])


def shortened(name: str, most_chars: int, others: Collection[str]) -> str:
    """Return a name in so many letters, at least a few, told apart from others as far as it can be.

    The middle is left out; where others would look the same, a piece of it is kept that begins
    where names differ.
    """
    most_chars = max(_FEWEST, most_chars)
    if len(name) <= most_chars:
        return name
    different = [one for one in others if one != name]
    starts = sorted({_shared(name, one) - _LEAD for one in different})
    cuts = [
        partial(_middle_out, most_chars=most_chars),
        *(partial(_around, start=start, most_chars=most_chars) for start in starts),
    ]
    best = min(cuts, key=lambda cut: sum(cut(one) == cut(name) for one in different))
    return best(name)


def _shared(name: str, other: str) -> int:
    """Return how many letters two names begin with alike."""
    pairs = enumerate(zip(name, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(name), len(other)))


def _middle_out(name: str, most_chars: int) -> str:
    kept = most_chars - len(_GAP)
    return name[: (kept + 1) // 2] + _GAP + name[len(name) - kept // 2 :]


def _around(name: str, start: int, most_chars: int) -> str:
    """Return the first letters of a name, some from a place on, and the last ones."""
    room = most_chars - 2 * len(_GAP)
    head, tail = room // 5, -(-2 * room // 5)
    piece = room - head - tail
    if start <= head + len(_GAP):
        return name[: head + len(_GAP) + piece] + _GAP + name[-tail:]
    if start >= len(name) - tail - piece - len(_GAP):
        return name[:head] + _GAP + name[-(piece + len(_GAP) + tail) :]
    return _GAP.join((name[:head], name[start : start + piece], name[-tail:]))
