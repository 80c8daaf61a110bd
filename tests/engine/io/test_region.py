from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.scale import PixelSize
from tilescope.domain.slide import Level, SlideId, SlideInfo
from tilescope.domain.tiles import tile_rect
from tilescope.errors import UsageError
from tilescope.io.cache import TileCache
from tilescope.io.levels import downsamples, make_levels
from tilescope.io.pyramid_source import WithOverviews, with_overviews
from tilescope.io.region import (
    level_for,
    read_at,
    read_region,
    read_working,
    scale_at,
    working_size,
)
from tilescope.io.thumbnail import thumbnail
from tilescope.io.tiff_source import TiffSource
from tilescope.testing.synthetic import coordinate_pixels, pyramid, write_repeated_slide

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


def below(position):
    """Integral of a coordinate slide, whose pixel ``n`` has the value ``n``, from 0 on."""
    whole = np.floor(position)
    return whole * (whole - 1) / 2 + (position - whole) * whole


def averages(edges):
    """What a pixel between each two edges of a coordinate slide shows."""
    return np.diff(below(edges)) / np.diff(edges)


def coordinate_slide(downsamples, width=1203, height=807):
    """A slide whose levels have any downsamples, each pixel the exact mean of what it covers."""
    levels, arrays = [], []
    for index, (dx, dy) in enumerate(downsamples):
        size = Size(int(width / dx), int(height / dy))
        x = averages(np.arange(size.width + 1) * dx)[None, :]
        y = averages(np.arange(size.height + 1) * dy)[:, None]
        bands = [np.broadcast_to(v, (size.height, size.width)) for v in (x, y, x + y)]
        arrays.append(np.stack(bands, axis=2).astype(np.float32))
        levels.append(Level(index, size, Size(64, 64), dx, dy))
    slide = ArraySource(arrays)
    slide.info = replace(slide.info, levels=tuple(levels))
    return slide


@pytest.mark.parametrize(
    "downsamples",
    [
        [(1, 1), (2, 2), (4, 4), (16, 16)],
        [(1, 1), (4.0003, 4.0007), (16.0012, 16.01)],
        [(1, 1), (1.7, 1.9), (5.3, 5.1)],
    ],
)
@pytest.mark.parametrize("factor", [0.3, 1.0, 1.0005, 1.9, 3.999, 4.0, 7.77, 16.02])
def test_levels_lie_on_each_other_to_a_part_of_a_pixel(downsamples, factor):
    slide = coordinate_slide(downsamples)
    left, top = 113.37, 61.81
    out = read_at(slide, TileCache(1 << 26), (left, top, left + 640, top + 480), factor=factor)
    assert out.shape[:2] == tuple(int(np.ceil(n / factor - 1e-6)) for n in (480, 640))
    level = level_for(slide.info, factor)
    for axis, (first, shown) in enumerate(((left, out[0, :, 0]), (top, out[:, 0, 1]))):
        edges = first + np.arange(len(shown) + 1) * factor
        if factor < 1:
            off = shown - ((edges[:-1] + edges[1:]) / 2 - 0.5)
            assert np.abs(off).max() < 1e-3
            continue
        off = shown - averages(edges)
        # an edge amid a pixel of the level takes a share of that pixel's mean, no more
        pixel = (level.downsample_x, level.downsample_y)[axis]
        most = 0 if level.index == 0 else pixel**2 / (8 * factor)
        assert np.abs(off).max() <= most + 1e-3
        assert abs(off.mean()) < 0.02 * pixel


UNEVEN = coordinate_slide([(1, 1), (4.0003, 4.0007)])


@settings(max_examples=40)
@given(st.floats(-50, 1250), st.floats(-50, 850), st.floats(0.4, 40), st.data())
def test_any_rectangle_shows_the_slide_or_background(x, y, factor, data):
    slide = UNEVEN
    width = data.draw(st.floats(0.01, 60)) * factor
    out = read_at(slide, TileCache(1 << 24), (x, y, x + width, y + width), factor=factor)
    left = x + np.arange(out.shape[1]) * factor
    top = y + np.arange(out.shape[0]) * factor
    away = 1e-3 * factor
    beside = (left + factor < -away) | (left > 1203 + away)
    above = (top + factor < -away) | (top > 807 + away)
    assert (out[above] == BACKGROUND).all()
    assert (out[:, beside] == BACKGROUND).all()
    inside = (left + factor > away) & (left < 1203 - away)
    reached = (top + factor > away) & (top < 807 - away)
    shown = out[reached][:, inside]
    assert shown[..., 2] == pytest.approx(shown[..., 0] + shown[..., 1], rel=1e-4, abs=1e-2)


def test_whole_working_pixels_are_those_of_the_working_grid():
    slide = ArraySource(pyramid(coordinate_pixels(Rect(0, 0, 301, 203)), 3))
    for factor in (0.5, 1.0, 2.0, 3.3):
        rect = Rect(7, 5, 50, 41)
        edges = tuple(v * factor for v in (rect.x0, rect.y0, rect.x1, rect.y1))
        found = read_at(slide, TileCache(1 << 24), edges, factor=factor).astype(int)
        expected = read_working(slide, TileCache(1 << 24), rect, factor)
        assert np.abs(found - expected).max() <= 1


class Counting:
    """A real slide, with the tiles that were read of it."""

    def __init__(self, source):
        self.source, self.info, self.read = source, source.info, []

    def read_tile(self, level, col, row, plane=0):
        self.read.append((level, col, row))
        return self.source.read_tile(level, col, row, plane)


def calibrated(**known):
    return replace(SLIDE.info, **known)


def test_scales_are_said_in_three_ways():
    oblong = calibrated(pixel_size=PixelSize(0.25, 0.5), pixel_size_source="tag")
    assert scale_at(oblong, factor=3.0) == scale_at(SLIDE.info, factor=3.0)
    scale = scale_at(oblong, um_per_px=1.0)
    assert (scale.x, scale.y) == (4, 2)
    by_convention = scale_at(oblong, magnification=10)
    assert (by_convention.x, by_convention.y) == (4, 2)
    by_objective = scale_at(calibrated(objective_power=40.0), magnification=10)
    assert (by_objective.x, by_objective.y) == (4, 4)


def test_pixels_of_an_oblong_slide_come_out_square():
    slide = coordinate_slide([(1, 1), (2, 2), (4, 4)])
    slide.info = replace(slide.info, pixel_size=PixelSize(0.25, 0.5), pixel_size_source="tag")
    counting = Counting(slide)
    out = read_at(counting, TileCache(1 << 26), (100, 100, 500, 500), um_per_px=1.0)
    assert out.shape[:2] == (200, 100)
    # along y the next level would be too coarse
    assert {place[0] for place in counting.read} == {1}
    np.testing.assert_allclose(out[0, :, 0], averages(np.arange(100, 501, 4)), atol=1e-3)
    np.testing.assert_allclose(out[:, 0, 1], averages(np.arange(100, 501, 2)), atol=1e-3)


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({}, "say one of"),
        ({"factor": 1.0, "um_per_px": 1.0}, "say one of"),
        ({"factor": 0.0}, "positive"),
        ({"um_per_px": float("nan")}, "positive"),
        ({"magnification": float("inf")}, "positive"),
        ({"um_per_px": 1.0}, "how large its pixels are"),
        ({"magnification": 20.0}, "which objective"),
    ],
)
def test_a_scale_that_makes_no_sense_is_refused(asked, match):
    with pytest.raises(UsageError, match=match):
        read_at(SLIDE, TileCache(0), (0, 0, 10, 10), **asked)


@pytest.mark.parametrize(
    "rect", [(5, 5, 5, 9), (9, 0, 5, 9), (0, 0, float("nan"), 9), (0, 0, float("inf"), 9)]
)
def test_an_empty_or_endless_rectangle_is_refused(rect):
    with pytest.raises(UsageError, match="empty or has no end"):
        read_at(SLIDE, TileCache(0), rect, factor=1.0)


def test_a_big_slide_is_never_read_as_a_whole(tmp_path):
    texture = coordinate_pixels(Rect(0, 0, 512, 512))
    path = write_repeated_slide(tmp_path / "big.tif", texture, 60_000, 50_000)
    with TiffSource.open(path) as source:
        levels = source.info.levels
        assert levels[0].columns * levels[0].rows > 40_000
        for factor in (0.5, 1.0, 1.5, 3.9, 4.0, 16.5, 33.3):
            slide = Counting(source)
            side = 700 * factor
            rect = (20_000.3, 10_000.7, 20_000.3 + side, 10_000.7 + side)
            read_at(slide, TileCache(64 << 20), rect, factor=factor)
            level = level_for(source.info, factor)
            across = side / level.downsample_x / level.tile.width + 2
            assert {place[0] for place in slide.read} == {level.index}
            assert len(set(slide.read)) == len(slide.read) <= across**2
        slide = Counting(source)
        thumbnail(slide, TileCache(64 << 20), 512)
        assert {place[0] for place in slide.read} == {levels[-1].index}
