"""A class map or heat map as tiles of colour, read from its OME-Zarr by whoever asks.

It may still be growing: nothing that is read is kept here, so a tile shows what the files hold when
it is asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Point
from tilescope.domain.slide import SlideId, SlideInfo
from tilescope.domain.tiles import TileKey, tile_rect
from tilescope.errors import CorruptSlide, SlideNotFound, UnsupportedFormat
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.zarr_files import LocalFiles
from tilescope.io.zarr_nodes import read_node
from tilescope.io.zarr_source import ZarrSource
from tilescope_desktop.model.map_colors import painter_of
from tilescope_desktop.model.map_facts import (
    MapFacts,
    RectL0,
    facts_of,
    levels_over,
    tiles_touched,
)
from tilescope_desktop.model.viewport import Viewport

#: Maps that a run writes, the one to be looked at first.
MAP_NAMES = ("heatmap.ome.zarr", "labels.ome.zarr")
_NUMBERS = itertools.count(1)
#: Blocks of a map that one tile may need at once.
_BLOCKS_BYTES = 64 << 20


class MapTiles:
    """An open map over a slide.

    Attributes
    ----------
    id
        The name under which its pictures are kept; each opening has its own.
    info
        Its levels lie on the slide's level 0, counted from the map's corner.
    """

    def __init__(self, path: Path, source: ZarrSource, facts: MapFacts) -> None:
        self.path = path
        self.facts = facts
        self.info: SlideInfo = replace(source.info, levels=levels_over(source.info, facts.factor))
        self.id = SlideId(f"map {next(_NUMBERS)}: {path}")
        self._source = source
        self._painted = painter_of(facts)

    @classmethod
    def open(cls, path: Path, slide: SlideInfo) -> Self:
        """Open a map, or the one in a run's folder, to be shown over a slide; reads files.

        Raises
        ------
        SlideNotFound
            When nothing is there.
        UnsupportedFormat, CorruptSlide
            When it is no map, or not one of this slide.
        """
        path = _found(path)
        files = LocalFiles(path)
        try:
            node = read_node(files, "")
        except (OSError, ValueError, EOFError) as error:
            raise CorruptSlide(path, f"its metadata cannot be read: {error}") from error
        if node is None or node.is_array:
            raise UnsupportedFormat(path, "no OME-Zarr of a class map or heat map")
        source = ZarrSource.open(path)
        try:
            return cls(path, source, facts_of(node.attributes, source.info, slide))
        except BaseException:
            source.close()
            raise

    def picture(self, key: TileKey) -> NDArray[np.uint32]:
        """Return a tile as ``uint32[height, width]``, ``0xAARRGGBB`` multiplied by alpha.

        Raises
        ------
        SlideNotFound
            When the map is gone.
        TileReadError
            When a block of it cannot be read.
        """
        rect = tile_rect(self.info.levels[key.level], key.col, key.row)
        # A cache of its own: one that is shared might hold what was there before.
        pixels = read_region(self._source, TileCache(_BLOCKS_BYTES), key.level, rect)
        if not self.path.is_dir():
            # A block that is not there is empty; of a map that is not there that means nothing.
            raise SlideNotFound(self.path, "is gone; run the model again or put it back")
        return self._painted(pixels)

    def frame(self, viewport: Viewport) -> Viewport:
        """Return a view of the slide as it is on the map."""
        x, y = self.facts.origin_l0
        centre = viewport.centre_l0
        return replace(viewport, centre_l0=Point(centre.x - x, centre.y - y))

    def touched(self, rect_l0: RectL0) -> Iterator[TileKey]:
        """Yield the tiles of all levels that show something of a rectangle of the slide."""
        return tiles_touched(self.info.levels, self.id, rect_l0, self.facts.origin_l0)

    def close(self) -> None:
        """Give back what is held; twice is fine."""
        self._source.close()


def _found(path: Path) -> Path:
    """Return the map itself: what a run wrote lies in its folder."""
    if not path.is_dir():
        raise SlideNotFound(path, "no such folder")
    if any((path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json", ".zarray")):
        return path
    inside = next((path / name for name in MAP_NAMES if (path / name).is_dir()), None)
    if inside is None:
        listed = " or ".join(MAP_NAMES)
        raise UnsupportedFormat(path, f"neither a map nor a run's folder with {listed}")
    return inside
