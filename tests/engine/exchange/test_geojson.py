"""QuPath's dialect, streamed, with geometries that stay valid."""

import json
from uuid import UUID, uuid5

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tilescope.domain.results import Detections
from tilescope.domain.scale import PixelSize
from tilescope.errors import OutputError
from tilescope.exchange.geojson import write_geojson
from tilescope.exchange.objects import ObjectBatch, object_uuids
from tilescope.exchange.rings import GridRings, on_grid, ring_texts


def no_nan(word):
    raise AssertionError(f"{word} is not JSON")


def written(path, batches, run_id, pixel_size=None):
    count = write_geojson(path, batches, run_id=run_id, pixel_size=pixel_size)
    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=no_nan)
    assert content["type"] == "FeatureCollection"
    assert len(content["features"]) == count
    return content["features"]


def batches_of(detections, size):
    whole = ObjectBatch(detections, 1)
    return whole.parts(size)


def test_a_feature_says_everything(tmp_path, run_id):
    ring = np.array([[10, 20], [14, 20], [14, 23], [10, 23]], float)
    d = Detections.of([ring], np.array([0.875]), np.array([1]), ("a", "Tumor µ"))
    (feature,) = written(tmp_path / "o.geojson", [ObjectBatch(d, 5)], run_id, PixelSize(0.5, 0.25))
    assert feature == {
        "type": "Feature",
        "id": str(uuid5(run_id, "5")),
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[10, 20], [14, 20], [14, 23], [10, 23], [10, 20]]],
        },
        "properties": {
            "objectType": "detection",
            "classification": {"name": "Tumor µ", "color": [240, 228, 66]},
            "measurements": {"Area µm^2": 1.5, "Perimeter µm": 5.5, "score": 0.875},
        },
    }


def test_an_uncalibrated_slide_is_measured_in_pixels(tmp_path, run_id, nuclei):
    (feature,) = written(tmp_path / "o.geojson", [ObjectBatch(nuclei(1), 1)], run_id)
    measurements = feature["properties"]["measurements"]
    assert list(measurements) == ["Area px^2", "Perimeter px", "score"]
    assert measurements["Area px^2"] == pytest.approx(np.pi * 81, rel=0.02)


def test_one_feature_per_line_however_they_come(tmp_path, run_id, nuclei):
    d = nuclei(5000)
    whole, parts = tmp_path / "whole.geojson", tmp_path / "parts.geojson"
    write_geojson(whole, [ObjectBatch(d, 1)], run_id=run_id, pixel_size=None)
    write_geojson(parts, batches_of(d, 77), run_id=run_id, pixel_size=None)
    assert whole.read_bytes() == parts.read_bytes()
    lines = whole.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5002
    assert json.loads(lines[1].rstrip(","))["type"] == "Feature"


def test_coordinates_are_the_outlines(tmp_path, run_id, nuclei):
    d = nuclei(200, side=90_000)
    for ring, feature in zip(d, written(tmp_path / "o", [ObjectBatch(d, 1)], run_id), strict=True):
        (coordinates,) = feature["geometry"]["coordinates"]
        assert coordinates[0] == coordinates[-1]
        np.testing.assert_allclose(coordinates[:-1], ring, atol=0.00501)


def test_nothing_is_an_empty_collection(tmp_path, run_id):
    assert written(tmp_path / "o", [], run_id) == []
    assert written(tmp_path / "o", [ObjectBatch(Detections.empty(("a",)), 1)], run_id) == []


def test_numbers_that_are_not_are_left_out(tmp_path, run_id, nuclei):
    d = nuclei(3)
    scores = np.array([0.5, np.nan, np.inf], np.float32)
    rings = d.rings.copy()
    rings[0] = np.nan
    d = Detections(rings, d.offsets, scores, d.classes, d.class_names)
    features = written(tmp_path / "o", [ObjectBatch(d, 1)], run_id)
    assert [sorted(f["properties"]["measurements"]) for f in features] == [
        ["score"],
        ["Area px^2", "Perimeter px"],
        ["Area px^2", "Perimeter px"],
    ]
    for feature in features:
        assert shapely.from_geojson(json.dumps(feature["geometry"])).is_valid


def test_a_model_without_classes(tmp_path, run_id, nuclei):
    d = nuclei(2)
    d = Detections(d.rings, d.offsets, d.scores, d.classes, ())
    assert (
        "classification"
        not in written(tmp_path / "o", [ObjectBatch(d, 1)], run_id)[0]["properties"]
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_every_geometry_is_valid_whatever_comes(seed):
    rng = np.random.default_rng(seed)
    rings = []
    for _ in range(rng.integers(1, 8)):
        ring = rng.uniform(-1, 1, (rng.integers(0, 12), 2)) * 10.0 ** rng.integers(-3, 5)
        ring[rng.random(ring.shape) < 0.02] = np.nan
        rings.append(ring)
    n = len(rings)
    grid = on_grid(Detections.of(rings, np.ones(n), np.zeros(n), ("x",)))
    assert len(grid.offsets) == n + 1
    for a, b in zip(grid.offsets[:-1], grid.offsets[1:], strict=True):
        polygon = shapely.Polygon(grid.points[a:b])
        assert polygon.is_valid
        assert polygon.area > 0


def test_going_round_twice_is_repaired():
    angle = np.arange(10) * (4 * np.pi / 10) + 0.1
    twice = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (10 + np.arange(10))[:, None]
    grid = on_grid(Detections.of([twice], np.ones(1), np.zeros(1), ("x",)))
    assert shapely.Polygon(grid.points).is_valid
    assert len(grid.points) != 10


@given(st.lists(st.integers(-(10**12), 10**12), min_size=2, max_size=20))
@settings(max_examples=200, deadline=None)
def test_numbers_as_text(values):
    values = values[: len(values) // 2 * 2]
    points = np.array(values, np.int64).reshape(-1, 2)
    (text,) = ring_texts(GridRings(points, np.array([0, len(points)])))
    numbers = [round(float(word) * 100) for word in text.split(b",")]
    assert numbers == values
    assert all(word == b"0" or not word.endswith(b".0") for word in text.split(b","))


def test_ids_are_uuid5_of_the_run(run_id):
    assert object_uuids(run_id, range(1, 300)) == [
        str(uuid5(run_id, str(i))) for i in range(1, 300)
    ]
    assert UUID(object_uuids(run_id, range(7, 8))[0]).version == 5


def test_objects_are_numbered_from_one(nuclei):
    with pytest.raises(ValueError, match="from 1"):
        ObjectBatch(nuclei(1), 0)


def test_a_full_disk_leaves_nothing(tmp_path, run_id, nuclei, no_room):
    with pytest.raises(OutputError):
        write_geojson(tmp_path / "o", [ObjectBatch(nuclei(9), 1)], run_id=run_id, pixel_size=None)
    assert not list(tmp_path.iterdir())
