"""Less than 32 bits: made from real tiles, accepted by results, never taken silently."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
import tifffile
from onnx import TensorProto, helper, numpy_helper

from tilescope.domain.encoding import Decoding, Encoding, UnitRange
from tilescope.domain.geometry import Size
from tilescope.domain.manifest import ModelSpec, TensorSpec, TileSpec, WeightsRef
from tilescope.domain.scale import Native
from tilescope.errors import GoldenMismatch, GraphMismatch, UsageError, WeightsError
from tilescope.inference.backends import open_session
from tilescope.inference.quantisation import LADDER, Kept, quantised
from tilescope.jobs.quantize_model import QuantizeRequest, quantize_model
from tilescope.jobs.running.providers import weights_for
from tilescope.plugins.model_store import STORED_ADAPTER
from tilescope.plugins.registry import InstalledModel
from tilescope.plugins.variants import find_variant, save_variant
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.synthetic import pyramid, write_tiff_pyramid

INT8 = TensorProto.INT8


def dark_parts(rng: np.random.Generator, layers: int = 6, channels: int = 16) -> bytes:
    """Return a network that says where it is dark, through layers of noisy identities."""

    def kernel(given: int, made: int) -> np.ndarray:
        values = rng.normal(0, 0.02, (made, given, 3, 3))
        values[:, :, 1, 1] += np.eye(made, given) if given == made else 1 / given
        return values.astype(np.float32)

    sizes = [3, *[channels] * layers]
    weights = [
        numpy_helper.from_array(kernel(a, b), f"w{i}")
        for i, (a, b) in enumerate(itertools.pairwise(sizes))
    ]
    nodes, x = [], "image"
    for i in range(layers):
        nodes.append(helper.make_node("Conv", [x, f"w{i}"], [f"c{i}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        x = f"r{i}"
    head = numpy_helper.from_array(np.full((1, channels, 1, 1), -20 / channels, np.float32), "head")
    bias = numpy_helper.from_array(np.float32([14]), "bias")
    nodes.append(helper.make_node("Conv", [x, "head", "bias"], ["logit"]))
    nodes.append(helper.make_node("Sigmoid", ["logit"], ["dark"]))
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", count, "h", "w"])
        for name, count in (("image", 3), ("dark", 1))
    ]
    graph = helper.make_graph(nodes, "dark", tensors[:1], tensors[1:], [*weights, head, bias])
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


@pytest.fixture
def model(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TILESCOPE_MODELS", str(tmp_path / "models"))
    weights = dark_parts(rng)
    (tmp_path / "dark.onnx").write_bytes(weights)
    spec = ModelSpec(
        id="dark",
        version="1",
        title="Dark parts",
        task="semantic",
        adapter=STORED_ADAPTER,
        classes=("dark",),
        licence="none",
        sampling=Native(),
        tile=TileSpec(Size(256, 256), halo_px=8, decode_margin_px=0, multiple_of=8),
        weights=WeightsRef("dark.onnx", hashlib.sha256(weights).hexdigest(), len(weights)),
        inputs=(TensorSpec("image", "NCHW", "float32", ("R", "G", "B")),),
        outputs=(TensorSpec("dark", "NCHW", "float32", ("dark",)),),
        encoding=Encoding("rgb", 3, (UnitRange(),)),
        decoding=Decoding("class-map", ("dark",)),
    )
    return InstalledModel(spec, "test", tmp_path)


@pytest.fixture
def tissue(hes_slide: Path, tmp_path: Path) -> Path:
    """A small part of a real slide."""
    pixels = tifffile.imread(hes_slide, key=0)[1408:1920, 768:1536]
    return write_tiff_pyramid(tmp_path / "tissue.tiff", pyramid(pixels, 2))


def request(model: InstalledModel, slide: Path, tolerance: float = 0.1) -> QuantizeRequest:
    return QuantizeRequest(model, (slide,), tolerance, 2)


def test_most_layers_compute_in_8_bits_and_the_last_does_not(rng: np.random.Generator) -> None:
    weights = dark_parts(rng)
    tiles = [{"image": rng.random((1, 3, 64, n), np.float32)} for n in (64, 96)]
    plain = open_session(weights, threads=1)
    expected = plain.run(tiles[0], CancellationToken())["dark"]
    for kept in LADDER:
        made = quantised(weights, tiles, kept)
        graph = onnx.load_from_string(made).graph
        kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
        eight = [name for name in kinds if name.endswith("_quantized") and kinds[name] == INT8]
        assert len(eight) == 7 - kept.first - kept.last
        assert kinds["head"] == TensorProto.FLOAT
        with open_session(made, threads=1, precision="int8") as session:
            found = session.run(tiles[0], CancellationToken())["dark"]
        assert 0 < np.abs(found - expected).mean() < 0.05


def test_a_network_that_would_stay_as_it_is_is_refused(rng: np.random.Generator) -> None:
    tile = {"image": rng.random((1, 3, 32, 32), np.float32)}
    with pytest.raises(GraphMismatch, match="too few layers"):
        quantised(dark_parts(rng, layers=2), [tile], Kept(1, 2))


def test_a_graph_that_makes_no_sense_cannot_be_quantised() -> None:
    with pytest.raises(GraphMismatch, match="cannot be quantised"):
        quantised(b"nothing", [{"image": np.zeros((1, 3, 8, 8), np.float32)}], Kept(0, 1))
    with pytest.raises(ValueError, match="at least one tile"):
        quantised(b"nothing", [], Kept(0, 1))


def test_an_accepted_variant_is_kept_and_used_only_when_asked_for(
    model: InstalledModel, tissue: Path
) -> None:
    with pytest.raises(UsageError, match="models quantize dark --precision int8"):
        weights_for(model, "int8")
    made = quantize_model(request(model, tissue), CancellationToken())
    assert made.tiles_calibrated >= 4
    assert made.tiles_judged >= 2
    assert 0 <= min(made.losses.values()) <= made.tolerance
    variant = find_variant(model.spec.weights.sha256, "int8")
    assert variant is not None
    assert made.path == str(variant.path)
    assert set(variant.losses) <= set(made.losses)
    assert weights_for(model, "int8") == variant.path.read_bytes()
    assert weights_for(model, "fp32") == (model.folder / "dark.onnx").read_bytes()


def test_a_variant_that_loses_too_much_is_not_kept(model: InstalledModel, tissue: Path) -> None:
    with pytest.raises(GoldenMismatch, match="of its results differ, 0 % is allowed"):
        quantize_model(request(model, tissue, 0.0), CancellationToken())
    assert find_variant(model.spec.weights.sha256, "int8") is None


def test_another_file_than_the_accepted_one_is_refused(model: InstalledModel) -> None:
    sha256 = model.spec.weights.sha256
    variant = save_variant(sha256, "int8", b"accepted", {"cpu": 0.01}, 0.02)
    assert find_variant(sha256, "int8") == variant
    variant.path.write_bytes(b"another")
    with pytest.raises(WeightsError, match="not the file that was accepted"):
        weights_for(model, "int8")
    variant.path.unlink()
    with pytest.raises(WeightsError, match="make it again"):
        weights_for(model, "int8")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b'"format": 1', b'"format": 2'),
        (b'"tolerance": 0.02', b'"tolerance": 7'),
        (b'"cpu": 0.01', b'"cpu": 0.5'),
        (b'"losses": {"cpu": 0.01}', b'"losses": []'),
        (b'"int8"', b'"bf16"'),
        (b"{", b"["),
    ],
    ids=["format", "tolerance", "loss", "losses", "precision", "form"],
)
def test_a_damaged_record_is_named(model: InstalledModel, good: bytes, bad: bytes) -> None:
    sha256 = model.spec.weights.sha256
    variant = save_variant(sha256, "int8", b"accepted", {"cpu": 0.01}, 0.02)
    record = variant.path.with_suffix(".json")
    before = record.read_bytes()
    record.write_bytes(before.replace(good, bad))
    assert record.read_bytes() != before
    with pytest.raises(WeightsError, match="damaged"):
        weights_for(model, "int8")
