"""Which content a path holds right now."""

from __future__ import annotations

from pathlib import Path

from tilescope.domain.slide import SlideId


def slide_id(path: Path) -> tuple[SlideId, int]:
    """Return the identity of a file or folder, and its size in bytes.

    A folder's size and time are those of the metadata files at its top: walking the chunks of a
    large Zarr would take longer than reading it.
    """
    parts = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file())
    stats = [p.stat() for p in parts]
    size_bytes = sum(s.st_size for s in stats)
    newest = max((s.st_mtime_ns for s in stats), default=0)
    return SlideId.of(str(path.resolve()), size_bytes=size_bytes, mtime_ns=newest), size_bytes
