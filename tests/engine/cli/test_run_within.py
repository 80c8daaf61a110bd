"""``tilescope run --within``: outlines of a file, a class of them, and files that hold none."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tests.engine.cli.conftest import Tilescope, assert_one_line_about, only_json


def feature(geometry: dict, class_name: str | None = None) -> dict:
    properties: dict = {"objectType": "annotation"}
    if class_name is not None:
        properties["classification"] = {"name": class_name}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def box(x0: float, y0: float, x1: float, y1: float) -> dict:
    corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    return {"type": "Polygon", "coordinates": [corners]}


def write(path: Path, *features: dict) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture
def outlines(tmp_path: Path) -> Path:
    return write(
        tmp_path / "outlines.geojson",
        feature(box(0, 0, 240, 160), "Tumour"),
        feature({"type": "Point", "coordinates": [300, 300]}, "Tumour"),
        feature({"type": "LineString", "coordinates": [[0, 0], [300, 300]]}),
        feature(box(0, 160, 120, 240), "Stroma"),
    )


RUN = ["-o", "out", "--format", "geojson"]


@pytest.mark.usefixtures("toy_site")
def test_all_areas_of_a_file_count_and_the_rest_is_named(
    tilescope: Tilescope, spots: Path, outlines: Path
) -> None:
    result = tilescope("run", "toy", spots, *RUN, "--within", outlines, "--json")
    values = only_json(result)
    region = only_json(
        tilescope("run", "toy", spots, "-o", "region", "--region", "0,0,240,160", "--json")
    )
    assert values["within"]["areas"] == 2
    assert values["within"]["rect"] == "0,0,240,240"
    assert values["objects"] > region["objects"] == 6
    assert "left out: a point or line has no area (" in result.stderr
    assert "the first of 2)" in result.stderr


@pytest.mark.usefixtures("toy_site")
def test_a_class_of_them(tilescope: Tilescope, spots: Path, outlines: Path) -> None:
    result = tilescope("run", "toy", spots, *RUN, "--within", outlines, "--within-class", "Tumour")
    assert result.exit_code == 0
    assert "6 objects in 1 area, " in result.stdout


@pytest.mark.usefixtures("toy_site")
def test_other_outlines_do_not_continue_a_run(
    tilescope: Tilescope, spots: Path, outlines: Path
) -> None:
    run = ["run", "toy", spots, *RUN, "--within", outlines]
    assert tilescope(*run).exit_code == 0
    assert tilescope(*run).exit_code == 0
    other = tilescope(*run, "--within-class", "Stroma")
    assert other.exit_code == 2
    assert "areas was 2 areas" in other.stderr


NOTHING = {
    "missing": (None, "does not exist"),
    "empty": (b"", "is empty"),
    "words": (b"no outlines here", "GeoJSON begins with"),
    "cut": (b'{"type": "FeatureCollection", "features": [{"type": "Feature", "geom', "outlines"),
    "features": (b'{"type": "FeatureCollection", "features": []}', "holds no area"),
    "points": (
        json.dumps(feature({"type": "Point", "coordinates": [5, 5]})).encode(),
        "holds no area: a point or line has no area",
    ),
    "flat": (json.dumps(feature(box(5, 5, 5, 60))).encode(), "holds no area: encloses nothing"),
    "infinite": (
        json.dumps(feature(box(5, 5, float("inf"), 60))).encode(),
        "holds no area: has coordinates that are not finite",
    ),
    "beside": (json.dumps(feature(box(5000, 5, 6000, 60))).encode(), "none of the 1 area with"),
}


@pytest.mark.usefixtures("toy_site")
@pytest.mark.parametrize("name", NOTHING)
def test_a_file_without_areas_on_the_slide_is_one_line(
    tilescope: Tilescope, spots: Path, tmp_path: Path, name: str
) -> None:
    content, message = NOTHING[name]
    path = tmp_path / "outlines.geojson"
    if content is not None:
        path.write_bytes(content)
    result = tilescope("run", "toy", spots, *RUN, "--within", path)
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, message)
    assert not Path("out").exists()


@pytest.mark.usefixtures("toy_site")
def test_a_class_that_no_area_has_names_those_there_are(
    tilescope: Tilescope, spots: Path, outlines: Path
) -> None:
    result = tilescope("run", "toy", spots, *RUN, "--within", outlines, "--within-class", "Fat")
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, "no area of the class 'Fat'; its areas are of: Tumour, St")
    without_file = tilescope("run", "toy", spots, *RUN, "--within-class", "Fat")
    assert without_file.exit_code == 2
    assert_one_line_about(without_file.stderr, "give it with --within")


@pytest.mark.usefixtures("toy_site")
def test_outlines_are_for_one_slide(tilescope: Tilescope, spots: Path, outlines: Path) -> None:
    other = spots.with_name("other.png")
    other.write_bytes(spots.read_bytes())
    result = tilescope("run", "toy", spots, other, *RUN, "--within", outlines)
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, "run the slides one by one")


@pytest.mark.usefixtures("toy_site")
@pytest.mark.parametrize("seed", range(12))
def test_damaged_files_never_end_in_a_traceback(
    tilescope: Tilescope, spots: Path, outlines: Path, seed: int
) -> None:
    rng = random.Random(seed)
    data = bytearray(outlines.read_bytes())
    for _ in range(rng.randint(1, 12)):
        data[rng.randrange(len(data))] = rng.choice(b'0123456789[]{},:"-eE\x00\xff')
    outlines.write_bytes(data)
    result = tilescope("run", "toy", spots, *RUN, "--within", outlines)
    assert result.exit_code in {0, 2}
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.stderr
