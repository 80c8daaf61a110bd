"""A slide whose pixel size somebody stated, whatever the file says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from tilescope.domain.scale import PixelSize
from tilescope.domain.slide import SlideInfo
from tilescope.errors import UsageError
from tilescope.io.source import SlideSource
from tilescope.runtime.closing import Closing

Pixels = NDArray[Any]


def stated_pixel_size(um_per_px: float) -> PixelSize:
    """Return the pixel size that somebody stated.

    Raises
    ------
    UsageError
        When no microscope has it.
    """
    try:
        return PixelSize(um_per_px, um_per_px)
    except ValueError as error:
        raise UsageError(str(error)) from error


class CalibratedSource(Closing):
    """A slide with another pixel size; closing it closes the slide underneath."""

    def __init__(self, source: SlideSource, pixel_size: PixelSize) -> None:
        self._source = source
        self._info = replace(source.info, pixel_size=pixel_size, pixel_size_source="user")

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide."""
        return self._info

    def read_tile(self, level: int, col: int, row: int, plane: int = 0) -> Pixels:
        """Return one tile; see :class:`~tilescope.io.source.SlideSource`."""
        return self._source.read_tile(level, col, row, plane)

    def close(self) -> None:
        """Close the slide underneath."""
        self._source.close()
