"""Label images out as TIFF, and OME-Zarr labels in."""

import json

import numpy as np
import pytest
import shapely
import tifffile
import zarr

from tilescope.domain.geometry import Rect
from tilescope.domain.scale import PixelSize
from tilescope.errors import AnnotationError
from tilescope.exchange.findings import Findings
from tilescope.exchange.label_objects import as_objects
from tilescope.exchange.label_reader import read_labels
from tilescope.exchange.label_tiff import write_label_tiff
from tilescope.exchange.labels import write_labels
from tilescope.ops import raster


@pytest.fixture
def objects_in(nuclei):
    """Return a source of sixty round objects and the objects."""
    found = nuclei(60, side=2900.0, radius=20.0, class_names=("nucleus",))

    def ask(rect):
        boxes = found.boxes()
        low, high = boxes[:, :2], boxes[:, 2:]
        index = np.flatnonzero(
            (low < [rect.x1, rect.y1]).all(axis=1) & (high > [rect.x0, rect.y0]).all(axis=1)
        )
        return found.select(index), (index + 1).astype(np.uint32)

    return ask, found


RECT = Rect(0, 0, 2900, 2500)


def test_a_tiff_holds_what_a_zarr_holds(tmp_path, objects_in):
    ask, _ = objects_in
    write_label_tiff(tmp_path / "l.tif", ask, rect_l0=RECT, pixel_size=PixelSize(0.5, 0.25))
    write_labels(tmp_path / "l.zarr", ask, rect_l0=RECT, pixel_size=None, source="x")
    group = zarr.open_group(tmp_path / "l.zarr", mode="r")
    with tifffile.TiffFile(tmp_path / "l.tif") as tiff:
        (series,) = tiff.series
        assert len(series.levels) == 4
        for k, level in enumerate(series.levels):
            assert level.dtype == np.uint32
            np.testing.assert_array_equal(level.asarray(), group[str(k)][:])
        assert tiff.pages[0].tags["XResolution"].value == (20000, 1)
        assert tiff.pages[0].is_tiled
    assert not list(tmp_path.glob(".*"))


def test_a_failing_source_leaves_no_tiff(tmp_path):
    def fail(_rect):
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        write_label_tiff(tmp_path / "l.tif", fail, rect_l0=RECT, pixel_size=None)
    assert not list(tmp_path.iterdir())


def test_holes_of_annotations_stay_empty(drawn):
    ring = shapely.box(2, 2, 12, 12).difference(shapely.box(5, 5, 8, 9))
    both = shapely.MultiPolygon([ring, shapely.box(20, 2, 25, 7)])
    ones = [*drawn(both, class_name="b", measurements={"score": 0.5}), *drawn(shapely.Point(1, 1))]
    detections, ids = as_objects(ones, [7, 8], ("a", "b"))
    assert ids.tolist() == [7]
    assert detections.classes.tolist() == [1]
    block = raster.fill(detections, ids, Rect(0, 0, 30, 20))
    assert (block == 7).sum() == both.area
    assert block[6, 6] == 0


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_there_and_back(tmp_path, objects_in, one_by_one, version):
    ask, found = objects_in
    size = PixelSize(0.5, 0.5)
    path = tmp_path / "l.zarr"
    write_labels(path, ask, rect_l0=RECT, pixel_size=size, source="x", version=version)
    findings = Findings()
    back = one_by_one(read_labels(path, pixel_size=size, findings=findings))
    inside = [i for i in range(len(found)) if found.ring(i)[:, 1].max() < RECT.y1]
    by_number = {int(a.name): a for a in back}
    assert {i + 1 for i in inside} <= set(by_number)
    for i in inside:
        one, shape = by_number[i + 1], shapely.Polygon(found.ring(i))
        other = shapely.from_wkb(one.geometry)
        assert other.is_valid
        assert one.class_name == "nucleus"
        assert one.measurements["score"] == pytest.approx(found.scores[i], abs=1e-4)
        if not any(
            j != i and shapely.Polygon(found.ring(j)).intersects(shape) for j in range(len(found))
        ):
            assert shapely.area(other ^ shape) < 0.07 * shape.area


def labelled(path, array, **attributes):
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=array, chunks=(512, 512))
    multiscale = {
        "axes": [{"name": n, "type": "space"} for n in "yx"],
        "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}
        ],
    }
    group.update_attributes({"multiscales": [multiscale], **attributes})
    return path


def test_holes_are_named(tmp_path, one_by_one):
    array = np.zeros((90, 90), np.uint8)
    array[10:60, 10:60] = 1
    array[20:50, 20:50] = 0
    array[30:40, 30:40] = 2
    findings = Findings()
    found = one_by_one(read_labels(labelled(tmp_path / "l", array), findings=findings))
    areas = {a.name: round(shapely.from_wkb(a.geometry).area) for a in found}
    assert areas == {"1": 2500, "2": 100}
    (change,) = findings.report().changed
    assert (change.reason, change.first) == ("the holes of a label were filled", "label 1")


def test_pieces_are_named(tmp_path, one_by_one):
    array = np.zeros((700, 700), np.uint64)
    array[10:40, 10:40] = 2**40
    array[600:610, 600:610] = 2**40
    array[100:130, 600:660] = 3
    findings = Findings()
    found = one_by_one(read_labels(labelled(tmp_path / "l", array), findings=findings))
    assert {a.name: round(shapely.from_wkb(a.geometry).area) for a in found} == {
        "3": 1800,
        str(2**40): 900,
    }
    (change,) = findings.report().changed
    assert "several pieces" in change.reason
    assert change.first == f"label {2**40}"


def test_a_scaled_and_moved_pyramid(tmp_path, one_by_one):
    array = np.zeros((50, 50), np.uint16)
    array[10:20, 10:20] = 1
    path = labelled(tmp_path / "l", array)
    attributes = json.loads((path / ".zattrs").read_text())
    (dataset,) = attributes["multiscales"][0]["datasets"]
    dataset["coordinateTransformations"] = [
        {"type": "scale", "scale": [2, 4]},
        {"type": "translation", "translation": [100, 200]},
    ]
    (path / ".zattrs").write_text(json.dumps(attributes))
    (one,) = one_by_one(read_labels(path))
    assert shapely.from_wkb(one.geometry).bounds == (240, 120, 280, 140)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ("{", "holds no OME-Zarr labels"),
        ("{}", "holds no OME-Zarr labels"),
        ('{"multiscales": []}', "holds no OME-Zarr labels"),
        ('{"multiscales": [{"datasets": 5}]}', "holds no OME-Zarr labels"),
        ('{"multiscales": [{"datasets": [{"path": "nope"}], "axes": []}]}', "holds no OME-Zarr"),
    ],
)
def test_broken_metadata(tmp_path, attributes, reason):
    path = labelled(tmp_path / "l", np.zeros((8, 8), np.uint8))
    (path / ".zattrs").write_text(attributes)
    with pytest.raises(AnnotationError, match=reason):
        next(read_labels(path))


def test_what_is_no_label_image(tmp_path):
    path = labelled(tmp_path / "l", np.zeros((8, 8), np.float32))
    with pytest.raises(AnnotationError, match="type float32, not integer"):
        next(read_labels(path))
    with pytest.raises(AnnotationError, match="no Zarr group"):
        next(read_labels(tmp_path))


def test_a_damaged_chunk(tmp_path):
    array = np.ones((600, 600), np.uint32)
    path = labelled(tmp_path / "l", array)
    (chunk,) = (p for p in path.rglob("0.0") if p.is_file())
    chunk.write_bytes(b"rubbish")
    with pytest.raises(AnnotationError, match="labels cannot be read"):
        next(read_labels(path))
