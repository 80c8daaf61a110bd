"""``models``, ``plugins`` and ``doctor``: one JSON object each, and sentences for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.engine.cli.conftest import Tilescope, assert_one_line_about, only_json

from tilescope import __version__
from tilescope.inference.backends import PROVIDERS


@pytest.mark.usefixtures("toy_site")
@pytest.mark.parametrize("arguments", [["models"], ["models", "list"]], ids=["bare", "list"])
def test_the_installed_models(tilescope: Tilescope, arguments: list[str]) -> None:
    values = only_json(tilescope(*arguments, "--json"))
    assert set(values) == {"models"}
    models = {model["id"]: model for model in values["models"]}
    assert models["toy"] == {
        "id": "toy",
        "version": "1",
        "title": "Bright parts",
        "task": "instances",
        "classes": ["part"],
        "licence": "BSD-3-Clause",
        "plugin": "toy",
        "weights": "present",
        "sha256": models["toy"]["sha256"],
    }
    assert models["nuclei-unet"]["weights"] == "present"
    text = tilescope(*arguments).stdout
    assert "toy 1  Bright parts  [present]" in text
    assert "nuclei-unet" in text


def test_everything_about_one_model(tilescope: Tilescope) -> None:
    values = only_json(tilescope("models", "show", "nuclei-unet", "--json"))
    assert values["id"] == "nuclei-unet"
    assert values["state"] == "present"
    assert values["plugin"] == "tilescope.nuclei"
    assert values["classes"] == ["nucleus"]
    assert set(values["parameters"]) == {"foreground", "peak", "min_area_px"}
    assert set(values["parameters"]["peak"]) == {"default", "minimum", "maximum", "title"}
    assert values["weights"]["sha256"]
    assert values["tile"]["size"]["width"] >= 512
    assert values["card"]["data"]
    text = tilescope("models", "show", "nuclei-unet").stdout
    assert "licence: " in text
    assert "  foreground:\n    default: " in text


def test_the_shipped_model_reproduces_its_golden_output(tilescope: Tilescope) -> None:
    values = only_json(tilescope("models", "test", "nuclei-unet", "--json"))
    assert set(values) == {"model", "difference", "allowed", "checks"}
    assert {check["verdict"] for check in values["checks"]} == {"ok"}
    assert 0 <= values["difference"] <= values["allowed"]


@pytest.mark.usefixtures("toy_site")
def test_a_model_without_a_golden_pair_is_tried_out(tilescope: Tilescope) -> None:
    values = only_json(tilescope("models", "test", "toy", "--json"))
    assert (values["difference"], values["allowed"]) == (None, None)
    verdicts = {check["name"]: check["verdict"] for check in values["checks"]}
    assert set(verdicts.values()) <= {"ok", "warning"}
    assert verdicts["blank tile"] == "warning"  # white is an object to the toy model


def test_a_model_that_gives_something_else_is_told(tilescope: Tilescope, toy_site: Path) -> None:
    package = toy_site / "toy_plugin"
    image = np.ones((1, 1, 16, 16), np.float32)
    np.savez(package / "in.npz", image=image)
    np.savez(package / "out.npz", blurred=image * 2)
    with (package / "plugin.toml").open("a") as file:
        file.write('[model.golden]\ninputs = "in.npz"\noutputs = "out.npz"\natol = 1e-3\n')
    result = tilescope("models", "test", "toy")
    assert (result.exit_code, result.stdout) == (2, "")
    assert_one_line_about(result.stderr, "0.001 is allowed")


@pytest.mark.usefixtures("toy_site")
def test_a_probe_measures(tilescope: Tilescope) -> None:
    values = only_json(tilescope("models", "probe", "toy", "--threads", 1, "--json"))
    assert set(values) == {
        *("model", "tile_px", "threads", "seconds", "megapixels_per_s", "peak_bytes"),
        *("peak_bytes_per_px", "halo_px", "halo_exact", "provider", "provider_why"),
    }
    assert (values["model"], values["tile_px"], values["threads"]) == ("toy", 64, 1)
    assert values["halo_px"] == 2
    assert values["halo_exact"] is True
    assert values["seconds"] >= 0
    text = tilescope("models", "probe", "toy", "--threads", 1).stdout
    assert "64 x 64 px" in text
    assert "halo 2 px, computed from the graph" in text


@pytest.mark.parametrize("command", ["show", "test", "probe"])
def test_a_model_that_is_not_installed(tilescope: Tilescope, command: str) -> None:
    result = tilescope("models", command, "nuclei-net", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert_one_line_about(result.stderr, "'nuclei-net'; installed models: nuclei-unet")


@pytest.mark.parametrize("command", ["test", "probe"])
def test_damaged_weights(tilescope: Tilescope, toy_site: Path, command: str) -> None:
    package = toy_site / "toy_plugin"
    weights = package / "blur.onnx"
    weights.write_bytes(weights.read_bytes()[::-1])
    with (package / "plugin.toml").open("a") as file:
        file.write('[model.golden]\ninputs = "in.npz"\noutputs = "out.npz"\natol = 1e-3\n')
    result = tilescope("models", command, "toy")
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, "blur.onnx: sha256 differs")
    weights.unlink()
    result = tilescope("models", command, "toy")
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, "blur.onnx")
    rows = only_json(tilescope("models", "--json"))["models"]
    assert {row["id"]: row["weights"] for row in rows}["toy"] == "missing"


def test_the_installed_plugins_and_what_is_wrong_with_them(
    tilescope: Tilescope, toy_site: Path
) -> None:
    manifest = toy_site / "toy_plugin" / "plugin.toml"
    manifest.write_text(manifest.read_text().replace("halo = 2", "hallo = 2"))
    values = only_json(tilescope("plugins", "--json"))
    assert set(values) == {"plugins"}
    rows = {row["entry"]: row for row in values["plugins"]}
    assert rows["nuclei"] == {
        "entry": "nuclei",
        "distribution": "tilescope",
        "state": "valid",
        "problem": None,
        "id": "tilescope.nuclei",
        "models": ["nuclei-unet", "nuclei-unet-research"],
    }
    assert rows["toy"]["state"] == "invalid"
    assert "did you mean 'halo'?" in rows["toy"]["problem"]
    assert (rows["toy"]["id"], rows["toy"]["models"]) == (None, [])
    text = tilescope("plugins").stdout
    assert "nuclei (tilescope): valid; nuclei-unet" in text
    assert "did you mean 'halo'?" in text
    assert tilescope("models").exit_code == 0


@pytest.mark.usefixtures("toy_site")
def test_the_doctor(tilescope: Tilescope) -> None:
    values = only_json(tilescope("doctor", "--json"))
    assert values["tilescope"] == __version__
    assert values["cores"] >= 1
    assert 0 < values["default_memory_cap_bytes"] < values["memory_bytes"]
    assert values["plugins"]["toy"] == values["plugins"]["nuclei"] == "valid"
    assert values["libraries"]["onnxruntime"] != "not installed"
    assert set(values["providers"]) == {*PROVIDERS, "auto", "bf16"}
    assert values["readers"]["openslide"]
    text = tilescope("doctor").stdout
    assert f"tilescope: {__version__}" in text
    assert "  onnxruntime: " in text
