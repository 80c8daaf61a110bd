"""Class maps and heat maps: equal to one run over everything, whatever happens on the way."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr_models.v04.image import Image
from ome_zarr_models.v04.image_label import ImageLabel
from tests.engine.jobs.conftest import Bench, patches, write_png
from tests.engine.jobs.killing import files_of, killed_run
from tests.engine.jobs.task_models import blended, classes, classes_at_once, heat

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.manifest import TileSpec
from tilescope.domain.scale import AtPixelSize
from tilescope.errors import UsageError
from tilescope.exchange.classmap import classes_of
from tilescope.inference.session import OnnxSession
from tilescope.jobs.report import RunReport
from tilescope.jobs.request import RunProgress
from tilescope.jobs.run_model import run_model
from tilescope.ops.feather import FeatherBand, overlap_of
from tilescope.plugins.api import ClassMap
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.toy_tasks import (
    ClassAdapter,
    HeatAdapter,
    LogitAdapter,
    ToyGraph,
    class_probabilities,
    task_model,
)

MODULE = "tests.engine.jobs.task_models"


@pytest.fixture
def picture(rng: np.random.Generator) -> np.ndarray:
    return patches(rng, 400, 560)


@pytest.fixture
def slide(bench: Bench, picture: np.ndarray) -> Path:
    return write_png(bench.folder / "slide.png", picture)


def map_of(bench: Bench, out: str, name: str = "labels.ome.zarr", level: int = 0) -> np.ndarray:
    return zarr.open_array(bench.folder / out / "slide" / name / str(level), mode="r")[:]


def contrast_of(report: RunReport) -> tuple[float, float]:
    return report.contrast["low"][0], report.contrast["high"][0]


def blurred_whole(graph: ToyGraph, picture: np.ndarray, report: RunReport) -> np.ndarray:
    """Return what the graph says of the whole picture in one run."""
    low, high = contrast_of(report)
    grey = ((picture.astype(np.float32) - np.float32(low)) / np.float32(high - low))[None, None]
    with OnnxSession(graph.as_bytes(), threads=1) as session:
        return session.run({"image": grey}, CancellationToken())["blurred"][0, 0]


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_tiles_give_what_one_run_over_the_whole_gives(
    bench: Bench, slide: Path, picture: np.ndarray, stride: int
) -> None:
    graph = ToyGraph(stride=stride)
    model = task_model(bench.folder, "semantic", ClassAdapter, graph)
    report = Bench(bench.folder, model).run(slide)
    assert report.status == "complete"
    assert report.tiles.total > 15
    assert report.halo_exact
    assert not report.blended
    expected = classes_of(class_probabilities(blurred_whole(graph, picture, report)), 0.5)
    found = map_of(bench, "out")
    np.testing.assert_array_equal(found, expected)
    assert set(np.unique(found)) >= {1, 2, 3}


@pytest.mark.parametrize(
    "graph",
    [ToyGraph(fixed=Size(96, 128)), ToyGraph(fixed=Size(96, 128), stride=2)],
    ids=["same", "coarser"],
)
def test_a_network_of_one_input_size_gives_the_same_as_one_of_any(
    bench: Bench, slide: Path, graph: ToyGraph
) -> None:
    fixed = task_model(bench.folder, "semantic", ClassAdapter, graph)
    report = Bench(bench.folder, fixed).run(slide, "fixed")
    assert report.status == "complete"
    assert report.halo_exact
    free = task_model(bench.folder, "semantic", ClassAdapter, ToyGraph(stride=graph.stride))
    Bench(bench.folder, free).run(slide, "free")
    np.testing.assert_array_equal(map_of(bench, "fixed"), map_of(bench, "free"))


def test_a_slide_smaller_than_the_only_tile_is_padded(bench: Bench, picture: np.ndarray) -> None:
    slide = write_png(bench.folder / "slide.png", picture[:50, :70])
    graph = ToyGraph(fixed=Size(96, 128))
    model = task_model(bench.folder, "semantic", ClassAdapter, graph)
    report = Bench(bench.folder, model).run(slide)
    assert report.tiles.total == 1
    white = np.zeros((128, 96), np.uint8)
    white[:50, :70] = picture[:50, :70]
    expected = classes_of(class_probabilities(blurred_whole(graph, white, report)), 0.5)
    np.testing.assert_array_equal(map_of(bench, "out"), expected[:50, :70])


@pytest.mark.parametrize("fixed", [None, Size(96, 128)], ids=["any", "fixed"])
def test_a_network_without_padding_reaches_the_edge_of_the_slide(
    bench: Bench, slide: Path, picture: np.ndarray, fixed: Size | None
) -> None:
    model = task_model(bench.folder, "semantic", ClassAdapter, ToyGraph(fixed=fixed, padded=False))
    report = Bench(bench.folder, model).run(slide)
    assert report.status == "complete"
    assert report.halo_exact
    # Around the slide is background, which is black as the picture has one band.
    around = np.pad(picture, 2)
    whole = blurred_whole(ToyGraph(padded=False), around, report)
    found = map_of(bench, "out")
    expected = classes_of(class_probabilities(whole), 0.5)
    np.testing.assert_array_equal(found, expected)


def test_a_region_is_a_part_of_the_whole_map(bench: Bench, slide: Path) -> None:
    bench = bench.using(classes)
    bench.run(slide)
    region = Rect(37, 90, 301, 333)
    report = bench.run(slide, "part", region_l0=region)
    part = map_of(bench, "part")
    np.testing.assert_array_equal(part, map_of(bench, "out")[90:333, 37:301])
    group = zarr.open_group(bench.folder / "part/slide/labels.ome.zarr", mode="r")
    dataset = group.attrs["multiscales"][0]["datasets"][0]
    assert dataset["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 1.0]},
        {"type": "translation", "translation": [90.0, 37.0]},
    ]
    assert sum(area["px"] for area in report.areas) == np.count_nonzero(part)


def test_metadata_say_what_the_numbers_mean_and_where_they_lie(
    bench: Bench, picture: np.ndarray
) -> None:
    slide = bench.folder / "slide.tif"
    tifffile.imwrite(
        slide,
        np.repeat(picture[..., None], 3, axis=2),
        tile=(128, 128),
        resolution=(1e4 / 0.25, 1e4 / 0.25),
        resolutionunit="CENTIMETER",
    )
    model = task_model(
        bench.folder, "semantic", ClassAdapter, ToyGraph(stride=2), sampling=AtPixelSize(0.5)
    )
    report = Bench(bench.folder, model).run(slide)
    path = bench.folder / "out/slide/labels.ome.zarr"
    group = zarr.open_group(path, mode="r")
    ImageLabel.from_zarr(group)
    told = group.attrs["image-label"]
    assert [c["label-value"] for c in told["colors"]] == [1, 2, 3]
    assert [p["class"] for p in told["properties"]] == ["dark", "medium", "light"]
    assert (path / told["source"]["image"]).resolve() == slide
    multiscale = group.attrs["multiscales"][0]
    assert multiscale["axes"][0] == {"name": "y", "type": "space", "unit": "micrometer"}
    # Two working pixels of two level-0 pixels of 0.25 um; the centre of the first lies 1.5 on.
    assert multiscale["datasets"][0]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 1.0]},
        {"type": "translation", "translation": [0.375, 0.375]},
    ]
    assert group["0"].shape == (100, 140)
    found = map_of(bench, "out")
    with (bench.folder / "out/slide/areas.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["Classification"] for row in rows] == ["dark", "medium", "light"]
    for value, (row, area) in enumerate(zip(rows, report.areas, strict=True), 1):
        count = np.count_nonzero(found == value)
        assert float(row["Area px^2"]) == pytest.approx(count * 16)
        assert float(row["Area µm^2"]) == pytest.approx(count, rel=1e-3)
        assert area["um2"] == pytest.approx(count, rel=1e-3)
    assert sum(float(row["Share"]) for row in rows) == pytest.approx(1, abs=1e-5)
    stored = json.loads((bench.folder / "out/slide/run.json").read_text())
    assert stored["areas"] == report.areas
    assert stored["task"] == "semantic"


def test_every_level_takes_every_second_pixel(bench: Bench, rng: np.random.Generator) -> None:
    write_png(bench.folder / "slide.png", patches(rng, 1100, 1500))
    bench.using(classes).run(bench.folder / "slide.png")
    whole = map_of(bench, "out")
    for level in (1, 2):
        step = 2**level
        np.testing.assert_array_equal(map_of(bench, "out", level=level), whole[::step, ::step])


def test_one_class_is_a_heat_map_and_a_mask(bench: Bench, slide: Path, picture: np.ndarray) -> None:
    report = bench.using(heat).run(slide, parameters={"threshold": 0.4})
    assert set(report.outputs) == {"ome-zarr", "heatmap", "csv", "overview"}
    assert report.parameters["threshold"] == 0.4
    found = map_of(bench, "out", "heatmap.ome.zarr")
    assert found.dtype == np.uint8
    expected = blurred_whole(ToyGraph(), picture, report).clip(0, 1) * 255
    assert np.abs(found[0] - expected).max() <= 0.5 + 1e-3
    np.testing.assert_array_equal(map_of(bench, "out"), found[0] >= 0.4 * 255)
    coarse = map_of(bench, "out", "heatmap.ome.zarr", 1)
    means = found[0].reshape(200, 2, 280, 2).mean(axis=(1, 3))
    assert np.abs(coarse[0] - means).max() <= 0.5
    group = zarr.open_group(bench.folder / "out/slide/heatmap.ome.zarr", mode="r")
    Image.from_zarr(group)
    levels = group.attrs["multiscales"][0]["datasets"]
    moved = [d["coordinateTransformations"][1]["translation"][2] for d in levels]
    assert moved == [0.0, 0.5]
    assert group.attrs["omero"]["channels"][0]["label"] == "bright"


def test_a_class_below_the_threshold_is_background(bench: Bench, slide: Path) -> None:
    bench = bench.using(classes)
    bench.run(slide)
    bench.run(slide, "strict", parameters={"threshold": 0.999})
    loose, strict = map_of(bench, "out"), map_of(bench, "strict")
    assert np.count_nonzero(strict) < np.count_nonzero(loose)
    np.testing.assert_array_equal(strict[strict > 0], loose[strict > 0])
    with pytest.raises(UsageError, match=r"threshold = 7 is not in 0\.\.1"):
        bench.run(slide, "wrong", parameters={"threshold": 7.0})


def feathered(model, picture: np.ndarray, report: RunReport, plan: list[Rect]) -> np.ndarray:
    """Return the classes by blending the blocks of a plan in one band, row by row."""
    low, high = contrast_of(report)
    height, width = picture.shape
    band = FeatherBand(0, width, 0, 3)
    with OnnxSession(model.verified_weights(), threads=1) as session:
        for rect in plan:
            pixels = picture[rect.y0 : rect.y1, rect.x0 : rect.x1].astype(np.float32)
            grey = ((pixels - np.float32(low)) / np.float32(high - low))[None, None]
            outputs = session.run({"image": grey}, CancellationToken())
            probabilities = class_probabilities(outputs["blurred"][0, 0])
            others = [other for other in plan if other != rect]
            band.add(probabilities, rect.x0, rect.y0, overlap_of(rect, others))
        values, _ = band.take(height)
    return values


def test_without_a_finite_halo_neighbours_are_blended(
    bench: Bench, slide: Path, picture: np.ndarray
) -> None:
    bench = bench.using(blended)
    report = bench.run(slide)
    assert report.status == "complete"
    assert report.blended
    assert not report.halo_exact
    assert "everything" in (report.halo_inexact_because or "")
    # Cores of 80 px, seen with 16 px around them.
    cores = [(x, y) for y in range(0, 400, 80) for x in range(0, 560, 80)]
    image = Rect(0, 0, 560, 400)
    plan = [Rect(x, y, x + 80, y + 80).expanded(16).intersect(image) for x, y in cores]
    assert report.tiles.total == len(plan)
    values = feathered(bench.model, picture, report, plan)
    found, expected = map_of(bench, "out"), classes_of(values, 0.5)
    # Stored in 65535ths on the way: only ties may go the other way.
    best = np.sort(values, axis=0)
    tie = (best[-1] - best[-2] < 1e-4) | (np.abs(best[-1] - 0.5) < 1e-4)
    np.testing.assert_array_equal(found[~tie], expected[~tie])
    assert tie.mean() < 0.01


@pytest.mark.parametrize(("maker", "kills"), [("classes", 8), ("blended", 30)])
def test_killed_again_and_again_it_ends_in_the_same_bytes(
    bench: Bench, rng: np.random.Generator, maker: str, kills: int
) -> None:
    slide = write_png(bench.folder / "slide.png", patches(rng, 700, 900))
    stages = killed_run(bench.folder, slide, f"{MODULE}:{maker}", kills)
    assert stages.count(".") == kills
    assert "w" in stages
    make = {"classes": classes, "blended": blended}[maker]
    assert bench.using(make).run(slide, "fresh").status == "complete"
    killed = files_of(bench.folder / "killed/slide")
    assert killed == files_of(bench.folder / "fresh/slide")
    assert "labels.ome.zarr/0/0/0" in killed


@dataclass(frozen=True)
class FragileSlide:
    """A slide, one tile of which can be damaged and mended."""

    path: Path
    good: bytes
    place: slice

    def damage(self) -> None:
        damaged = bytearray(self.good)
        damaged[self.place] = bytes(self.place.stop - self.place.start)
        self.path.write_bytes(damaged)

    def mend(self) -> None:
        self.path.write_bytes(self.good)


@pytest.fixture
def fragile(bench: Bench, rng: np.random.Generator) -> FragileSlide:
    # Noise is hardly compressed: the damage lies beyond the head, by which slides are told apart.
    picture = patches(rng, 800, 700)[..., None] // 2 + rng.integers(0, 120, (800, 700, 3))
    path = bench.folder / "slide.tif"
    tifffile.imwrite(path, picture.astype(np.uint8), tile=(128, 128), compression="zlib")
    with tifffile.TiffFile(path) as file:
        tags = file.pages.first.tags
        offset, count = (tags[name].value[38] for name in ("TileOffsets", "TileByteCounts"))
    assert offset > 2**20
    return FragileSlide(path, path.read_bytes(), slice(offset, offset + count))


@pytest.mark.parametrize("make", [classes, blended, heat])
def test_tiles_that_failed_are_made_anew_and_the_map_is_as_if_they_had_not(
    bench: Bench, fragile: FragileSlide, make: Callable[[Path], InstalledModel]
) -> None:
    bench = bench.using(make)
    bench.run(fragile.path, "whole")
    token = CancellationToken()

    def stop_early(progress: RunProgress) -> None:
        if progress.tiles_done >= 3:
            token.cancel()

    assert run_model(bench.request(fragile.path), token, stop_early).status == "cancelled"
    fragile.damage()
    failed = bench.run(fragile.path)
    assert failed.status == "failed"
    assert 0 < failed.tiles.failed < failed.tiles.total // 4
    assert failed.tiles.done + failed.tiles.failed == failed.tiles.total
    assert len(failed.errors) == failed.tiles.failed
    assert "slide.tif: reading tile" in failed.errors[0]
    assert np.count_nonzero(map_of(bench, "out")) > 0.8 * np.count_nonzero(map_of(bench, "whole"))
    fragile.mend()
    assert bench.run(fragile.path).status == "complete"
    assert files_of(bench.folder / "whole/slide") == files_of(bench.folder / "out/slide")


def test_a_slide_that_is_damaged_from_the_start_runs_as_far_as_it_can_be_read(
    bench: Bench, fragile: FragileSlide
) -> None:
    fragile.damage()
    report = bench.using(classes).run(fragile.path)
    assert report.status == "failed"
    assert 0 < report.tiles.failed < report.tiles.total // 4
    assert (bench.folder / "out/slide/overview.png").exists()


def test_glass_is_background_whatever_the_tiles(bench: Bench, rng: np.random.Generator) -> None:
    picture = np.full((900, 900, 3), 243, np.uint8)
    picture[300:620, 280:660] = patches(rng, 320, 380)[..., None] // 2
    slide = bench.folder / "slide.tif"
    tifffile.imwrite(
        slide,
        picture,
        tile=(128, 128),
        resolution=(1e4 / 0.5, 1e4 / 0.5),
        resolutionunit="CENTIMETER",
    )
    tiled = bench.using(classes).run(slide, "tiled")
    whole = bench.using(classes_at_once).run(slide, "whole")
    assert tiled.tiles.skipped_background > 0
    assert whole.tiles.skipped_background == 0
    found = map_of(bench, "tiled")
    np.testing.assert_array_equal(found, map_of(bench, "whole"))
    assert not found[:200].any()
    assert tiled.areas == whole.areas


class NanAdapter(ClassAdapter):
    """Divides by zero, as softmax does when nobody takes the maximum off."""

    def decode(self, outputs, parameters, /) -> ClassMap:
        found = super().decode(outputs, parameters)
        found.probabilities[:, 0, 0] = np.nan
        return found


class TwoClassAdapter(ClassAdapter):
    """Forgets a class."""

    def decode(self, outputs, parameters, /) -> ClassMap:
        return ClassMap(super().decode(outputs, parameters).probabilities[:2])


class HalfAdapter(ClassAdapter):
    """Cuts its result."""

    def decode(self, outputs, parameters, /) -> ClassMap:
        return ClassMap(super().decode(outputs, parameters).probabilities[:, 3:])


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (LogitAdapter, "is the activation missing"),
        (NanAdapter, "not finite"),
        (TwoClassAdapter, "2 probabilities for 3 classes"),
        (HalfAdapter, "a class map of"),
    ],
)
def test_what_is_no_class_map_is_said_of_every_tile(
    bench: Bench, slide: Path, adapter: type, message: str
) -> None:
    model = task_model(bench.folder, "semantic", adapter)
    report = Bench(bench.folder, model).run(slide)
    assert report.status == "failed"
    assert report.tiles.failed == report.tiles.total
    assert message in report.errors[0]
    assert not map_of(bench, "out").any()


def test_only_what_a_class_map_can_be_is_written(bench: Bench, slide: Path) -> None:
    bench = bench.using(classes)
    for changes, message in (
        ({"formats": ("geojson", "csv")}, "gives no geojson: choose among ome-zarr"),
        ({"project": bench.folder / "study.tilescope"}, "--project"),
    ):
        with pytest.raises(UsageError, match=message):
            bench.run(slide, **changes)
    assert not (bench.folder / "out").exists()
    report = bench.run(slide, formats=("csv",))
    assert set(report.outputs) == {"csv"}


def test_the_overview_shows_the_classes(bench: Bench, slide: Path) -> None:
    bench.using(classes).run(slide)
    overview = imagecodecs.png_decode((bench.folder / "out/slide/overview.png").read_bytes())
    assert overview.shape == (400, 560, 3)
    found = map_of(bench, "out")
    plain = overview[..., 0].astype(int) - overview[..., 2]
    # Green for the first class, yellow for the second, light blue for the third.
    assert np.median(plain[found == 2]) > 40
    assert np.median(plain[found == 3]) < -40


def test_the_halo_that_leaves_no_room_is_given_up_for_blending(
    bench: Bench, picture: np.ndarray
) -> None:
    slide = write_png(bench.folder / "slide.png", picture[:200, :280])
    fixed = Size(20, 20)
    model = task_model(
        bench.folder,
        "semantic",
        HeatAdapter,
        ToyGraph(fixed=fixed, blurs=4),
        tile=TileSpec(fixed, halo_px=2, decode_margin_px=0, multiple_of=4),
    )
    report = Bench(bench.folder, model).run(slide)
    assert report.status == "complete"
    assert report.blended
    assert report.halo_px == 2
    whole = blurred_whole(ToyGraph(blurs=4), picture[:200, :280], report)
    found = map_of(bench, "out", "heatmap.ome.zarr")[0]
    assert np.abs(found / 255 - whole.clip(0, 1)).mean() < 0.1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("make", [classes, blended])
def test_a_full_disk_stops_cleanly_and_the_run_resumes_when_there_is_room(
    bench: Bench, slide: Path, make: Callable[[Path], InstalledModel]
) -> None:
    disk = bench.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=144k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine does not allow mounting a small disk")
    bench = bench.using(make)
    try:
        report = bench.run(slide, "disk/out")
        assert report.status == "failed"
        assert "room" in report.errors[0]
        assert report.tiles.done < report.tiles.total
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert bench.run(slide, "disk/out").status == "complete"
        # As deep as the other, as the labels say where the slide is from where they are.
        bench.run(slide, "fresh/out")
        assert files_of(disk / "out/slide") == files_of(bench.folder / "fresh/out/slide")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
