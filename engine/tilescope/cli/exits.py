"""Exit codes, and errors as one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from tilescope.errors import BudgetTooSmall, Cancelled, PixelSizeUnknown, TilescopeError

ALL_GOOD = 0
SOME_FAILED = 1
BAD_INPUT = 2
CAP_TOO_SMALL = 3
CANCELLED = 130


def say(message: str) -> None:
    """Print one line on stderr."""
    typer.echo(message, err=True)


def words_of(error: TilescopeError) -> str:
    """Return what an error says, with the option that says what was missing."""
    if not isinstance(error, PixelSizeUnknown):
        return str(error)
    diameter = ", or the size of the objects with --param diameter_px=N"
    return f"{error}; give it with --um-per-px{diameter if error.takes_diameter else ''}"


def complain(error: TilescopeError) -> int:
    """Print the error as one line on stderr and return its exit code."""
    words = " ".join(words_of(error).split())
    if isinstance(error, BudgetTooSmall):
        say(f"tilescope: error: {words} (--memory {error.needed_mib}MiB)")
        return CAP_TOO_SMALL
    say(f"tilescope: error: {words}")
    return BAD_INPUT


@contextmanager
def exit_codes() -> Iterator[None]:
    """End the program with the documented exit code when the block raises on purpose."""
    try:
        yield
    except TilescopeError as exc:
        raise typer.Exit(complain(exc)) from exc
    except (Cancelled, KeyboardInterrupt) as exc:
        say("tilescope: cancelled")
        raise typer.Exit(CANCELLED) from exc
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more while it closes stdout.
        sys.stderr.close()
        raise typer.Exit(SOME_FAILED) from None
