"""Runs inside areas: exactly what a run over the whole slide finds there, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
import zarr
from shapely.geometry import shape
from tests.engine.jobs.conftest import Bench, discs, write_png
from tests.engine.jobs.killing import files_of, killed_run
from tests.engine.jobs.task_models import boxes, instances

from tilescope.domain.geometry import Rect, Size
from tilescope.errors import RunMismatch, UsageError
from tilescope.inference.grid import WorkingGrid
from tilescope.inference.planner import Margins, plan_blocks
from tilescope.jobs.request import RunProgress
from tilescope.jobs.run_model import follow, run_model
from tilescope.jobs.running.planning import Cut
from tilescope.jobs.running.tiles_within import tiles_within
from tilescope.ops.areas import Areas
from tilescope.plugins.registry import find_model
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project

CENTRES = [(x, y, 6.0) for x in range(15, 500, 20) for y in range(15, 400, 20)]
RING = shapely.Point(300, 200).buffer(120).difference(shapely.Point(300, 200).buffer(60))
BOW_TIE = shapely.Polygon([(20, 20), (120, 120), (120, 20), (20, 120)])
SMALL = shapely.box(60, 300, 131, 371)


def inner_point(polygon: shapely.Geometry) -> shapely.Geometry:
    centre = polygon.centroid
    return centre if polygon.intersects(centre) else polygon.point_on_surface()


def outlines(bench: Bench, slide: Path, out: str) -> list[shapely.Geometry]:
    return [shape(feature["geometry"]) for feature in bench.features(slide, out)]


def inside(found: Sequence[shapely.Geometry], areas: Areas) -> set[str]:
    whole = shapely.union_all(areas.polygons)
    return {polygon.wkt for polygon in found if whole.intersects(inner_point(polygon))}


def assert_as_in_the_whole(bench: Bench, slide: Path, areas: Areas, out: str = "part") -> int:
    """Compare a run inside areas with one over everything; return how many objects it has."""
    if not (bench.folder / "whole").exists():
        bench.run(slide, "whole")
    report = bench.run(slide, out, within=areas)
    assert report.status == "complete"
    found = outlines(bench, slide, out)
    assert {polygon.wkt for polygon in found} == inside(outlines(bench, slide, "whole"), areas)
    assert len({polygon.wkt for polygon in found}) == len(found) == report.objects
    return len(found)


@pytest.fixture
def slide(bench: Bench) -> Path:
    return write_png(bench.folder / "slide.png", discs((416, 520), CENTRES))


def test_of_a_ring_a_bow_tie_and_a_box_what_lies_in_any_of_them(bench: Bench, slide: Path) -> None:
    bench = bench.with_tiles(128)
    areas = Areas.of([RING, BOW_TIE, SMALL, SMALL.buffer(-5)])
    count = assert_as_in_the_whole(bench, slide, areas)
    assert 100 < count < len(CENTRES) / 2


@pytest.mark.parametrize("at", [79, 80, 81, 90])
def test_an_area_that_ends_at_a_seam(bench: Bench, slide: Path, at: int) -> None:
    # Cores are 80 px wide; a disc that crosses the seam belongs to the side of its centre.
    areas = Areas.of([shapely.box(at, 20, at + 17.3, 60)])
    assert assert_as_in_the_whole(bench.with_tiles(128), slide, areas) > 0


def test_objects_much_larger_than_what_a_tile_sees_are_whole(bench: Bench) -> None:
    picture = np.zeros((416, 520), np.uint8)
    picture[40:52, 20:500] = 220  # across a row of tiles
    picture[80:400, 30:42] = 220  # across a column
    picture[120:400, 100:112] = 220  # a U whose arms end in other tiles than its bow
    picture[388:400, 100:300] = 220
    picture[120:400, 288:300] = 220
    slide = write_png(bench.folder / "slide.png", picture)
    bench = bench.with_tiles(128)
    counts = []
    for part in (
        shapely.box(250, 30, 270, 60),  # the middle of the first
        shapely.box(20, 20, 60, 60),  # an end of it
        shapely.box(25, 230, 50, 250),  # the middle of the second
        shapely.box(150, 200, 250, 330),  # the centre of the U, which does not cover it
        shapely.box(99, 250, 113, 280),  # the middle of an arm
        shapely.box(90, 110, 310, 405),  # all of the U
    ):
        count = assert_as_in_the_whole(bench, slide, Areas.of([part]), f"part{len(counts)}")
        counts.append(count)
    assert counts[:4] == [1, 0, 1, 0]
    assert counts[5] == 1


@pytest.mark.parametrize("maker", [instances, boxes], ids=["instances", "boxes"])
@pytest.mark.parametrize("seed", range(4))
def test_random_scenes_and_areas(bench: Bench, maker, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(v) for v in rng.integers(300, 480, 2))
    centres = [
        (*rng.uniform([0, 0], [width, height]), rng.choice([3.0, 6.0, 12.0, 30.0]))
        for _ in range(30)
    ]
    slide = write_png(bench.folder / "slide.png", discs((height, width), centres))
    areas = Areas.of(
        shapely.Point(rng.uniform([0, 0], [width, height])).buffer(rng.uniform(5, 60))
        for _ in range(6)
    )
    assert_as_in_the_whole(bench.using(maker), slide, areas)


def test_a_real_slide_with_the_shipped_model(tmp_path: Path, hes_slide: Path) -> None:
    model = find_model("nuclei-unet")
    tile = replace(model.spec.tile, size=Size(512, 512))
    bench = Bench(tmp_path, replace(model, spec=replace(model.spec, tile=tile)))
    options = {"memory_bytes": 2**32, "formats": ("geojson",)}
    options["region_l0"] = Rect(1000, 700, 1500, 1200)
    areas = Areas.of([shapely.Point(1230, 900).buffer(70), shapely.box(1240, 800, 1290, 1000)])
    whole = bench.run(hes_slide, "whole", **options)
    part = bench.run(hes_slide, "part", within=areas, **options)
    assert 1 < part.tiles.total <= whole.tiles.total
    found = outlines(bench, hes_slide, "part")
    assert {polygon.wkt for polygon in found} == inside(outlines(bench, hes_slide, "whole"), areas)
    assert 5 <= len(found) == part.objects < whole.objects


def test_the_scale_is_measured_as_without_areas(tmp_path: Path, dapi_image: Path) -> None:
    bench = Bench(tmp_path, find_model("nuclei-unet"))
    areas = Areas.of([shapely.box(100, 60, 200, 230)])
    whole = bench.run(dapi_image, "whole")
    part = bench.run(dapi_image, "part", within=areas)
    assert part.scale == whole.scale
    assert part.scale["source"] == "measured"
    found = {polygon.wkt for polygon in outlines(bench, dapi_image, "part")}
    assert found == inside(outlines(bench, dapi_image, "whole"), areas)
    assert found


def test_only_tiles_near_the_areas_are_run(bench: Bench, slide: Path) -> None:
    bench = bench.with_tiles(128)
    whole = bench.run(slide, "whole")
    areas = Areas.of([shapely.box(100, 100, 120, 120), shapely.box(420, 340, 430, 350)])
    part = bench.run(slide, "part", within=areas)
    assert part.tiles.total <= 3 < whole.tiles.total
    assert part.tiles.done == part.tiles.total
    assert part.within == {
        "areas": 2,
        "sha256": areas.sha256,
        "rect": "100,100,330,250",
    }
    stored = json.loads((bench.folder / "part/slide/run.json").read_text())
    assert stored["within"] == part.within
    labels = zarr.open_array(bench.folder / "part/slide/labels.ome.zarr/0", mode="r")
    assert labels.shape == (250, 330)


def test_background_is_skipped_inside_the_areas_too(bench: Bench) -> None:
    slide = write_png(bench.folder / "slide.png", discs((416, 1200), CENTRES))
    areas = Areas.of([shapely.box(900, 10, 1190, 400), shapely.box(40, 40, 60, 60)])
    report = bench.with_tiles(128).run(slide, within=areas)
    assert report.tiles.skipped_background > report.tiles.done > 0


def test_a_region_and_areas_hold_together(bench: Bench, slide: Path) -> None:
    bench = bench.with_tiles(128)
    region, areas = Rect(200, 0, 420, 416), Areas.of([RING])
    report = bench.run(slide, region_l0=region, within=areas)
    centres = [shapely.Point(x + 0.5, y + 0.5) for x, y, _ in CENTRES if 200 <= x + 0.5 < 420]
    assert report.objects == sum(bool(RING.intersects(centre)) for centre in centres)
    assert report.within["rect"] == "200,80,220,240"


@pytest.mark.parametrize(
    "changes", [{}, {"region_l0": Rect(0, 0, 50, 50)}], ids=["slide", "region"]
)
def test_areas_beside_the_slide_are_said_before_anything_is_written(
    bench: Bench, slide: Path, changes: dict
) -> None:
    areas = Areas.of([shapely.box(520, 0, 900, 416), shapely.box(-9, -9, 0, 0)])
    with pytest.raises(UsageError, match=r"none of the 2 areas .* outlines of this slide"):
        bench.run(slide, within=areas, **changes)
    assert not (bench.folder / "out").exists()


def test_what_is_told_is_what_is_written(bench: Bench, slide: Path) -> None:
    bench = bench.with_tiles(128)
    request = bench.request(slide, within=Areas.of([RING]))
    told: list[str] = []
    for event in follow(request, CancellationToken()):
        if event.objects is not None:
            told += [shapely.Polygon(ring).normalize().wkt for ring in event.objects]
    written = [polygon.normalize().wkt for polygon in outlines(bench, slide, "out")]
    assert sorted(told) == sorted(written)


def test_a_cancelled_run_goes_on_inside_the_same_areas(bench: Bench, slide: Path) -> None:
    bench, areas = bench.with_tiles(128), Areas.of([RING, SMALL])
    token = CancellationToken()

    def stop_after_three(progress: RunProgress) -> None:
        if progress.tiles_done >= 3:
            token.cancel()

    request = bench.request(slide, within=areas)
    assert run_model(request, token, stop_after_three).status == "cancelled"
    # The same areas in another order, beginning elsewhere, are the same.
    again = Areas.of([SMALL.reverse(), RING])
    assert bench.run(slide, within=again).status == "complete"
    bench.run(slide, "fresh", within=areas)
    assert files_of(bench.folder / "out/slide") == files_of(bench.folder / "fresh/slide")


def test_killed_again_and_again_it_ends_in_the_same_bytes(bench: Bench) -> None:
    picture = discs(
        (560, 560), [(x, y, 6.0) for x in range(15, 560, 25) for y in range(90, 560, 25)]
    )
    picture[40:52, 20:540] = 220  # reaches into tiles that come near no area
    slide = write_png(bench.folder / "slide.png", picture)
    area = shapely.union(shapely.box(200, 30, 320, 70), shapely.Point(280, 300).buffer(140))
    made = "tests.engine.jobs.task_models:instances"
    stages = killed_run(bench.folder, slide, made, kills=5, within=area.wkt)
    assert stages.count(".") >= 5
    bench.using(instances).run(slide, "fresh", within=Areas.of([area]))
    assert files_of(bench.folder / "killed/slide") == files_of(bench.folder / "fresh/slide")
    longest = max(outlines(bench, slide, "fresh"), key=lambda polygon: polygon.area)
    assert longest.bounds == (20, 40, 540, 52)


def test_other_areas_are_another_run(bench: Bench, slide: Path) -> None:
    bench.run(slide, within=Areas.of([RING]))
    with pytest.raises(RunMismatch, match=r"areas was 1 area with sha256 .*, now 2 areas"):
        bench.run(slide, within=Areas.of([RING, SMALL]))
    with pytest.raises(RunMismatch, match=r"areas was 1 area with .*, now unset"):
        bench.run(slide)
    bench.run(slide, "whole")
    with pytest.raises(RunMismatch, match="areas was unset, now 1 area "):
        bench.run(slide, "whole", within=Areas.of([RING]))
    ids = [{f["id"] for f in bench.features(slide, out)} for out in ("out", "whole")]
    assert not ids[0] & ids[1]


def test_a_project_keeps_which_areas_they_were(bench: Bench, slide: Path) -> None:
    study, ring, small = bench.folder / "study.tilescope", Areas.of([RING]), Areas.of([SMALL])
    in_ring = bench.run(slide, "ring", project=study, within=ring).objects
    in_small = bench.run(slide, "small", project=study, within=small).objects
    bench.run(slide, "ring", project=study, within=ring)
    with Project.open(study) as project:
        stored = [one for batch in project.objects() for one in batch]
        details = [run.detail for run in project.runs()]
    # Neither takes the place of the other; the repetition took its own.
    assert len(stored) == in_ring + in_small
    assert [detail["areas"]["sha256"] for detail in details] == [
        *(ring.sha256, small.sha256, ring.sha256)
    ]
    told = {one.author.detail["areas"]["sha256"] for one in stored}
    assert told == {ring.sha256, small.sha256}
    assert all(one.author.detail["areas"]["count"] == 1 for one in stored)


@pytest.mark.parametrize(("gap", "is_near"), [(0, True), (13, True), (15, False)])
def test_a_tile_that_may_own_a_bent_object_in_an_area_is_run(
    bench: Bench, gap: int, is_near: bool
) -> None:
    # The centre of mass decides whose it is, a point on it whether it lies in the area; the owner
    # sees all of it, so they are no farther apart than it looks beyond its core: 12 px.
    grid = WorkingGrid.over(Size(400, 300), 2.0, 8)
    plan = plan_blocks(grid, Rect(0, 0, 200, 150), Margins(2, 12), 128)
    core = plan.blocks[0].core
    x0 = 2 * (core.x1 + gap)
    areas = Areas.of([shapely.box(x0 + 0.5, 20, x0 + 9, 30)])
    near = tiles_within(areas, Cut(plan, Size(128, 128), is_exact=True), bench.model.spec)
    assert near[1]
    assert near[0] == is_near
