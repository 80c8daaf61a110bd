"""``tilescope import``, ``export``, ``measure`` and ``run --project``: output and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.engine.cli.conftest import Process, Tilescope, assert_one_line_about, only_json

from tilescope.store.project import Project

SQUARE = [[10, 10], [40, 10], [40, 40], [10, 40], [10, 10]]


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Two features, one of them of no use."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"classification": {"name": "tumour", "color": [200, 0, 0]}},
        }
        for ring in (SQUARE, SQUARE[:2])
    ]
    path = tmp_path / "drawn.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_a_run_goes_through_a_project_into_another_program(
    toy_site: Path, tilescope: Tilescope, spots: Path, tmp_path: Path
) -> None:
    run = ["run", "toy", spots, "-o", "out", "--format", "csv", "--project", "study.tilescope"]
    printed = only_json(tilescope(*run, "--json"))
    assert printed["outputs"]["project"] == "study.tilescope"
    assert only_json(tilescope(*run, "--json"))["objects"] == 35
    measured = only_json(tilescope("measure", "study.tilescope", "--json"))
    assert (measured["measured"], measured["status"]) == (35, "complete")
    export = ["export", "study.tilescope", "--format", "geojson", "-o", "out.geojson", "--json"]
    assert only_json(tilescope(*export))["objects"] == 35
    members = json.loads((tmp_path / "out.geojson").read_text())["features"][0]["properties"]
    assert {"Area px^2", "score"} < members["measurements"].keys()
    back = ["import", "second.tilescope", "out.geojson", "--slide", spots, "--json"]
    found = only_json(tilescope(*back))
    assert (found["objects"], found["format"], found["slide"]) == (35, "geojson", "spots.png")
    assert (found["left_out"], found["changed"]) == ([], [])
    assert set(found["classes"]) == {"part"}


def test_simplifying_says_by_how_much(tilescope: Tilescope, drawn: Path, spots: Path) -> None:
    tilescope("import", "p.tilescope", drawn, "--slide", spots)
    export = ["export", "p.tilescope", "--format", "geojson", "-o", "out.geojson"]
    result = tilescope(*export, "--simplify", "0.5")
    assert result.exit_code == 0
    assert "to out.geojson, simplified to 0.5 px, " in result.stdout
    refused = tilescope(*export, "--simplify", "-1")
    assert refused.exit_code != 0
    assert "--simplify takes a length from 0 pixels on" in refused.stderr
    assert "--simplify" in tilescope("export", "--help").stdout


def test_an_import_for_people_names_what_was_left_out(
    tilescope: Tilescope, drawn: Path, spots: Path
) -> None:
    result = tilescope("import", "p.tilescope", drawn, "--slide", spots)
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert "1 object from" in first
    assert "left out: " in second
    assert "feature 2" in second
    measured = tilescope("measure", "p.tilescope")
    assert "1 of 1 object on spots.png measured" in measured.stdout
    exported = tilescope("export", "p.tilescope", "--format", "geojson", "-o", "out.geojson")
    assert "1 object of spots.png to out.geojson" in exported.stdout


def test_an_import_names_planes_that_the_slide_does_not_have(
    tilescope: Tilescope, drawn: Path, spots: Path
) -> None:
    features = json.loads(drawn.read_text())["features"][:1]
    features[0]["geometry"]["plane"] = {"c": -1, "z": 3, "t": 0}
    drawn.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    result = tilescope("import", "p.tilescope", drawn, "--slide", spots)
    assert result.exit_code == 0
    assert "1 object from" in result.stdout
    said = "changed: names a focal plane that the slide does not have, and was put on focal plane 1"
    assert said in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "p.tilescope", "drawn.geojson"], "--slide"),
        (["import", "p.tilescope", "none.geojson", "--slide", "spots.png"], "does not exist"),
        (["import", "p.tilescope", "spots.png", "--slide", "spots.png"], "none of the formats"),
        (["import", "p.tilescope", "drawn.geojson", "--slide", "none.png"], "no slide 'none.png'"),
        (["import", "spots.png", "drawn.geojson", "--slide", "spots.png"], "spots.png"),
        (["export", "none.tilescope", "--format", "csv", "-o", "out.csv"], "none.tilescope"),
        (["export", "p.tilescope", "--format", "png", "-o", "out.png"], "'png'"),
        (["measure", "none.tilescope"], "none.tilescope"),
    ],
)
def test_mistakes_are_told_in_one_line(
    tilescope: Tilescope, drawn: Path, spots: Path, tmp_path: Path, arguments: list, said: str
) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    result = tilescope(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert_one_line_about(result.stderr, said)
    assert {path.name for path in tmp_path.iterdir()} - before <= {"spots.png-lock"}


def test_a_busy_project_stops_a_run_before_it_starts(
    toy_site: Path, tilescope: Tilescope, spots: Path, tmp_path: Path
) -> None:
    with Project.create(tmp_path / "p.tilescope", user="ada"):
        result = tilescope("run", "toy", spots, "-o", "out", "--project", "p.tilescope")
    assert result.exit_code == 2
    assert "ada" in result.stderr
    assert not (tmp_path / "out").exists()


def test_help_names_the_commands_and_stays_light(process: Process) -> None:
    shown = process("--help").stdout
    assert all(name in shown for name in ("import", "export", "measure"))
