"""Files of other programs opened for reading, packed or not."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from tilescope.errors import AnnotationError

GZIP_HEAD = b"\x1f\x8b"
ZIP_HEAD = b"PK\x03\x04"


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """Give the bytes of a file, of a gzip file's content, or of the only file in a zip.

    What goes wrong while the block reads them is reported too.

    Raises
    ------
    AnnotationError
        When the file cannot be opened, or a packed one is damaged.
    """
    try:
        with ExitStack() as stack:
            yield _open(path, stack)
    except FileNotFoundError as exc:
        raise AnnotationError(path, "does not exist") from exc
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as exc:
        raise AnnotationError(path, f"cannot be unpacked; it may be cut short: {exc}") from exc
    except (NotImplementedError, RuntimeError) as exc:
        # What zipfile says of encryption and of unknown compression.
        if isinstance(exc, RecursionError):
            raise
        raise AnnotationError(path, f"cannot be unpacked: {exc}") from exc
    except OSError as exc:
        raise AnnotationError(path, f"cannot be read: {exc.strerror or exc}") from exc


def head_of(path: Path, size: int = 4096) -> bytes:
    """Return the first bytes of what ``unpacked`` gives; none for a folder.

    Raises
    ------
    AnnotationError
        When the file cannot be opened.
    """
    if path.is_dir():
        return b""
    with unpacked(path) as stream:
        return stream.read(size)


def _open(path: Path, stack: ExitStack) -> BinaryIO:
    raw = stack.enter_context(path.open("rb"))
    head = raw.read(4)
    raw.seek(0)
    if head.startswith(GZIP_HEAD):
        return cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=raw)))
    if head == ZIP_HEAD:
        archive = stack.enter_context(zipfile.ZipFile(raw))
        files = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(files) != 1:
            raise AnnotationError(path, f"holds {len(files):,} files; unpack the one to import")
        return cast("BinaryIO", stack.enter_context(archive.open(files[0])))
    return raw
