"""What a DICOM instance says of itself, read in bounded memory before anything is built from it.

DICOM PS3.10 7.1 (file meta information), PS3.3 A.32.8 (VL Whole Slide Microscopy Image),
C.8.12.5 (optical path), C.10.7.1.1 (CIELab values).
"""

from __future__ import annotations

import math
import mmap
import warnings
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilescope.errors import SlideError, UnsupportedFormat
from tilescope.io.faults import Contradiction, foreign_errors
from tilescope.io.sniff import head_of, is_dicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"

#: Native, RLE, and the codecs whose frames declare a size that is checked before decoding.
_TRANSFER_SYNTAXES = frozenset(
    {
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2.4.50",
        "1.2.840.10008.1.2.4.51",
        "1.2.840.10008.1.2.4.57",
        "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.90",
        "1.2.840.10008.1.2.4.91",
        "1.2.840.10008.1.2.4.201",
        "1.2.840.10008.1.2.4.202",
        "1.2.840.10008.1.2.4.203",
        "1.2.840.10008.1.2.5",
    }
)

_PREAMBLE_BYTES = 132
_META_BYTES = 1 << 16

#: Everything before the list of frames; the colour profile is the longest part.
_LARGEST_HEADER_BYTES = 64 << 20
_PER_FRAME_GROUPS = 0x52009230

_MOST_FILES = 2000
_LARGEST_TILE_BYTES = 256 << 20
_MOST_TILES = 1 << 24
_MOST_FOCAL_PLANES = 1000

#: A sparse slide leaves out what is empty, but there is no slide of which hardly anything is there;
#: a level in several files has a part of its tiles in each.
_MOST_TILES_PER_FRAME = 1000
_FEW_TILES = 100_000
_MOST_OPTICAL_PATHS = 256

#: An encapsulated frame costs at least the header of its item.
_LEAST_FRAME_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """The beginning of one whole-slide instance, checked against what its file can hold.

    Attributes
    ----------
    path
        The file.
    series
        Unique identifier of the slide it belongs to.
    flavour
        ``volume`` for a level, or ``label``, ``overview``, ``thumbnail``.
    header
        The ``pydicom`` data set up to the list of frames.
    """

    path: Path
    series: str
    flavour: str
    header: Dataset

    @property
    def is_volume(self) -> bool:
        """Tell whether it is a level of the slide."""
        return self.flavour == "volume"


def slide_instances(path: Path) -> list[Instance]:
    """Return the instances of the slide that a file belongs to, or that a folder holds.

    Parameters
    ----------
    path
        A file: its siblings of the same series are found. A folder: it holds one slide.

    Raises
    ------
    UnsupportedFormat
        When it is no whole slide, of a kind that cannot be read, or a folder of several slides.
    CorruptSlide
        When the header cannot be parsed.
    """
    if path.is_dir():
        found = _readable(sorted(islice(path.iterdir(), _MOST_FILES)))
        slides = {i.series: i.path.name for i in found if i.is_volume}
        if len(slides) > 1:
            names = ", ".join(sorted(slides.values())[:4])
            raise UnsupportedFormat(
                path, f"holds {len(slides)} slides; open a file of one: {names}"
            )
        if not slides:
            raise UnsupportedFormat(path, "no whole-slide level in the folder's DICOM files")
        return [i for i in found if i.series in slides]
    own = read_instance(path)
    others = (p for p in islice(path.parent.iterdir(), _MOST_FILES) if p != path)
    siblings = [i for i in _readable(sorted(others)) if i.series == own.series]
    if not any(i.is_volume for i in (own, *siblings)):
        raise UnsupportedFormat(path, "a label, overview or thumbnail without its slide beside it")
    return [own, *siblings]


def read_instance(path: Path) -> Instance:
    """Return the beginning of one instance.

    Raises
    ------
    UnsupportedFormat, CorruptSlide
        When it is no whole-slide image, cannot be read, or contradicts itself.
    """
    with foreign_errors(path, "reading the DICOM header", Contradiction), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = _read_header(path)
        if str(header.get("SOPClassUID", "")) != _WHOLE_SLIDE:
            kind = getattr(header.get("SOPClassUID"), "name", "unknown kind")
            raise UnsupportedFormat(path, f"DICOM, but no whole-slide image ({str(kind)[:80]})")
        _check(path, header)
        kinds = [str(v).lower() for v in header.get("ImageType", [])]
        return Instance(path, str(header.SeriesInstanceUID), "".join(kinds[2:3]), header)


def srgb_of_lab(stored: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return 8-bit sRGB of a colour that DICOM stores as CIELab in 16 bits (PS3.3 C.10.7.1.1).

    Lab is relative to the white of the medium (D50), so white is 255, 255, 255.
    """
    light = stored[0] * 100 / 65535
    a, b = (value * 255 / 65535 - 128 for value in stored[1:])
    y = (light + 16) / 116
    xyz = [_from_lab(y + a / 500), _from_lab(y), _from_lab(y - b / 200)]
    x, y, z = (value * white for value, white in zip(xyz, (0.96422, 1.0, 0.82521), strict=True))
    linear = (
        3.1338561 * x - 1.6168667 * y - 0.4906146 * z,
        -0.9787684 * x + 1.9161415 * y + 0.0334540 * z,
        0.0719453 * x - 0.2289914 * y + 1.4052427 * z,
    )
    red, green, blue = (_to_srgb(value) for value in linear)
    return red, green, blue


def _from_lab(value: float) -> float:
    return value**3 if value > 6 / 29 else 3 * (6 / 29) ** 2 * (value - 4 / 29)


def _to_srgb(linear: float) -> int:
    bounded = min(max(linear, 0.0), 1.0)
    curved = 12.92 * bounded if bounded <= 0.0031308 else 1.055 * bounded ** (1 / 2.4) - 0.055
    return round(255 * curved)


def _readable(paths: list[Path]) -> list[Instance]:
    """Return the whole-slide instances among files; whatever else lies there is left alone."""
    found = []
    for path in paths:
        try:
            if path.is_file() and is_dicom(head_of(path, _PREAMBLE_BYTES)):
                found.append(read_instance(path))
        except (SlideError, OSError):
            continue
    return found


def _read_header(path: Path) -> Dataset:
    from pydicom.filereader import read_dataset, read_partial

    with path.open("rb") as file:
        meta_bytes = BytesIO(file.read(_META_BYTES)[_PREAMBLE_BYTES:])
        # always explicit little endian; a deflated header could grow a thousandfold, so the
        # transfer syntax comes first
        meta = read_dataset(meta_bytes, False, True, stop_when=lambda tag, *_: tag.group != 2)
        syntax = str(meta.get("TransferSyntaxUID", "none"))
        if syntax not in _TRANSFER_SYNTAXES:
            raise UnsupportedFormat(path, f"DICOM of transfer syntax {syntax[:64]} is not read")
        length = min(path.stat().st_size, _LARGEST_HEADER_BYTES)
        with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ) as window:
            return read_partial(window, stop_when=lambda tag, *_: tag >= _PER_FRAME_GROUPS)


def _check(path: Path, header: Any) -> None:  # noqa: ANN401
    """Refuse sizes for which tables or tiles would take too much memory."""
    tile = [int(header.Columns), int(header.Rows)]
    size = [int(header.TotalPixelMatrixColumns), int(header.TotalPixelMatrixRows)]
    if min(*tile, *size) <= 0:
        raise Contradiction(path, f"an image of {size} pixels in tiles of {tile}")
    sample_bytes = 1 if int(header.BitsStored) <= 8 else 2
    tile_bytes = math.prod(tile) * int(header.SamplesPerPixel) * sample_bytes
    if tile_bytes > _LARGEST_TILE_BYTES:
        raise UnsupportedFormat(path, f"tiles of {tile[0]} x {tile[1]} pixels are too large")
    depths = int(header.get("TotalPixelMatrixFocalPlanes") or 1)
    paths = len(header.get("OpticalPathSequence") or ()) or 1
    if depths > _MOST_FOCAL_PLANES or paths > _MOST_OPTICAL_PATHS:
        raise UnsupportedFormat(path, f"{depths} focal planes and {paths} optical paths")
    frames = int(header.get("NumberOfFrames") or 1)
    if frames * _LEAST_FRAME_BYTES > path.stat().st_size:
        raise Contradiction(path, f"{frames} frames do not fit into the file")
    tiles = math.prod(-(-s // t) for s, t in zip(size, tile, strict=True))
    if tiles * depths * paths > max(_FEW_TILES, _MOST_TILES_PER_FRAME * frames):
        raise Contradiction(path, f"an image of {size} pixels of which {frames} tiles are there")
    if tiles * depths * paths > _MOST_TILES:
        raise UnsupportedFormat(path, f"{tiles} tiles in {depths * paths} planes are too many")
