"""Which content a path holds right now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tilescope.domain.slide import SlideId


def slide_id(path: Path, part: str = "") -> tuple[SlideId, int]:
    """Return the identity of a file or folder, and its size in bytes.

    A folder's size and time are those of the metadata files at its top: walking the chunks of a
    large Zarr would take longer than reading it.

    Parameters
    ----------
    path
        The file or folder.
    part
        Which of several pictures in it, as words.
    """
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file())
    return files_id(path, files, part)


def files_id(path: Path, files: Sequence[Path], part: str = "") -> tuple[SlideId, int]:
    """Return the identity of the content of ``files``, and their size in bytes.

    Parameters
    ----------
    path
        What stands for all of them.
    files
        What is read.
    part
        Which of several pictures in them, as words.
    """
    stats = [p.stat() for p in files]
    size_bytes = sum(s.st_size for s in stats)
    newest = max((s.st_mtime_ns for s in stats), default=0)
    uri = f"{path.resolve()}#{part}" if part else str(path.resolve())
    return SlideId.of(uri, size_bytes=size_bytes, mtime_ns=newest), size_bytes
