"""Where the pieces of a Zarr lie; a folder here, zip files and servers in modules of their own."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tilescope.io.faults import closed_error

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    # a named pipe that lies where a chunk should be must not hang the reader
    | getattr(os, "O_NONBLOCK", 0)
)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes to read.

    Attributes
    ----------
    key
        Name of the piece, parts joined by ``/``.
    count
        How many bytes; without a ``start`` the most that the whole piece may have.
    start
        First byte, counted from the end when negative; None for the whole piece.
    """

    key: str
    count: int
    start: int | None = None


class ZarrFiles(Protocol):
    """Named pieces of bytes; every method may be called from any thread."""

    def fetch(self, spans: Sequence[Span]) -> Iterator[bytes | None]:
        """Yield the bytes of each span in turn, None for a piece that does not exist.

        Raises
        ------
        EOFError
            When a piece ends before the span does.
        ValueError
            When a piece is longer than a span for the whole of it allows, or after closing.
        OSError
            When the system or the server refuses.
        """
        ...

    def close(self) -> None:
        """Give back what is held; calling it twice is fine."""
        ...


def fetch_one(files: ZarrFiles, span: Span) -> bytes | None:
    """Return the bytes of one span, None when the piece does not exist."""
    (data,) = files.fetch((span,))
    return data


def placed(span: Span, size_bytes: int) -> tuple[int, int]:
    """Return where ``span`` begins in a piece of ``size_bytes``, and how many bytes it has.

    Raises
    ------
    EOFError, ValueError
        When it lies outside, or the whole piece is longer than allowed.
    """
    if span.start is None:
        if size_bytes > span.count:
            msg = f"{span.key!r} has {size_bytes} bytes, more than the {span.count} it can need"
            raise ValueError(msg)
        return 0, size_bytes
    start = span.start + size_bytes if span.start < 0 else span.start
    if start < 0 or start + span.count > size_bytes:
        msg = f"bytes {span.start}+{span.count} lie outside {span.key!r} of {size_bytes} bytes"
        raise EOFError(msg)
    return start, span.count


class LocalFiles:
    """A folder; each file is opened for one read, so nothing is held between reads."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._is_closed = False

    def fetch(self, spans: Sequence[Span]) -> Iterator[bytes | None]:
        """Yield the bytes of each span; see :class:`ZarrFiles`."""
        for span in spans:
            if self._is_closed:
                raise closed_error()
            yield self._read(span)

    def close(self) -> None:
        """Refuse further reads."""
        self._is_closed = True

    def _read(self, span: Span) -> bytes | None:
        try:
            descriptor = os.open(f"{self._root}/{span.key}", _FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                msg = f"{span.key!r} is no ordinary file"
                raise ValueError(msg)
            start, count = placed(span, status.st_size)
            if start:
                os.lseek(descriptor, start, os.SEEK_SET)
            data = os.read(descriptor, count)
        finally:
            os.close(descriptor)
        if len(data) != count:
            msg = f"{span.key!r} ends after {len(data)} of {count} bytes"
            raise EOFError(msg)
        return data
