"""Models as they are handed on, dropped on the window: zips and descriptions beside weights."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.engine.models.networks import zoo_package
from tests.gui.hand import Hand
from tests.gui.runs_by_hand import bench_of
from tests.gui.slow_models import bright_squares

from tilescope.plugins.model_store import FOLDER_VARIABLE
from tilescope.testing.synthetic import write_ome_zarr
from tilescope_desktop.view.added_dialog import AddedDialog


@pytest.fixture
def slide_in_hand(tmp_path: Path) -> Path:
    return bright_squares(tmp_path / "squares.png")


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "models"))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo_package(tmp_path_factory.mktemp("zoo") / "borders", side=None)


@pytest.mark.parametrize("kind", ["zip", "description"])
def test_a_package_of_the_zoo_is_added(
    hand: Hand, tmp_path: Path, package: Path, kind: str
) -> None:
    path = package / "rdf.yaml"
    if kind == "zip":
        path = Path(shutil.make_archive(str(tmp_path / "borders"), "zip", package))
    hand.drop(path)
    (dialog,) = hand.window.findChildren(AddedDialog)
    assert dialog.isVisible()
    assert "could not be opened" not in hand.parts.notices.text
    assert len(hand.window.all_tabs) == 1
    dialog.reject()
    bench_of(hand).refresh_models()


def test_a_zip_that_is_a_slide_stays_one(hand: Hand, tmp_path: Path) -> None:
    folder = tmp_path / "slide.zarr"
    write_ome_zarr(folder, [np.full((3, 64, 64), 99, np.uint8)])
    path = tmp_path / "slide.zarr.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    hand.drop(path)
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) == 2, timeout=20_000)
    assert hand.window.findChildren(AddedDialog) == []
