"""What every reader has to keep to, as a test class that reader authors subclass.

::

    class TestMySource(SlideSourceContract):
        @pytest.fixture
        def source(self):
            with MySource.open(SAMPLE) as source:
                yield source
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from tilescope.domain.geometry import Size
from tilescope.domain.slide import Level
from tilescope.domain.tiles import tile_rect
from tilescope.errors import TileReadError
from tilescope.io.source import SlideSource

_THREADS = 4


class SlideSourceContract:
    """Subclass it and provide a fixture ``source`` that yields an open slide."""

    def test_info_is_complete(self, source: SlideSource) -> None:
        """Names, types and counts are of the kinds that the rest of the program relies on."""
        info = source.info
        assert info.dtype in {"uint8", "uint16", "float32"}
        assert len(info.bands) == len(info.background) > 0
        assert all(info.bands)
        assert len(set(info.bands)) == len(info.bands)
        assert info.z >= 1
        assert info.t >= 1
        assert (info.pixel_size is None) == (info.pixel_size_source is None)

    def test_levels_run_from_fine_to_coarse(self, source: SlideSource) -> None:
        """Level 0 has downsample one, and later levels are smaller by their downsample."""
        levels = source.info.levels
        assert [v.index for v in levels] == list(range(len(levels)))
        assert (levels[0].downsample_x, levels[0].downsample_y) == (1.0, 1.0)
        for finer, coarser in pairwise(levels):
            assert coarser.size.area < finer.size.area
            assert coarser.downsample_x >= finer.downsample_x
        for level in levels:
            assert abs(level.size.width - levels[0].size.width / level.downsample_x) <= 1
            assert abs(level.size.height - levels[0].size.height / level.downsample_y) <= 1

    def test_corner_tiles_have_the_promised_shape(self, source: SlideSource) -> None:
        """Tiles are cut at the edge and have the slide's dtype and bands."""
        info = source.info
        for level in info.levels:
            for col in {0, level.columns - 1}:
                for row in {0, level.rows - 1}:
                    tile = source.read_tile(level.index, col, row)
                    rect = tile_rect(level, col, row)
                    assert tile.shape == (rect.height, rect.width, len(info.bands))
                    assert tile.dtype == info.dtype

    def test_every_plane_can_be_read(self, source: SlideSource) -> None:
        """Planes count ``t * z``; the first beyond raises."""
        info = source.info
        coarsest = info.levels[-1].index
        for plane in range(info.z * info.t):
            assert source.read_tile(coarsest, 0, 0, plane).dtype == info.dtype
        with pytest.raises(IndexError):
            source.read_tile(coarsest, 0, 0, info.z * info.t)

    def test_a_tile_outside_the_grid_raises(self, source: SlideSource) -> None:
        """Asking for a tile that does not exist is the caller's mistake, not a read error."""
        level = source.info.levels[0]
        for col, row in ((level.columns, 0), (0, level.rows), (-1, 0), (0, -1)):
            with pytest.raises(IndexError):
                source.read_tile(0, col, row)

    def test_reading_twice_gives_the_same_and_independent_pixels(self, source: SlideSource) -> None:
        """Whoever gets a tile may write into it without changing the next read."""
        level = source.info.levels[-1].index
        first = source.read_tile(level, 0, 0)
        kept = first.copy()
        if first.flags.writeable:
            first[:] = 0
        np.testing.assert_array_equal(source.read_tile(level, 0, 0), kept)

    def test_threads_read_what_one_thread_reads(self, source: SlideSource) -> None:
        """Any thread may read at any time."""
        places = _some_tiles(source.info.levels)
        alone = [source.read_tile(*place) for place in places]
        with ThreadPoolExecutor(_THREADS) as pool:
            together = list(pool.map(lambda place: source.read_tile(*place), places * 2))
        for one, other in zip(alone * 2, together, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_closing_twice_is_fine(self, source: SlideSource) -> None:
        """And what is known of the slide stays known."""
        source.close()
        source.close()
        assert isinstance(source.info.size, Size)

    def test_a_closed_slide_says_so(self, source: SlideSource) -> None:
        """Reading from it is an error that names the tile, not a crash."""
        source.close()
        with pytest.raises(TileReadError, match="closed"):
            source.read_tile(0, 0, 0)


def _some_tiles(levels: tuple[Level, ...]) -> list[tuple[int, int, int]]:
    return [
        (level.index, col, row)
        for level in levels
        for col in range(min(level.columns, 3))
        for row in range(min(level.rows, 3))
    ]
