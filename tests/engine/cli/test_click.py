"""``tilescope click``: prompts in the order of the command line, answers, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.engine.cli.conftest import Tilescope, assert_one_line_about, json_objects, write_png

from tilescope.cli.click_prompts import prompts_of, read_scribbles
from tilescope.errors import AnnotationError, UsageError

CENTRES = [(60, 60), (150, 70), (90, 150)]


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """Return pale tissue with three dark nuclei of radius 13."""
    rows, columns = np.indices((220, 220)) + 0.5
    picture = np.full((220, 220, 3), (236, 205, 224), np.float64)
    for x, y in CENTRES:
        picture[np.hypot(columns - x, rows - y) < 13] = (110, 80, 155)
    picture += np.random.default_rng(0).normal(0, 3, picture.shape)
    return write_png(tmp_path / "slide.png", np.clip(picture, 0, 255).astype(np.uint8))


def at(place: tuple[int, int]) -> str:
    return f"{place[0]},{place[1]}"


def test_objects_and_answers_are_those_of_the_prompts(tilescope: Tilescope, slide: Path) -> None:
    arguments = ["--at", at(CENTRES[0]), "--not", "90,60", "--at", "500,5", "--at", at(CENTRES[2])]
    result = tilescope("click", "nuclick-nucleus", slide, *arguments, "-o", "o.geojson", "--json")
    assert result.exit_code == 1
    assert "prompt 2 at 500,5: outside" in result.stderr
    (values,) = json_objects(result.stdout)
    assert [p["status"] for p in values["prompts"]] == ["found", "outside", "found"]
    assert [p["outside"] for p in values["prompts"]] == [[[90, 60]], [], []]
    assert values["objects"] == 2
    assert "CC0" in values["licence"]
    features = json.loads(Path("o.geojson").read_text(encoding="utf-8"))["features"]
    middles = [np.mean(f["geometry"]["coordinates"][0][:-1], axis=0) for f in features]
    np.testing.assert_allclose(middles, [CENTRES[0], CENTRES[2]], atol=3)


def test_all_found_is_success_and_names_the_licence(tilescope: Tilescope, slide: Path) -> None:
    arguments = [f"--at={at(c)}" for c in CENTRES]
    result = tilescope(
        "click", "nuclick-nucleus", slide, *arguments, "--um-per-px=0.3", "-o", "o.geojson"
    )
    assert result.exit_code == 0, result.stderr
    assert "3 of 3 objects" in result.stdout
    assert "CC0" in result.stdout


def test_the_licence_of_the_weights_is_in_the_file(tilescope: Tilescope, slide: Path) -> None:
    result = tilescope("click", "nuclick-nucleus", slide, "--at", at(CENTRES[0]), "-o", "o.geojson")
    assert result.exit_code == 0, result.stderr
    licence = json.loads(Path("o.geojson").read_text(encoding="utf-8"))["tilescope:licence"]
    assert "CC0" in licence


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "nothing was pointed at"),
        (["--not", "3,4"], "--not 3,4"),
        (["--also", "3,4", "--at", "5,5"], "--also 3,4"),
        (["--at", "3"], "--at '3'"),
        (["--at", "3,nan"], "--at '3,nan'"),
        (["--at", "3,4,5"], "--at '3,4,5'"),
        (["--box", "3,4,3,9"], "empty"),
        (["--scribble", "missing.txt"], "missing.txt"),
        (["--at", "3,4", "--diameter-px", "-2"], "-2"),
        (["--at", "3,4", "--um-per-px", "900"], "900"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tilescope: Tilescope, slide: Path, arguments: list[str], named: str
) -> None:
    result = tilescope("click", "nuclick-nucleus", slide, *arguments, "-o", "o.geojson")
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, named)
    assert not Path("o.geojson").exists()


def test_models_and_slides_that_are_not_there(tilescope: Tilescope, slide: Path) -> None:
    for model, path, named in (
        ("nuclei-unet", slide, "takes no clicks"),
        ("nuclick-nuclei", slide, "nuclick-nuclei"),
        ("nuclick-nucleus", slide.with_name("gone.svs"), "gone.svs"),
    ):
        result = tilescope("click", model, path, "--at", "3,4", "-o", "o.geojson")
        assert result.exit_code == 2
        assert_one_line_about(result.stderr, named)


def test_points_belong_to_the_object_before_them() -> None:
    prompts = prompts_of(
        [("at", "1,2"), ("not_", "3,4"), ("not_", "5,6"), ("box", "0,0,8,8"), ("also", "4,5"),
         ("at", "7,8"), ("not_", "9,9")]
    )  # fmt: skip
    assert [p.clicks.inside.tolist() for p in prompts] == [[[1, 2]], [[4, 4], [4, 5]], [[7, 8]]]
    assert prompts[0].clicks.outside.tolist() == [[3, 4], [5, 6]]
    assert len(prompts[1].clicks.outside) == 8
    assert prompts[2].clicks.outside.tolist() == [[9, 9]]
    with pytest.raises(UsageError, match="none is"):
        prompts_of([("not_", "1,1"), ("at", "7,8")])


def test_scribbles_come_as_rows_and_as_geojson(tmp_path: Path) -> None:
    text = tmp_path / "lines.csv"
    text.write_text("1,2\n3,4\n\n\n5,6\n7,8\n9,10\n", encoding="utf-8")
    assert [line.tolist() for line in read_scribbles(text)] == [
        [[1, 2], [3, 4]], [[5, 6], [7, 8], [9, 10]],
    ]  # fmt: skip
    lines = {"type": "MultiLineString", "coordinates": [[[1, 2], [3, 4]], [[5, 6, 7]]]}
    point = {"type": "Point", "coordinates": [1, 2]}
    for values in (
        lines,
        {"type": "Feature", "geometry": lines},
        {"type": "FeatureCollection", "features": [{"geometry": lines}, {"geometry": point}]},
    ):
        text.write_text(json.dumps(values), encoding="utf-8")
        assert [line.tolist() for line in read_scribbles(text)] == [[[1, 2], [3, 4]], [[5, 6]]]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\n\n", b"1,2\n3\n", b"a,b\n", b"1,inf\n", b"\xff\xfe\x00\x01", b"{", b"{}",
        b'{"type":"LineString","coordinates":5}', b'{"features":' + b"[" * 100_000,
        b'{"type":"LineString","coordinates":[["a","b"]]}',
        b'{"type":"FeatureCollection","features":[1]}',
    ],
)  # fmt: skip
def test_a_file_that_is_no_scribble_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scribble"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match="scribble"):
        read_scribbles(path)


def test_what_the_model_doubts_is_told_and_can_be_had(tilescope: Tilescope, slide: Path) -> None:
    given = ["click", "nuclick-nucleus", slide, f"--at={at(CENTRES[0])}", "--um-per-px=0.3"]
    strict = tilescope(*given, "--param", "least_score=1", "-o", "o.geojson")
    assert strict.exit_code == 1
    assert "there may be no nucleus" in strict.stderr
    lenient = tilescope(*given, "--param", "least_score=0", "-o", "o.geojson")
    assert lenient.exit_code == 0, lenient.stderr
    wrong = tilescope(*given, "--param", "least_score", "-o", "o.geojson")
    assert wrong.exit_code == 2
    assert_one_line_about(wrong.stderr, "NAME=NUMBER")
