"""Which reader takes which file, decided by content."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tilescope.errors import CorruptSlide, SlideError, SlideNotFound, UnsupportedFormat
from tilescope.io import sniff
from tilescope.io.address import SlideAddress, parse_address
from tilescope.io.cache import TileCache, shared_cache
from tilescope.io.cached_source import CachedSource
from tilescope.io.calibrated_source import CalibratedSource, stated_pixel_size
from tilescope.io.faults import Contradiction, Unchecked, one_line
from tilescope.io.pyramid_source import with_overviews
from tilescope.io.source import SlideSource

#: The finest level of a slide without overviews is read once to make them; above this many
#: pixels that would never end, and the size is more likely damage.
_MOST_PIXELS_WITHOUT_OVERVIEW = 1 << 36

#: How OpenSlide says of a whole file that it cannot read it.
_NOT_READ = "OpenSlideError: Unsupported"
_CONVERT = "convert it to OME-TIFF or OME-Zarr"
#: Reasons with one of these say themselves what to do.
_ADVICE = ("open one of", "convert it", "needs a pyramid", "pip install")


@dataclass(frozen=True, slots=True)
class Declined:
    """A reader that did not open the slide, and why, as one sentence."""

    reader: str
    reason: str


@dataclass(frozen=True, slots=True)
class Opened:
    """An open slide, and what became of every other reader, those asked first in front."""

    source: SlideSource
    declined: tuple[Declined, ...]


@dataclass(frozen=True, slots=True)
class _Reader:
    """A reader that can be asked.

    Attributes
    ----------
    name
        As in :attr:`~tilescope.domain.slide.SlideInfo.reader`.
    sniff
        Returns why the first bytes (None for a folder) are not for it, None when they are.
    open
        Opens the slide or raises why it cannot.
    parts
        Which parts of a file it can be asked for.
    """

    name: str
    sniff: Callable[[Path, bytes | None], str | None]
    open: Callable[[SlideAddress], SlideSource]
    parts: frozenset[str] = frozenset()

    def declines(self, address: SlideAddress, head: bytes | None) -> str | None:
        """Return why it is not asked for this slide, None when it is."""
        reason = self.sniff(address.path, head)
        if reason is None and not address.part.keys() <= self.parts:
            reason = f"knows no part called {', '.join(sorted(address.part.keys() - self.parts))}"
        return reason


# the modules of readers are imported when their bytes turn up: most commands open one kind


def _open_tiff(address: SlideAddress) -> SlideSource:
    from tilescope.io.tiff_source import TiffSource

    return TiffSource.open(address.path)


def _open_vendor_tiff(address: SlideAddress) -> SlideSource:
    from tilescope.io.tiff_source import TiffSource

    return TiffSource.open(address.path, vendor=True)


def _open_dicom(address: SlideAddress) -> SlideSource:
    from tilescope.io.dicom_source import DicomSource

    return DicomSource.open(address.path)


def _open_zarr(address: SlideAddress) -> SlideSource:
    from tilescope.io.zarr_source import ZarrSource

    return ZarrSource.open(address.path)


def _open_image(address: SlideAddress) -> SlideSource:
    from tilescope.io.image_source import ImageSource

    return ImageSource.open(address.path)


def _open_fits(address: SlideAddress) -> SlideSource:
    from tilescope.io.fits_source import FitsSource

    return FitsSource.open(address.path, **address.part)


def _open_pdf(address: SlideAddress) -> SlideSource:
    from tilescope.io.pdf_source import PdfSource

    return PdfSource.open(address.path, **address.part)


def _open_openslide(address: SlideAddress) -> SlideSource:
    from tilescope.io.openslide_source import OpenSlideSource

    return OpenSlideSource.open(address.path)


#: The best first: one that reads tiles directly comes before OpenSlide, and OpenSlide, which
#: knows the geometry of vendors' files, before a reader that takes them for ordinary TIFFs.
_READERS = (
    _Reader("tiff", sniff.tiff, _open_tiff),
    _Reader("dicom", sniff.dicom, _open_dicom),
    _Reader("zarr", sniff.zarr, _open_zarr),
    _Reader("image", sniff.image, _open_image),
    _Reader("fits", sniff.fits, _open_fits, frozenset({"hdu"})),
    _Reader("pdf", sniff.pdf, _open_pdf, frozenset({"page", "dpi"})),
    _Reader("openslide", sniff.openslide, _open_openslide),
    _Reader("tiff", sniff.tiff, _open_vendor_tiff),
)


def open_slide(
    path: str | Path, *, cache: TileCache | None = None, um_per_px: float | None = None
) -> SlideSource:
    """Return an open slide of any format that a reader takes.

    Parameters
    ----------
    path
        A file, a folder (Zarr, DICOM), an ``http``, ``https`` or ``s3`` address of a Zarr, or a
        part of a file such as ``scan.pdf#page=3``; see :mod:`tilescope.io.address`.
    cache
        Where tiles of overviews made on demand are kept; pass the one the slide is read through.
        By default the one that all slides of the process share. Closing the slide empties it of
        the slide's tiles.
    um_per_px
        Size of a level-0 pixel, instead of what the file says.

    Raises
    ------
    SlideNotFound
        When nothing exists at the path.
    UnsupportedFormat
        When no reader takes the content; lists why each declined.
    CorruptSlide
        When a reader recognises the content and it is damaged.
    UsageError
        When no microscope has the pixel size.
    """
    return open_explained(path, cache=cache, um_per_px=um_per_px).source


def open_explained(
    path: str | Path, *, cache: TileCache | None = None, um_per_px: float | None = None
) -> Opened:
    """Return an open slide and why the other readers did not open it; see :func:`open_slide`."""
    pixel_size = None if um_per_px is None else stated_pixel_size(um_per_px)
    address = parse_address(path)
    source, declined = _open_remote(address) if address.url else _open_local(address)
    try:
        _check_extent(source)
    except SlideError:
        source.close()
        raise
    if pixel_size is not None:
        source = CalibratedSource(source, pixel_size)
    kept = shared_cache() if cache is None else cache
    return Opened(CachedSource(with_overviews(source, kept), kept), declined)


def _open_remote(address: SlideAddress) -> tuple[SlideSource, tuple[Declined, ...]]:
    from tilescope.io.zarr_source import ZarrSource

    assert address.url is not None
    names = dict.fromkeys(reader.name for reader in _READERS)
    declined = tuple(Declined(n, "reads files of this machine") for n in names if n != "zarr")
    return ZarrSource.open_url(address.url), declined


def _open_local(address: SlideAddress) -> tuple[SlideSource, tuple[Declined, ...]]:
    head = _head(address.path)
    reasons: dict[str, str] = {}
    refusals: list[tuple[str, SlideError]] = []
    for reader in _READERS:
        reason = reader.declines(address, head)
        if reason is not None:
            reasons.setdefault(reader.name, reason)
            continue
        try:
            source = reader.open(address)
        except SlideError as error:
            refusals.append((reader.name, error))
            reasons.setdefault(reader.name, error.reason)
            if isinstance(error, Contradiction | Unchecked):
                break
            continue
        return source, _declined(address, head, reader.name, reasons)
    if refusals:
        raise _refusal(address.name, refusals)
    raise UnsupportedFormat(
        address.name, f"no reader takes it ({_reasons(_unasked(address, head))})"
    )


def _declined(
    address: SlideAddress, head: bytes | None, chosen: str, reasons: dict[str, str]
) -> tuple[Declined, ...]:
    """Return what became of every reader but the chosen one."""
    for reader in _READERS:
        why = reader.declines(address, head) or f"not asked: {chosen} comes first"
        reasons.setdefault(reader.name, why)
    return tuple(Declined(name, why) for name, why in reasons.items() if name != chosen)


def _unasked(address: SlideAddress, head: bytes | None) -> Sequence[tuple[str, SlideError]]:
    """Return why nobody was asked, those first that would have known the bytes."""
    found = []
    for reader in _READERS:
        if reader.sniff(address.path, head) is None:
            reason = reader.declines(address, head) or ""
            found.append((reader.name, UnsupportedFormat(address.path, reason)))
    return found


def _head(path: Path) -> bytes | None:
    """Return the first bytes of a file, None for a folder."""
    try:
        if path.is_dir():
            os.listdir(path)  # noqa: PTH208 - only to learn whether it may be read
            return None
        if path.exists() and not path.is_file():
            raise UnsupportedFormat(path, "neither a file nor a folder")
        head = sniff.head_of(path)
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


def _refusal(name: str, refusals: Sequence[tuple[str, SlideError]]) -> SlideError:
    """Return one error that says why each reader that was asked declined, and what to do."""
    reasons = _reasons(refusals)
    corrupt = any(
        isinstance(error, CorruptSlide) and _NOT_READ not in error.reason for _, error in refusals
    )
    lead, remedy = "no reader takes it", f"copy it again, or {_CONVERT}"
    if corrupt:
        lead = "the file is damaged"
    elif _NOT_READ in reasons or "compression" in reasons:
        lead, remedy = "not supported", _CONVERT
    advice = "" if any(words in reasons for words in _ADVICE) else f"; {remedy}"
    kind = CorruptSlide if corrupt else UnsupportedFormat
    return kind(name, f"{lead} ({reasons}){advice}")


def _reasons(refusals: Sequence[tuple[str, SlideError]]) -> str:
    return "; ".join(dict.fromkeys(f"{reader}: {error.reason}" for reader, error in refusals))
