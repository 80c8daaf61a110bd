"""Single operators: how far they look, what they refuse, and what hostile graphs cannot do."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, helper
from tests.engine.inference.nets import FAMILIES, Net, session_of

from tilescope.errors import GraphMismatch
from tilescope.inference.receptive import Halo, compute_halo


def halo_of(build: Callable[[Net], None], opset: int = 17) -> Halo:
    net = Net(np.random.default_rng(7), opset)
    build(net)
    return compute_halo(net.build())


def differences(model: bytes, halo: Halo, image: np.ndarray, less: int = 0) -> float:
    """Return how far tiles of about half the output are from the whole.

    ``less`` takes input pixels from the context on every side.
    """
    (output,), session = halo.outputs, session_of(model)
    whole = session.run(None, {"image": image})[0]
    worst, step = 0.0, halo.multiple_of
    for reach, axis in zip(output.reaches, (2, 3), strict=True):
        pixels, length = image.shape[axis], whole.shape[axis]
        for first in range(0, length, max(length // 2, 1)):
            stop = min(first + max(length // 2, 1), length)
            start, end = reach.span(first, stop, pixels, step)
            start, end = (start + less if start else 0), (end - less if end < pixels else end)
            tile = session.run(None, {"image": image.take(range(start, end), axis)})[0]
            at = int(start / reach.step)
            got = tile.take(range(first - at, stop - at), axis)
            wanted = whole.take(range(first, stop), axis)
            worst = max(worst, float(np.abs(got - wanted).max()))
    return worst


WHERE = ("half_pixel", "pytorch_half_pixel", "asymmetric", "half_pixel_symmetric")
RESIZES = [
    *((mode, where, 0) for mode in ("nearest", "linear", "cubic") for where in WHERE),
    *((mode, "half_pixel", 1) for mode in ("linear", "cubic")),
]


@pytest.mark.parametrize("scale", [2.0, 3.0, 1.5, 0.5, 0.25, 0.75])
@pytest.mark.parametrize(("mode", "where", "antialias"), RESIZES)
def test_every_kind_of_resize_can_be_tiled(
    where: str, mode: str, scale: float, antialias: int, rng: np.random.Generator
) -> None:
    net = Net(rng, 18)
    net.conv(2)
    scales = net.constant([1, 1, scale, scale])
    how = {"mode": mode, "coordinate_transformation_mode": where, "antialias": antialias}
    net.add("Resize", [net.last, "", scales], **how)
    model = net.build()
    halo = compute_halo(model)
    (output,) = halo.outputs
    assert output.scale == (Fraction(scale), Fraction(scale))
    image = rng.random((1, 1, 48, 72), np.float32)
    assert differences(model, halo, image) < 1e-4


@pytest.mark.parametrize("pads", [[0] * 4, [1, 1, 0, 0], [0, 0, 1, 1]])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 2), (2, 3), (3, 2), (2, 4), (5, 3)])
def test_rounding_up_counts_windows_as_the_runtime_does(
    kernel: int, stride: int, pads: list[int], rng: np.random.Generator
) -> None:
    if max(pads) >= kernel:
        pads = [0] * 4
    net = Net(rng)
    how = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": pads, "ceil_mode": 1}
    net.add("MaxPool", ["image"], **how)
    model = net.build()
    image = rng.random((1, 1, 12 * stride, 12 * stride), np.float32)
    (reach, _) = compute_halo(model).outputs[0].reaches
    assert reach.length(12 * stride) == session_of(model).run(None, {"image": image})[0].shape[2]


@pytest.mark.parametrize(("opset", "op"), [(9, "Upsample"), (10, "Resize")])
def test_older_ways_to_resize_are_understood(opset: int, op: str, rng: np.random.Generator) -> None:
    net = Net(rng, opset)
    net.conv(2)
    net.add(op, [net.last, net.constant([1, 1, 2, 2])], mode="nearest")
    model = net.build()
    assert differences(model, compute_halo(model), rng.random((1, 1, 24, 36), np.float32)) < 1e-4


@pytest.mark.parametrize("seed", range(8))
def test_a_context_of_one_pixel_less_does_not_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = Net(rng)
    for _ in range(2):
        net.conv(2, int(rng.choice([3, 5])), dilation=int(rng.choice([1, 2])))
    model = net.build()
    halo = compute_halo(model)
    image = rng.random((1, 1, 80, 90), np.float32)
    assert differences(model, halo, image) < 1e-5
    assert differences(model, halo, image, less=1) > 1e-3


def test_context_is_told_per_side(rng: np.random.Generator) -> None:
    net = Net(rng)
    net.conv(1, 5, pads=[4, 1, 0, 3])
    halo = compute_halo(net.build())
    assert halo.sides == (4, 0, 1, 3)
    assert halo.pixels == 4


def test_what_a_border_mirrors_is_held_by_the_tile_at_it(rng: np.random.Generator) -> None:
    net = Net(rng)
    pads = net.constant([0, 0, 6, 0, 0, 0, 0, 0], np.int64)
    net.add("Pad", ["image", pads], mode="reflect")
    weight = np.zeros((1, 1, 7, 1), np.float32)
    weight[0] = 1
    net.add("Conv", [net.last, net.constant(weight)])
    halo = compute_halo(net.build())
    assert halo.sides == (6, 6, 0, 0)
    assert halo.least_px == 7


def test_an_unpadded_network_says_where_its_output_begins(rng: np.random.Generator) -> None:
    net = Net(rng)
    net.conv(1, 5, pads="VALID")
    halo = compute_halo(net.build())
    assert halo.outputs[0].offset == (2, 2)
    assert halo.least_px == 5
    assert halo.sides == (2, 2, 2, 2)
    assert not halo.covers_input


def test_a_strided_network_says_its_scale(rng: np.random.Generator) -> None:
    net = Net(rng)
    net.conv(1, 4, stride=4, pads=[0] * 4)
    halo = compute_halo(net.build())
    assert halo.outputs[0].scale == (Fraction(1, 4), Fraction(1, 4))
    assert (halo.pixels, halo.multiple_of, halo.covers_input) == (0, 4, False)


def test_scales_that_are_no_whole_number_align_to_their_denominator(
    rng: np.random.Generator,
) -> None:
    net = Net(rng)
    net.add("Resize", ["image", "", net.constant([1, 1, 1.5, 1.5])], mode="linear")
    assert compute_halo(net.build()).multiple_of == 2


def test_a_graph_of_one_size_says_so(rng: np.random.Generator) -> None:
    net = Net(rng)
    net.input_shape = [1, 1, 64, 96]
    net.conv(1, 3, stride=2)
    sizes = net.constant([1, 1, 64, 96], np.int64)
    net.add("Resize", [net.last, "", "", sizes], mode="linear")
    halo = compute_halo(net.build())
    assert halo.fixed_size == (64, 96)
    assert halo.is_exact
    assert halo.covers_input


def test_every_output_has_its_own_reach(rng: np.random.Generator) -> None:
    net = Net(rng)
    first = net.conv(1, 3)
    second = net.conv(1, 5, stride=2)
    pooled = net.add("GlobalAveragePool", [second])
    halo = compute_halo(net.build(first, second, pooled))
    near, far, lost = halo.outputs
    assert near.sides == (1, 1, 1, 1)
    assert far.scale == (Fraction(1, 2), Fraction(1, 2))
    assert "GlobalAveragePool" in lost.culprit
    assert halo.culprit == lost.culprit


def test_what_no_output_needs_does_not_matter(rng: np.random.Generator) -> None:
    net = Net(rng)
    out = net.conv(1)
    net.add("GlobalMaxPool", [out])
    assert compute_halo(net.build(out)).is_exact


def reduced(net: Net) -> None:
    net.add("ReduceMean", [net.conv(2)], axes=[2, 3])


def instance_normalised(net: Net) -> None:
    net.add("InstanceNormalization", [net.conv(2), net.kernel(2), net.kernel(2)])


def layer_normalised(net: Net) -> None:
    net.add("LayerNormalization", [net.conv(2), net.constant([1.0])], axis=1)


def softmax_over_space(net: Net) -> None:
    net.add("Softmax", [net.conv(2)], axis=3)


def attention(net: Net) -> None:
    source = net.conv(2)
    shape = net.constant([1, 2, -1], np.int64)
    tokens = net.add("Reshape", [source, shape])
    turned = net.add("Transpose", [tokens], perm=[0, 2, 1])
    net.add("MatMul", [turned, tokens])


def fixed_resize(net: Net) -> None:
    net.add("Resize", [net.conv(1), "", "", net.constant([1, 1, 64, 64], np.int64)])


def aligned_corners(net: Net) -> None:
    corners = "align_corners"
    scales = net.constant([1, 1, 2, 2])
    net.conv(1)
    how = {"mode": "linear", "coordinate_transformation_mode": corners}
    net.add("Resize", [net.last, "", scales], **how)


def wrapped(net: Net) -> None:
    net.add("Pad", ["image", net.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)], mode="wrap")


def positioned(net: Net) -> None:
    net.add("Add", [net.conv(1), net.kernel(1, 1, 32, 32)])


def counted(net: Net) -> None:
    size = net.add("Shape", ["image"])
    rows = net.add("Gather", [size, net.constant(2, np.int64)])
    net.add("Mul", ["image", net.add("Cast", [rows], to=TensorProto.FLOAT)])


def group_normalised(net: Net) -> None:
    """As exporters write it: groups as channels, then an instance normalisation."""
    net.add("Reshape", [net.conv(4), net.constant([0, 2, -1], np.int64)])
    net.add("InstanceNormalization", [net.last, net.kernel(2), net.kernel(2)])


def fixed_crop(net: Net) -> None:
    borders = [net.constant([n], np.int64) for n in (0, 32, 2)]
    net.add("Slice", [net.conv(1), *borders])


def summed_up(net: Net) -> None:
    net.add("CumSum", ["image", net.constant(3, np.int64)])


CULPRITS = {
    reduced: "ReduceMean",
    instance_normalised: "InstanceNormalization",
    layer_normalised: "LayerNormalization",
    softmax_over_space: "Softmax",
    attention: "MatMul",
    fixed_resize: "Resize",
    aligned_corners: "align_corners",
    wrapped: "Pad",
    positioned: "Add",
    counted: "Mul",
    fixed_crop: "Slice",
    group_normalised: "InstanceNormalization",
    summed_up: "CumSum",
}


@pytest.mark.parametrize("build", CULPRITS, ids=lambda build: build.__name__)
def test_the_node_that_sees_the_whole_image_is_named(build: Callable[[Net], None]) -> None:
    halo = halo_of(build)
    assert not halo.is_exact
    assert CULPRITS[build] in halo.culprit


def channel_shuffled(net: Net) -> None:
    source = net.conv(4)
    shape = net.add("Shape", [source])
    sides = net.add("Slice", [shape, *(net.constant([n], np.int64) for n in (2, 4))])
    split = net.add("Concat", [net.constant([1, 2, 2], np.int64), sides], axis=0)
    net.add("Reshape", [source, split])
    net.add("Transpose", [net.last], perm=[0, 2, 1, 3, 4])
    whole = net.add("Concat", [net.constant([1, 4], np.int64), sides], axis=0)
    net.nodes[-2], net.nodes[-1] = net.nodes[-1], net.nodes[-2]
    net.add("Reshape", [net.nodes[-1].output[0], whole])
    net.conv(1)


def token_normalised(net: Net) -> None:
    """Tokens and back, without attention: the norm is over channels."""
    source = net.conv(4)
    shape = net.add("Shape", [source])
    tokens = net.add("Reshape", [source, net.constant([0, 0, -1], np.int64)])
    net.add("Transpose", [tokens], perm=[0, 2, 1])
    net.add("LayerNormalization", [net.last, net.kernel(4), net.kernel(4)], axis=-1)
    net.add("Transpose", [net.last], perm=[0, 2, 1])
    net.add("Reshape", [net.last, shape])
    net.conv(1)


def split_and_joined(net: Net) -> None:
    source = net.conv(4)
    net.add("Split", [source], outputs=2, axis=1)
    first, second = net.nodes[-1].output
    net.channels = 2
    net.conv(2, 5, source=first)
    net.concat(net.last, second, 4)
    net.add("ReduceSum", [net.last, net.constant([1], np.int64)], keepdims=0)


def squeezed(net: Net) -> None:
    net.conv(3)
    net.add("ArgMax", [net.last], axis=1, keepdims=0)
    net.add("Unsqueeze", [net.last, net.constant([1], np.int64)])
    net.add("Cast", [net.last], to=TensorProto.FLOAT)


def quantised(net: Net) -> None:
    scale, zero = net.constant(0.05), net.constant(0, np.uint8)
    net.add("QuantizeLinear", ["image", scale, zero])
    net.add("DequantizeLinear", [net.last, scale, zero])
    weights = net.constant(net.rng.integers(-50, 50, (2, 1, 5, 5)), np.int8)
    kernel = net.add("DequantizeLinear", [weights, scale, net.constant(0, np.int8)])
    net.add("Conv", [net.nodes[-2].output[0], kernel], pads=[2] * 4)


def padded_like(net: Net) -> None:
    """Up-sampled and padded to the size of a skip connection, as many write a U-Net."""
    skip = net.conv(1)
    net.add("MaxPool", [skip], kernel_shape=[2, 2], strides=[2, 2])
    net.add("Resize", [net.last, "", net.constant([1, 1, 2, 2])], mode="nearest")
    up = net.last
    less = net.add("Sub", [net.add("Shape", [skip]), net.add("Shape", [up])])
    sides = net.add("Slice", [less, *(net.constant([n], np.int64) for n in (2, 4))])
    half = net.add("Div", [sides, net.constant([2], np.int64)])
    rest = net.add("Sub", [sides, half])
    none = net.constant([0, 0], np.int64)
    net.add("Pad", [up, net.add("Concat", [none, half, none, rest], axis=0)])
    net.concat(skip, net.last, 2)
    net.conv(1)


LOCAL = {
    padded_like: 3,
    channel_shuffled: 2,
    token_normalised: 2,
    split_and_joined: 3,
    squeezed: 1,
    quantised: 2,
}


@pytest.mark.parametrize("build", LOCAL, ids=lambda build: build.__name__)
def test_what_only_moves_channels_keeps_the_reach(
    build: Callable[[Net], None], rng: np.random.Generator
) -> None:
    net = Net(rng)
    build(net)
    model = net.build()
    halo = compute_halo(model)
    assert halo.culprit is None
    assert halo.pixels == LOCAL[build]
    image = rng.random((1, 1, 40, 36), np.float32)
    if halo.outputs[0].axes == (2, 3):
        assert differences(model, halo, image) < 1e-4


def test_a_cycle_is_named(rng: np.random.Generator) -> None:
    net = Net(rng)
    net.add("Add", ["image", "t1"])
    net.add("Relu", ["t0"])
    assert "waits for its own result" in compute_halo(net.build()).culprit


def test_nodes_out_of_order_are_understood(rng: np.random.Generator) -> None:
    net = Net(rng)
    net.conv(2)
    out = net.conv(1)
    net.nodes.reverse()
    assert compute_halo(net.build(out)).pixels == 2


def test_a_tensor_that_two_nodes_make_is_refused(rng: np.random.Generator) -> None:
    net = Net(rng)
    net.conv(1)
    net.nodes.append(helper.make_node("Relu", ["image"], [net.last]))
    with pytest.raises(GraphMismatch, match="two nodes"):
        compute_halo(net.build())


HOSTILE: list[tuple[str, list[str], dict[str, object]]] = [
    ("Conv", ["image", "nowhere"], {}),
    ("MaxPool", ["image"], {"kernel_shape": [2, 2], "strides": [0, 1]}),
    ("MaxPool", ["image"], {"kernel_shape": [2**40, 2], "strides": [1, 1]}),
    ("MaxPool", ["image"], {"kernel_shape": [2, 2], "strides": [2**30, 2**30]}),
    ("MaxPool", ["image"], {}),
    ("DepthToSpace", ["image"], {"blocksize": 0}),
    ("Transpose", ["image"], {"perm": [0, 0, 0, 9]}),
    ("Flatten", ["image"], {"axis": 99}),
    ("Concat", ["image", "image"], {"axis": 77}),
    ("Gemm", ["image", "image"], {}),
    ("NoSuchOperator", ["image"], {}),
    ("ArgMax", ["image"], {"axis": 3}),
    ("Pad", ["image"], {"pads": [1]}),
    ("Resize", ["image"], {}),
]


@pytest.mark.parametrize(("op", "inputs", "attributes"), HOSTILE)
def test_nonsense_makes_the_halo_unknown(
    op: str, inputs: list[str], attributes: dict[str, object], rng: np.random.Generator
) -> None:
    net = Net(rng)
    net.add(op, inputs, **attributes)
    halo = compute_halo(net.build())
    assert not halo.is_exact
    assert op in halo.culprit


def test_strides_that_multiply_beyond_any_tile_are_refused(rng: np.random.Generator) -> None:
    net = Net(rng)
    for _ in range(200):
        net.add("MaxPool", [net.last], kernel_shape=[2, 2], strides=[2, 2])
    assert "larger than any tile" in compute_halo(net.build()).culprit


def test_thousands_of_nodes_are_followed(rng: np.random.Generator) -> None:
    net = Net(rng)
    weight = net.kernel(1, 1, 3, 3)
    for _ in range(2000):
        net.add("Conv", [net.last, weight], pads=[1] * 4)
    assert compute_halo(net.build()).pixels == 2000


def test_a_graph_of_too_many_nodes_is_not_followed(rng: np.random.Generator) -> None:
    net = Net(rng)
    for _ in range(20_001):
        net.add("Relu", [net.last])
    assert "20001 nodes" in compute_halo(net.build()).culprit


def test_numbers_that_grow_without_end_are_refused(rng: np.random.Generator) -> None:
    net = Net(rng)
    size = net.add("Shape", [net.conv(1)])
    picture = net.nodes[0].output[0]
    factor = net.constant([1, 1, 999_983, 999_983], np.int64)
    for _ in range(40):
        size = net.add("Mul", [size, factor])
    net.add("Resize", [picture, "", "", size], mode="linear")
    assert "no size of an image" in compute_halo(net.build()).culprit


def test_an_input_without_a_shape_is_taken_for_an_image(rng: np.random.Generator) -> None:
    node = helper.make_node("Relu", ["image"], ["out"])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, None)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph([node], "g", [image], [out]))
    assert compute_halo(model.SerializeToString()).pixels == 0


JUNK: list[object] = [0, -1, 2, 2**62, 1.5, "x", [], [0], [2, 2], [-1] * 4, [2**40] * 4, [1.5] * 4]


@pytest.mark.parametrize("seed", range(60))
def test_nothing_that_a_graph_says_is_believed(seed: int) -> None:
    """Attributes of wrong kinds and sizes, operators in places where they make no sense."""
    rng = np.random.default_rng(seed)
    net = Net(rng)
    names = list(FAMILIES)
    FAMILIES[names[seed % len(names)]](net)
    ops = [node.op_type for node in net.nodes] + [op for op, _, _ in HOSTILE]
    for _ in range(3):
        node = net.nodes[int(rng.integers(len(net.nodes)))]
        if rng.random() < 0.5:
            node.op_type = str(rng.choice(ops))
        for attribute in list(node.attribute):
            name = attribute.name
            node.attribute.remove(attribute)
            junk = JUNK[int(rng.integers(len(JUNK)))]
            node.attribute.append(helper.make_attribute(name, junk, attr_type=kind_of(junk)))
    halo = compute_halo(net.build())
    assert halo.is_exact == (halo.culprit is None)


def kind_of(junk: object) -> int | None:
    """Return the type of an attribute whose list is empty."""
    return AttributeProto.INTS if junk == [] else None
