"""Files that appear under their name only when they are whole."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tilescope.errors import OutputError

_REMEDIES = {
    errno.ENOSPC: "free some room or choose another output folder",
    errno.EDQUOT: "free some of your quota or choose another output folder",
    errno.EACCES: "choose an output folder that you may write to",
    errno.EPERM: "choose an output folder that you may write to",
    errno.EROFS: "choose an output folder on a writable disk",
    errno.ENOENT: "create the output folder first",
    errno.ENOTDIR: "choose an output folder, not a file",
}


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the block into an ``OutputError`` that names ``path``.

    Only what writes belongs into the block: an error of reading the slide is not the output's.
    """
    try:
        yield
    except OSError as exc:
        said = exc.strerror or str(exc) or type(exc).__name__
        remedy = _REMEDIES.get(exc.errno or 0, "choose another output folder")
        raise OutputError(path, f"cannot be written: {said}; {remedy}") from exc


class StagedFile:
    """A file under construction; every failure to write is an ``OutputError``."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._stream = stream

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        with output_errors(self._path):
            self._stream.write(data)


def _staging_path(path: Path) -> Path:
    # The same name every time, so that what a killed run left behind is overwritten, not kept.
    return path.with_name(f".{path.name}.partial")


@contextmanager
def staged_file(path: Path) -> Iterator[StagedFile]:
    """Give a file to write that becomes ``path`` when the block ends, and vanishes if it raises.

    Raises
    ------
    OutputError
        When the folder cannot be written; ``path`` is as it was before.
    """
    partial = _staging_path(path)
    with output_errors(path):
        stream = partial.open("wb")
    try:
        yield StagedFile(path, stream)
        with output_errors(path):
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            partial.replace(path)
    except BaseException:
        # Closing flushes once more and may fail again; the first failure is the one to report.
        with suppress(OSError):
            stream.close()
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill that becomes ``path`` when the block ends, and vanishes if it raises.

    An older folder at ``path`` is replaced. The files in it are not synchronised one by one, which
    would take longer than writing them: after a power failure a run is to be repeated.

    Raises
    ------
    OutputError
        When the folder cannot be made or renamed; ``path`` is as it was before.
    """
    partial, old = _staging_path(path), path.with_name(f".{path.name}.old")
    try:
        with output_errors(path):
            for leftover in (partial, old):
                _remove(leftover)
            partial.mkdir()
        yield partial
        with output_errors(path):
            # A folder that is not empty cannot be replaced in one step.
            if path.exists():
                path.replace(old)
            partial.replace(path)
            _remove(old)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
