import json

import numpy as np
import pytest
import zarr

from tilescope.domain.geometry import Rect
from tilescope.errors import CorruptSlide, SlideError, UnsupportedFormat
from tilescope.io.region import read_region
from tilescope.io.zarr_source import ZarrSource
from tilescope.testing.synthetic import pyramid, write_ome_zarr


def whole(source, cache, level=0, plane=0):
    size = source.info.levels[level].size
    return read_region(source, cache, level, Rect.of_size(size), plane=plane)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_colour_pyramid_of_either_version(tmp_path, cache, coordinates, version):
    levels = pyramid(coordinates, 3)
    path = write_ome_zarr(
        tmp_path / "a.zarr",
        [np.moveaxis(v, 2, 0) for v in levels],
        version=version,
        um_per_px=0.5,
    )
    with ZarrSource.open(path) as source:
        info = source.info
        assert info.is_rgb
        assert info.pixel_size is not None
        assert (info.pixel_size.um_x, info.pixel_size_source) == (0.5, "ome-zarr.scale")
        assert [v.downsample_x for v in info.levels] == [1, 2, 4]
        for index, expected in enumerate(levels):
            np.testing.assert_array_equal(whole(source, cache, index), expected)


@pytest.mark.parametrize("axes", ["yx", "cyx", "zyx", "tyx", "czyx", "tzyx", "tczyx", "yxc"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int16", ">u2", "bool"])
def test_axes_and_number_types(tmp_path, cache, axes, dtype):
    lengths = {"t": 2, "c": 3, "z": 4, "y": 50, "x": 70}
    shape = tuple(lengths[a] for a in axes)
    values = (
        np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)
    )
    channels = [(f"marker {i}", "FFFFFF") for i in range(lengths["c"] if "c" in axes else 1)]
    version = "0.4" if dtype == ">u2" else "0.5"
    path = write_ome_zarr(
        tmp_path / "a.zarr", [values], axes=axes, version=version, channels=channels
    )
    with ZarrSource.open(path) as source:
        info = source.info
        assert info.bands == tuple(label for label, _ in channels)
        assert (info.z, info.t) == (4 if "z" in axes else 1, 2 if "t" in axes else 1)
        order = [axes.index(a) for a in "tzyxc" if a in axes]
        full = values.transpose(order).reshape(info.t, info.z, 50, 70, len(channels))
        for plane in range(info.t * info.z):
            expected = full[divmod(plane, info.z)] * (255 if dtype == "bool" else 1)
            np.testing.assert_array_equal(whole(source, cache, plane=plane), expected)


def test_shards_are_read_by_inner_chunk(tmp_path, cache):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    values = np.random.default_rng(0).integers(0, 255, (600, 500), np.uint8)
    array = group.create_array(
        "0", shape=values.shape, chunks=(64, 64), shards=(256, 256), dtype="uint8"
    )
    array[...] = values
    group.attrs["ome"] = metadata(["y", "x"])
    with ZarrSource.open(tmp_path / "a.zarr") as source:
        assert source.info.levels[0].tile.width == 256
        np.testing.assert_array_equal(whole(source, cache)[..., 0], values)


def test_a_bare_array_is_one_level(tmp_path, cache):
    values = np.random.default_rng(0).integers(0, 255, (30, 40), np.uint8)
    zarr.save_array(str(tmp_path / "a.zarr"), values)
    with ZarrSource.open(tmp_path / "a.zarr") as source:
        assert source.info.format == "zarr"
        np.testing.assert_array_equal(whole(source, cache)[..., 0], values)


def test_a_bioformats2raw_container_opens_its_first_image(tmp_path, coordinates):
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w").attrs["ome"] = {
        "version": "0.5",
        "bioformats2raw.layout": 3,
    }
    write_ome_zarr(tmp_path / "a.zarr" / "0", [np.moveaxis(coordinates, 2, 0)])
    with ZarrSource.open(tmp_path / "a.zarr") as source:
        assert source.info.is_rgb


def metadata(axes, path="0", **more):
    scale = {"axes": [{"name": a} for a in axes], "datasets": [{"path": path}], **more}
    return {"version": "0.5", "multiscales": [scale]}


def refused(tmp_path, attributes, kind=SlideError, **array):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    options = {"shape": (8, 8), "chunks": (8, 8), "dtype": "uint8"} | array
    group.create_array("0", **options)
    group.attrs["ome"] = attributes
    with pytest.raises(kind) as caught:
        ZarrSource.open(tmp_path / "a.zarr")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("path", ["../outside", "/etc", "1", "0/../../b", 5, None])
def test_dataset_paths_stay_inside(tmp_path, path):
    refused(tmp_path, metadata(["y", "x"], path=path), CorruptSlide)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"multiscales": []},
        {"multiscales": "many"},
        {"multiscales": [None]},
        {"plate": {}},
        metadata(["y", "y"]),
        metadata(["q", "x"]),
        metadata(["y", "x", "c"]),
        metadata([]),
        metadata(["y", "x"], datasets=[]),
        metadata(["y", "x"], datasets=[{"path": "0"}] * 1000),
    ],
)
def test_metadata_that_make_no_image(tmp_path, attributes):
    refused(tmp_path, attributes)


def test_a_chunk_above_the_bound(tmp_path):
    array = {"shape": (40_000, 40_000), "chunks": (40_000, 40_000)}
    text = refused(tmp_path, metadata(["y", "x"]), UnsupportedFormat, **array)
    assert "smaller chunks" in text


def test_a_number_type_without_a_place(tmp_path):
    refused(tmp_path, metadata(["y", "x"]), UnsupportedFormat, dtype="complex64")


@pytest.mark.parametrize(
    "scale", [["a", "b"], [0, 0], [1e30, 1e30], [-1, -1], [None, None], "x", []]
)
def test_a_scale_that_is_none_leaves_the_slide_uncalibrated(tmp_path, coordinates, scale):
    path = write_ome_zarr(tmp_path / "a.zarr", [coordinates[..., 0]], axes="yx",
                          channels=[("a", "FFFFFF")], um_per_px=0.5)  # fmt: skip
    document = json.loads((path / "zarr.json").read_text())
    dataset = document["attributes"]["ome"]["multiscales"][0]["datasets"][0]
    dataset["coordinateTransformations"] = [{"type": "scale", "scale": scale}]
    (path / "zarr.json").write_text(json.dumps(document))
    with ZarrSource.open(path) as source:
        assert source.info.pixel_size is None or scale in ("x", [])


def test_broken_json(tmp_path):
    (tmp_path / "zarr.json").write_text("{")
    with pytest.raises(CorruptSlide):
        ZarrSource.open(tmp_path)


@pytest.mark.parametrize(
    "shapes",
    [
        [(2**31, 48), (80, 96)],
        [(2**31, 96), (40, 48)],
        [(1000, 100), (50, 120)],
    ],
)
def test_levels_that_cannot_be_one_picture(tmp_path, shapes):
    with pytest.raises(CorruptSlide, match="contradict each other"):
        ZarrSource.open(levels_of(tmp_path / "a.zarr", shapes))


@pytest.mark.parametrize("shapes", [[(3, 4000), (1, 32)], [(400, 4000), (400, 1000)]])
def test_levels_may_be_thin_or_reduced_on_one_axis(tmp_path, shapes):
    with ZarrSource.open(levels_of(tmp_path / "a.zarr", shapes)) as source:
        assert len(source.info.levels) == 2


def test_a_coarsest_level_of_too_many_chunks(tmp_path):
    with pytest.raises(UnsupportedFormat, match="needs a pyramid"):
        ZarrSource.open(levels_of(tmp_path / "a.zarr", [(2**26, 96)]))


def levels_of(folder, shapes):
    group = zarr.open_group(str(folder), mode="w")
    for index, shape in enumerate(shapes):
        group.create_array(str(index), shape=shape, chunks=(32, 32), dtype="uint8")
    paths = [{"path": str(index)} for index in range(len(shapes))]
    group.attrs["ome"] = metadata(["y", "x"], datasets=paths)
    return folder
