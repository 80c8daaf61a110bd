"""Rectangles, tiles and pixel sizes: a wrong one cannot be built, a right one adds up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.contrast import Contrast
from tilescope.domain.geometry import Rect, Size
from tilescope.domain.scale import PLAUSIBLE_UM_PER_PX, PixelSize
from tilescope.domain.slide import Level, SlideId, SlideInfo
from tilescope.domain.tiles import TileKey, tile_rect, tiles_in

coordinate = st.integers(-60, 60)
side = st.integers(1, 50)
rects = st.builds(lambda x, y, w, h: Rect(x, y, x + w, y + h), coordinate, coordinate, side, side)
levels = st.builds(
    lambda width, height, tile_w, tile_h: Level(
        0, Size(width, height), Size(tile_w, tile_h), 1.0, 1.0
    ),
    *(st.integers(1, 100), st.integers(1, 100), st.integers(1, 40), st.integers(1, 40)),
)


def pixels_of(rect: Rect | None) -> set[tuple[int, int]]:
    if rect is None:
        return set()
    return {(x, y) for x in range(rect.x0, rect.x1) for y in range(rect.y0, rect.y1)}


@pytest.mark.parametrize(("width", "height"), [(0, 1), (1, 0), (-3, 5), (5, -3)])
def test_a_size_is_positive(width: int, height: int) -> None:
    with pytest.raises(ValueError, match=f"{width} x {height}"):
        Size(width, height)


@pytest.mark.parametrize("corners", [(0, 0, 0, 5), (0, 0, 5, 0), (5, 0, 4, 9), (0, 5, 9, 4)])
def test_a_rectangle_is_never_empty(corners: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        Rect(*corners)


@given(a=rects, b=rects)
def test_rectangles_are_sets_of_pixels(a: Rect, b: Rect) -> None:
    assert a.area == a.width * a.height == len(pixels_of(a))
    assert pixels_of(a.intersect(b)) == pixels_of(a) & pixels_of(b)
    assert a.intersect(b) == b.intersect(a)
    assert a.encloses(b) == (pixels_of(b) <= pixels_of(a))
    assert all(a.contains(x, y) == ((x, y) in pixels_of(a)) for x, y in pixels_of(b))


@given(rect=rects, dx=coordinate, dy=coordinate, margin=st.integers(0, 20))
def test_moving_and_growing(rect: Rect, dx: int, dy: int, margin: int) -> None:
    moved = rect.translated(dx, dy)
    assert (moved.width, moved.height) == (rect.width, rect.height)
    assert moved.translated(-dx, -dy) == rect
    grown = rect.expanded(margin)
    assert grown.encloses(rect)
    assert (grown.width, grown.height) == (rect.width + 2 * margin, rect.height + 2 * margin)
    assert grown.expanded(-margin) == rect


def test_right_and_bottom_edges_do_not_belong() -> None:
    rect = Rect.of_size(Size(10, 20))
    assert rect.contains(0, 0)
    assert rect.contains(9.999, 19.999)
    assert not rect.contains(10, 5)
    assert not rect.contains(5, 20)
    assert not rect.contains(math.nan, 5)


@given(level=levels)
def test_tiles_partition_their_level(level: Level) -> None:
    rects = [
        tile_rect(level, col, row) for row in range(level.rows) for col in range(level.columns)
    ]
    assert sum(rect.area for rect in rects) == level.size.area
    covered = set().union(*map(pixels_of, rects))
    assert covered == pixels_of(Rect.of_size(level.size))


@given(level=levels, rect=rects)
def test_the_tiles_in_a_rectangle_are_those_that_share_a_pixel(level: Level, rect: Rect) -> None:
    expected = [
        (col, row)
        for row in range(level.rows)
        for col in range(level.columns)
        if tile_rect(level, col, row).intersect(rect) is not None
    ]
    assert list(tiles_in(level, rect)) == expected


@given(level=levels)
def test_there_is_no_tile_beyond_the_last(level: Level) -> None:
    for col, row in ((level.columns, 0), (0, level.rows), (-1, 0), (0, -1)):
        with pytest.raises(IndexError, match=f"{level.columns} x {level.rows} tiles"):
            tile_rect(level, col, row)


@pytest.mark.parametrize("um", [0.0, -0.25, 0.019, 50.1, math.nan, math.inf])
def test_an_implausible_pixel_size_cannot_be_built(um: float) -> None:
    for x, y in ((um, 0.25), (0.25, um)):
        with pytest.raises(ValueError, match="outside the plausible"):
            PixelSize(x, y)


@given(x=st.floats(*PLAUSIBLE_UM_PER_PX), y=st.floats(*PLAUSIBLE_UM_PER_PX))
def test_the_mean_pixel_size_keeps_areas(x: float, y: float) -> None:
    size = PixelSize(x, y)
    assert size.mean_um**2 == pytest.approx(x * y)
    assert min(x, y) * (1 - 1e-12) <= size.mean_um <= max(x, y) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ((), ()),
        ((0.0,), (1.0, 1.0)),
        ((1.0,), (1.0,)),
        ((0.0, 2.0), (1.0, 1.0)),
        ((0.0,), (math.nan,)),
    ],
    ids=["none", "lengths", "equal", "reversed", "nan"],
)
def test_an_empty_window_cannot_be_built(low: tuple[float, ...], high: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"window|lows"):
        Contrast(False, low, high)


def test_the_identity_of_a_slide_follows_its_content() -> None:
    values = {"size_bytes": 10, "mtime_ns": 20, "series": 0}
    one = SlideId.of("a.svs", **values)
    assert one == SlideId.of("a.svs", **values)
    others = [SlideId.of("b.svs", **values)]
    others += [SlideId.of("a.svs", **{**values, name: 7}) for name in values]
    assert len({one, *others}) == 5
    assert TileKey(one, 0, 1, 2) == TileKey(SlideId.of("a.svs", **values), 0, 1, 2, plane=0)
    assert len({TileKey(one, 0, 1, 2), TileKey(one, 0, 2, 1), TileKey(one, 1, 1, 2)}) == 3


def test_a_slide_has_a_level_and_a_background_for_every_band() -> None:
    level = Level(0, Size(10, 20), Size(10, 20), 1.0, 1.0)
    values = {"path": "a.svs", "size_bytes": 1, "format": "x", "reader": "x", "dtype": "uint8"}
    identity = SlideId("0")
    rgb = SlideInfo(
        identity, levels=(level,), bands=("R", "G", "B"), background=(255,) * 3, **values
    )
    assert rgb.is_rgb
    assert rgb.size == Size(10, 20)
    with pytest.raises(ValueError, match="at least one level"):
        SlideInfo(identity, levels=(), bands=("grey",), background=(0,), **values)
    with pytest.raises(ValueError, match="1 background values for 3 bands"):
        SlideInfo(identity, levels=(level,), bands=("R", "G", "B"), background=(255,), **values)
