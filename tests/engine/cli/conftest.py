"""The command line in this process and in one of its own, with a small model to run."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tilescope.cli.main import app
from tilescope.testing.toy import blur_graph

Tilescope = Callable[..., Result]
Process = Callable[..., subprocess.CompletedProcess[str]]

TOY = """
schema = 1
id = "toy"
name = "Toy"
requires = ">=0.1"

[[model]]
id = "toy"
version = "1"
title = "Bright parts"
task = "instances"
adapter = "tilescope.testing.toy:ToyAdapter"
classes = ["part"]
licence = "BSD-3-Clause"
sampling = { kind = "native" }
tile = { size = [64, 64], halo = 2, decode_margin = 12, multiple_of = 8, peak_bytes_per_px = 64 }
weights = { file = "blur.onnx", sha256 = "SHA256", bytes = BYTES }
inputs = [{ name = "image", layout = "NCHW", dtype = "float32", channels = ["grey"] }]
outputs = [{ name = "blurred", layout = "NCHW", dtype = "float32", channels = ["blurred"] }]

[model.parameters.threshold]
default = 0.5
min = 0.01
max = 0.99
title = "Least brightness"
"""


def write_png(path: Path, pixels: np.ndarray) -> Path:
    path.write_bytes(imagecodecs.png_encode(pixels))
    return path


def json_objects(text: str) -> list[dict[str, Any]]:
    """Return what stdout holds: one JSON object per line and nothing else."""
    return [json.loads(line) for line in text.splitlines()]


def only_json(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    (found,) = json_objects(result.stdout)
    return found


def assert_one_line_about(stderr: str, name: str) -> None:
    (line,) = stderr.splitlines()
    assert line.startswith("tilescope: error: ")
    assert name in line
    assert "Traceback" not in line


@pytest.fixture
def tilescope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tilescope:
    """Return a function that runs the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def toy_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the toy model the way an installer would, and return the folder it went to."""
    site = tmp_path / "site"
    package = site / "toy_plugin"
    package.mkdir(parents=True)
    weights = blur_graph()
    text = TOY.replace("SHA256", hashlib.sha256(weights).hexdigest())
    (package / "__init__.py").touch()
    (package / "blur.onnx").write_bytes(weights)
    (package / "plugin.toml").write_text(text.replace("BYTES", str(len(weights))))
    info = site / "toy_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tilescope.plugins]\ntoy = toy_plugin:plugin.toml\n")
    monkeypatch.syspath_prepend(site)
    return site


def command(*arguments: object) -> list[str]:
    code = "from tilescope.cli.main import main; main()"
    return [sys.executable, "-c", code, *map(str, arguments)]


@pytest.fixture
def environment(toy_site: Path) -> dict[str, str]:
    """Return an environment in which a process of its own finds the toy model."""
    return {**os.environ, "PYTHONPATH": str(toy_site)}


@pytest.fixture
def process(tmp_path: Path, environment: dict[str, str]) -> Process:
    """Return a function that runs the command line in a process of its own."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.fixture
def spots(tmp_path: Path) -> Path:
    """A picture of 35 bright squares on black."""
    picture = np.zeros((400, 560), np.uint8)
    for y in range(20, 400, 80):
        for x in range(20, 560, 80):
            picture[y : y + 14, x : x + 14] = 220
    return write_png(tmp_path / "spots.png", picture)


@pytest.fixture(params=["missing", "text", "empty", "folder", "truncated"])
def no_slide(request: pytest.FixtureRequest, tmp_path: Path, hes_slide: Path) -> Path:
    """Something that is not a slide."""
    path = tmp_path / f"{request.param}.svs"
    match request.param:
        case "text":
            path.write_text("this is not a slide\n" * 100)
        case "empty":
            path.touch()
        case "folder":
            path.mkdir()
        case "truncated":
            path.write_bytes(hes_slide.read_bytes()[:5000])
    return path
