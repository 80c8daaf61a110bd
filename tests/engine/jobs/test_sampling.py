"""Every way in which a model may want to see a slide, with every kind of network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from shapely.geometry import shape
from tests.engine.jobs.conftest import Bench, discs, patches, write_png

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.manifest import Task, TileSpec
from tilescope.domain.scale import AtObjectSize, AtPixelSize, FitWithin, Native, Sampling
from tilescope.errors import BudgetTooSmall, PixelSizeUnknown
from tilescope.testing.toy import ToyAdapter
from tilescope.testing.toy_tasks import (
    BoxAdapter,
    ClassAdapter,
    ScoreAdapter,
    ToyGraph,
    task_model,
)

CENTRES = [(x, y, 8.0) for x in range(20, 500, 30) for y in range(20, 400, 30)]
ADAPTERS: dict[Task, type] = {
    "instances": ToyAdapter,
    "semantic": ClassAdapter,
    "classification": ScoreAdapter,
    "detect": BoxAdapter,
}


def bench_of(bench: Bench, task: Task, sampling: Sampling, graph: ToyGraph | None = None) -> Bench:
    graph = graph or ToyGraph()
    margin = 24 if task in {"instances", "detect"} else 0
    tile = TileSpec(graph.fixed or Size(128, 128), 16, margin, 8, peak_bytes_per_px=64)
    model = task_model(bench.folder, task, ADAPTERS[task], graph, sampling=sampling, tile=tile)
    return Bench(bench.folder, model)


@pytest.fixture
def slide(bench: Bench) -> Path:
    return write_png(bench.folder / "slide.png", discs((416, 520), CENTRES))


@pytest.mark.parametrize("task", ADAPTERS)
@pytest.mark.parametrize("sampling", [AtPixelSize(0.5), AtObjectSize(12, 8)], ids=["um", "object"])
def test_micrometres_need_a_slide_that_says_its_own(
    bench: Bench, slide: Path, task: Task, sampling: Sampling
) -> None:
    bench = bench_of(bench, task, sampling)
    if not (task == "instances" and isinstance(sampling, AtObjectSize)):
        with pytest.raises(PixelSizeUnknown, match="the slide does not say") as caught:
            bench.run(slide)
        assert caught.value.takes_diameter == isinstance(sampling, AtObjectSize)
        assert not (bench.folder / "out").exists()
    report = bench.run(slide, um_per_px=0.25)
    assert report.status == "complete"
    if isinstance(sampling, AtPixelSize):
        assert report.scale["factor"] == 2.0
        assert report.scale["source"] == "pixel-size"


@pytest.mark.parametrize("task", ["semantic", "classification", "detect"])
def test_the_size_of_objects_does_instead(bench: Bench, slide: Path, task: Task) -> None:
    bench = bench_of(bench, task, AtObjectSize(12, 8))
    report = bench.run(slide, parameters={"diameter_px": 18.0})
    assert report.scale["factor"] == 1.5
    assert report.scale["source"] == "given"


@pytest.mark.parametrize("task", ADAPTERS)
@pytest.mark.parametrize("fixed", [None, Size(128, 128)], ids=["any", "fixed"])
def test_a_whole_image_is_shrunk_into_one_tile(
    bench: Bench, slide: Path, task: Task, fixed: Size | None
) -> None:
    graph = ToyGraph(fixed=fixed, is_global=True)
    report = bench_of(bench, task, FitWithin(120), graph).run(slide)
    assert report.status == "complete"
    assert report.tiles.total == report.tiles.done == 1
    assert report.scale["factor"] == pytest.approx(520 / 120)
    assert report.halo_exact
    if task == "semantic":
        found = zarr.open_array(bench.folder / "out/slide/labels.ome.zarr/0", mode="r")
        assert found.shape == (96, 120)


def test_of_a_whole_image_a_region_is_an_image(bench: Bench, slide: Path) -> None:
    region = Rect(100, 50, 340, 170)
    report = bench_of(bench, "semantic", FitWithin(120)).run(slide, region_l0=region)
    assert report.scale["factor"] == 2.0
    found = zarr.open_array(bench.folder / "out/slide/labels.ome.zarr/0", mode="r")
    assert found.shape == (60, 120)


def test_a_whole_image_that_does_not_fit_says_what_would_do(bench: Bench, slide: Path) -> None:
    bench = bench_of(bench, "semantic", FitWithin(4096))
    with pytest.raises(BudgetTooSmall) as caught:
        bench.run(slide, memory_bytes=2**20)
    assert bench.run(slide, memory_bytes=caught.value.needed_bytes + 2**26).status == "complete"


@pytest.mark.parametrize(
    "graph",
    [
        ToyGraph(stride=2),
        ToyGraph(fixed=Size(96, 128)),
        ToyGraph(fixed=Size(128, 96), stride=2),
        ToyGraph(padded=False),
        ToyGraph(fixed=Size(128, 128), padded=False),
    ],
    ids=["coarse", "fixed", "coarse-fixed", "unpadded", "unpadded-fixed"],
)
def test_objects_come_out_of_any_network(bench: Bench, slide: Path, graph: ToyGraph) -> None:
    report = bench_of(bench, "instances", Native(), graph).run(slide)
    assert report.status == "complete"
    assert report.objects == len(CENTRES)
    for feature in bench.features(slide):
        found = shape(feature["geometry"])
        centre = (found.centroid.x - 0.5, found.centroid.y - 0.5)
        distance = min(np.hypot(centre[0] - x, centre[1] - y) for x, y, _ in CENTRES)
        assert distance < 0.8 * graph.stride
        # A brightness of 0.3 lies a little outside the disc.
        assert found.area == pytest.approx(np.pi * 9**2, rel=0.2)


def test_the_scale_is_measured_with_the_only_size_a_network_takes(bench: Bench) -> None:
    centres = [(x, y, 15.0) for x in range(40, 600, 70) for y in range(40, 600, 70)]
    slide = write_png(bench.folder / "slide.png", discs((600, 600), centres))
    graph = ToyGraph(fixed=Size(192, 160))
    report = bench_of(bench, "instances", AtObjectSize(12, 8), graph).run(slide)
    assert report.scale["source"] == "measured"
    assert report.scale["diameter_px"] == pytest.approx(32, rel=0.15)
    assert report.objects == len(centres)


def test_a_map_at_half_the_scale_has_the_classes_of_its_pixels(
    bench: Bench, rng: np.random.Generator
) -> None:
    slide = write_png(bench.folder / "slide.png", patches(rng, 400, 560))
    bench_of(bench, "semantic", Native()).run(slide, "fine", um_per_px=0.5)
    bench_of(bench, "semantic", AtPixelSize(1.0)).run(slide, "coarse", um_per_px=0.5)
    fine, coarse = (
        zarr.open_array(bench.folder / out / "slide/labels.ome.zarr/0", mode="r")[:]
        for out in ("fine", "coarse")
    )
    assert coarse.shape == (200, 280)
    assert (fine[::2, ::2] == coarse).mean() > 0.7
