"""Maps and classified tiles inside areas: what a run over the whole slide says there."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import shapely
import zarr
from tests.engine.jobs.conftest import Bench, patches, write_png
from tests.engine.jobs.task_models import blended, classes, heat, scores

from tilescope.domain.scale import AtPixelSize
from tilescope.errors import UsageError
from tilescope.jobs.request import RunProgress
from tilescope.jobs.run_model import follow, run_model
from tilescope.ops.areas import Areas
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.toy_tasks import ClassAdapter, HeatAdapter, ToyGraph, task_model

RING = shapely.Point(300, 200).buffer(120).difference(shapely.Point(300, 200).buffer(60))
SMALL = shapely.box(60, 300, 131, 371)


def map_of(bench: Bench, out: str, name: str = "labels.ome.zarr") -> np.ndarray:
    return zarr.open_array(bench.folder / out / "slide" / name / "0", mode="r")[:]


def masked(whole: np.ndarray, areas: Areas, factor: int) -> np.ndarray:
    """Return a map of the whole slide with nothing but the pixels whose centre is in an area."""
    y, x = np.indices(whole.shape[-2:])
    united = shapely.union_all(areas.polygons)
    kept = shapely.intersects_xy(united, factor * (x + 0.5), factor * (y + 0.5))
    return np.where(kept, whole, 0)


@pytest.fixture
def patchwork(bench: Bench, rng: np.random.Generator) -> Path:
    return write_png(bench.folder / "slide.png", patches(rng, 400, 560))


@pytest.mark.parametrize("maker", [classes, blended], ids=["exact", "blended"])
def test_of_a_class_map_the_pixels_inside(bench: Bench, patchwork: Path, maker) -> None:
    bench, areas = bench.using(maker), Areas.of([RING, SMALL])
    whole = bench.run(patchwork, "whole")
    report = bench.run(patchwork, "part", within=areas)
    assert report.status == "complete"
    assert report.tiles.total < whole.tiles.total
    part = map_of(bench, "part")
    expected = masked(map_of(bench, "whole"), areas, 1)
    np.testing.assert_array_equal(part, expected[80:371, 60:420])
    counts = np.bincount(part.ravel(), minlength=4)
    assert (counts > 0).all()
    assert [area["px"] for area in report.areas] == counts[1:].tolist()
    with (bench.folder / "part/slide/areas.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["Area px^2"]) for row in rows] == counts[1:].tolist()


@pytest.mark.parametrize("x0", range(72, 113, 8))
def test_beside_a_seam_pixels_are_blended_as_in_the_whole(
    bench: Bench, patchwork: Path, x0: int
) -> None:
    model = task_model(bench.folder, "semantic", HeatAdapter, ToyGraph(is_global=True))
    bench, areas = Bench(bench.folder, model), Areas.of([shapely.box(x0, 100, x0 + 3, 160)])
    assert bench.run(patchwork, "whole").blended
    bench.run(patchwork, "part", within=areas)
    expected = map_of(bench, "whole", "heatmap.ome.zarr")[:, 100:160, x0 : x0 + 3]
    np.testing.assert_array_equal(map_of(bench, "part", "heatmap.ome.zarr"), expected)
    assert expected.any()


@pytest.mark.parametrize("maker", [classes, blended], ids=["exact", "blended"])
def test_what_is_told_while_it_runs_is_the_map(bench: Bench, patchwork: Path, maker) -> None:
    bench = bench.using(maker)
    request = bench.request(patchwork, within=Areas.of([RING]))
    told = np.zeros((400, 560), np.uint8)
    for event in follow(request, CancellationToken()):
        for area in event.areas:
            x0, y0, x1, y1 = (round(value) for value in area.rect_l0)
            told[y0:y1, x0:x1] = area.values
    np.testing.assert_array_equal(told[80:320, 180:420], map_of(bench, "out"))
    assert np.count_nonzero(told) == np.count_nonzero(map_of(bench, "out")) > 0


def test_of_a_coarser_map_too(bench: Bench, patchwork: Path) -> None:
    model = task_model(
        bench.folder, "semantic", ClassAdapter, ToyGraph(stride=2), sampling=AtPixelSize(0.5)
    )
    bench, areas = Bench(bench.folder, model), Areas.of([RING, SMALL])
    whole = bench.run(patchwork, "whole", um_per_px=0.25)
    report = bench.run(patchwork, "part", um_per_px=0.25, within=areas)
    assert whole.scale["factor"] == 2
    expected = masked(map_of(bench, "whole"), areas, 4)
    np.testing.assert_array_equal(map_of(bench, "part"), expected[20:93, 15:105])
    assert whole.areas != report.areas


def test_of_a_heat_map_the_pixels_inside(bench: Bench, patchwork: Path) -> None:
    bench, areas = bench.using(heat), Areas.of([RING])
    bench.run(patchwork, "whole")
    bench.run(patchwork, "part", within=areas)
    expected = masked(map_of(bench, "whole", "heatmap.ome.zarr"), areas, 1)
    part = map_of(bench, "part", "heatmap.ome.zarr")
    np.testing.assert_array_equal(part, expected[:, 80:320, 180:420])
    assert part.any()


def test_a_cancelled_map_goes_on_inside_the_same_areas(bench: Bench, patchwork: Path) -> None:
    bench, areas, token = bench.using(blended), Areas.of([RING]), CancellationToken()

    def stop_after_four(progress: RunProgress) -> None:
        if progress.tiles_done >= 4:
            token.cancel()

    request = bench.request(patchwork, within=areas)
    assert run_model(request, token, stop_after_four).status == "cancelled"
    assert bench.run(patchwork, within=areas).status == "complete"
    bench.run(patchwork, "fresh", within=areas)
    np.testing.assert_array_equal(map_of(bench, "out"), map_of(bench, "fresh"))


def test_tiles_whose_centre_lies_inside_are_judged(bench: Bench, patchwork: Path) -> None:
    bench, areas = bench.using(scores), Areas.of([RING, SMALL])

    def rows_of(out: str) -> list[dict[str, str]]:
        path = bench.folder / out / "slide/tiles.csv"
        with path.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    bench.run(patchwork, "whole")
    report = bench.run(patchwork, "part", within=areas)
    centres = [
        (row, [float(row["x"]) + float(row["w"]) / 2, float(row["y"]) + float(row["h"]) / 2])
        for row in rows_of("whole")
    ]
    expected = [row for row, centre in centres if areas.contain(np.array([centre]))[0]]
    assert rows_of("part") == expected
    assert report.tiles.total == report.tiles.done == len(expected) > 3
    total = sum(float(row["w"]) * float(row["h"]) for row in expected if row["Classification"])
    assert sum(area["px"] for area in report.areas) == pytest.approx(total)


def test_areas_between_the_centres_of_tiles_are_said(bench: Bench, patchwork: Path) -> None:
    # Tiles are 96 x 64 px.
    areas = Areas.of([shapely.box(60, 40, 140, 60)])
    with pytest.raises(UsageError, match=r"96 x 64 pixels, and none has its centre .* larger"):
        bench.using(scores).run(patchwork, within=areas)
