"""A user's model added again: replaced by one that works, else left as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.models.networks import unet, written

from tilescope.domain.scale import AtPixelSize
from tilescope.errors import Cancelled, OutputError
from tilescope.jobs.add_model import AddOptions, add_model
from tilescope.jobs.adding.assumption import ModelTaken, Unsettled
from tilescope.plugins.model_store import replace_model
from tilescope.plugins.registry import find_model
from tilescope.runtime.cancel import CancellationToken

MEMORY = 2 << 30


def test_a_model_is_replaced_only_by_one_that_works(
    store: Path, added: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "borders.onnx", unet().model())
    with pytest.raises(ModelTaken) as caught:
        add_model(file, AddOptions(), MEMORY)
    assert (caught.value.model_id, caught.value.is_stored) == ("borders", True)
    with pytest.raises(Unsettled, match=r"borders\.onnx: the form names 3 classes") as refused:
        add_model(
            file, AddOptions(classes=("a", "b", "c")), MEMORY, replaces=True, said_by="the form"
        )
    assert refused.value.options == ("classes",)
    assert (store / "borders" / "plugin.toml").read_text() == added

    before = find_model("borders").spec
    stages: list[str] = []
    options = AddOptions(id="borders", classes=("border",), um_per_px=0.5)
    done = add_model(file, options, MEMORY, replaces=True, on_stage=stages.append)
    assert done.folder == store / "borders"
    assert [path.name for path in store.iterdir()] == ["borders"]
    after = find_model("borders").spec
    assert (after.classes, after.sampling) == (("border",), AtPixelSize(0.5))
    assert find_model("borders").verified_weights() == file.read_bytes()
    assert stages[-1].startswith("trying it out")
    assert len(stages) == len(set(stages)) >= 2
    # Runs are known by id, version and weights: what was said makes another version.
    assert (before.version, before.weights) == ("1", after.weights)
    assert after.version.startswith("1+")
    again = add_model(file, options, MEMORY, replaces=True)
    assert again.folder == store / "borders"
    assert find_model("borders").spec.version == after.version


def test_a_model_of_a_plugin_is_not_replaced(store: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "net.onnx", unet().model())
    with pytest.raises(ModelTaken) as caught:
        add_model(file, AddOptions(id="nuclei-unet"), MEMORY, replaces=True)
    assert not caught.value.is_stored
    assert not store.exists()


def test_adding_is_cancelled(store: Path, added: str, tmp_path: Path) -> None:
    file = written(tmp_path / "borders.onnx", unet().model())
    token = CancellationToken()
    with pytest.raises(Cancelled):
        add_model(
            file,
            AddOptions(um_per_px=0.5),
            MEMORY,
            replaces=True,
            token=token,
            on_stage=lambda words: token.cancel() if words.startswith("running") else None,
        )
    assert [path.name for path in store.iterdir()] == ["borders"]
    assert (store / "borders" / "plugin.toml").read_text() == added


def test_what_cannot_be_stored_leaves_the_model_that_is_there(
    store: Path, added: str, tmp_path: Path
) -> None:
    with pytest.raises(OutputError):
        replace_model(tmp_path / "not there", "borders")
    assert (store / "borders" / "plugin.toml").read_text() == added
    assert [path.name for path in store.iterdir()] == ["borders"]
