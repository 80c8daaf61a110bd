"""Objects on every kind of seam: each exactly once, as in one run over the whole image."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely.geometry import shape
from tests.engine.jobs.conftest import Bench, discs, write_png


def outlines_of(bench: Bench, slide, out: str) -> list[shapely.Geometry]:
    found = [shape(feature["geometry"]) for feature in bench.features(slide, out)]
    return sorted(found, key=lambda polygon: (polygon.centroid.y, polygon.centroid.x))


def assert_same_as_whole(bench: Bench, picture: np.ndarray, tile_px: int = 128) -> int:
    slide = write_png(bench.folder / "slide.png", picture)
    whole = bench.with_tiles(4096).run(slide, "whole")
    tiled = bench.with_tiles(tile_px).run(slide, "tiled")
    assert whole.tiles.total == 1
    assert tiled.tiles.total > 3
    expected, found = outlines_of(bench, slide, "whole"), outlines_of(bench, slide, "tiled")
    assert tiled.objects == whole.objects == len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.equals_exact(b)
    return len(found)


def test_small_objects_on_edges_and_corners_of_cores(bench: Bench) -> None:
    # With tiles of 128 px, a halo of 2 and a margin of 12, cores are at most 80 px wide; a disc
    # every 20 px meets edges, corners and insides in every phase.
    centres = [(x, y, 6.0) for x in range(15, 500, 20) for y in range(15, 400, 20)]
    assert assert_same_as_whole(bench, discs((416, 520), centres)) == len(centres)


def test_objects_larger_than_the_margin_are_joined(bench: Bench) -> None:
    centres = [(130, 120, 50.0), (330, 100, 35.0), (250, 290, 70.0), (440, 330, 30.0)]
    assert assert_same_as_whole(bench, discs((416, 520), centres)) == 4


def test_long_and_bent_objects_across_many_tiles_are_one_object_each(bench: Bench) -> None:
    picture = np.zeros((416, 520), np.uint8)
    picture[40:52, 20:500] = 220  # across a row of tiles
    picture[80:400, 30:42] = 220  # across a column
    picture[120:400, 100:112] = 220  # a U whose arms end in other tiles than its bow
    picture[388:400, 100:300] = 220
    picture[120:400, 288:300] = 220
    picture[150:160, 350:500] = 220  # an S
    picture[150:250, 490:500] = 220
    picture[240:250, 350:500] = 220
    assert assert_same_as_whole(bench, picture) == 4


def test_objects_at_the_edge_of_the_slide(bench: Bench) -> None:
    height, width = 400, 504
    centres = [(x, 0, 9.0) for x in range(0, width, 40)]
    centres += [(x, height, 9.0) for x in range(20, width, 40)]
    centres += [(0, y, 9.0) for y in range(30, height - 30, 40)]
    centres += [(width, y, 9.0) for y in range(30, height - 30, 40)]
    assert assert_same_as_whole(bench, discs((height, width), centres)) == len(centres)


@pytest.mark.parametrize("seed", range(8))
def test_random_scenes(bench: Bench, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(v) for v in rng.integers(260, 480, 2))
    centres = [
        (*rng.uniform([0, 0], [width, height]), rng.choice([3.0, 6.0, 12.0, 25.0]))
        for _ in range(8)
    ]
    assert_same_as_whole(bench, discs((height, width), centres))


def test_a_region_gives_the_objects_whose_centre_lies_in_it(bench: Bench) -> None:
    from tilescope.domain.geometry import Rect

    centres = [(x, y, 6.0) for x in range(15, 500, 20) for y in range(15, 400, 20)]
    slide = write_png(bench.folder / "slide.png", discs((416, 520), centres))
    region = Rect(105, 85, 305, 265)
    report = bench.with_tiles(128).run(slide, "part", region_l0=region)
    inside = [
        c
        for c in centres
        if region.x0 <= c[0] + 0.5 < region.x1 and region.y0 <= c[1] + 0.5 < region.y1
    ]
    assert report.objects == len(inside)
