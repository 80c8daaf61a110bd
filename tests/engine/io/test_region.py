import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.slide import SlideId, SlideInfo
from tilescope.domain.tiles import tile_rect
from tilescope.io.cache import TileCache
from tilescope.io.levels import downsamples, make_levels
from tilescope.io.pyramid_source import WithOverviews, with_overviews
from tilescope.io.region import level_for, read_region, read_working, working_size
from tilescope.testing.synthetic import coordinate_pixels, pyramid

BACKGROUND = 9


class ArraySource:
    """Levels held in memory, counting reads."""

    def __init__(self, levels, tile=64, name="array"):
        self.levels = levels
        self.reads = 0
        self.closed = 0
        sizes = [Size(v.shape[1], v.shape[0]) for v in levels]
        bands = levels[0].shape[2]
        self.info = SlideInfo(
            id=SlideId(name),
            path=name,
            size_bytes=0,
            format="array",
            reader="test",
            levels=make_levels(sizes, [Size(tile, tile)] * len(sizes)),
            bands=tuple(f"band {i}" for i in range(bands)),
            dtype=levels[0].dtype.name,
            background=(BACKGROUND,) * bands,
        )

    def read_tile(self, level, col, row, plane=0):
        assert plane == 0
        self.reads += 1
        rect = tile_rect(self.info.levels[level], col, row)
        return self.levels[level][rect.y0 : rect.y1, rect.x0 : rect.x1].copy()

    def close(self):
        self.closed += 1


SLIDE = ArraySource(pyramid(coordinate_pixels(Rect(0, 0, 301, 203), dtype="float32"), 3))

rects = st.builds(
    lambda x, y, w, h: Rect(x, y, x + w, y + h),
    st.integers(-40, 330),
    st.integers(-40, 230),
    st.integers(1, 120),
    st.integers(1, 120),
)


@given(rects, st.integers(0, 2))
def test_a_region_is_the_slide_or_background(rect, level):
    out = read_region(SLIDE, TileCache(1 << 22), level, rect)
    padded = np.pad(
        SLIDE.levels[level], ((200, 400), (200, 500), (0, 0)), constant_values=BACKGROUND
    )
    np.testing.assert_array_equal(
        out, padded[rect.y0 + 200 : rect.y1 + 200, rect.x0 + 200 : rect.x1 + 200]
    )


@settings(deadline=None, max_examples=60)
@given(rects, rects, st.floats(0.4, 6))
def test_working_regions_agree_where_they_overlap(first, second, factor):
    cache = TileCache(1 << 24)
    common = first.intersect(second)
    if common is None:
        return
    parts = []
    for rect in (first, second):
        out = read_working(SLIDE, cache, rect, factor)
        parts.append(
            out[
                common.y0 - rect.y0 : common.y1 - rect.y0, common.x0 - rect.x0 : common.x1 - rect.x0
            ]
        )
    np.testing.assert_array_equal(*parts)


def test_blocks_do_not_show(monkeypatch):
    rect = Rect(0, 0, 140, 100)
    whole = read_working(SLIDE, TileCache(1 << 24), rect, 2.1)
    monkeypatch.setattr("tilescope.io.region._BLOCK_VALUES", 5000)
    np.testing.assert_array_equal(read_working(SLIDE, TileCache(1 << 24), rect, 2.1), whole)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.3, 2.0, 3.0, 4.0, 5.7])
@pytest.mark.parametrize("drop_odd", [False, True])
def test_a_working_pixel_lies_where_its_index_says(factor, drop_odd):
    level0 = coordinate_pixels(Rect(0, 0, 301, 203), dtype="float32")
    slide = ArraySource(pyramid(level0, 3, drop_odd=drop_odd))
    size = working_size(slide.info, factor)
    out = read_working(slide, TileCache(1 << 24), Rect.of_size(size), factor)
    inner = out[2:-3, 2:-3]
    # the mean of the level-0 columns under working pixel i is i * factor + (factor - 1) / 2
    expected_x = np.arange(2, size.width - 3) * factor + (factor - 1) / 2
    expected_y = np.arange(2, size.height - 3) * factor + (factor - 1) / 2
    off_x, off_y = inner[..., 0] - expected_x[None, :], inner[..., 1] - expected_y[:, None]
    # an interval that ends within a pixel takes a share of the pixel's mean: never far or biased
    assert max(np.abs(off_x).max(), np.abs(off_y).max()) < 0.07 * max(factor, 1)
    assert max(abs(off_x.mean()), abs(off_y.mean())) < 0.02 * max(factor, 1)


def test_the_coarsest_level_that_is_fine_enough_is_read():
    assert [level_for(SLIDE.info, f).index for f in (0.5, 1, 1.9, 2, 3.9999, 4, 99)] == [
        0, 0, 0, 1, 2, 2, 2,
    ]  # fmt: skip


def test_pixels_outside_the_working_grid_are_background():
    out = read_working(SLIDE, TileCache(1 << 24), Rect(-5, -5, -1, -1), 2.0)
    assert (out == BACKGROUND).all()
    size = working_size(SLIDE.info, 2.0)
    out = read_working(SLIDE, TileCache(1 << 24), Rect(0, 0, size.width + 1, size.height + 1), 2.0)
    assert (out[:, -1] == BACKGROUND).all()
    assert (out[:-1, :-1] != BACKGROUND).any(axis=2).all()


def test_overviews_are_the_means_of_the_slide():
    level0 = coordinate_pixels(Rect(0, 0, 5003, 301))
    slide, cache = ArraySource([level0], tile=256, name="wide"), TileCache(1 << 26)
    made = with_overviews(slide, cache)
    expected = pyramid(level0, 3)
    assert [v.size for v in made.info.levels] == [Size(v.shape[1], v.shape[0]) for v in expected]
    assert [v.downsample_x for v in made.info.levels] == [1, 2, 4]
    for level in made.info.levels:
        out = read_region(made, cache, level.index, Rect.of_size(level.size))
        np.testing.assert_array_equal(out, expected[level.index])


def test_one_overview_tile_reads_no_more_than_it_covers():
    slide = ArraySource([np.zeros((4096, 4096, 1), np.uint8)], tile=256, name="square")
    made = WithOverviews(slide, TileCache(1 << 26))
    made.read_tile(1, 0, 0)
    assert slide.reads == 16
    made.read_tile(1, 0, 0)
    assert slide.reads == 16


def test_a_small_slide_is_not_wrapped():
    assert with_overviews(SLIDE, TileCache(0)) is SLIDE


def test_closing_overviews_closes_the_slide():
    slide = ArraySource([np.zeros((4096, 4096, 1), np.uint8)])
    with WithOverviews(slide, TileCache(0)):
        pass
    assert slide.closed == 1


@pytest.mark.parametrize(
    ("size_l0", "size", "expected"),
    [
        ((2220, 2967), (1110, 1483), (2, 2)),
        ((4443, 3567), (2221, 1783), (2, 2)),
        ((46000, 32914), (11500, 8228), (4, 4)),
        ((1001, 777), (501, 389), (2, 2)),
        ((1, 5000), (1, 2500), (2, 2)),
        ((900, 600), (600, 400), (1.5, 1.5)),
        ((1000, 1000), (1000, 1000), (1, 1)),
    ],
)
def test_rounded_sizes_do_not_bend_the_registration(size_l0, size, expected):
    assert downsamples(Size(*size_l0), Size(*size)) == expected
