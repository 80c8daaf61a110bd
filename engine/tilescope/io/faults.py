"""The one place where exceptions of other libraries become slide errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tilescope.errors import (
    Cancelled,
    CorruptSlide,
    SlideError,
    TilescopeError,
    UnsupportedFormat,
)

_LONGEST_REASON = 300


class Contradiction(CorruptSlide):
    """The file's own tables exclude each other: another reader would only fail later."""


class Unchecked(UnsupportedFormat):
    """Nothing is there to tell whether the file is whole: another reader could crash on it."""


@contextmanager
def foreign_errors(
    path: str | Path, action: str, kind: type[SlideError] = CorruptSlide
) -> Iterator[None]:
    """Turn whatever a decoding library raises into ``kind``, chained.

    Parameters
    ----------
    path
        The slide, for the message.
    action
        What was being done, ``"reading the TIFF structure"``.
    kind
        The error to raise. Errors of our own pass through unchanged.
    """
    try:
        yield
    except (TilescopeError, Cancelled):
        raise
    except Exception as error:
        raise kind(path, f"{action} failed ({one_line(error)})") from error


def one_line(error: BaseException) -> str:
    """Return type and message of ``error`` on one line of bounded length."""
    text = " ".join(str(error).split())
    if len(text) > _LONGEST_REASON:
        text = text[:_LONGEST_REASON] + "..."
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return f"{type(error).__name__}: {printable}" if printable else type(error).__name__


def closed_error() -> ValueError:
    """Return what reading from a closed slide raises, for :func:`foreign_errors` to convert."""
    return ValueError("the slide is closed")


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.lines) < 20:
            self.lines.append(" ".join(record.getMessage().split())[:_LONGEST_REASON])


@contextmanager
def collected_log(name: str) -> Iterator[list[str]]:
    """Collect the warnings that library ``name`` logs meanwhile, instead of printing them.

    A logger without any handler prints to stderr; this one has a handler for good.
    """
    logger = logging.getLogger(name)
    if not any(isinstance(h, logging.NullHandler) for h in logger.handlers):
        logger.addHandler(logging.NullHandler())
    complaints = _Complaints()
    logger.addHandler(complaints)
    try:
        yield complaints.lines
    finally:
        logger.removeHandler(complaints)
