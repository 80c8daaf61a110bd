"""How a slide is named: a path, an address on the network, and perhaps a part of the file.

``scan.pdf#page=3&dpi=200`` is a page of a PDF (the fragment of RFC 8118), ``sky.fits#hdu=2`` an
extension of a FITS file. A file whose own name holds ``#`` is found first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tilescope.errors import UnsupportedFormat

#: A path object has already folded ``https://`` to ``https:/``.
_REMOTE = re.compile(r"(https?|s3):/+(.+)", re.IGNORECASE | re.DOTALL)

_PART = re.compile(r"([a-z]+)=([0-9]{1,9})")

_KNOWN_PARTS = "#page=N and #dpi=N of a PDF, #hdu=N of a FITS file"


@dataclass(frozen=True, slots=True)
class SlideAddress:
    """Where a slide is.

    Attributes
    ----------
    path
        The file or folder; for an address on the network its text as a path.
    url
        The address on the network, None for what lies on this machine.
    part
        Which part of the file, ``{"page": 3}``; empty when nothing was said.
    name
        What the caller wrote: another :func:`parse_address` of it leads to the same place.
    """

    path: Path
    name: str
    url: str | None = None
    part: Mapping[str, int] = field(default_factory=dict)


def parse_address(text: str | Path) -> SlideAddress:
    """Return what ``text`` names.

    Raises
    ------
    UnsupportedFormat
        When the file exists and what follows the ``#`` names no part.
    """
    name = str(text)
    remote = _REMOTE.fullmatch(name)
    if remote is not None:
        url = f"{remote[1].lower()}://{remote[2]}"
        return SlideAddress(Path(name), url, url)
    path = Path(text)
    base, mark, fragment = name.rpartition("#")
    if not mark or not base or _exists(path) or not _exists(Path(base)):
        return SlideAddress(path, name)
    return SlideAddress(Path(base), name, None, _parts(path, fragment))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _parts(path: Path, fragment: str) -> dict[str, int]:
    found = [_PART.fullmatch(piece) for piece in fragment.split("&")]
    parts = {m[1]: int(m[2]) for m in found if m is not None}
    if len(parts) < len(found):
        raise UnsupportedFormat(path, f"'#{fragment[:80]}' names no part; known: {_KNOWN_PARTS}")
    return parts
