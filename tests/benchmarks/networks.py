"""Plain U-Nets with seeded random weights, as models that can be run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from slides import textures

from tilescope.domain.encoding import Decoding, Encoding, UnitRange
from tilescope.domain.geometry import Size
from tilescope.domain.manifest import ModelSpec, PluginManifest, TensorSpec, TileSpec, WeightsRef
from tilescope.domain.scale import AtPixelSize, Native
from tilescope.inference.onnx_runtime import load_runtime
from tilescope.plugins.model_store import STORED_ADAPTER, models_folder, write_manifest
from tilescope.plugins.registry import InstalledModel

#: Channels of the levels. ``light`` has 484,849 parameters with its normalisations.
WIDTHS = {"light": (16, 32, 64, 128), "heavy": (32, 64, 128, 256), "flat": (24, 48)}


@dataclass(slots=True)
class _Builder:
    """Collects nodes and weights; every tensor has a name of its own."""

    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def weight(self, values: NDArray[np.float64]) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], **attributes: object) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def convolved(self, x: str, given: int, made: int) -> str:
        kernel = self.rng.normal(0, (2 / (9 * given)) ** 0.5, (made, given, 3, 3))
        bias = self.weight(np.zeros(made))
        x = self.add("Conv", [x, self.weight(kernel), bias], pads=[1] * 4, kernel_shape=[3, 3])
        statistics = (np.ones(made), np.full(made, 0.05), np.zeros(made), np.ones(made))
        x = self.add("BatchNormalization", [x, *map(self.weight, statistics)])
        return self.add("Relu", [x])

    def twice(self, x: str, given: int, made: int) -> str:
        return self.convolved(self.convolved(x, given, made), made, made)

    def doubled(self, x: str, given: int, made: int) -> str:
        kernel = self.rng.normal(0, given**-0.5, (given, made, 2, 2))
        inputs = [x, self.weight(kernel), self.weight(np.zeros(made))]
        return self.add("ConvTranspose", inputs, kernel_shape=[2, 2], strides=[2, 2])


def unet(widths: Sequence[int], seed: int = 1, *, side: int | None = None) -> bytes:
    """Return a U-Net: RGB in 0..1 in, one probability per pixel out.

    Its last bias makes 45 % of what it says about the slides' texture larger than one half.

    Parameters
    ----------
    side
        Fixes the input to one tile of that side; None leaves it free.
    """
    build = _Builder(np.random.default_rng(seed))
    x, given, skips = "image", 3, []
    for index, made in enumerate(widths):
        x = build.twice(x, given, made)
        given = made
        if index < len(widths) - 1:
            skips.append((x, made))
            x = build.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    for skip, made in reversed(skips):
        x = build.add("Concat", [skip, build.doubled(x, given, made)], axis=1)
        x = build.twice(x, 2 * made, made)
        given = made
    kernel = build.weight(build.rng.normal(0, given**-0.5, (1, given, 1, 1)))
    x = build.add("Conv", [x, kernel, build.weight(np.zeros(1))], kernel_shape=[1, 1])
    build.nodes.append(helper.make_node("Sigmoid", [x], ["map"]))
    model = _model(build, side)
    middle = _middle_of(model)
    bias = build.weights[-1]
    bias.CopyFrom(numpy_helper.from_array(np.float32([np.log(1 / middle - 1)]), bias.name))
    data: bytes = _model(build, side).SerializeToString()
    return data


def _model(build: _Builder, side: int | None) -> onnx.ModelProto:
    batch, height, width = (1, side, side) if side else ("n", "h", "w")
    graph = helper.make_graph(
        build.nodes,
        "unet",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, height, width])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [batch, 1, height, width])],
        build.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _middle_of(model: onnx.ModelProto) -> float:
    free = onnx.ModelProto()
    free.CopyFrom(model)
    sides = [value.type.tensor_type.shape.dim for value in (*free.graph.input, *free.graph.output)]
    for dims in sides:
        for axis, name in ((2, "h"), (3, "w")):
            dims[axis].dim_param = name
    session = load_runtime().InferenceSession(free.SerializeToString())
    pixels = textures()[0][:256, :256].astype(np.float32) / 255
    said = session.run(None, {"image": pixels.transpose(2, 0, 1)[None]})[0]
    return float(np.clip(np.quantile(said, 0.55), 1e-6, 1 - 1e-6))


def parameters_of(weights: bytes) -> int:
    """Return how many numbers a network has learnt, normalisations included."""
    graph = onnx.load_from_string(weights).graph
    return sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)


def stored(name: str, *, tile_px: int, um_per_px: float) -> InstalledModel:
    """Write a network into the user's models, where the command line finds it."""
    folder = models_folder() / f"unet-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    model = installed(folder, name, tile_px=tile_px, um_per_px=um_per_px)
    write_manifest(folder, PluginManifest(1, model.spec.id, name, ">=0.1", (model.spec,)))
    return model


def installed(
    folder: Path, name: str, *, tile_px: int, um_per_px: float | None = None
) -> InstalledModel:
    """Write a network into a folder and return it as an installed model.

    Parameters
    ----------
    name
        Of `WIDTHS`.
    tile_px
        Preferred side of a tile.
    um_per_px
        Pixel size that it works at; None takes the slide as it is.
    """
    weights = unet(WIDTHS[name])
    file = f"{name}.onnx"
    (folder / file).write_bytes(weights)
    spec = ModelSpec(
        id=f"unet-{name}",
        version="1",
        title="A plain U-Net with random weights",
        task="semantic",
        adapter=STORED_ADAPTER,
        classes=("class",),
        licence="none",
        sampling=Native() if um_per_px is None else AtPixelSize(um_per_px),
        tile=TileSpec(Size(tile_px, tile_px), halo_px=64, decode_margin_px=0, multiple_of=8),
        weights=WeightsRef(file, hashlib.sha256(weights).hexdigest(), len(weights)),
        inputs=(TensorSpec("image", "NCHW", "float32", ("R", "G", "B")),),
        outputs=(TensorSpec("map", "NCHW", "float32", ("class",)),),
        encoding=Encoding("rgb", 3, (UnitRange(),)),
        decoding=Decoding("class-map", ("map",)),
    )
    return InstalledModel(spec, "benchmark", folder)
