"""The command line with a model store of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engine.models.networks import unet, written
from typer.testing import CliRunner, Result

from tilescope.cli.main import app
from tilescope.plugins.model_store import FOLDER_VARIABLE

Tilescope = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the user's models, which is not there yet."""
    folder = tmp_path / "models"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


@pytest.fixture(scope="module")
def finished_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with one model, which was added for real."""
    folder = tmp_path_factory.mktemp("finished")
    file = written(folder / "borders.onnx", unet().model())
    environment = {FOLDER_VARIABLE: str(folder / "models")}
    result = CliRunner().invoke(app, ["models", "add", str(file)], env=environment)
    assert result.exit_code == 0, result.stderr
    return folder / "models"


@pytest.fixture
def added(finished_store: Path, store: Path) -> str:
    """Fill the store with the model ``borders`` and return its manifest."""
    shutil.copytree(finished_store, store)
    return (store / "borders" / "plugin.toml").read_text()


@pytest.fixture
def tilescope(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tilescope:
    """Return a function that runs the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])
