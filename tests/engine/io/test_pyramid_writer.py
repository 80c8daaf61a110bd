"""The written pyramid: pixels as zarr-python reads them, valid metadata, units to be redone."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import ome_zarr_models.v04.image
import ome_zarr_models.v05.image
import pytest
import zarr
from ome_zarr_models.common.omero import Omero

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.slide import SlideInfo
from tilescope.errors import Cancelled, TileReadError
from tilescope.io.cache import TileCache
from tilescope.io.ome_metadata import Compressor, Version
from tilescope.io.pyramid_plan import SHARD_PX, OutputForm, PyramidPlan, Unit, plan_pyramid
from tilescope.io.pyramid_writer import PyramidWriter
from tilescope.io.region import read_region
from tilescope.io.registry import open_slide
from tilescope.io.source import SlideSource
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.synthetic import (
    coordinate_pixels,
    pyramid,
    write_ome_zarr,
    write_tiff_pyramid,
)

COLOUR = ("R", "G", "B")
SHAPE = (151, 1103)


def planes_of(bands: int, planes: int, dtype: str) -> np.ndarray:
    """Return ``[planes, h, w, bands]`` of noise on a slope, with an empty corner."""
    rng = np.random.default_rng(5)
    values = rng.integers(0, 180, (planes, *SHAPE, bands)) + np.arange(SHAPE[1])[:, None] // 20
    values[:, 50:, :700] = 0
    return values.astype(dtype)


@contextmanager
def made(
    folder: Path, values: np.ndarray, *, bands: Iterable[str], z: int = 1, t: int = 1
) -> Iterator[SlideSource]:
    """Give an open slide of these planes."""
    names = list(bands)
    axes = np.moveaxis(values.reshape(t, z, *values.shape[1:]), 4, 1)
    colours = ["FF0000", "00FF00", "0000FF", "ABCDEF", "123456"]
    path = write_ome_zarr(
        folder / "slide.zarr", [axes], axes="tczyx", chunk=200, um_per_px=0.25,
        channels=list(zip(names, colours, strict=False)),
    )  # fmt: skip
    with open_slide(path) as source:
        yield source


def written(
    folder: Path, source: SlideSource, plan: PyramidPlan, units: Iterable[Unit] | None = None
) -> Path:
    """Write a plan, or some of its units, and return the group."""
    folder.mkdir(exist_ok=True)
    cache = TileCache(64 << 20)
    writer = PyramidWriter(
        folder, plan, lambda rect, plane: read_region(source, cache, 0, rect, plane=plane)
    )
    for unit in all_units(plan) if units is None else units:
        writer.write_unit(unit, CancellationToken())
    writer.write_metadata()
    return folder


def all_units(plan: PyramidPlan) -> list[Unit]:
    return [unit for stage in range(len(plan.stages)) for unit in plan.units(stage)]


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def levels_of(group: zarr.Group) -> list[zarr.Array]:
    attributes = group.attrs.get("ome") or group.attrs
    return [group[d["path"]] for d in attributes["multiscales"][0]["datasets"]]


def assert_holds(group: zarr.Group, values: np.ndarray, z: int, t: int) -> None:
    """Hold every level of every plane to the box reduction of the level before."""
    arrays = levels_of(group)
    for plane, pixels in enumerate(values):
        at_t, at_z = divmod(plane, z)
        for array, expected in zip(arrays, pyramid(pixels, len(arrays)), strict=True):
            np.testing.assert_array_equal(
                array[at_t, :, at_z], np.moveaxis(expected, 2, 0), strict=True
            )


@pytest.mark.parametrize(
    ("version", "shard_px"),
    [("0.4", None), ("0.5", None), ("0.5", 256)],
    ids=["0.4", "0.5", "shards"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("dtype", "bands", "z", "t"),
    [
        ("uint8", COLOUR, 1, 1),
        ("uint8", ("grey",), 1, 1),
        ("uint16", ("DAPI", "CD3", "CD8", "PanCK"), 1, 1),
        ("uint16", COLOUR, 1, 1),
        ("float32", ("a", "b"), 2, 1),
        ("uint16", ("a", "b"), 2, 2),
    ],
    ids=["rgb", "grey", "channels", "deep-rgb", "float-z", "z-t"],
)
def test_zarr_python_and_tilescope_read_what_was_in_the_slide(
    tmp_path: Path,
    version: Version,
    shard_px: int | None,
    dtype: str,
    bands: tuple[str, ...],
    z: int,
    t: int,
) -> None:
    values = planes_of(len(bands), z * t, dtype)
    with made(tmp_path, values, bands=bands, z=z, t=t) as source:
        plan = plan_pyramid(source.info, OutputForm(version, 64 if shard_px else 128, shard_px))
        out = written(tmp_path / "out", source, plan)
        group = zarr.open_group(out, mode="r")
        assert [a.shape[3:] for a in levels_of(group)] == [SHAPE, (76, 552), (38, 276)]
        assert_holds(group, values, z, t)
        assert_valid(group, version)
        with open_slide(out) as again:
            assert again.info.bands == source.info.bands
            assert again.info.pixel_size == source.info.pixel_size
            assert (again.info.dtype, again.info.z, again.info.t) == (dtype, z, t)
            assert [v.size for v in again.info.levels] == [v.size for v in plan.levels]
            whole = Rect.of_size(again.info.size)
            for plane in range(z * t):
                pixels = read_region(again, TileCache(64 << 20), 0, whole, plane=plane)
                np.testing.assert_array_equal(pixels, values[plane])


def assert_valid(group: zarr.Group, version: Version) -> None:
    assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
    if version == "0.4":
        image = ome_zarr_models.v04.image.Image.from_zarr(group)
        (multiscale,), omero = image.attributes.multiscales, group.attrs["omero"]
    else:
        parsed = ome_zarr_models.v05.image.Image.from_zarr(group)
        (multiscale,), omero = parsed.attributes.ome.multiscales, group.attrs["ome"]["omero"]
    first = multiscale.datasets[0].coordinateTransformations[0]
    assert first.scale == pytest.approx([1, 1, 1, 0.25, 0.25])
    for channel in Omero.model_validate(omero).channels:
        window = channel.window
        assert window.min <= window.start < window.end <= window.max


@pytest.mark.parametrize("compressor", ["blosc", "zstd", "none"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_zarr_python_reads_every_compressor(
    tmp_path: Path, version: Version, compressor: Compressor
) -> None:
    values = planes_of(2, 1, "uint16")
    with made(tmp_path, values, bands="ab") as source:
        form = OutputForm(version, 256, compressor=compressor)
        out = written(tmp_path / "out", source, plan_pyramid(source.info, form))
    assert_holds(zarr.open_group(out, mode="r"), values, 1, 1)
    size_bytes = sum(map(len, content(out).values()))
    assert (size_bytes > values.nbytes) == (compressor == "none")


@pytest.mark.parametrize("shard_px", [None, 128], ids=["files", "shards"])
def test_units_of_a_stage_can_be_done_in_any_order_and_again(
    tmp_path: Path, shard_px: int | None
) -> None:
    values = planes_of(3, 1, "uint8")
    with made(tmp_path, values, bands=COLOUR) as source:
        plan = plan_pyramid(source.info, OutputForm("0.5", 64, shard_px))
        straight = content(written(tmp_path / "straight", source, plan))
        shuffled = all_units(plan) + random.Random(3).sample(all_units(plan), 5)
        random.Random(4).shuffle(shuffled)
        shuffled.sort(key=lambda unit: unit.stage)
        assert content(written(tmp_path / "shuffled", source, plan, shuffled)) == straight
        smaller = plan_pyramid(source.info, plan.form, first_depth=0)
        assert smaller.count_units() > plan.count_units()
        out = written(tmp_path / "smaller", source, smaller)
        assert sorted(map(len, content(out).values())) == sorted(map(len, straight.values()))
        assert_holds(zarr.open_group(out, mode="r"), values, 1, 1)


@pytest.mark.parametrize("shard_px", [None, 128], ids=["files", "shards"])
def test_each_file_has_one_writer(tmp_path: Path, shard_px: int | None) -> None:
    plan = plan_pyramid(info_of(Size(1100, 420), tmp_path), OutputForm("0.5", 64, shard_px))
    seen: set[str] = set()
    for unit in plan.units(0):
        folder = tmp_path / f"{unit.row}-{unit.col}"
        folder.mkdir()
        size_bytes = PyramidWriter(folder, plan, bright).write_unit(unit, CancellationToken())
        files = content(folder)
        assert size_bytes == sum(map(len, files.values()))
        assert seen.isdisjoint(files)
        seen |= set(files)
    levels, side = plan.levels[: plan.stages[0].top + 1], plan.shard_chunks
    assert len(levels) == (2 if shard_px else 3)
    assert len(seen) == sum(-(-v.rows // side) * -(-v.columns // side) for v in levels)


def test_chunks_of_nothing_but_background_are_not_stored(tmp_path: Path) -> None:
    pixels = np.full((512, 512, 3), 255, np.uint8)
    pixels[10, 20] = 7
    path = write_tiff_pyramid(tmp_path / "a.tif", [pixels])
    with open_slide(path) as source:
        files = written(tmp_path / "a", source, plan_pyramid(source.info, OutputForm("0.5", 64)))
        stored = [name for name in content(files) if "/c/" in name]
        assert stored == ["0/c/0/0/0/0/0"]
        assert zarr.open_group(files, mode="r")["0"].fill_value == 255
        form = OutputForm("0.5", 64, shard_px=256)
        shards = written(tmp_path / "b", source, plan_pyramid(source.info, form))
    for folder in (files, shards):
        array = zarr.open_group(folder, mode="r")["0"]
        np.testing.assert_array_equal(array[0, :, 0], np.moveaxis(pixels, 2, 0))


def test_a_slide_smaller_than_a_chunk(tmp_path: Path) -> None:
    pixels = coordinate_pixels(Rect(0, 0, 37, 5))
    with open_slide(write_tiff_pyramid(tmp_path / "a.tif", [pixels])) as source:
        for form in (OutputForm("0.4"), OutputForm("0.5", shard_px=SHARD_PX)):
            out = written(tmp_path / f"out-{form.version}", source, plan_pyramid(source.info, form))
            (array,) = levels_of(zarr.open_group(out, mode="r"))
            assert array.chunks == (1, 3, 1, 5, 37)
            np.testing.assert_array_equal(array[0, :, 0], np.moveaxis(pixels, 2, 0))


def bright(rect: Rect, _plane: int) -> np.ndarray:
    return np.ones((rect.height, rect.width, 3), np.uint8)


def info_of(size: Size, folder: Path) -> SlideInfo:
    with made(folder, np.ones((1, 8, 8, 3), np.uint8), bands=COLOUR) as source:
        level = replace(source.info.levels[0], size=size)
        return replace(source.info, levels=(level,))


@pytest.mark.parametrize("shard_px", [None, 128], ids=["files", "shards"])
@pytest.mark.parametrize("size", [Size(1, 1), Size(513, 2), Size(150_001, 90_000)])
def test_stages_make_every_level_once(tmp_path: Path, size: Size, shard_px: int | None) -> None:
    plan = plan_pyramid(info_of(size, tmp_path), OutputForm("0.5", 512, shard_px and SHARD_PX))
    made_levels = [
        level
        for stage in plan.stages
        for level in range(stage.base + (not stage.from_slide), stage.top + 1)
    ]
    assert made_levels == list(range(len(plan.levels)))
    assert max(plan.levels[-1].size.width, plan.levels[-1].size.height) <= 512
    assert len(all_units(plan)) == plan.count_units()
    assert plan.thread_bytes < 12 << 20


def test_a_cancelled_unit_stops(tmp_path: Path) -> None:
    with made(tmp_path, planes_of(1, 1, "uint8"), bands=["grey"]) as source:
        plan = plan_pyramid(source.info, OutputForm("0.5", 64))
        token = CancellationToken()
        reads = []

        def read(rect: Rect, _plane: int) -> np.ndarray:
            reads.append(rect)
            token.cancel()
            return np.ones((rect.height, rect.width, 1), np.uint8)

        with pytest.raises(Cancelled):
            PyramidWriter(tmp_path, plan, read).write_unit(next(plan.units(0)), token)
    assert len(reads) == 1


def test_a_tile_that_cannot_be_read_leaves_no_shard_open(tmp_path: Path) -> None:
    with made(tmp_path, planes_of(1, 1, "uint8"), bands=["grey"]) as source:
        plan = plan_pyramid(source.info, OutputForm("0.5", 64, shard_px=256))

        def read(rect: Rect, _plane: int) -> np.ndarray:
            if rect.x0:
                raise TileReadError("slide", "tile (1, 0) is damaged")
            return np.ones((rect.height, rect.width, 1), np.uint8)

        with pytest.raises(TileReadError):
            PyramidWriter(tmp_path, plan, read).write_unit(next(plan.units(0)), CancellationToken())
