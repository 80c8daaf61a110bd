"""What is wanted covers the view, and what is painted is as sharp as what is there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.geometry import Point, Rect, Size
from tilescope.domain.slide import Level, SlideId, SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope_desktop.model.resolve import level_shown, paint_order, placed, tiles_over, wanted
from tilescope_desktop.model.viewport import Viewport


def slide(*downsamples: float) -> SlideInfo:
    levels = tuple(
        Level(i, Size(round(40_000 / d), round(30_000 / d)), Size(256, 256), d, d)
        for i, d in enumerate(downsamples)
    )
    return SlideInfo(
        SlideId("s"), "s", 1, "tiff", "tiff", levels, ("R", "G", "B"), "uint8", (255,) * 3
    )


INFO = slide(1, 4, 16, 64)
views = st.builds(
    Viewport,
    st.integers(50, 2000),
    st.integers(50, 1200),
    st.builds(Point, st.floats(0, 40_000), st.floats(0, 30_000)),
    st.floats(0.05, 100),
    st.sampled_from([0.0, 30.0, 90.0]),
)


@pytest.mark.parametrize(
    ("l0_per_px", "ratio", "level"),
    [(0.1, 1, 0), (3.0, 1, 0), (4.0, 1, 1), (4.0, 2, 0), (99, 1, 3)],
)
def test_the_level_is_the_coarsest_sharp_one(l0_per_px: float, ratio: float, level: int) -> None:
    view = Viewport(100, 100, Point(0, 0), l0_per_px)
    assert level_shown(INFO, view, ratio).index == level


@given(views)
def test_everything_in_view_is_wanted_once(view: Viewport) -> None:
    keys = wanted(INFO, INFO.id, view)
    assert len(set(keys)) == len(keys)
    level = level_shown(INFO, view)
    assert set(tiles_over(level, view.bounds_l0, INFO.id)) <= set(keys)
    # At most the screen's own pixels, a rim, and coarser levels: never a level as a whole.
    bounds, side = view.bounds_l0, 256 * level.downsample_x
    around = 2 * (bounds.width + bounds.height) / side
    assert len(keys) <= 4 * (bounds.area / side**2 + around + 30)


@given(views)
def test_the_nearest_to_the_cursor_comes_first(view: Viewport) -> None:
    cursor = Point(20_000, 15_000)
    level = level_shown(INFO, view)
    visible = set(tiles_over(level, view.bounds_l0, INFO.id))
    order = [k for k in wanted(INFO, INFO.id, view, cursor_l0=cursor) if k in visible]

    def distance(key: TileKey) -> float:
        x0, y0, x1, y1 = placed(INFO, key).box_l0
        return ((x0 + x1) / 2 - cursor.x) ** 2 + ((y0 + y1) / 2 - cursor.y) ** 2

    if level.index != len(INFO.levels) - 1:
        assert [distance(k) for k in order] == sorted(distance(k) for k in order)


@given(views, st.randoms(use_true_random=False))
def test_whatever_is_there_covers_the_view(view: Viewport, random) -> None:
    coarsest = set(tiles_over(INFO.levels[-1], Rect.of_size(INFO.size), INFO.id))
    keys = tiles_over(level_shown(INFO, view), view.bounds_l0, INFO.id)
    there = coarsest | {key for key in wanted(INFO, INFO.id, view) if random.random() < 0.5}
    painted = paint_order(INFO, keys, there.__contains__)
    assert {p.key for p in painted} <= there
    assert [p.key.level for p in painted] == sorted((p.key.level for p in painted), reverse=True)
    for key in keys:
        x0, y0, x1, y1 = placed(INFO, key).box_l0
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        over = [
            p
            for p in painted
            if p.box_l0[0] <= x <= p.box_l0[2] and p.box_l0[1] <= y <= p.box_l0[3]
        ]
        assert over
        if key in there:
            assert over[-1].key.level == key.level


def holds(box: tuple[float, float, float, float], x: float, y: float) -> bool:
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def test_nothing_there_paints_nothing() -> None:
    view = Viewport(500, 500, Point(20_000, 15_000), 2)
    keys = tiles_over(level_shown(INFO, view), view.bounds_l0, INFO.id)
    assert paint_order(INFO, keys, lambda _key: False) == []


def test_planes_do_not_mix() -> None:
    view = Viewport(500, 500, Point(20_000, 15_000), 2)
    assert {key.plane for key in wanted(INFO, INFO.id, view, plane=3)} == {3}
    assert {key.slide for key in wanted(INFO, SlideId("other"), view)} == {SlideId("other")}


def test_levels_of_uneven_sizes_reach_the_edge() -> None:
    info = replace(INFO, levels=(INFO.levels[0], replace(INFO.levels[1], size=Size(9999, 7501))))
    last = placed(info, TileKey(info.id, 1, info.levels[1].columns - 1, 0))
    assert last.box_l0[2] == 9999 * 4
