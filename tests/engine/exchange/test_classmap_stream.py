"""Growing maps: what is written lies in every level at once, as it will in the files of the run."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import zarr
from ome_zarr_models.v04.image import Image
from ome_zarr_models.v04.image_label import ImageLabel

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.scale import PixelSize
from tilescope.errors import OutputError
from tilescope.exchange.classmap import write_class_map
from tilescope.exchange.classmap_pyramid import MapPlace
from tilescope.exchange.classmap_stream import SIDE, MapStream
from tilescope.exchange.heat import write_heat_map

CLASSES = ("a", "b", "c")


def place(shape: tuple[int, int]) -> MapPlace:
    size = Size(shape[1], shape[0])
    return MapPlace(size, (2.0, 2.0), (64.0, 32.0), PixelSize(0.5, 0.5), Size(9000, 9000))


def rects(shape: tuple[int, int], side: int) -> list[Rect]:
    height, width = shape
    return [
        Rect(x, y, min(x + side, width), min(y + side, height))
        for y, x in product(range(0, height, side), range(0, width, side))
    ]


def part(values: np.ndarray, rect: Rect) -> np.ndarray:
    return values[rect.y0 : rect.y1, rect.x0 : rect.x1]


def levels_of(path: Path) -> list[np.ndarray]:
    group = zarr.open_group(path, mode="r")
    return [np.squeeze(group[name][:]) for name in sorted(group.array_keys(), key=int)]


@pytest.mark.parametrize("names", [CLASSES, ("tumour",), tuple(str(i) for i in range(300))])
def test_every_level_is_in_the_end_what_the_run_writes(
    tmp_path: Path, rng: np.random.Generator, names: tuple[str, ...]
) -> None:
    shape = (1203, 1401)
    dtype = np.uint16 if len(names) > 255 else np.uint8
    values = rng.integers(0, 300 if len(names) > 255 else 4, shape).astype(dtype)
    stream = MapStream(tmp_path / "grows", place=place(shape), class_names=names)
    pieces = rects(shape, 211)
    rng.shuffle(pieces)
    for rect in pieces:
        stream.add(rect, part(values, rect))
    stream.flush()
    if len(names) == 1:
        write_heat_map(
            tmp_path / "whole", lambda r: part(values, r), place=place(shape), class_name=names[0]
        )
    else:
        write_class_map(
            tmp_path / "whole",
            lambda r: part(values, r),
            place=place(shape),
            class_names=names,
            source="a.svs",
        )
    found, expected = levels_of(tmp_path / "grows"), levels_of(tmp_path / "whole")
    assert len(found) == len(expected) == 3
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_there_so_far_is_in_all_levels_and_the_rest_is_nothing(tmp_path: Path) -> None:
    stream = MapStream(tmp_path / "grows", place=place((2000, 2000)), class_names=CLASSES)
    assert all(not level.any() for level in levels_of(tmp_path / "grows"))
    expected = np.zeros((2000, 2000), np.uint8)
    for rect, number in ((Rect(5, 7, 400, 613), 2), (Rect(1000, 511, 1513, 520), 3)):
        values = np.full((rect.height, rect.width), number, np.uint8)
        stream.add(rect, values)
        stream.flush()
        part(expected, rect)[...] = values
        for index, level in enumerate(levels_of(tmp_path / "grows")):
            np.testing.assert_array_equal(level, expected[:: 2**index, :: 2**index])


def test_it_is_an_ome_zarr_that_says_where_it_lies(tmp_path: Path) -> None:
    MapStream(tmp_path / "classes", place=place((900, 900)), class_names=CLASSES)
    MapStream(tmp_path / "heat", place=place((900, 900)), class_names=("tumour",))
    ImageLabel.from_zarr(zarr.open_group(tmp_path / "classes", mode="r"))
    group = zarr.open_group(tmp_path / "heat", mode="r")
    Image.from_zarr(group)
    assert group.attrs["tilescope"] == {
        "factor": [2.0, 2.0],
        "origin_l0": [64.0, 32.0],
        "slide_size": [9000, 9000],
    }


def test_empty_rectangles_write_nothing_and_an_older_map_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "grows"
    rect = Rect(0, 0, 10, 10)
    stream = MapStream(path, place=place((900, 900)), class_names=CLASSES)
    stream.add(rect, np.zeros((10, 10), np.uint8))
    stream.flush()
    assert not (path / "0/0").exists()
    stream.add(rect, np.ones((10, 10), np.uint8))
    assert not (path / "0/0").exists()
    stream.flush()
    assert (path / "0/0/0").exists()
    assert not list(path.rglob("*.partial"))
    MapStream(path, place=place((900, 900)), class_names=CLASSES)
    assert not levels_of(path)[0].any()


def test_more_blocks_than_are_kept_in_memory(tmp_path: Path) -> None:
    shape = (SIDE, 40 * SIDE)
    stream = MapStream(tmp_path / "grows", place=place(shape), class_names=CLASSES)
    for turn in (1, 2):
        for column in range(40):
            x = column * SIDE + 100 * turn
            stream.add(Rect(x, 0, x + 100, 50), np.full((50, 100), turn, np.uint8))
    stream.flush()
    row = levels_of(tmp_path / "grows")[0][0].reshape(40, SIDE)
    assert (row[:, 100:200] == 1).all()
    assert (row[:, 200:300] == 2).all()
    assert np.count_nonzero(row) == 40 * 200


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="grows"):
        MapStream(tmp_path / "file" / "grows", place=place((9, 9)), class_names=CLASSES)
