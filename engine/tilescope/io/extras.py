"""Libraries that only some users have: what to install when one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tilescope.errors import SlideError, UnsupportedFormat


@contextmanager
def extra(
    path: str | Path, library: str, name: str, kind: type[SlideError] = UnsupportedFormat
) -> Iterator[None]:
    """Turn a missing library into an error that names the extra which brings it.

    Parameters
    ----------
    path
        The slide, for the message.
    library
        What is imported inside the block.
    name
        The extra of this package.
    kind
        The error to raise.

    Raises
    ------
    SlideError
        Of this kind, when the import fails.
    """
    try:
        yield
    except ImportError as error:
        reason = f"reading it needs {library}: pip install 'tilescope[{name}]'"
        raise kind(path, reason) from error
