"""What the window tells and asks, and how long each of it stays.

A failure stays until it is closed or no longer holds. Several of one kind are one list, so that
none hides another, and a question stands beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path

from tilescope.errors import (
    BudgetTooSmall,
    PixelSizeUnknown,
    ProjectError,
    RunMismatch,
    TilescopeError,
)

Choice = tuple[str, Callable[[], None]]

#: Failures of one kind that are listed; of more it is said how many.
MOST_LISTED = 100
_HEADINGS = {"open": "{} files could not be opened:", "": "{} things went wrong:"}


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell or to ask.

    Attributes
    ----------
    key
        A later notice of the same key takes its place.
    text
        Plain words, a line for each thing that is listed.
    choices
        What can be done, as titles of buttons and what they do; each of them ends the notice.
    """

    key: Hashable
    text: str
    choices: tuple[Choice, ...] = ()
    is_failure: bool = False


@dataclass(slots=True)
class _Failures:
    """Failures of one kind, by what they are about."""

    group: str
    lines: dict[Hashable, str] = field(default_factory=dict)
    unlisted: set[Hashable] = field(default_factory=set)

    def add(self, about: Hashable, text: str) -> None:
        if about in self.lines or len(self.lines) < MOST_LISTED:
            self.lines[about] = text
        else:
            self.unlisted.add(about)

    def settle(self, about: Hashable) -> None:
        self.lines.pop(about, None)
        self.unlisted.discard(about)

    def text(self) -> str:
        # Two failures may be one to whoever reads of them: what cannot be made cannot be changed.
        lines = tuple(dict.fromkeys(self.lines.values()))
        if len(lines) == 1 and not self.unlisted:
            return lines[0]
        heading = _HEADINGS.get(self.group, _HEADINGS[""])
        said = [heading.format(len(lines) + len(self.unlisted))]
        said += [f"• {line}" for line in lines]
        if self.unlisted:
            said.append(f"and {len(self.unlisted)} more")
        return "\n".join(said)


class Notices:
    """Everything that is told or asked now."""

    def __init__(self) -> None:
        self._board: dict[Hashable, Notice | _Failures] = {}

    @property
    def shown(self) -> tuple[Notice, ...]:
        """What is to be seen: failures before questions, the newest first."""
        newest = [
            Notice(key, one.text(), is_failure=True) if isinstance(one, _Failures) else one
            for key, one in reversed(self._board.items())
        ]
        return tuple(sorted(newest, key=lambda notice: not notice.is_failure))

    def put(self, notice: Notice) -> None:
        """Tell or ask something."""
        self._board[notice.key] = notice

    def fail(self, text: str, about: Hashable, group: str = "") -> None:
        """Tell of a failure; one about the same thing takes its place.

        Parameters
        ----------
        group
            ``open`` for files that could not be opened, empty for anything else; one list each.
        """
        failures = self._board.setdefault(("failed", group), _Failures(group))
        assert isinstance(failures, _Failures)
        failures.add(about, text)

    def settle(self, about: Hashable) -> None:
        """Tell no longer of failures about something: it works now."""
        for key, one in list(self._board.items()):
            if isinstance(one, _Failures):
                one.settle(about)
                if not one.lines:
                    del self._board[key]

    def take(self, key: Hashable) -> None:
        """End a notice, if it is there."""
        self._board.pop(key, None)

    def clear(self) -> None:
        """End all notices."""
        self._board.clear()


def words_of(error: BaseException) -> str:
    """Return what an error says to the user, with the remedy."""
    if isinstance(error, TilescopeError):
        return _own_words_of(error)
    if isinstance(error, OSError) and error.strerror:
        name = "" if error.filename is None else f"{error.filename}: "
        return f"{name}{error.strerror}; check the disk or the network and try again"
    if isinstance(error, MemoryError):
        return "There is not enough memory for this; close slides or programs and try again"
    return f"Something failed: {error!r}"


def _own_words_of(error: TilescopeError) -> str:
    if isinstance(error, BudgetTooSmall):
        return f"{error}; set Memory in the Models panel to {error.needed_mib} MiB or more"
    if isinstance(error, PixelSizeUnknown):
        return f"{error}; set it with View ▸ Pixel size…"
    if isinstance(error, RunMismatch):
        why = "; ".join(error.differences)
        return f"An earlier run cannot be gone on with ({why}); run the model anew"
    return str(error)


def unkept(error: ProjectError) -> ProjectError:
    """Return why an edit failed, saying first that it is lost: it is seen no longer."""
    return ProjectError(error.path, f"what you just did was not kept: {error.reason}")


def subject_of(error: BaseException) -> Hashable:
    """Return what an error is about: a file, else its words."""
    path = getattr(error, "path", None) or getattr(error, "filename", None)
    return words_of(error) if path is None else subject(path)


def subject(path: str | Path) -> Hashable:
    """Return what failures about a file are known by."""
    return str(Path(path).absolute())
