"""Class maps and heat maps as files: pyramids, tables and pictures of known arrays."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from ome_zarr_models.v04.image import Image
from ome_zarr_models.v04.image_label import ImageLabel

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.scale import PixelSize
from tilescope.errors import OutputError
from tilescope.exchange.classmap import classes_of, write_class_map
from tilescope.exchange.classmap_picture import draw_classes, draw_heat
from tilescope.exchange.classmap_pyramid import MapPlace
from tilescope.exchange.classmap_table import ScoredTile, class_areas, write_areas, write_tiles
from tilescope.exchange.heat import above, heat_of, write_heat_map, write_tile_scores
from tilescope.exchange.palette import class_colour


def place(shape: tuple[int, int], factor: float = 1.0, um: float | None = None) -> MapPlace:
    size = None if um is None else PixelSize(um, 2 * um)
    return MapPlace(Size(shape[1], shape[0]), (factor, factor), (40.0, 8.0), size)


def reader(values: np.ndarray, asked: list[Rect]):
    def read(rect: Rect) -> np.ndarray | None:
        asked.append(rect)
        part = values[rect.y0 : rect.y1, rect.x0 : rect.x1]
        return part if part.any() else None

    return read


def test_a_large_map_is_read_in_blocks_and_empty_ones_are_not_stored(tmp_path: Path) -> None:
    values = np.zeros((1403, 3601), np.uint8)
    values[1200:1350, 100:1200] = 2
    values[:7, :7] = 1
    asked: list[Rect] = []
    path = tmp_path / "labels.ome.zarr"
    write_class_map(
        path,
        reader(values, asked),
        place=place(values.shape, 4.0, 0.25),
        class_names=("a", "b"),
        source="../slide.svs",
    )
    group = zarr.open_group(path, mode="r")
    ImageLabel.from_zarr(group)
    levels = [group[str(level)][:] for level in range(4)]
    for level, found in enumerate(levels):
        np.testing.assert_array_equal(found, values[:: 2**level, :: 2**level])
    assert len(asked) == 8
    assert all(rect.width <= 1024 and rect.height <= 1024 for rect in asked)
    assert {p.name for p in (path / "0/0").iterdir()} == {"0"}
    assert {p.name for p in (path / "0/1").iterdir()} == {"0", "1"}
    datasets = group.attrs["multiscales"][0]["datasets"]
    scale, move = datasets[2]["coordinateTransformations"]
    assert scale["scale"] == [4 * 4 * 0.5, 4 * 4 * 0.25]
    # The first pixel of every level is that of the map, 4 x 4 pixels of the slide.
    assert move["translation"] == [0.5 * (8 + 1.5), 0.25 * (40 + 1.5)]


def test_more_classes_than_a_byte_holds(tmp_path: Path) -> None:
    values = np.arange(300, dtype=np.uint16).reshape(15, 20)
    names = [f"class {i}" for i in range(300)]
    path = tmp_path / "labels.ome.zarr"
    write_class_map(
        path, reader(values, []), place=place((15, 20)), class_names=names, source="a.svs"
    )
    found = zarr.open_array(path / "0", mode="r")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[:], values)
    probabilities = np.zeros((300, 1, 2), np.float32)
    probabilities[299, 0, 0] = probabilities[4, 0, 1] = 0.9
    assert classes_of(probabilities, 0.5).tolist() == [[300, 5]]


def test_the_likeliest_class_counts_from_the_threshold_on() -> None:
    probabilities = np.array([[[0.5, 0.4, 0.3]], [[0.5, 0.6, 0.49]]], np.float32)
    assert classes_of(probabilities, 0.5).tolist() == [[1, 2, 0]]
    assert classes_of(probabilities, 0.0).tolist() == [[1, 2, 2]]


def test_heat_is_halved_by_means(tmp_path: Path, rng: np.random.Generator) -> None:
    heat = rng.integers(0, 256, (601, 1303)).astype(np.uint8)
    path = tmp_path / "heatmap.ome.zarr"
    write_heat_map(path, reader(heat, []), place=place(heat.shape, 2.0), class_name="tumour")
    group = zarr.open_group(path, mode="r")
    Image.from_zarr(group)
    np.testing.assert_array_equal(group["0"][0], heat)
    means = heat[:600, :1302].reshape(300, 2, 651, 2).mean(axis=(1, 3))
    assert np.abs(group["1"][0][:300, :651] - means).max() <= 0.5
    assert group["1"].shape == (1, 301, 652)
    moves = [
        d["coordinateTransformations"][1]["translation"]
        for d in group.attrs["multiscales"][0]["datasets"]
    ]
    assert moves == [[0.0, 8.5, 40.5], [0.0, 9.5, 41.5], [0.0, 11.5, 43.5]]
    (channel,) = group.attrs["omero"]["channels"]
    assert channel["label"] == "tumour"
    assert bytes.fromhex(channel["color"]) == bytes(class_colour(0))


def test_probabilities_survive_in_255ths() -> None:
    values = np.linspace(0, 1, 1001, dtype=np.float32)
    heat = heat_of(values)
    assert np.abs(heat / 255 - values).max() <= 0.5 / 255 + 1e-6
    assert above(heat, 0.5).tolist() == (heat >= 127.5).astype(int).tolist()


def test_scores_of_tiles_are_nan_where_nobody_looked(tmp_path: Path) -> None:
    scores = np.full((2, 3, 4), np.nan, np.float32)
    scores[:, 1, 2] = (0.25, 0.75)
    path = tmp_path / "heatmap.ome.zarr"
    where = MapPlace(Size(4, 3), (512.0, 256.0), (0.0, 0.0), None)
    write_tile_scores(path, scores, place=where, class_names=("a", "b"), threshold=0.4)
    group = zarr.open_group(path, mode="r")
    Image.from_zarr(group)
    np.testing.assert_array_equal(group["0"][:], scores)
    (dataset,) = group.attrs["multiscales"][0]["datasets"]
    assert dataset["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 256.0, 512.0]},
        {"type": "translation", "translation": [0.0, 127.5, 255.5]},
    ]
    said = {"factor": [512.0, 256.0], "origin_l0": [0.0, 0.0], "threshold": 0.4}
    assert group.attrs["tilescope"] == said
    json.loads((path / "0/.zarray").read_text())


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def test_areas_with_and_without_calibration(tmp_path: Path) -> None:
    areas = class_areas(("a, b", "c"), np.array([300.0, 100.0]), PixelSize(0.5, 0.25))
    write_areas(tmp_path / "areas.csv", areas, image="s.svs")
    assert rows_of(tmp_path / "areas.csv") == [
        ["Image", "Classification", "Value", "Area px^2", "Area µm^2", "Share"],
        ["s.svs", "a, b", "1", "300.000", "37.500", "0.750000"],
        ["s.svs", "c", "2", "100.000", "12.500", "0.250000"],
    ]
    nothing = class_areas(("a",), np.zeros(1), None)
    write_areas(tmp_path / "areas.csv", nothing, image="s.svs")
    assert rows_of(tmp_path / "areas.csv")[1] == ["s.svs", "a", "1", "0.000", "0.000000"]


def test_tiles_lie_where_they_are_to_a_hundredth(tmp_path: Path) -> None:
    tiles = [
        ScoredTile((0.0, 0.0, 100.0, 50.5), 1, np.array([0.25, 0.75], np.float32)),
        ScoredTile((100.0, 0.0, 133.333, 50.5), None, np.array([0.4, 0.3], np.float32)),
    ]
    assert write_tiles(tmp_path / "tiles.csv", tiles, image="s.svs", class_names=("a", "b")) == 2
    header, *rows = rows_of(tmp_path / "tiles.csv")
    assert header[1:6] == ["x", "y", "w", "h", "Classification"]
    assert rows[0] == ["s.svs", "0", "0", "100", "50.5", "b", "0.250000", "0.750000"]
    assert rows[1][1:6] == ["100", "0", "33.33", "50.5", ""]


def test_pictures_leave_the_background_alone() -> None:
    background = np.full((130, 90, 3), 200, np.uint8)
    classes = np.zeros((130, 90), np.uint8)
    classes[70:100, 20:60] = 2
    drawn = draw_classes(background, classes, 2)
    assert (drawn[classes == 0] == 200).all()
    inside = drawn[80, 40].astype(float)
    expected = 200 + (np.array(class_colour(1)) - 200) * 0.45
    np.testing.assert_allclose(inside, expected, atol=1)
    heat = np.zeros((130, 90), np.uint8)
    heat[10:20] = 255
    hot = draw_heat(background, heat)
    assert (hot[20:] == 200).all()
    assert hot[15, 5, 0] > hot[15, 5, 2]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    for write in (
        lambda p: write_class_map(
            p, lambda _: None, place=place((9, 9)), class_names=("a",), source="s"
        ),
        lambda p: write_heat_map(p, lambda _: None, place=place((9, 9)), class_name="a"),
    ):
        with pytest.raises(OutputError, match="out"):
            write(tmp_path / "out" / "labels.ome.zarr")
