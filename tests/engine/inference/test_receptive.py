"""The halo from the graph, against what a change of one pixel really reaches."""

from __future__ import annotations

import numpy as np
import pytest
from tests.engine.inference.nets import Net, session_of

from tilescope.errors import GraphMismatch
from tilescope.inference.receptive import compute_halo
from tilescope.testing.toy import blur_graph


class Blurring(Net):
    """A network of positive weights: nothing cancels out, a change shows wherever it can."""

    def kernel(self, *shape: int) -> str:
        weight = self.rng.uniform(0.1, 1, shape)
        return self.constant(weight / weight.sum(axis=tuple(range(1, len(shape))), keepdims=True))

    def up(self) -> str:
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        scales = self.constant([1, 1, 2, 2])
        return self.add("Resize", [self.last, "", scales], mode="nearest", **how)


def plain(net: Blurring) -> None:
    net.conv(2)
    net.conv(1, k=5)


def dilated(net: Blurring) -> None:
    net.conv(2, dilation=2)
    net.conv(1, dilation=3)


def unet(net: Blurring) -> None:
    skip = net.conv(2)
    net.add("MaxPool", [skip], kernel_shape=[2, 2], strides=[2, 2])
    net.conv(4)
    net.conv(4, stride=2)
    net.up()
    net.up()
    net.concat(skip, net.last, 6)
    net.conv(1)


def shuffled(net: Blurring) -> None:
    net.add("SpaceToDepth", ["image"], blocksize=2)
    net.channels = 4
    first = net.conv(4)
    net.add("Relu", [net.conv(4)])
    net.add("Add", [first, net.last])
    net.add("DepthToSpace", [net.last], blocksize=2)


NETS = [plain, dilated, unet, shuffled]


def measured_reach(model: bytes, side: int) -> int:
    """Return how far from a changed pixel any output changes, over all phases of the grid."""
    session = session_of(model)
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
    net = Blurring(rng)
    build(net)
    halo = compute_halo(net.build())
    assert halo.is_exact
    assert halo.culprit is None
    reach = measured_reach(net.build(), 128)
    assert reach <= halo.pixels <= reach + halo.multiple_of


@pytest.mark.parametrize("build", NETS, ids=lambda build: build.__name__)
def test_a_tile_with_its_halo_equals_the_whole_image(build, rng: np.random.Generator) -> None:
    net = Blurring(rng)
    build(net)
    model = net.build()
    halo = compute_halo(model)
    session = session_of(model)
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
    net = Blurring(rng)
    first = net.conv(2)
    net.add("GlobalAveragePool", [first])
    net.add("Mul", [first, net.last])
    halo = compute_halo(net.build())
    assert not halo.is_exact
    assert "GlobalAveragePool" in halo.culprit


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(GraphMismatch, match="not an ONNX model"):
        compute_halo(b"\xff" * 100)
