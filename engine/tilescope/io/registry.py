"""Which reader takes which file, decided by content."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tilescope.errors import CorruptSlide, SlideError, SlideNotFound, UnsupportedFormat
from tilescope.io.cache import TileCache
from tilescope.io.faults import Contradiction, one_line
from tilescope.io.image_header import read_header
from tilescope.io.image_source import ImageSource
from tilescope.io.openslide_source import OpenSlideSource
from tilescope.io.pyramid_source import with_overviews
from tilescope.io.source import SlideSource
from tilescope.io.tiff_source import TiffSource
from tilescope.io.zarr_source import ZarrSource

#: Enough for the header of every image but a JPEG with a long preamble.
_HEAD_BYTES = 4096

#: Tiles of overviews have to live somewhere when the caller brings no cache.
_OWN_CACHE_BYTES = 64 << 20

_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

#: The finest level of a slide without overviews is read once to make them; above this many
#: pixels that would never end, and the size is more likely damage.
_MOST_PIXELS_WITHOUT_OVERVIEW = 1 << 36


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: str
    open: Callable[[Path], SlideSource]


_TIFF = _Candidate("tiff", TiffSource.open)
_VENDOR_TIFF = _Candidate("tiff", lambda path: TiffSource.open(path, vendor=True))
_OPENSLIDE = _Candidate("openslide", OpenSlideSource.open)
_IMAGE = _Candidate("image", ImageSource.open)
_ZARR = _Candidate("zarr", ZarrSource.open)


def open_slide(path: str | Path, *, cache: TileCache | None = None) -> SlideSource:
    """Return an open slide of any format that a reader takes.

    Parameters
    ----------
    path
        A file, or the folder of a Zarr.
    cache
        Where tiles of overviews made on demand are kept; pass the one the slide is read through.

    Raises
    ------
    SlideNotFound
        When nothing exists at the path.
    UnsupportedFormat
        When no reader takes the content; lists why each declined.
    CorruptSlide
        When a reader recognises the content and it is damaged.
    """
    where = Path(path)
    refusals: list[tuple[str, SlideError]] = []
    for candidate in _candidates(where):
        try:
            source = candidate.open(where)
        except SlideError as error:
            refusals.append((candidate.name, error))
            if isinstance(error, Contradiction):
                break
            continue
        try:
            _check_extent(source)
        except SlideError:
            source.close()
            raise
        own = TileCache(_OWN_CACHE_BYTES) if cache is None else cache
        return with_overviews(source, own)
    raise _refusal(where, refusals)


def _candidates(path: Path) -> Sequence[_Candidate]:
    """Return the readers to try, best first."""
    head = _head(path)
    if head is None:
        return (_ZARR,)
    if head.startswith(_TIFF_MAGICS):
        return (_TIFF, _OPENSLIDE, _VENDOR_TIFF)
    if head.startswith(b"PK\x03\x04"):
        return (_ZARR, _OPENSLIDE)
    if read_header(head) is not None or head.startswith(b"\xff\xd8\xff"):
        # the index file of a MIRAX slide is itself a small JPEG
        return (_OPENSLIDE, _IMAGE) if path.suffix.lower() == ".mrxs" else (_IMAGE, _OPENSLIDE)
    return (_OPENSLIDE,)


def _head(path: Path) -> bytes | None:
    """Return the first bytes of a file, None for a folder."""
    try:
        if path.is_dir():
            os.listdir(path)  # noqa: PTH208 - only to learn whether it may be read
            return None
        if path.exists() and not path.is_file():
            raise UnsupportedFormat(path, "neither a file nor a folder")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise SlideNotFound(path, "no such file or folder") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise UnsupportedFormat(path, f"the file cannot be read: {reason}") from error
    if not head:
        raise UnsupportedFormat(path, "the file is empty")
    return head


def _check_extent(source: SlideSource) -> None:
    coarsest = source.info.levels[-1].size
    if coarsest.area > _MOST_PIXELS_WITHOUT_OVERVIEW:
        reason = (
            f"{coarsest.width} x {coarsest.height} pixels and no smaller level: "
            "the size is damaged, or the file needs a pyramid"
        )
        raise UnsupportedFormat(source.info.path, reason)


def _refusal(path: Path, refusals: Sequence[tuple[str, SlideError]]) -> SlideError:
    """Return one error that says why each reader declined."""
    reasons = []
    for name, error in refusals:
        reason = f"{name}: {error.reason}"
        if reason not in reasons:
            reasons.append(reason)
    corrupt = any(isinstance(error, CorruptSlide) for _, error in refusals)
    kind = CorruptSlide if corrupt else UnsupportedFormat
    lead = "the file is damaged" if corrupt else "no reader takes it"
    return kind(path, f"{lead} ({'; '.join(reasons)})")
