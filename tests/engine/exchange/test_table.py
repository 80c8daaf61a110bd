"""One row per object, units in the header."""

import csv
from uuid import uuid5

import numpy as np
import pytest

from tilescope.domain.results import Detections
from tilescope.domain.scale import PixelSize
from tilescope.exchange.objects import ObjectBatch
from tilescope.exchange.table import write_table


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_row_says_everything(tmp_path, run_id):
    ring = np.array([[10, 20], [14, 20], [14, 23], [10, 23]], float)
    d = Detections.of([ring], np.array([0.875]), np.array([0]), ('Tu"mor, µ',))
    path = tmp_path / "o.csv"
    count = write_table(
        path, [ObjectBatch(d, 3)], image="a,b.svs", run_id=run_id, pixel_size=PixelSize(0.5, 0.25)
    )
    assert count == 1
    assert rows_of(path) == [
        {
            "Image": "a,b.svs",
            "Object ID": str(uuid5(run_id, "3")),
            "Object type": "Detection",
            "Name": "3",
            "Classification": 'Tu"mor, µ',
            "Centroid X µm": "6.00",
            "Centroid Y µm": "5.38",
            "Area µm^2": "1.500",
            "Perimeter µm": "5.500",
            "Score": "0.8750",
        }
    ]


def test_pixels_without_calibration_and_empty_cells_for_what_is_unknown(tmp_path, run_id, nuclei):
    d = nuclei(40_000)
    d.scores[7] = np.nan
    path = tmp_path / "o.csv"
    write_table(path, [ObjectBatch(d, 1)], image="a", run_id=run_id, pixel_size=None)
    rows = rows_of(path)
    assert len(rows) == 40_000
    assert [int(r["Name"]) for r in rows] == list(range(1, 40_001))
    assert rows[7]["Score"] == ""
    assert float(rows[5]["Area px^2"]) == pytest.approx(np.pi * 81, rel=0.02)
    centre = d.ring(5).mean(axis=0)
    found = [float(rows[5]["Centroid X px"]), float(rows[5]["Centroid Y px"])]
    np.testing.assert_allclose(found, centre, atol=0.01)


def test_no_objects_leave_the_header(tmp_path, run_id):
    path = tmp_path / "o.csv"
    assert write_table(path, [], image="a", run_id=run_id, pixel_size=None) == 0
    assert path.read_text(encoding="utf-8").count("\n") == 1
