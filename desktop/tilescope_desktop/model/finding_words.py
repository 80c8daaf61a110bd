"""What of objects was left out of a file or changed, in a line and in full."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path

from tilescope.exchange.findings import Finding
from tilescope_desktop.model.notices import MOST_LISTED, Notice, subject

#: Reasons that a line has room for.
_IN_A_LINE = 2


def in_a_line(left_out: Sequence[Finding], changed: Sequence[Finding]) -> str:
    """Return the first reasons with their counts, to follow what was done; empty for none."""
    return _titled("left out", left_out) + _titled("changed", changed)


def notice_of(
    file: Path, done: str, left_out: Sequence[Finding], changed: Sequence[Finding]
) -> Notice:
    """Return all reasons, to be read as long as one likes.

    Parameters
    ----------
    done
        What was done with the file.
    """
    lines = [f"• left out: {one}" for one in left_out] + [f"• changed: {one}" for one in changed]
    if len(lines) > MOST_LISTED:
        lines[MOST_LISTED:] = [f"and {len(lines) - MOST_LISTED} more"]
    return Notice(key_of(file), "\n".join([f"{done}:", *lines]))


def key_of(file: Path) -> Hashable:
    """Return the key of the notice of a file; the next result of that file takes its place."""
    return "findings", subject(file)


def _titled(title: str, findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    said = ", ".join(f"{one.reason} ({one.count:,})" for one in findings[:_IN_A_LINE])
    more = len(findings) - _IN_A_LINE
    return f"; {title}: {said}" + (f", and {more} more" if more > 0 else "")
