"""What the first bytes of a file say it is; names and extensions say nothing.

Each function returns None when the bytes are of its kind, otherwise why they are not, as one
sentence. TIFF 6.0 and BigTIFF; DICOM PS3.10, 7.1; FITS 4.0, 4.4.1; ISO 32000-1, 7.5.2.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from tilescope.io.image_header import read_header

#: Enough for the header of every image but a JPEG with a long preamble.
HEAD_BYTES = 4096

_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PDF_WITHIN_BYTES = 1024
_DICOM_AT = slice(128, 132)

#: A folder of a large DICOM study; the first DICOM file among these decides.
_MOST_LOOKED_AT = 1000

#: Where MIRAX keeps what its small JPEG index belongs to.
_MIRAX_INDEX = "Slidedat.ini"


def tiff(path: Path, head: bytes | None) -> str | None:
    """Tell why the bytes are no TIFF."""
    return None if _file(head).startswith(_TIFF_MAGICS) else "not a TIFF"


def dicom(path: Path, head: bytes | None) -> str | None:
    """Tell why a file, or every file of a folder, is no DICOM."""
    if head is None:
        return None if _holds_dicom(path) else "no DICOM file in the folder"
    return None if is_dicom(head) else "not a DICOM file"


def zarr(path: Path, head: bytes | None) -> str | None:
    """Tell why it cannot be a Zarr: neither a folder nor a zip."""
    if head is None or head.startswith(b"PK\x03\x04"):
        return None
    return "neither a folder nor a zip file"


def image(path: Path, head: bytes | None) -> str | None:
    """Tell why the bytes are no PNG, JPEG, WebP, BMP or JPEG 2000."""
    start = _file(head)
    if read_header(start) is None and not start.startswith(b"\xff\xd8\xff"):
        return "not a PNG, JPEG, WebP, BMP or JPEG 2000 image"
    if (path.with_suffix("") / _MIRAX_INDEX).is_file():
        return "the small index picture of a MIRAX slide"
    return None


def fits(path: Path, head: bytes | None) -> str | None:
    """Tell why the bytes are no FITS."""
    return None if _file(head).startswith(b"SIMPLE  =") else "not a FITS file"


def pdf(path: Path, head: bytes | None) -> str | None:
    """Tell why the bytes are no PDF; a little rubbish in front of it is common."""
    return None if b"%PDF-" in _file(head)[:_PDF_WITHIN_BYTES] else "not a PDF"


def openslide(path: Path, head: bytes | None) -> str | None:
    """Tell why OpenSlide is not asked: it knows vendors' files by far more than their head."""
    return "a folder" if head is None else None


def is_dicom(head: bytes) -> bool:
    """Tell whether a file that begins like this is DICOM."""
    return head[_DICOM_AT] == b"DICM"


def head_of(path: Path, count: int = HEAD_BYTES) -> bytes:
    """Return the first bytes of a file.

    Raises
    ------
    OSError
        When it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(count)


def _file(head: bytes | None) -> bytes:
    return b"" if head is None else head


def _holds_dicom(folder: Path) -> bool:
    for path in islice(folder.iterdir(), _MOST_LOOKED_AT):
        try:
            if path.is_file() and is_dicom(head_of(path, _DICOM_AT.stop)):
                return True
        except OSError:
            continue
    return False
