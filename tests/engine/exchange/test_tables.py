"""Measurements as CSV and Parquet, geometry as GeoParquet and SpatialData shapes."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import shapely

from tilescope.domain.scale import PixelSize
from tilescope.errors import OutputError
from tilescope.exchange.findings import Findings
from tilescope.exchange.measurement_table import write_measurements


@pytest.fixture
def some(drawn, every_shape):
    """Return objects whose measurements differ."""
    ones = drawn(*every_shape, class_name="A, B", name='say "x"')
    measured = [{}, {"score": 0.5}, {"x, y": 1e-9}, {"score": 0.25, "Circularity": 0.1}]
    return [
        replace(one, measurements=m) for one, m in zip(ones, [*measured, {}, {}, {}], strict=True)
    ]


def test_csv(tmp_path, some):
    path = tmp_path / "m.csv"
    batches = [some[:2], some[2:]]
    assert write_measurements(path, batches, image="s.svs", pixel_size=PixelSize(0.5, 0.5)) == 7
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:9] == [
        *("Image", "Object ID", "Object type", "Name", "Classification", "Parent", "ROI"),
        *("Centroid X µm", "Centroid Y µm"),
    ]
    assert [row["Object ID"] for row in rows] == [one.id for one in some]
    assert {row["Name"] for row in rows} == {'say "x"'}
    assert [row["score"] for row in rows] == ["", "0.5", "", "0.25", "", "", ""]
    assert rows[2]["x, y"] == "1e-09"
    assert float(rows[2]["Area µm^2"]) == 75
    assert rows[3]["Circularity"] == "0.1"
    assert rows[0]["Area µm^2"] == ""
    assert all(None not in row and None not in row.values() for row in rows)


def test_csv_says_planes_once_an_object_lies_beyond_the_first(tmp_path, some):
    path = tmp_path / "m.csv"
    batches = [some[:2], [replace(some[2], z=3)], [some[3], replace(some[4], z=1, t=7)], some[5:]]
    assert write_measurements(path, batches, image="s.svs", pixel_size=None) == 7
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Focal plane"] for row in rows] == ["1", "1", "4", "1", "2", "1", "1"]
    assert [row["Time"] for row in rows] == ["1", "1", "1", "1", "8", "1", "1"]
    assert [row["score"] for row in rows] == ["", "0.5", "", "0.25", "", "", ""]
    assert all(None not in row and None not in row.values() for row in rows)
    write_measurements(path, [some], image="s.svs", pixel_size=None)
    assert "Focal plane" not in path.read_text(encoding="utf-8")
    own = replace(some[0], z=2, measurements={"Focal plane": 0.5})
    write_measurements(path, [[own]], image="s.svs", pixel_size=None)
    with path.open(encoding="utf-8", newline="") as file:
        assert [row["Focal plane"] for row in csv.DictReader(file)] == ["0.5"]


def test_an_empty_table_has_a_header(tmp_path):
    assert write_measurements(tmp_path / "m", [], image="s", pixel_size=None) == 0
    assert (tmp_path / "m").read_text(encoding="utf-8").startswith("Image,Object ID,")


def test_a_full_disk(tmp_path, some, no_room):
    with pytest.raises(OutputError, match="free some room"):
        write_measurements(tmp_path / "m", [some], image="s", pixel_size=None)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def parquet():
    pytest.importorskip("pyarrow")
    from tilescope.exchange import parquet

    return parquet


def test_measurement_parquet(tmp_path, some, parquet):
    import pyarrow.parquet as pq

    path = tmp_path / "m.parquet"
    count = parquet.write_measurement_parquet(
        path, [some[:2], some[2:]], image="s", pixel_size=None
    )
    rows = pq.read_table(path).to_pylist()
    assert count == len(rows) == 7
    assert [row["score"] for row in rows] == [None, 0.5, None, 0.25, None, None, None]
    assert rows[3]["Circularity"] == 0.1
    assert rows[2]["Area px^2"] == 300
    assert "geometry" not in rows[0]
    assert list(tmp_path.iterdir()) == [path]


def test_geoparquet(tmp_path, some, every_shape, parquet):
    import pyarrow.parquet as pq

    path = tmp_path / "g.parquet"
    assert parquet.write_geoparquet(path, [some], image="s", pixel_size=None) == 7
    table = pq.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    column = geo["columns"][geo["primary_column"]]
    assert column["encoding"] == "WKB"
    assert column["crs"] is None
    assert column["geometry_types"] == sorted({g.geom_type for g in every_shape})
    assert column["bbox"] == shapely.total_bounds(every_shape).tolist()
    back = shapely.from_wkb(table["geometry"].to_pylist())
    assert all(a.equals(b) for a, b in zip(back, every_shape, strict=True))


def test_no_objects(tmp_path, parquet):
    import pyarrow.parquet as pq

    assert parquet.write_geoparquet(tmp_path / "g", [], image="s", pixel_size=None) == 0
    assert pq.read_table(tmp_path / "g").num_rows == 0


def test_spatialdata_shapes(tmp_path, some, parquet):
    import pyarrow.parquet as pq
    import zarr

    path = tmp_path / "s.zarr"
    size = PixelSize(0.5, 0.25)
    findings = Findings()
    written = parquet.write_spatialdata_shapes(
        path, [some], image="s", pixel_size=size, findings=findings
    )
    assert written == 3
    (left_out,) = findings.report().left_out
    assert (left_out.reason, left_out.count) == ("a point or a line", len(some) - 3)
    element = zarr.open_group(path, mode="r")["shapes/objects"]
    assert element.attrs["encoding-type"] == "ngff:shapes"
    outputs = [t["output"]["name"] for t in element.attrs["coordinateTransformations"]]
    assert outputs == ["global", "micrometer"]
    assert element.attrs["coordinateTransformations"][1]["scale"] == [0.5, 0.25]
    table = pq.read_table(path / "shapes" / "objects" / "shapes.parquet")
    kinds = {g.geom_type for g in shapely.from_wkb(table["geometry"].to_pylist())}
    assert kinds == {"Polygon", "MultiPolygon"}


def test_a_failing_source_leaves_nothing(tmp_path, some, parquet):
    def broken():
        yield some
        raise RuntimeError("gone")

    for write in (parquet.write_geoparquet, parquet.write_spatialdata_shapes, write_measurements):
        with pytest.raises(RuntimeError, match="gone"):
            write(tmp_path / "o", broken(), image="s", pixel_size=None)
        assert not list(tmp_path.iterdir())


def test_numbers_that_are_not_are_empty(tmp_path, some):
    one = replace(some[0], measurements={"a": math.inf, "b": float(np.float64(2))})
    write_measurements(tmp_path / "m", [[one]], image="s", pixel_size=None)
    with (tmp_path / "m").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["a"], row["b"]) == ("", "2")
