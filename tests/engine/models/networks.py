"""Networks as other people export them, and packages around them, made on the fly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tilescope.inference.onnx_runtime import load_runtime

FLOAT = TensorProto.FLOAT


class Net:
    """A small graph put together layer by layer; NCHW, one input called ``image``."""

    def __init__(self, channels: int = 1, seed: int = 5) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list = []
        self.weights: list = []
        self.last = "image"
        self.channels = channels
        self.taken = channels

    def add(self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: object) -> str:
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        self.last = names[0]
        return self.last

    def constant(self, values: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def conv(self, out: int, k: int = 3, relu: bool = True) -> str:
        scale = (2 / (self.channels * k * k)) ** 0.5
        weight = self.rng.normal(0, scale, (out, self.channels, k, k)).astype(np.float32)
        self.channels = out
        self.add("Conv", [self.last, self.constant(weight)], pads=[(k - 1) // 2] * 4)
        return self.add("Relu", [self.last]) if relu else self.last

    def pool(self) -> str:
        return self.add("MaxPool", [self.last], kernel_shape=[2, 2], strides=[2, 2])

    def up(self) -> str:
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        return self.add(
            "Resize",
            [self.last, "", scales],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def join(self, other: str, channels: int) -> str:
        self.channels += channels
        return self.add("Concat", [self.last, other], axis=1)

    def head(self, classes: int) -> str:
        """Average everything and give one value per class."""
        self.add("GlobalAveragePool", [self.last])
        self.add("Flatten", [self.last])
        weight = self.rng.normal(0, 0.5, (self.channels, classes)).astype(np.float32)
        return self.add("MatMul", [self.last, self.constant(weight)])

    def model(
        self,
        sides: Sequence[object] = ("n", "h", "w"),
        outputs: Sequence[tuple[str, int, Sequence[object]]] = (),
        **notes: str,
    ) -> ModelProto:
        """Return the model; without ``outputs`` the last tensor is the only one."""
        shape = [sides[0], self.taken, *sides[1:]]
        wanted = outputs or [(self.last, FLOAT, None)]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("image", FLOAT, shape)],
            [helper.make_tensor_value_info(*output) for output in wanted],
            self.weights,
        )
        return finished(graph, **notes)


def finished(graph: object, **notes: str) -> ModelProto:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, notes)
    return model


def written(path: Path, model: ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def unet(channels: int = 1, classes: int = 1) -> Net:
    """Return a plain U-Net of two levels that ends in logits."""
    net = Net(channels)
    first = net.conv(8)
    net.pool()
    second = net.conv(16)
    net.pool()
    net.conv(16)
    net.up()
    net.join(second, 16)
    net.conv(8)
    net.up()
    net.join(first, 8)
    net.conv(8)
    net.conv(classes, k=1, relu=False)
    return net


def classifier(classes: int) -> Net:
    net = Net(3)
    net.conv(8)
    net.pool()
    net.conv(8)
    net.head(classes)
    return net


def square_detector(side: int = 160, cell: int = 8) -> ModelProto:
    """Return a detector of bright squares of ``cell`` pixels, for tiles of ``side`` only.

    Rows as common detectors give them, ``[1, 5, n]``: centre, size and one score, the brightness.
    """
    count = side // cell
    y, x = (np.mgrid[:count, :count].reshape(2, 1, -1) + 0.5) * cell
    places = np.concatenate([x, y, np.full_like(x, cell), np.full_like(x, cell)])[None]
    net = Net(3)
    net.add("ReduceMean", ["image"], axes=[1], keepdims=1)
    net.add("AveragePool", [net.last], kernel_shape=[cell] * 2, strides=[cell] * 2)
    net.add("Reshape", [net.last, net.constant(np.array([1, 1, count**2]))])
    rows = places.reshape(1, 4, -1).astype(np.float32)
    net.add("Concat", [net.constant(rows), net.last], axis=1)
    return net.model((1, side, side), names="{0: 'square'}")


RDF_04 = """\
format_version: 0.4.10
type: model
name: Cell borders (U-Net)
description: Single-channel U-Net with zero-mean unit-variance input.
version: 0.2.1
license: CC-BY-4.0
authors: [{name: Ada}]
inputs:
- name: image
  axes: bcyx
  data_type: float32
  data_range: [-inf, inf]
  shape: [1, 1, 512, 512]
  preprocessing:
  - name: zero_mean_unit_variance
    kwargs: {mode: per_sample, axes: xy, eps: 1.0e-6}
outputs:
- name: OUTPUT
  axes: bcyx
  data_type: float32
  data_range: [0, 1]
  halo: [0, 0, 16, 16]
  shape: {reference_tensor: image, scale: [1, 1, 1, 1], offset: [0, 0, 0, 0]}
  postprocessing:
  - name: sigmoid
test_inputs: [test_in.npy]
test_outputs: [test_out.npy]
weights:
  pytorch_state_dict: {source: weights.pt, sha256: 00}
  onnx: {source: weights.onnx, opset_version: 17, sha256: SHA256}
"""

RDF_05 = """\
format_version: 0.5.3
type: model
name: Nuclei and cells
version: 1.0.0
license: MIT
inputs:
- id: image
  axes:
  - {type: batch}
  - {type: channel, channel_names: [dapi]}
  - {type: space, id: y, size: {min: 64, step: 16}, unit: micrometer, scale: 0.5}
  - {type: space, id: x, size: {min: 64, step: 16}, unit: micrometer, scale: 0.5}
  data: {type: uint8}
  preprocessing:
  - {id: ensure_dtype, kwargs: {dtype: float32}}
  - {id: scale_range, kwargs: {axes: [y, x], min_percentile: 1, max_percentile: 99.8}}
outputs:
- id: OUTPUT
  axes:
  - {type: batch}
  - {type: channel, channel_names: [nucleus, cell]}
  - {type: space, id: y, size: {tensor_id: image, axis_id: y}, halo: 24}
  - {type: space, id: x, size: {tensor_id: image, axis_id: x}, halo: 24}
  postprocessing:
  - {id: softmax, kwargs: {axis: channel}}
weights:
  onnx: {source: weights.onnx, opset_version: 17, sha256: SHA256}
"""


def zoo_package(
    folder: Path, rdf: str = RDF_04, net: Net | None = None, side: object = 512
) -> Path:
    """Write a package of the BioImage Model Zoo and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    net = net or unet()
    model = net.model(("n", side, side) if isinstance(side, int) else ("n", "h", "w"))
    model.graph.output[0].name = "OUTPUT"
    for node in model.graph.node:
        if node.output[0] == net.last:
            node.output[0] = "OUTPUT"
    path = written(folder / "weights.onnx", model)
    write_test_pair(folder, path)
    text = rdf.replace("SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    (folder / "rdf.yaml").write_text(text, encoding="utf-8")
    return folder


def write_test_pair(folder: Path, onnx: Path) -> None:
    """Write what the author of ``RDF_04`` would: an input as it is, the output after all steps."""
    given = np.random.default_rng(11).integers(0, 4000, (1, 1, 512, 512)).astype(np.uint16)
    np.save(folder / "test_in.npy", given)
    session = load_runtime().InferenceSession(onnx, providers=["CPUExecutionProvider"])
    if session.get_outputs()[0].shape[1] == 1:
        image = (given - given.mean()) / (given.std() + 1e-6)
        (logits,) = session.run(None, {"image": image.astype(np.float32)})
        np.save(folder / "test_out.npy", 1 / (1 + np.exp(-logits)))


WSINFER = {
    "spec_version": "1.0",
    "architecture": "tiny",
    "num_classes": 2,
    "class_names": ["other", "tumour"],
    "patch_size_pixels": 96,
    "spacing_um_px": 0.5,
    "transform": [
        {"name": "Resize", "arguments": {"size": 64}},
        {"name": "ToTensor"},
        {
            "name": "Normalize",
            "arguments": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.5]},
        },
    ],
}


def wsinfer_package(folder: Path, **changes: object) -> Path:
    """Write a classifier with a configuration of WSInfer and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written(folder / "model.onnx", classifier(2).model(("n", 64, 64)))
    (folder / "config.json").write_text(json.dumps({**WSINFER, **changes}), encoding="utf-8")
    return folder
