"""The label pyramid is valid OME-Zarr, says where it lies, and holds the objects."""

import numpy as np
import pytest
import shapely
import zarr
from ome_zarr_models.v04.image_label import ImageLabel as ImageLabel04
from ome_zarr_models.v05.image_label import ImageLabel as ImageLabel05

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.results import Detections
from tilescope.domain.scale import PixelSize
from tilescope.errors import OutputError
from tilescope.exchange import labels
from tilescope.exchange.labels import level_sizes, write_labels
from tilescope.ops import raster


def finder(d, *, descending=False):
    """Return ``objects_in`` over these objects, numbered from 1, and the rectangles asked for."""
    tree = shapely.STRtree(shapely.box(*d.boxes().T))
    asked = []

    def objects_in(rect):
        asked.append(rect)
        index = np.sort(tree.query(shapely.box(rect.x0, rect.y0, rect.x1, rect.y1)))
        index = index[::-1] if descending else index
        return d.select(index), (index + 1).astype(np.uint32)

    return objects_in, asked


def attributes_of(group, version):
    attributes = group.attrs.asdict()
    return attributes if version == "0.4" else attributes["ome"]


MODELS = {"0.4": ImageLabel04, "0.5": ImageLabel05}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_pyramid_of_the_whole_slide(tmp_path, nuclei, version):
    d = nuclei(600, side=2600)
    rect = Rect(0, 0, 2601, 1403)
    path = tmp_path / "labels.ome.zarr"
    objects_in, asked = finder(d)
    write_labels(
        path,
        objects_in,
        rect_l0=rect,
        pixel_size=PixelSize(0.25, 0.5),
        source="../a.svs",
        version=version,
    )
    group = zarr.open_group(path, mode="r")
    assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
    MODELS[version].from_zarr(group)
    arrays = [group[str(k)] for k in range(4)]
    assert sorted(group.array_keys()) == ["0", "1", "2", "3"]
    assert [a.shape for a in arrays] == [(1403, 2601), (702, 1301), (351, 651), (176, 326)]
    whole = raster.fill(d, np.arange(1, 601, dtype=np.uint32), rect)
    for k, array in enumerate(arrays):
        assert array.dtype == np.uint32
        np.testing.assert_array_equal(array[:], whole[:: 2**k, :: 2**k])
    assert all(r.width <= 1024 and r.height <= 1024 for r in asked)
    (multiscale,) = attributes_of(group, version)["multiscales"]
    assert multiscale["axes"][1] == {"name": "x", "type": "space", "unit": "micrometer"}
    assert multiscale["datasets"][2]["coordinateTransformations"] == [
        {"type": "scale", "scale": [2.0, 1.0]}
    ]


def test_image_label_metadata(tmp_path, nuclei):
    d = nuclei(30)
    path = tmp_path / "labels.ome.zarr"
    write_labels(
        path, finder(d)[0], rect_l0=Rect(0, 0, 1000, 1000), pixel_size=None, source="../../a b.svs"
    )
    found = zarr.open_group(path, mode="r").attrs.asdict()["image-label"]
    assert found["version"] == "0.4"
    assert found["source"] == {"image": "../../a b.svs"}
    assert [c["label-value"] for c in found["colors"]] == list(range(1, 31))
    assert len({tuple(c["rgba"]) for c in found["colors"]}) == 30
    assert found["properties"][4]["class"] == d.class_names[d.classes[4]]
    assert found["properties"][4]["score"] == pytest.approx(d.scores[4], abs=1e-4)


def test_colours_and_properties_end_where_readers_would_choke(tmp_path, nuclei, monkeypatch):
    def told(name):
        path = tmp_path / name
        write_labels(
            path, finder(nuclei(30))[0], rect_l0=Rect(0, 0, 999, 999), pixel_size=None, source="a"
        )
        return sorted(zarr.open_group(path, mode="r").attrs["image-label"])

    monkeypatch.setattr(labels, "_MAX_COLOURS", 29)
    assert told("a") == ["properties", "source", "version"]
    monkeypatch.setattr(labels, "_MAX_PROPERTIES", 29)
    assert told("b") == ["source", "version"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_region_is_translated_and_pixels_have_no_unit(tmp_path, nuclei, version):
    d = nuclei(100, side=3000)
    rect = Rect(700, 1100, 1900, 1400)
    path = tmp_path / "labels.ome.zarr"
    write_labels(path, finder(d)[0], rect_l0=rect, pixel_size=None, source="a.svs", version=version)
    group = zarr.open_group(path, mode="r")
    MODELS[version].from_zarr(group)
    whole = raster.fill(d, np.arange(1, 101, dtype=np.uint32), rect)
    np.testing.assert_array_equal(group["0"][:], whole)
    (multiscale,) = attributes_of(group, version)["multiscales"]
    assert multiscale["axes"][0] == {"name": "y", "type": "space"}
    assert multiscale["datasets"][1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [2.0, 2.0]},
        {"type": "translation", "translation": [1100.0, 700.0]},
    ]


def test_the_higher_number_wins_in_every_block(tmp_path, nuclei):
    d = nuclei(400, side=1500, radius=60)
    rect = Rect(0, 0, 1500, 1500)
    write_labels(
        tmp_path / "l", finder(d, descending=True)[0], rect_l0=rect, pixel_size=None, source="a"
    )
    expected = raster.fill(d, np.arange(1, 401, dtype=np.uint32), rect)
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "l", mode="r")["0"][:], expected)


def test_an_empty_large_slide_stores_no_blocks(tmp_path):
    def nothing(_rect):
        return Detections.empty(("x",)), np.zeros(0, np.uint32)

    write_labels(
        tmp_path / "l", nothing, rect_l0=Rect(0, 0, 40_000, 40_000), pixel_size=None, source="a"
    )
    group = zarr.open_group(tmp_path / "l", mode="r")
    ImageLabel04.from_zarr(group)
    files = {p.name for p in (tmp_path / "l").rglob("*") if p.is_file()}
    assert files <= {".zattrs", ".zgroup", ".zarray"}


def test_a_single_pixel(tmp_path):
    ring = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    d = Detections.of([ring], np.ones(1), np.zeros(1), ("x",))
    write_labels(
        tmp_path / "l", finder(d)[0], rect_l0=Rect(0, 0, 1, 1), pixel_size=None, source="a"
    )
    assert zarr.open_group(tmp_path / "l", mode="r")["0"][:].tolist() == [[1]]


def test_levels_halve_until_they_fit():
    assert level_sizes(Size(512, 3)) == [Size(512, 3)]
    assert level_sizes(Size(513, 3)) == [Size(513, 3), Size(257, 2)]
    assert len(level_sizes(Size(40_000, 9))) == 8


def test_a_folder_that_cannot_be_made_is_named(tmp_path, nuclei):
    with pytest.raises(OutputError, match="missing"):
        write_labels(
            tmp_path / "missing" / "l",
            finder(nuclei(1))[0],
            rect_l0=Rect(0, 0, 9, 9),
            pixel_size=None,
            source="a",
        )


def test_a_failing_query_leaves_nothing(tmp_path):
    def broken(_rect):
        raise OSError("the store is gone")

    with pytest.raises(OSError, match="gone") as caught:
        write_labels(tmp_path / "l", broken, rect_l0=Rect(0, 0, 9, 9), pixel_size=None, source="a")
    assert not isinstance(caught.value, OutputError)
    assert not list(tmp_path.iterdir())
