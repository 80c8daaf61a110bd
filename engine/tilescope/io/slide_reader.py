"""What all readers share: what is known of the slide, and tiles that are asked for by number."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.slide import SlideInfo
from tilescope.domain.tiles import TileKey, tile_rect
from tilescope.errors import TileReadError
from tilescope.io.faults import foreign_errors
from tilescope.io.source import check_plane
from tilescope.runtime.closing import Closing

Pixels = NDArray[Any]


class SlideReader(Closing):
    """A :class:`~tilescope.io.source.SlideSource` whose reader only has to make a tile's pixels."""

    def __init__(self, info: SlideInfo) -> None:
        self._info = info

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide, also after it was closed."""
        return self._info

    def read_tile(self, level: int, col: int, row: int, plane: int = 0) -> Pixels:
        """Return one tile; see :class:`~tilescope.io.source.SlideSource`."""
        check_plane(self._info, plane)
        rect = tile_rect(self._info.levels[level], col, row)
        where = f"reading tile ({col}, {row}) of level {level}"
        with foreign_errors(self._info.path, where, TileReadError):
            return self._read(TileKey(self._info.id, level, col, row, plane), rect)

    @abstractmethod
    def _read(self, tile: TileKey, rect: Rect) -> Pixels:
        """Return a tile that the slide has, ``[height, width, bands]`` in the slide's dtype.

        May be called from any thread. Whatever it raises becomes a :class:`TileReadError` that
        names the tile.

        Parameters
        ----------
        tile
            Which tile.
        rect
            Its pixels in the frame of its level, cut at the level's edge.
        """
