"""Every fault that a model may have is found by the check for it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.engine.models.networks import Net, unet

from tilescope.domain.geometry import Size
from tilescope.domain.manifest import ModelSpec, TensorSpec, TileSpec, WeightsRef
from tilescope.inference.session import OnnxSession
from tilescope.jobs.adding.conformance import Check, Subject, check_model, measure, with_cost
from tilescope.plugins.api import Boxes, ClassMap, Instances, TileImage
from tilescope.plugins.registry import InstalledModel
from tilescope.testing.toy import ToyAdapter, toy_model

Outputs = Mapping[str, NDArray[np.float32]]


class Whole:
    """A heat map as it should be; the other adapters each do one thing wrong."""

    def encode(self, tile: TileImage, /) -> Outputs:
        grey = tile.pixels.mean(axis=2, dtype=np.float32) / np.float32(255)
        return {"image": grey[None, None]}

    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> object:
        (values,) = outputs.values()
        if not np.isfinite(values).all():
            msg = "NaN"
            raise ValueError(msg)
        return ClassMap(np.clip(values[0], 0, 1))


class NanGoesThrough(Whole):
    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> object:
        (values,) = outputs.values()
        return ClassMap(np.clip(values[0], 0, 1))


class LosesARow(Whole):
    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> object:
        return ClassMap(super().decode(outputs, parameters).probabilities[:, 1:])


class NotAProbability(Whole):
    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> object:
        return ClassMap(super().decode(outputs, parameters).probabilities * 3)


class AnotherKind(Whole):
    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> object:
        return Instances(
            np.zeros((4, 4), np.int32), np.zeros(0, np.float32), np.zeros(0, np.uint16)
        )


class Raises(Whole):
    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> object:
        msg = "no licence"
        raise RuntimeError(msg)


class NeedsSomething(Whole):
    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> object:
        (values,) = outputs.values()
        assert values.any() or values.size < 9, "an empty map"
        return super().decode(outputs, parameters)


class LooseBoxes(Whole):
    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> object:
        return Boxes(
            np.zeros((2, 4), np.float32), np.ones(2, np.float32), np.array([0, 7], np.uint16)
        )


def heat() -> Net:
    """Return a small network of one channel that ends in probabilities."""
    net = Net(1)
    net.conv(1, relu=False)
    net.add("Sigmoid", [net.last])
    return net


def findings(folder: Path, net: Net, adapter: str = "Whole", **changes: object) -> dict[str, Check]:
    """Return the findings by name of a model that runs ``net`` through an adapter of this file."""
    model = net.model()
    data = model.SerializeToString()
    toy = toy_model(folder)
    spec: ModelSpec = replace(
        toy.spec,
        task=str(changes.pop("task", "semantic")),
        adapter=f"{__name__}:{adapter}",
        tile=changes.pop("tile", TileSpec(Size(64, 64), 2, 0, 1, max_batch=2)),
        weights=WeightsRef("blur.onnx", "0" * 64, len(data)),
        outputs=(TensorSpec(net.last, "NCHW", "float32"),),
        parameters={},
        **changes,
    )
    with OnnxSession(data, threads=1, provider="cpu") as session:
        found = check_model(Subject(InstalledModel(spec, "toy", folder), session))
        return {check.name: check for check in found}


def test_a_sound_model_passes_everything(tmp_path: Path) -> None:
    found = findings(tmp_path, heat())
    assert {check.verdict for check in found.values()} == {"ok"}, found
    assert len(found) == 7
    assert "two tiles at once" in found["batch"].words


@pytest.mark.parametrize(
    ("adapter", "changes", "words"),
    [
        ("LosesARow", {}, "a tile of 64 x 64 px gives a result of 64 x 63 px"),
        ("NotAProbability", {}, "probabilities are not between 0 and 1"),
        ("AnotherKind", {}, "decode gives Instances; a semantic model gives ClassMap"),
        ("Raises", {}, "no licence; correct the manifest or the model"),
        ("Whole", {"classes": ("a", "b")}, "1 classes, the manifest names 2"),
        ("LooseBoxes", {"task": "detect"}, "an object has the class 7 of 1"),
    ],
)
def test_an_unsound_result_ends_it(tmp_path: Path, adapter: str, changes: dict, words: str) -> None:
    (check,) = findings(tmp_path, heat(), adapter, **changes).values()
    assert (check.name, check.verdict) == ("blank tile", "failed")
    assert words in check.words


def test_a_tensor_that_is_not_as_declared(tmp_path: Path) -> None:
    for tensor, words in (
        (TensorSpec("image", "NCHW", "float32", ("R", "G", "B")), "has 1 channels, declared 3"),
        (TensorSpec("image", "NCHW", "float16"), "is float32, declared float16"),
        (TensorSpec("image", "CHW", "float32"), "has the shape [1, 1, 64, 64], declared CHW"),
        (TensorSpec("picture", "NCHW", "float32"), "is missing"),
    ):
        check = findings(tmp_path, heat(), inputs=(tensor,))["declared shapes"]
        assert check.verdict == "failed"
        assert words in check.words
        assert "correct the manifest" in check.words


def test_nan_that_gets_into_results(tmp_path: Path) -> None:
    check = findings(tmp_path, heat(), "NanGoesThrough")["NaN"]
    assert check.verdict == "warning"
    assert "have decode refuse it" in check.words


def test_a_decoder_that_cannot_stand_an_empty_map(tmp_path: Path) -> None:
    check = findings(tmp_path, heat(), "NeedsSomething")["nothing found"]
    assert check.verdict == "failed"
    assert "an empty map" in check.words


def test_a_batch_that_mixes_its_tiles(tmp_path: Path) -> None:
    net = heat()
    mean = net.add("ReduceMean", ["image"], axes=[0, 1, 2, 3], keepdims=1)
    net.add("Mul", [net.nodes[-2].output[0], mean])
    check = findings(tmp_path, net)["batch"]
    assert check.verdict == "failed"
    assert "set max_batch to 1" in check.words


def test_a_multiple_that_is_not_declared(tmp_path: Path) -> None:
    net = unet()
    net.add("Sigmoid", [net.last])
    tile = TileSpec(Size(63, 63), 2, 0, 3)
    (check,) = findings(tmp_path, net, tile=tile).values()
    assert check.verdict == "failed"
    tile = TileSpec(Size(60, 60), 2, 0, 5)
    check = findings(tmp_path, net, tile=tile)["odd size"]
    assert check.verdict == "failed"


def test_results_that_are_not_the_same_twice(tmp_path: Path) -> None:
    net = heat()
    noise = net.add("RandomUniformLike", [net.last])
    net.add("Mul", [noise, noise])
    check = findings(tmp_path, net)["random tile"]
    assert check.verdict == "warning"
    assert "runs cannot be repeated" in check.words


def test_objects_where_nothing_is(tmp_path: Path) -> None:
    toy = toy_model(tmp_path)
    with OnnxSession(toy.verified_weights(), threads=1, provider="cpu") as session:
        found = {check.name: check for check in check_model(Subject(toy, session))}
    assert found["blank tile"].verdict == "warning"
    assert "1 objects" in found["blank tile"].words
    assert isinstance(toy.load_adapter(), ToyAdapter)


def test_the_cost_goes_into_the_manifest(tmp_path: Path) -> None:
    toy = toy_model(tmp_path)
    with OnnxSession(toy.verified_weights(), threads=1, provider="cpu") as session:
        check, cost = measure(Subject(toy, session))
    assert check.verdict == "ok"
    assert "64 x 64 px" in check.words
    spec = with_cost(toy.spec, cost)
    if cost.peak_bytes_per_px is None:
        assert spec == toy.spec
    else:
        assert spec.tile.peak_bytes_per_px == cost.peak_bytes_per_px >= 8  # input and output alone
