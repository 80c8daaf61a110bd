"""Tiles that are judged as a whole: heat map, table, areas and QuPath tiles agree."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr_models.v04.image import Image
from shapely.geometry import shape
from tests.engine.jobs.conftest import Bench, patches, write_png
from tests.engine.jobs.task_models import scores

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.scale import AtPixelSize, FitWithin
from tilescope.testing.toy_tasks import ScoreAdapter, ToyGraph, class_probabilities, task_model


@pytest.fixture
def slide(bench: Bench, rng: np.random.Generator) -> Path:
    # 8 x 6 tiles of 96 x 64 pixels, those at the right and below cut.
    return write_png(bench.folder / "slide.png", patches(rng, 360, 740))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_file_says_the_same_of_every_tile(bench: Bench, slide: Path) -> None:
    report = bench.using(scores).run(slide)
    assert report.status == "complete"
    assert report.task == "classification"
    assert set(report.outputs) == {"geojson", "ome-zarr", "csv", "areas", "overview"}
    folder = bench.folder / "out/slide"
    group = zarr.open_group(folder / "heatmap.ome.zarr", mode="r")
    Image.from_zarr(group)
    heat = group["0"][:]
    assert heat.shape == (3, 6, 8)
    assert heat.dtype == np.float32
    rows = rows_of(folder / "tiles.csv")
    features = bench.features(slide)
    assert len(rows) == len(features) == report.tiles.done == 48
    names = ["dark", "medium", "light"]
    areas = dict.fromkeys([*names, ""], 0.0)
    for row, feature in zip(rows, features, strict=True):
        x, y, w, h = (float(row[key]) for key in "xywh")
        found = heat[:, round(y / 64), round(x / 96)]
        told = [float(row[f"Probability {name}"]) for name in names]
        np.testing.assert_allclose(told, found, atol=1e-6)
        assert shape(feature["geometry"]).bounds == (x, y, x + w, y + h)
        properties = feature["properties"]
        assert properties["objectType"] == "tile"
        assert list(properties["measurements"].values()) == told
        best = names[int(np.argmax(found))] if found.max() >= 0.5 else ""
        assert row["Classification"] == best
        assert properties.get("classification", {}).get("name", "") == best
        areas[best] += w * h
    assert sum(areas.values()) == 360 * 740
    for row in rows_of(folder / "areas.csv"):
        assert float(row["Area px^2"]) == pytest.approx(areas[row["Classification"]])
    colours = {
        feature["properties"]["classification"]["name"]: tuple(
            feature["properties"]["classification"]["color"]
        )
        for feature in features
        if "classification" in feature["properties"]
    }
    assert len(set(colours.values())) == len(colours) > 1


def test_the_scores_are_those_of_the_tile_alone(bench: Bench, slide: Path) -> None:
    report = bench.using(scores).run(slide)
    low, high = report.contrast["low"][0], report.contrast["high"][0]
    picture = imagecodecs.png_decode(slide.read_bytes()).astype(np.float32)
    grey = (picture - np.float32(low)) / np.float32(high - low)
    tile = np.pad(grey[64:128, 192:288], 2)
    windows = np.lib.stride_tricks.sliding_window_view(tile, (5, 5))
    mean = np.float32(windows.mean(dtype=np.float64))
    heat = zarr.open_array(bench.folder / "out/slide/heatmap.ome.zarr/0", mode="r")[:, 1, 2]
    expected = class_probabilities(np.array([[mean]], np.float32))[:, 0, 0]
    np.testing.assert_allclose(heat, expected, atol=1e-4)


def test_a_pixel_of_the_heat_map_lies_on_its_tile(bench: Bench, rng: np.random.Generator) -> None:
    path = bench.folder / "slide.tif"
    tifffile.imwrite(
        path,
        patches(rng, 360, 740),
        tile=(128, 128),
        resolution=(1e4 / 0.25, 1e4 / 0.25),
        resolutionunit="CENTIMETER",
    )
    model = task_model(
        bench.folder,
        "classification",
        ScoreAdapter,
        ToyGraph(fixed=Size(96, 64)),
        sampling=AtPixelSize(0.5),
    )
    report = Bench(bench.folder, model).run(path, region_l0=Rect(100, 40, 700, 360))
    assert report.scale["factor"] == pytest.approx(2)
    group = zarr.open_group(bench.folder / "out/slide/heatmap.ome.zarr", mode="r")
    (dataset,) = group.attrs["multiscales"][0]["datasets"]
    scale, move = dataset["coordinateTransformations"]
    # Tiles of 96 x 64 working pixels of two level-0 pixels of a quarter micrometre.
    assert scale["scale"] == pytest.approx([1.0, 32.0, 48.0])
    centre = [0.25 * (40 + 64 - 0.5), 0.25 * (100 + 96 - 0.5)]
    assert move["translation"] == pytest.approx([0.0, *centre])
    rows = rows_of(bench.folder / "out/slide/tiles.csv")
    assert (float(rows[0]["x"]), float(rows[0]["y"])) == (100, 40)
    assert max(float(row["x"]) + float(row["w"]) for row in rows) == 700
    assert all(float(a["Area µm^2"]) >= 0 for a in rows_of(bench.folder / "out/slide/areas.csv"))


def test_glass_is_not_looked_at(bench: Bench, rng: np.random.Generator) -> None:
    picture = np.full((640, 960, 3), 243, np.uint8)
    picture[200:400, 300:600] = patches(rng, 200, 300)[..., None] // 2
    report = bench.using(scores).run(write_png(bench.folder / "slide.png", picture))
    assert report.tiles.skipped_background > 0
    heat = zarr.open_array(bench.folder / "out/slide/heatmap.ome.zarr/0", mode="r")[:]
    assert np.isnan(heat[0]).sum() == report.tiles.skipped_background
    assert len(rows_of(bench.folder / "out/slide/tiles.csv")) == report.tiles.done


def test_a_whole_image_is_one_tile(bench: Bench, slide: Path) -> None:
    graph = ToyGraph(fixed=Size(96, 64))
    model = task_model(bench.folder, "classification", ScoreAdapter, graph, sampling=FitWithin(96))
    report = Bench(bench.folder, model).run(slide)
    assert report.tiles.total == 1
    (row,) = rows_of(bench.folder / "out/slide/tiles.csv")
    assert [float(row[key]) for key in "xywh"] == [0, 0, 740, 360]


def test_a_run_that_was_repeated_costs_nothing_and_says_the_same(bench: Bench, slide: Path) -> None:
    bench = bench.using(scores)
    bench.run(slide)
    first = (bench.folder / "out/slide/objects.geojson").read_bytes()
    again = bench.run(slide)
    assert again.seconds.infer == 0
    assert (bench.folder / "out/slide/objects.geojson").read_bytes() == first
    assert json.loads(first)["features"]
