"""A user's model from its file to its results: added, shown, run and removed by commands alone."""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import zarr
from onnx import TensorProto, helper, numpy_helper
from tests.engine.models.conftest import Tilescope
from tests.engine.models.networks import (
    FLOAT,
    Net,
    finished,
    square_detector,
    unet,
    written,
    wsinfer_package,
    zoo_package,
)
from typer.testing import Result

from tilescope.errors import UsageError, WeightsError
from tilescope.inference.onnx_runtime import load_runtime
from tilescope.jobs.check_model import check_golden
from tilescope.plugins.model_store import STORED_ADAPTER
from tilescope.plugins.registry import STORED, discover, find_model

CHECKS = [
    *("blank tile", "random tile", "odd size", "batch", "declared shapes"),
    *("nothing found", "NaN", "time and memory"),
]


def json_of(result: Result) -> dict:
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    return json.loads(line)


def error_of(result: Result, code: int = 2) -> str:
    assert result.exit_code == code, result.stdout + result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("tilescope: error: ")
    return line


def outputs_of(path: Path, image: np.ndarray) -> np.ndarray:
    session = load_runtime().InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image.astype(np.float32)})[0]


# -- third-party models work unchanged -----------------------------------------------------------


def test_a_model_of_the_zoo_from_its_zip_to_its_heat_map(
    tilescope: Tilescope, tmp_path: Path, store: Path, rng: np.random.Generator
) -> None:
    folder = zoo_package(tmp_path / "zoo")
    package = tmp_path / "cell-borders.zip"
    with zipfile.ZipFile(package, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    added = json_of(tilescope("models", "add", package, "--json"))
    assert added["model"] == "cell-borders-u-net"
    assert added["added"] is True
    assert Path(added["folder"]) == store / "cell-borders-u-net"
    assert [check["name"] for check in added["checks"]] == [*CHECKS, "author's test"]
    assert {check["verdict"] for check in added["checks"]} == {"ok"}
    golden = check_golden(find_model("cell-borders-u-net"))  # the author's pair was kept
    assert golden.difference <= golden.allowed
    assert any("mean and deviation" in words for words in added["assumed"])

    picture = np.kron(rng.integers(20, 200, (32, 32)), np.ones((16, 16))).astype(np.uint8)
    picture += rng.integers(0, 40, picture.shape, np.uint8)
    slide = tmp_path / "cells.png"
    slide.write_bytes(imagecodecs.png_encode(picture))
    report = json_of(
        tilescope("run", "cell-borders-u-net", slide, "-o", "out", "--provider", "cpu", "--json")
    )
    assert report["status"] == "complete", report["errors"]
    contrast = report["contrast"]  # of the slide as a whole
    image = (picture - contrast["mean"][0]) / contrast["deviation"][0]
    assert abs(image.mean()) < 1
    logits = outputs_of(folder / "weights.onnx", image[None, None])[0, 0]
    heat = zarr.open_array(tmp_path / "out" / "cells" / "heatmap.ome.zarr" / "0", mode="r")[0]
    np.testing.assert_allclose(heat / 255, 1 / (1 + np.exp(-logits)), atol=0.01)
    assert np.ptp(heat) > 30  # the network says something


def test_a_classifier_of_wsinfer_from_its_folder_to_its_table(
    tilescope: Tilescope, tmp_path: Path, rng: np.random.Generator
) -> None:
    folder = wsinfer_package(tmp_path / "tumours")
    added = json_of(tilescope("models", "add", folder, "--licence", "CC0-1.0", "--json"))
    assert (added["model"], added["added"]) == ("tumours", True)
    shown = json_of(tilescope("models", "show", "tumours", "--json"))
    assert (shown["task"], shown["classes"]) == ("classification", ["other", "tumour"])
    assert shown["licence"] == "CC0-1.0"
    assert shown["sampling"] == {"kind": "pixel-size", "um": 0.75}
    assert [step["kind"] for step in shown["encoding"]["steps"]] == ["unit-range", "linear"]

    picture = rng.integers(30, 220, (128, 192, 3), np.uint8)
    slide = tmp_path / "tissue.png"
    slide.write_bytes(imagecodecs.png_encode(picture))
    report = json_of(
        tilescope(
            *("run", "tumours", slide, "-o", "out", "--um-per-px", "0.75"),
            *("--provider", "cpu", "--json"),
        )
    )
    assert report["status"] == "complete", report["errors"]
    with (tmp_path / "out" / "tissue" / "tiles.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    for row in rows:
        x, y = round(float(row["x"])), round(float(row["y"]))
        tile = picture[y : y + 64, x : x + 64] / 255
        image = ((tile - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.5]).transpose(2, 0, 1)
        powers = np.exp(outputs_of(folder / "model.onnx", image[None])[0].astype(np.float64))
        expected = powers[1] / powers.sum()
        assert float(row["Probability tumour"]) == pytest.approx(expected, abs=1e-4)
        assert row["Classification"] == ("tumour" if expected > 0.5 else "other")


def test_a_detector_from_its_file_to_its_objects(tilescope: Tilescope, tmp_path: Path) -> None:
    file = written(tmp_path / "squares.onnx", square_detector())
    added = json_of(tilescope("models", "add", file, "--json"))
    assert added["added"] is True
    picture = np.zeros((304, 400, 3), np.uint8)
    wanted = {(x, y) for x in range(8, 400, 56) for y in range(16, 304, 48)}
    for x, y in wanted:
        picture[y : y + 8, x : x + 8] = 250
    slide = tmp_path / "board.png"
    slide.write_bytes(imagecodecs.png_encode(picture))
    report = json_of(
        tilescope(
            *("run", "squares", slide, "-o", "out", "--provider", "cpu"),
            *("--format", "geojson", "--json"),
        )
    )
    assert report["status"] == "complete", report["errors"]
    assert report["tiles"]["total"] > 4
    file = tmp_path / "out" / "board" / "objects.geojson"
    features = json.loads(file.read_text(encoding="utf-8"))["features"]
    rings = [np.array(feature["geometry"]["coordinates"][0]) for feature in features]
    assert len(rings) == len(wanted)  # each once, whatever tile saw it
    assert {tuple(ring.min(axis=0).round().tolist()) for ring in rings} == wanted
    np.testing.assert_allclose([np.ptp(ring, axis=0) for ring in rings], 8, atol=0.01)


def test_a_bare_file_is_shown_tested_and_removed(
    tilescope: Tilescope, tmp_path: Path, store: Path
) -> None:
    file = written(tmp_path / "Cell Map.onnx", unet(3, 2).model(license="MIT"))
    result = tilescope("models", "add", file, "--um-per-px", "0.5", "--classes", "a, b")
    assert result.exit_code == 0, result.stderr
    assert "added cell-map to" in result.stdout
    assert "     ok  blank tile: " in result.stdout
    assert "assumed: pixel values are scaled to 0..1" in result.stdout

    rows = {row["id"]: row for row in json_of(tilescope("models", "--json"))["models"]}
    assert rows["cell-map"]["plugin"] == "user.cell-map"
    assert (rows["cell-map"]["weights"], rows["cell-map"]["licence"]) == ("present", "MIT")
    model = find_model("cell-map")
    assert model.folder == store / "cell-map"
    assert model.spec.adapter == STORED_ADAPTER
    assert model.verified_weights() == file.read_bytes()
    assert model.spec.classes == ("a", "b")
    assert model.spec.tile.peak_bytes_per_px or not Path("/proc/self/clear_refs").exists()
    model.load_adapter()

    tested = json_of(tilescope("models", "test", "cell-map", "--json"))
    assert (tested["difference"], tested["allowed"]) == (None, None)
    assert [check["name"] for check in tested["checks"]] == CHECKS

    removed = json_of(tilescope("models", "remove", "cell-map", "--json"))
    assert removed == {"model": "cell-map", "removed": str(store / "cell-map")}
    assert list(store.iterdir()) == []
    assert "no model is called 'cell-map'" in error_of(tilescope("models", "remove", "cell-map"))


def test_assumptions_and_findings_name_the_flags_that_change_them(
    tilescope: Tilescope, tmp_path: Path
) -> None:
    file = written(tmp_path / "plain.onnx", unet(3, 3).model())
    values = json_of(tilescope("models", "add", file, "--json"))
    for words in (
        "classes are called class 0 to class 2 (--classes a,b,c names them)",
        "its channels are red, green and blue, in this order (--colour changes it)",
        "pixel values are scaled to 0..1 before the network (--normalise imagenet, zero-mean, "
        "percentile, 0-255 or none changes it)",
        "tiles of at most 2048 x 2048 px are used (--tile changes it)",
        "the licence is unknown (--licence names it)",
        "slides are taken pixel by pixel, whatever their scale (--um-per-px gives the pixel size "
        "that the model was trained on)",
    ):
        assert words in values["assumed"]
    assert all(set(check) == {"name", "verdict", "words"} for check in values["checks"])
    shown = json_of(tilescope("models", "show", "plain", "--json"))
    assert len(shown["card"]["assumed"]) == len(values["assumed"])
    assert "--" not in " ".join(shown["card"]["assumed"])  # no front end is written down
    json_of(tilescope("models", "remove", "plain", "--json"))
    again = tilescope("models", "add", file).stdout.splitlines()
    assert [line for line in again if line.startswith("assumed: ")] == [
        f"assumed: {words}" for words in values["assumed"]
    ]


def test_what_must_be_said_names_its_flag(tilescope: Tilescope, tmp_path: Path) -> None:
    net = unet(1, 3)
    net.add("ArgMax", [net.last], axis=1, keepdims=0)
    outputs = [(net.last, TensorProto.INT64, None)]
    file = written(tmp_path / "labels.onnx", net.model(outputs=outputs))
    line = error_of(tilescope("models", "add", file))
    assert "labels.onnx: its outputs are numbers of classes, and nothing says which" in line
    assert line.endswith("(--classes a,b,c)")
    file = written(tmp_path / "net.onnx", unet(3, 3).model())
    line = error_of(tilescope("models", "add", file, "--classes", "a,b"))
    assert "the command line names 2 classes and the network gives 3; correct them" in line
    assert line.endswith("(--classes a,b,c)")


# -- once more -----------------------------------------------------------------------------------


# -- what is not added ---------------------------------------------------------------------------


def test_an_id_is_given_once(tilescope: Tilescope, tmp_path: Path, store: Path, added: str) -> None:
    file = written(tmp_path / "borders.onnx", unet().model())
    line = error_of(tilescope("models", "add", file, "--classes", "x"))
    assert "'borders' is in your models already: give another --id" in line
    assert "models remove borders" in line
    assert (store / "borders" / "plugin.toml").read_text() == added
    line = error_of(tilescope("models", "add", file, "--id", "nuclei-unet"))
    assert "the plugin tilescope.nuclei" in line
    assert [path.name for path in store.iterdir()] == ["borders"]


def test_what_came_with_a_plugin_is_not_removed(tilescope: Tilescope) -> None:
    line = error_of(tilescope("models", "remove", "nuclei-unet"))
    assert "comes with the plugin tilescope.nuclei" in line
    assert find_model("nuclei-unet").weights_state() == "present"


@pytest.mark.parametrize("ident", ["../evil", "/etc", "Big", "a b", "x" * 65, "dot.", ""])
def test_ids_are_no_paths(tilescope: Tilescope, tmp_path: Path, ident: str) -> None:
    file = written(tmp_path / "net.onnx", unet().model())
    for arguments in (["add", file, "--id", ident], ["remove", ident]):
        assert "is no id for a model" in error_of(tilescope("models", *arguments))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--task", "magic"),
        ("--normalise", "yes"),
        ("--colour", "mauve"),
        ("--boxes", "v9"),
        ("--classes", "a,,b"),
        ("--classes", "a,b,a"),
    ],
)
def test_options_that_make_no_sense(
    tilescope: Tilescope, tmp_path: Path, option: str, value: str
) -> None:
    file = written(tmp_path / "net.onnx", unet().model())
    assert option in error_of(tilescope("models", "add", file, option, value))


def test_a_model_that_fails_is_not_added_and_the_report_says_why(
    tilescope: Tilescope, tmp_path: Path, store: Path
) -> None:
    net = Net(1)
    spread = net.add("Sub", ["image", net.add("ReduceMean", ["image"], axes=[2, 3])])
    square = net.add("Mul", [spread, spread])
    net.add("Sqrt", [net.add("ReduceMean", [square], axes=[2, 3])])
    net.add("Div", [spread, net.last])  # 0 / 0 on a blank tile
    file = written(tmp_path / "net.onnx", net.model())
    result = tilescope("models", "add", file, "--json")
    line = error_of(result)
    assert "net.onnx: was not added: blank tile" in line
    assert "holds NaN" in line
    values = json.loads(result.stdout)
    assert (values["added"], values["folder"]) == (False, None)
    assert values["checks"][0]["verdict"] == "failed"
    assert list(store.iterdir()) == []


def test_another_output_than_the_author_s_is_a_warning(
    tilescope: Tilescope, tmp_path: Path
) -> None:
    folder = zoo_package(tmp_path / "zoo")
    np.save(folder / "test_out.npy", np.load(folder / "test_out.npy") ** 2)
    added = json_of(tilescope("models", "add", folder, "--json"))
    (check,) = [check for check in added["checks"] if check["verdict"] != "ok"]
    assert (check["name"], check["verdict"]) == ("author's test", "warning")
    assert "--normalise" in check["words"]
    assert find_model(added["model"]).spec.golden is None


def hostile(kind: str, folder: Path) -> Path:
    """Write a file that must not be run and return it."""
    model = unet().model()
    if kind == "code":
        model.graph.node[0].domain = "evil.ops"
    else:
        sides = numpy_helper.from_array(np.array([1, 1, 1 << 20, 1 << 20]), "sides")
        model.graph.initializer.append(sides)
        model.graph.node.append(helper.make_node("ConstantOfShape", ["sides"], ["boom"]))
    return written(folder / f"{kind}.onnx", model)


@pytest.mark.parametrize(
    ("kind", "words"), [("code", "evil.ops:Conv"), ("bomb", "would have the shape")]
)
def test_hostile_files_are_refused_in_one_line(
    tilescope: Tilescope, tmp_path: Path, store: Path, kind: str, words: str
) -> None:
    result = tilescope("models", "add", hostile(kind, tmp_path).name)
    line = error_of(result)
    assert line.startswith(f"tilescope: error: {kind}.onnx: ")
    assert words in line
    assert result.stdout == ""
    assert list(store.iterdir()) == []


def test_a_small_model_is_added_in_little_memory(tilescope: Tilescope, tmp_path: Path) -> None:
    package = wsinfer_package(tmp_path / "tumours")
    added = json_of(tilescope("models", "add", package, "--memory", "600MiB", "--json"))
    assert added["added"] is True


def test_memory_that_only_shows_when_it_runs_is_not_given(
    tilescope: Tilescope, tmp_path: Path, store: Path
) -> None:
    """A loop whose length no shape tells: each round doubles what it holds."""
    body = helper.make_graph(
        [
            helper.make_node("Concat", ["held", "held"], ["twice"], axis=0),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("held", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("twice", FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Shape", ["image"], ["s"], start=3),
        helper.make_node("Squeeze", ["s"], ["rounds"]),
        helper.make_node("Loop", ["rounds", "yes", "image"], ["held"], body=body),
        helper.make_node("ReduceMax", ["held"], ["m"], keepdims=0),
        helper.make_node("Add", ["image", "m"], ["out"]),
    ]
    yes = numpy_helper.from_array(np.array(True), "yes")
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", FLOAT, [1, 1, "h", "w"])],
        [helper.make_tensor_value_info("out", FLOAT, None)],
        [yes],
    )
    file = written(tmp_path / "hog.onnx", finished(graph))
    line = error_of(tilescope("models", "add", file, "--memory", "600MiB"))
    assert "hog.onnx" in line
    assert "memory" in line
    # It was read; what it takes shows when it runs.
    assert "reading the graph" not in line
    assert list(store.iterdir()) == []


# -- the store -----------------------------------------------------------------------------------


def stored(store: Path, ident: str, manifest: str) -> None:
    folder = store / ident
    folder.mkdir(parents=True)
    (folder / "plugin.toml").write_text(manifest)


def test_stored_models_run_no_code_of_their_own(
    tilescope: Tilescope, store: Path, added: str
) -> None:
    stored(store, "evil", added.replace(STORED_ADAPTER, "os:system").replace("borders", "evil"))
    stored(store, "other", added)  # its id is another one
    (store / "empty").mkdir()
    (store / ".adding-x").mkdir()
    found = {p.entry: p for p in discover() if p.distribution == STORED}
    assert set(found) == {"borders", "evil", "other", "empty"}
    assert found["borders"].state == "valid"
    assert "a stored model must have the adapter" in (found["evil"].problem or "")
    assert "one model of the id 'other'" in (found["other"].problem or "")
    assert found["empty"].state == "invalid"
    text = tilescope("plugins").stdout
    assert f"evil ({STORED}): invalid" in text
    for ident in ("evil", "other", "empty"):  # broken ones can be removed
        assert tilescope("models", "remove", ident).exit_code == 0
    assert sorted(path.name for path in store.iterdir()) == [".adding-x", "borders"]


def test_weights_changed_in_the_store_are_not_used(
    tilescope: Tilescope, store: Path, added: str
) -> None:
    assert hashlib.sha256((store / "borders" / "borders.onnx").read_bytes()).hexdigest() in added
    path = store / "borders" / "borders.onnx"
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(WeightsError, match="sha256 differs"):
        find_model("borders").verified_weights()
    assert "sha256 differs" in error_of(tilescope("models", "test", "borders"))


def test_a_manifest_changed_for_the_worse_fails_its_test(
    tilescope: Tilescope, store: Path, added: str
) -> None:
    text = added.replace('classes = ["foreground"]', 'classes = ["a", "b", "c"]')
    (store / "borders" / "plugin.toml").write_text(text)
    result = tilescope("models", "test", "borders")
    assert "blank tile: the network gives 1 classes, the manifest names 3" in error_of(result)
    assert " failed  blank tile" in result.stdout


def test_clicks_and_tiles_are_not_mixed_up(store: Path, added: str) -> None:
    text = added.replace('task = "semantic"', 'task = "click"')
    (store / "borders" / "plugin.toml").write_text(text)
    with pytest.raises(UsageError, match="what is clicked on"):
        find_model("borders").load_adapter()
    (store / "borders" / "plugin.toml").write_text(added)
    with pytest.raises(UsageError, match="takes no clicks"):
        find_model("borders").load_click_adapter()


def test_a_store_that_cannot_be_written(tilescope: Tilescope, tmp_path: Path, store: Path) -> None:
    store.write_text("a file where the folder belongs")
    file = written(tmp_path / "net.onnx", unet().model())
    assert "TILESCOPE_MODELS" in error_of(tilescope("models", "add", file))
