"""``tilescope run`` with models of every task, installed as plugins are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from tests.engine.cli.conftest import Tilescope, only_json, write_png

from tilescope.domain.geometry import Size
from tilescope.testing.toy_tasks import ToyGraph

MANIFEST = """
schema = 1
id = "toys"
name = "Toys"
requires = ">=0.1"
"""
MODEL = """
[[model]]
id = "toy-{task}"
version = "1"
title = "Brightness"
task = "{task}"
adapter = "tilescope.testing.toy_tasks:{adapter}"
classes = {classes}
licence = "BSD-3-Clause"
sampling = {{ kind = "native" }}
tile = {{ size = [128, 128], halo = 16, multiple_of = 8, peak_bytes_per_px = 64 }}
weights = {{ file = "{task}.onnx", sha256 = "{sha256}", bytes = {size} }}
inputs = [{{ name = "image", layout = "NCHW", dtype = "float32", channels = ["grey"] }}]
outputs = [{{ name = "blurred", layout = "NCHW", dtype = "float32", channels = ["blurred"] }}]
"""
THRESHOLD = """
[model.parameters.threshold]
default = 0.3
min = 0.01
max = 0.99
title = "Least brightness"
"""
THREE = '["dark", "medium", "light"]'
MODELS = {
    "semantic": ("ClassAdapter", THREE, ToyGraph()),
    "classification": ("ScoreAdapter", THREE, ToyGraph(fixed=Size(128, 128))),
    "detect": ("BoxAdapter", '["dim", "bright"]', ToyGraph()),
}


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install one model of each task the way an installer would."""
    package = tmp_path / "site" / "toys_plugin"
    package.mkdir(parents=True)
    text = MANIFEST
    for task, (adapter, classes, graph) in MODELS.items():
        data = graph.as_bytes()
        (package / f"{task}.onnx").write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        text += MODEL.format(
            task=task, adapter=adapter, classes=classes, sha256=sha256, size=len(data)
        )
        text += THRESHOLD if task == "detect" else ""
    (package / "__init__.py").touch()
    (package / "plugin.toml").write_text(text)
    info = tmp_path / "site" / "toys_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toys-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tilescope.plugins]\ntoys = toys_plugin:plugin.toml\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Three stripes: a fifth, half and nine tenths as bright as can be."""
    stripes = np.repeat(np.array([40, 120, 230], np.uint8), 140)
    return write_png(tmp_path / "stripes.png", np.tile(stripes, (300, 1)))


OPTIONS = ("-o", "out", "--threads", 1, "--provider", "cpu")


@pytest.mark.usefixtures("toys")
def test_a_class_map_for_programs_and_for_people(tilescope: Tilescope, picture: Path) -> None:
    result = only_json(tilescope("run", "toy-semantic", picture, *OPTIONS, "--json"))
    folder = Path("out/stripes")
    assert result["task"] == "semantic"
    assert result["outputs"] == {
        "ome-zarr": str(folder / "labels.ome.zarr"),
        "csv": str(folder / "areas.csv"),
        "overview": str(folder / "overview.png"),
    }
    assert [area["name"] for area in result["areas"]] == ["dark", "medium", "light"]
    labels = zarr.open_array(folder / "labels.ome.zarr/0", mode="r")[:]
    for value, area in enumerate(result["areas"], 1):
        assert area["px"] == np.count_nonzero(labels == value) > 0
    stored = json.loads((folder / "run.json").read_text())
    assert stored["areas"] == result["areas"]
    printed = tilescope("run", "toy-semantic", picture, *OPTIONS)
    assert "3 classes in" in printed.stdout
    assert "  medium: " in printed.stdout
    assert "objects" not in printed.stdout.splitlines()[0]


@pytest.mark.usefixtures("toys")
def test_tiles_and_boxes(tilescope: Tilescope, picture: Path) -> None:
    tiles = only_json(tilescope("run", "toy-classification", picture, *OPTIONS, "--json"))
    assert set(tiles["outputs"]) == {"geojson", "ome-zarr", "csv", "areas", "overview"}
    assert all(Path(path).exists() for path in tiles["outputs"].values())
    boxes = tilescope("run", "toy-detect", picture, "-o", "boxes", *OPTIONS[2:], "--json")
    found = only_json(boxes)
    assert found["objects"] == len(
        json.loads(Path(found["outputs"]["geojson"]).read_text())["features"]
    )
    assert found["objects"] >= 1
    assert found["areas"] == []


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "coco"), "toy-semantic gives no coco: choose among ome-zarr, csv, overview"),
        (("--param", "threshold=2"), "threshold = 2 is not in 0..1"),
        (("--param", "treshold=0.2"), "has no parameter 'treshold'"),
        (("--project", "study.tilescope"), "leave out --project"),
    ],
)
def test_what_makes_no_sense_for_a_map_is_refused(
    tilescope: Tilescope, picture: Path, options: tuple[str, ...], message: str
) -> None:
    result = tilescope("run", "toy-semantic", picture, *OPTIONS, *options)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert not Path("out").exists()
