"""Label, macro and thumbnail pictures that lie beside a slide in its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.slide import SlideInfo
from tilescope.errors import CorruptSlide, UnsupportedFormat, UsageError
from tilescope.io.cache import TileCache
from tilescope.io.faults import foreign_errors
from tilescope.io.region import read_region
from tilescope.io.thumbnail import as_rgb

#: A label is a few hundred thousand pixels; one this large is damage or an attack.
_MOST_PIXELS = 1 << 26


def read_associated(info: SlideInfo, name: str) -> NDArray[np.uint8]:
    """Return one of the pictures named in ``info.associated`` as ``uint8[height, width, 3]``.

    Raises
    ------
    UsageError
        When the slide has no picture of that name.
    UnsupportedFormat
        When the slide's reader cannot read it.
    CorruptSlide, TileReadError
        When it is damaged or implausibly large.
    """
    if name not in info.associated:
        known = ", ".join(info.associated) or "none"
        raise UsageError(f"{info.path} has no picture {name!r}; it has: {known}")
    if info.reader == "openslide":
        return _from_openslide(info, name)
    if info.reader == "tiff":
        return _from_tiff(info, name)
    raise UnsupportedFormat(info.path, f"its picture {name!r} is not read by {info.reader}")


def _check(info: SlideInfo, name: str, width: int, height: int) -> None:
    if width * height > _MOST_PIXELS:
        raise CorruptSlide(info.path, f"its picture {name!r} claims {width} x {height} pixels")


def _from_tiff(info: SlideInfo, name: str) -> NDArray[np.uint8]:
    from tilescope.io.bytefile import ByteFile
    from tilescope.io.tiff_source import TiffSource
    from tilescope.io.tiff_structure import read_structure

    path = Path(info.path)
    picture, levels = read_structure(path, vendor=True, picture=name)
    _check(info, name, picture.size.width, picture.size.height)
    with foreign_errors(path, f"reading its picture {name!r}"):
        file = ByteFile(path)
    with TiffSource(picture, levels, file) as source:
        pixels = read_region(source, TileCache(0), 0, Rect.of_size(picture.size))
    return as_rgb(pixels, is_rgb=picture.is_rgb)


def _from_openslide(info: SlideInfo, name: str) -> NDArray[np.uint8]:
    import openslide

    with (
        foreign_errors(info.path, f"reading its picture {name!r}"),
        openslide.OpenSlide(info.path) as slide,
    ):
        from openslide import lowlevel

        _check(info, name, *lowlevel.get_associated_image_dimensions(slide._osr, name))
        return np.asarray(slide.associated_images[name].convert("RGB"))
