"""The plugin that comes with Tilescope is whole: manifest, weights, golden pair, adapter."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tilescope.plugins.api import TileAdapter
from tilescope.plugins.registry import InstalledModel, discover, find_model


@pytest.fixture
def model() -> InstalledModel:
    return find_model("nuclei-unet")


def test_it_is_found_valid() -> None:
    (plugin,) = [p for p in discover() if p.entry == "nuclei"]
    assert plugin.problem is None
    assert plugin.distribution == "tilescope"
    assert plugin.manifest is not None
    assert plugin.manifest.id == "tilescope.nuclei"


def test_the_weights_are_those_of_the_manifest(model: InstalledModel) -> None:
    data = model.weights_path.read_bytes()
    assert len(data) == model.spec.weights.size_bytes
    assert hashlib.sha256(data).hexdigest() == model.spec.weights.sha256
    assert model.weights_state() == "present"
    assert model.verified_weights() == data


def test_the_golden_pair_has_the_tensors_of_the_manifest(model: InstalledModel) -> None:
    golden = model.spec.golden
    assert golden is not None
    assert golden.atol <= 1e-3
    for file, tensors in ((golden.inputs, model.spec.inputs), (golden.outputs, model.spec.outputs)):
        with np.load(model.folder / file, allow_pickle=False) as stored:
            assert set(stored) == {tensor.name for tensor in tensors}
            for tensor in tensors:
                array = stored[tensor.name]
                assert array.dtype == tensor.dtype
                assert array.shape[1] == len(tensor.channels)
                assert np.isfinite(array).all()


def test_the_adapter_loads(model: InstalledModel) -> None:
    assert isinstance(model.load_adapter(), TileAdapter)


def test_the_card_says_where_the_weights_come_from(model: InstalledModel) -> None:
    assert {"data", "data_licence", "split", "seed", "metrics", "limits"} <= set(model.spec.card)
    assert model.spec.card["limits"].strip(), "the model card names no limits"
