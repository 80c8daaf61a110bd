"""Objects on every kind of seam: each exactly once, as in one run over the whole image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from shapely.geometry import shape
from tests.engine.jobs.conftest import Bench, discs, write_png
from tests.engine.jobs.killing import files_of
from tests.engine.jobs.task_models import boxes, instances

from tilescope.domain.geometry import Rect


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


@pytest.mark.parametrize("maker", [instances, boxes], ids=["instances", "boxes"])
@pytest.mark.parametrize(
    "region", [Rect(120, 98, 300, 262), Rect(111, 91, 318, 279)], ids=["in", "across"]
)
def test_a_region_leaves_out_what_tiles_see_whole_beyond_it(
    bench: Bench, maker, region: Rect
) -> None:
    # The tiles at its edge look 12 px and more beyond it: discs whose centres lie there are whole.
    centres = [(x, y, 6.0) for x in range(15, 500, 20) for y in range(15, 400, 20)]
    slide = write_png(bench.folder / "slide.png", discs((416, 520), centres))
    bench = bench.using(maker)
    bench.run(slide, "whole")
    report = bench.run(slide, "part", region_l0=region)
    expected = {
        outline.wkt
        for outline in outlines_of(bench, slide, "whole")
        if region.contains(outline.centroid.x, outline.centroid.y)
    }
    found = outlines_of(bench, slide, "part")
    assert {outline.wkt for outline in found} == expected
    assert len(found) == report.objects == len(expected) > 50


def test_regions_side_by_side_share_no_object_and_lose_none(bench: Bench) -> None:
    centres = [(x, y, 6.0) for x in range(15, 500, 20) for y in range(15, 400, 20)]
    slide = write_png(bench.folder / "slide.png", discs((416, 520), centres))
    bench = bench.with_tiles(128)
    bench.run(slide, "whole")
    # The first edge passes through the centres of discs.
    parts = [Rect(0, 0, 216, 416), Rect(216, 0, 387, 416), Rect(387, 0, 520, 416)]
    found = []
    for i, region in enumerate(parts):
        bench.run(slide, f"part{i}", region_l0=region)
        found += [outline.wkt for outline in outlines_of(bench, slide, f"part{i}")]
    assert sorted(found) == sorted(o.wkt for o in outlines_of(bench, slide, "whole"))


def test_what_was_seen_of_an_object_beyond_a_region_is_kept(bench: Bench) -> None:
    picture = np.zeros((416, 520), np.uint8)
    picture[120:132, 20:200] = 220
    picture[180:240, 290:450] = 220  # most of it, and most of what is seen, is in the region
    slide = write_png(bench.folder / "slide.png", picture)
    bench.with_tiles(128).run(slide, "part", region_l0=Rect(105, 85, 320, 265))
    found = outlines_of(bench, slide, "part")
    # Tiles see 12 px beyond the region.
    assert [outline.bounds for outline in found] == [(93, 120, 200, 132), (290, 180, 332, 240)]


@pytest.fixture
def fragile(bench: Bench, rng: np.random.Generator) -> Path:
    """Return a slide with a bar across three tiles of a run; ``damage`` makes the middle fail."""
    # Noise is hardly compressed: the damage lies beyond the head, by which slides are told apart.
    picture = rng.integers(0, 40, (1000, 1000, 3), np.uint8)
    picture[836:848, 700:960] = 220
    picture[846:940, 836:846] = 220  # goes down from the middle
    path = bench.folder / "slide.tif"
    tifffile.imwrite(path, picture, tile=(32, 32), compression="zlib")
    return path


def damage(path: Path) -> bytes:
    """Make the pixels at 832..864 unreadable and return what was there."""
    with tifffile.TiffFile(path) as file:
        tags = file.pages.first.tags
        index = 26 * 32 + 26
        offset, count = (tags[name].value[index] for name in ("TileOffsets", "TileByteCounts"))
    assert offset > 2**20
    good = path.read_bytes()
    path.write_bytes(good[:offset] + bytes(count) + good[offset + count :])
    return good


def test_of_an_object_that_a_failed_tile_cuts_all_that_was_found_is_kept(
    bench: Bench, fragile: Path
) -> None:
    bench = bench.with_tiles(128)
    bench.run(fragile, "whole")
    (whole,) = outlines_of(bench, fragile, "whole")
    assert whole.bounds == (700, 836, 960, 940)
    good = damage(fragile)
    failed = bench.run(fragile)
    assert (failed.status, failed.tiles.failed) == ("failed", 1)
    found = {outline.bounds for outline in outlines_of(bench, fragile, "out")}
    # Its core is 800..880 in x and y; its neighbours see 12 px of it.
    assert found == {(700, 836, 812, 848), (868, 836, 960, 848), (836, 868, 846, 940)}
    fragile.write_bytes(good)
    assert bench.run(fragile).status == "complete"
    assert files_of(bench.folder / "whole/slide") == files_of(bench.folder / "out/slide")
