"""What OME-Zarr metadata say of a slide."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import zarr

from tilescope.errors import CorruptSlide, SlideError, UnsupportedFormat
from tilescope.io.zarr_source import ZarrSource
from tilescope.testing.synthetic import write_ome_zarr


def image(folder, *, version="0.5", axes=("c", "y", "x"), channels=2, omero=None, **scales):
    """Write an image of the given axes and metadata and return its folder."""
    group = zarr.open_group(str(folder), mode="w", zarr_format=2 if version == "0.4" else 3)
    names = [a["name"] if isinstance(a, dict) else a for a in axes]
    lengths = {"t": 2, "c": channels, "z": 3, "y": 40, "x": 50}
    shape = tuple(lengths[name] for name in names)
    group.create_array("0", shape=shape, chunks=shape, dtype="uint16")
    named = [a if isinstance(a, dict) else {"name": a} for a in axes]
    scale = {"axes": named, "datasets": [{"path": "0"}], "version": version, **scales}
    found = {"multiscales": [scale]}
    if omero is not None:
        found["omero"] = omero
    group.attrs.update(found if version == "0.4" else {"ome": {"version": version, **found}})
    return folder


def info_of(folder):
    with ZarrSource.open(folder) as source:
        return source.info


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_channels_become_properties(tmp_path, version):
    window = {"start": 100, "end": 2000.5, "min": 0, "max": 65535}
    channels = [
        {"label": "DAPI", "color": "0000ff", "window": window, "active": True},
        {"label": "CD3", "color": "00FF00", "active": False},
    ]
    info = info_of(image(tmp_path / "a", version=version, omero={"channels": channels}))
    assert info.bands == ("DAPI", "CD3")
    assert info.properties == {
        "omero.channel.0.label": "DAPI",
        "omero.channel.0.color": "0000FF",
        "omero.channel.0.window.start": "100",
        "omero.channel.0.window.end": "2000.5",
        "omero.channel.0.window.min": "0",
        "omero.channel.0.window.max": "65535",
        "omero.channel.0.active": "true",
        "omero.channel.1.label": "CD3",
        "omero.channel.1.color": "00FF00",
        "omero.channel.1.active": "false",
    }


@pytest.mark.parametrize(
    "omero",
    [
        "none",
        {"channels": 5},
        {"channels": [None, {"label": 7, "color": "red", "window": 1, "active": "yes"}]},
        {"channels": [{"window": {"start": math.nan, "end": math.inf, "max": True}}, {}]},
        {"channels": [{"window": {"start": 10**400, "end": "5"}}, {"color": ["FF0000"]}]},
    ],
)
def test_channels_that_make_no_sense(tmp_path, omero):
    info = info_of(image(tmp_path / "a", omero=omero))
    assert len(set(info.bands)) == 2
    assert info.properties == {}


def test_channels_of_one_name_are_told_apart(tmp_path):
    omero = {"channels": [{"label": n} for n in ("CD3", "CD3", "CD3 (2)", "a\nb", "", None)]}
    info = info_of(image(tmp_path / "a", channels=6, omero=omero))
    assert info.bands == ("CD3", "CD3 (2)", "CD3 (2) (2)", "a b", "channel 4", "channel 5")


@pytest.mark.parametrize(
    ("unit", "um"),
    [("micrometer", 0.5), ("nanometer", 500), ("millimeter", 0.0005), ("decimeter", 5e-6),
     ("angstrom", 5000), ("kilometer", 5e-10), ("foot", 0.5 / 304800), ("inch", 0.5 / 25400)],
)  # fmt: skip
def test_units_of_length(tmp_path, unit, um):
    axes = [{"name": "z", "unit": "micrometer"}] + [{"name": a, "unit": unit} for a in "yx"]
    scale = {"type": "scale", "scale": [2, um, um]}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    info = info_of(image(tmp_path / "a", axes=axes, datasets=datasets))
    assert info.pixel_size is not None
    assert info.pixel_size.um_x == pytest.approx(0.5)
    assert info.pixel_size_source == "ome-zarr.scale"
    assert info.properties["ome-zarr.um_per_z"] == "2.0"


def test_a_scale_of_all_levels_and_one_of_each(tmp_path):
    axes = [{"name": a, "unit": "micrometer"} for a in "yx"]
    one = [{"type": "scale", "scale": [2.0, 2.0]}]
    datasets = [{"path": "0", "coordinateTransformations": one}]
    common = [{"type": "scale", "scale": [0.25, 0.125]}]
    info = info_of(
        image(tmp_path / "a", axes=axes, datasets=datasets, coordinateTransformations=common)
    )
    assert (info.pixel_size.um_x, info.pixel_size.um_y) == (0.25, 0.5)


def test_labels_beside_an_image_are_no_levels(tmp_path):
    image(tmp_path / "a")
    labels = zarr.open_group(str(tmp_path / "a" / "labels"), mode="w")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    image(tmp_path / "a" / "labels" / "nuclei", axes=("y", "x"))
    assert info_of(tmp_path / "a").bands == ("channel 0", "channel 1")
    assert info_of(tmp_path / "a" / "labels" / "nuclei").bands == ("grey",)
    assert "labels: open one of its images, such as nuclei" in refusal(tmp_path / "a" / "labels")


def group_of(folder, attributes, version=3):
    group = zarr.open_group(str(folder), mode="w", zarr_format=version)
    group.attrs.update(attributes if version == 2 else {"ome": attributes})
    return folder


def refusal(folder, kind=UnsupportedFormat):
    with pytest.raises(kind) as caught:
        ZarrSource.open(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace("list of label images", "list of labels")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("attributes", "example"),
    [
        ({"plate": {"wells": [{"path": "B/3"}]}}, "a plate: open one of its images, such as B/3/0"),
        ({"plate": {"wells": [{"path": "../.."}]}}, "A/1/0"),
        ({"plate": "all"}, "A/1/0"),
        ({"well": {"images": [{"path": "4"}]}}, "a well: open one of its images, such as 4"),
        ({"well": []}, "such as 0"),
        ({"labels": ["cells"]}, "such as cells"),
    ],
)
def test_groups_of_images_say_what_to_open(tmp_path, attributes, example, version):
    assert example in refusal(group_of(tmp_path / "a", attributes, version))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_container_of_several_images(tmp_path, version):
    number = 2 if version == "0.4" else 3
    group_of(tmp_path / "a", {"bioformats2raw.layout": 3}, number)
    group_of(tmp_path / "a" / "OME", {"series": ["macro", "slide"]}, number)
    image(tmp_path / "a" / "macro", version=version, channels=4)
    image(tmp_path / "a" / "slide", version=version)
    info = info_of(tmp_path / "a")
    assert len(info.bands) == 4
    assert info.properties["bioformats2raw.series"] == "2"


@pytest.mark.parametrize("series", [["../x"], [5], ["absent"], "0"])
def test_a_container_without_its_images(tmp_path, series):
    group_of(tmp_path / "a", {"bioformats2raw.layout": 3})
    group_of(tmp_path / "a" / "OME", {"series": series})
    refusal(tmp_path / "a", CorruptSlide)


def test_tiles_of_too_many_files(tmp_path):
    group = zarr.open_group(str(tmp_path / "a"), mode="w")
    group.create_array("0", shape=(300, 500, 500), chunks=(1, 8, 8), dtype="uint8")
    axes = [{"name": a} for a in "cyx"]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    assert "chunks" in refusal(tmp_path / "a")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shape", [2, 40, -50]),
        ("shape", [2, 40, 0]),
        ("shape", [2, 40]),
        ("shape", "many"),
        ("shape", [2, 40, 10**30]),
        ("shape", [10**9, 40, 50]),
        ("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [2, 40, 1 << 40]}}),
        ("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [0, 40, 50]}}),
        ("chunk_grid", {"name": "rectangular"}),
        ("data_type", "string"),
        ("data_type", 5),
        ("codecs", []),
        ("codecs", [{"name": "no such codec"}]),
        ("codecs", None),
        ("node_type", "group"),
        ("chunk_key_encoding", {"name": "default", "configuration": {"separator": "../"}}),
        ("fill_value", "much"),
    ],
)
def test_hostile_metadata_of_an_array(tmp_path, field, value):
    path = image(tmp_path / "a") / "0" / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    refusal(tmp_path / "a", SlideError)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "5", "{", "[" * 100_000, '{"attributes": 5}', "\xff"],
    ids=["empty", "list", "number", "cut off", "deep", "attributes", "no text"],
)
def test_documents_that_are_none(tmp_path, text):
    image(tmp_path / "a")
    (tmp_path / "a" / "zarr.json").write_text(text, encoding="latin-1")
    refusal(tmp_path / "a", SlideError)


def test_a_group_file_may_be_missing(tmp_path):
    image(tmp_path / "a", version="0.4")
    (tmp_path / "a" / ".zgroup").unlink()
    assert len(info_of(tmp_path / "a").bands) == 2


def test_a_pyramid_opens_without_zarr_python(tmp_path):
    write_ome_zarr(tmp_path / "a", [np.zeros((3, 40, 50), np.uint8)])
    script = (
        "import sys; from tilescope.io.registry import open_slide; s = open_slide(sys.argv[1]);"
        "s.read_tile(0, 0, 0); s.close(); print('zarr' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a"], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["False"]
