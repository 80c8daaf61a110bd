"""The halo from the graph, against what a change of one pixel really reaches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tilescope.errors import GraphMismatch
from tilescope.inference.onnx_runtime import load_runtime
from tilescope.inference.receptive import compute_halo
from tilescope.testing.toy import blur_graph


class Net:
    """A small graph put together layer by layer."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list = []
        self.weights: list = []
        self.last = "image"
        self.channels = 1

    def add(self, op: str, inputs: Sequence[str], **attributes: object) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        self.last = name
        return name

    def constant(self, values: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, out: int, k: int = 3, stride: int = 1, dilation: int = 1) -> str:
        weight = self.rng.uniform(0.1, 1, (out, self.channels, k, k)).astype(np.float32)
        weight /= weight.sum(axis=(1, 2, 3), keepdims=True)
        pad = dilation * (k - 1) // 2
        self.channels = out
        return self.add(
            "Conv",
            [self.last, self.constant(weight)],
            strides=[stride] * 2,
            dilations=[dilation] * 2,
            pads=[pad] * 4,
        )

    def up(self) -> str:
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        return self.add(
            "Resize",
            [self.last, "", scales],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def concat(self, a: str, b: str, channels: int) -> str:
        self.channels = channels
        return self.add("Concat", [a, b], axis=1)

    def build(self) -> bytes:
        sides: list[str | int] = ["n", 1, "h", "w"]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, sides)],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, ["n", "c", "h", "w"])],
            self.weights,
        )
        opset = helper.make_opsetid("", 17)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def plain(net: Net) -> None:
    net.conv(2)
    net.conv(1, k=5)


def dilated(net: Net) -> None:
    net.conv(2, dilation=2)
    net.conv(1, dilation=3)


def unet(net: Net) -> None:
    skip = net.conv(2)
    net.add("MaxPool", [skip], kernel_shape=[2, 2], strides=[2, 2])
    net.conv(4)
    net.conv(4, stride=2)
    net.up()
    net.up()
    net.concat(skip, net.last, 6)
    net.conv(1)


def shuffled(net: Net) -> None:
    net.add("SpaceToDepth", ["image"], blocksize=2)
    net.channels = 4
    first = net.conv(4)
    net.add("Relu", [net.conv(4)])
    net.add("Add", [first, net.last])
    net.add("DepthToSpace", [net.last], blocksize=2)


ort = load_runtime()
NETS = [plain, dilated, unet, shuffled]


def measured_reach(model: bytes, side: int) -> int:
    """Return how far from a changed pixel any output changes, over all phases of the grid."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (name,) = (item.name for item in session.get_inputs())
    blank = np.ones((1, 1, side, side), np.float32)
    before = session.run(None, {name: blank})[0]
    reach = 0
    for x in range(side // 2, side // 2 + 8):
        changed = blank.copy()
        changed[0, 0, side // 2, x] = 100
        columns = np.nonzero(np.abs(session.run(None, {name: changed})[0] - before).max((0, 1, 2)))
        reach = max(reach, int(np.abs(columns[0] - x).max()))
    return reach


@pytest.mark.parametrize("build", NETS, ids=lambda build: build.__name__)
def test_halo_is_at_least_what_a_pixel_reaches_and_not_much_more(
    build, rng: np.random.Generator
) -> None:
    net = Net(rng)
    build(net)
    halo = compute_halo(net.build())
    assert halo.is_exact
    assert halo.culprit is None
    reach = measured_reach(net.build(), 128)
    assert reach <= halo.pixels <= reach + halo.multiple_of


@pytest.mark.parametrize("build", NETS, ids=lambda build: build.__name__)
def test_a_tile_with_its_halo_equals_the_whole_image(build, rng: np.random.Generator) -> None:
    net = Net(rng)
    build(net)
    model = net.build()
    halo = compute_halo(model)
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    image = rng.random((1, 1, 96, 128), np.float32)
    whole = session.run(None, {"image": image})[0]
    step = halo.multiple_of
    for _ in range(10):
        y0, x0 = (int(rng.integers(0, side // 2)) for side in (96, 128))
        y1, x1 = y0 + int(rng.integers(4, 40)), x0 + int(rng.integers(4, 40))
        a, b = (max(0, (v - halo.pixels) // step * step) for v in (y0, x0))
        c, d = (-(-(v + halo.pixels) // step) * step for v in (y1, x1))
        tile = session.run(None, {"image": image[:, :, a:c, b:d]})[0]
        core = tile[:, :, y0 - a : y1 - a, x0 - b : x1 - b]
        np.testing.assert_allclose(core, whole[:, :, y0:y1, x0:x1], atol=1e-5)


def test_the_halo_of_the_toy_is_half_its_blur() -> None:
    halo = compute_halo(blur_graph())
    assert (halo.pixels, halo.multiple_of) == (2, 1)


def test_a_global_node_is_named(rng: np.random.Generator) -> None:
    net = Net(rng)
    first = net.conv(2)
    net.add("GlobalAveragePool", [first])
    net.add("Mul", [first, net.last])
    halo = compute_halo(net.build())
    assert not halo.is_exact
    assert "GlobalAveragePool" in halo.culprit


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(GraphMismatch, match="not an ONNX model"):
        compute_halo(b"\xff" * 100)
