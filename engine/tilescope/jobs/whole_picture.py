"""The whole slide as a small picture, even when parts of it cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.errors import TileReadError
from tilescope.io.cache import TileCache
from tilescope.io.region import read_working, working_size
from tilescope.io.source import SlideSource
from tilescope.io.thumbnail import as_rgb

#: What cannot be read is left out in squares of so many pixels of the picture.
_PIECE_PX = 32


@dataclass(frozen=True, slots=True, eq=False)
class WholePicture:
    """A slide, shrunk.

    Attributes
    ----------
    pixels
        ``[h, w, bands]`` in the slide's dtype; background where it cannot be read.
    missing
        ``bool[h, w]``: where it cannot be read.
    """

    pixels: NDArray[Any]
    missing: NDArray[np.bool_]

    def readable(self) -> NDArray[Any]:
        """Return the pixels that could be read, ``[n, bands]``."""
        return self.pixels[~self.missing]


def whole_picture(
    source: SlideSource, cache: TileCache, size: Size, factor: float, plane: int = 0
) -> WholePicture:
    """Return the slide as a picture of ``size`` with ``factor`` level-0 pixels per pixel.

    Raises
    ------
    TileReadError
        When nothing of it can be read.
    """
    rect = Rect.of_size(size)
    try:
        pixels = read_working(source, cache, rect, factor, plane=plane)
        return WholePicture(pixels, np.zeros(pixels.shape[:2], bool))
    except TileReadError:
        picture = _in_pieces(source, cache, rect, factor, plane)
        if picture.missing.all():
            raise
        return picture


def _in_pieces(
    source: SlideSource, cache: TileCache, rect: Rect, factor: float, plane: int
) -> WholePicture:
    info = source.info
    pixels = np.empty((rect.height, rect.width, len(info.bands)), info.dtype)
    pixels[:] = np.asarray(info.background, info.dtype)
    missing = np.zeros((rect.height, rect.width), bool)
    for piece in _pieces(rect):
        here = np.s_[piece.y0 : piece.y1, piece.x0 : piece.x1]
        try:
            pixels[here] = read_working(source, cache, piece, factor, plane=plane)
        except TileReadError:
            missing[here] = True
    return WholePicture(pixels, missing)


def _pieces(rect: Rect) -> Iterator[Rect]:
    for y in range(0, rect.height, _PIECE_PX):
        for x in range(0, rect.width, _PIECE_PX):
            yield Rect(x, y, min(x + _PIECE_PX, rect.width), min(y + _PIECE_PX, rect.height))


def overview_picture(
    source: SlideSource, cache: TileCache, max_side: int, plane: int = 0
) -> tuple[NDArray[np.uint8], float]:
    """Return the slide as ``uint8[h, w, 3]`` to draw on, and level-0 pixels per pixel of it.

    Raises
    ------
    TileReadError
        When nothing of it can be read.
    """
    info = source.info
    factor = max(1.0, max(info.size.width, info.size.height) / max_side)
    picture = whole_picture(source, cache, working_size(info, factor), factor, plane)
    return as_rgb(picture.pixels, is_rgb=info.is_rgb), factor
