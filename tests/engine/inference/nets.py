"""Networks made on the fly: every family of layers with random sizes, as ONNX bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tilescope.inference.onnx_runtime import load_runtime


class Net:
    """A small graph put together layer by layer; each method returns the name of its output."""

    def __init__(self, rng: np.random.Generator, opset: int = 17) -> None:
        self.rng = rng
        self.opset = opset
        self.nodes: list = []
        self.weights: list = []
        self.last = "image"
        self.channels = 1
        self.input_shape: list[str | int] = ["n", 1, "h", "w"]

    def add(self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: object) -> str:
        names = [f"t{len(self.nodes)}", *(f"t{len(self.nodes)}_{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        self.last = names[0]
        return self.last

    def constant(self, values: np.ndarray | Sequence[float], kind: type = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def chosen(self, *values):
        return values[int(self.rng.integers(len(values)))]

    def kernel(self, *shape: int) -> str:
        weight = self.rng.uniform(-1, 1, shape) + 0.3
        return self.constant(weight / np.sqrt(np.prod(shape[1:])))

    def conv(
        self,
        out: int,
        k: int = 3,
        stride: int = 1,
        dilation: int = 1,
        pads: Sequence[int] | str | None = None,
        groups: int = 1,
        source: str | None = None,
    ) -> str:
        pad = dilation * (k - 1) // 2
        how = {"auto_pad": pads} if isinstance(pads, str) else {"pads": list(pads or [pad] * 4)}
        source = source or self.last
        weight = self.kernel(out, self.channels // groups, k, k)
        self.channels = out
        sides = {"strides": [stride] * 2, "dilations": [dilation] * 2}
        return self.add("Conv", [source, weight], group=groups, **sides, **how)

    def up_by_sizes(self, like: str, **how: object) -> str:
        """Resize to the rows and columns of another tensor, as exporters write it."""
        shape = self.add("Shape", [like])
        source = self.nodes[-2].output[0]
        rows, columns = (self.add("Gather", [shape, self.constant(i, np.int64)]) for i in (2, 3))
        both = [self.add("Unsqueeze", [n, self.constant([0], np.int64)]) for n in (rows, columns)]
        tail = self.add("Cast", [self.add("Concat", both, axis=0)], to=TensorProto.INT64)
        head = self.add(
            "Slice",
            [self.add("Shape", [source]), *(self.constant([i], np.int64) for i in (0, 2, 0))],
        )
        sizes = self.add("Concat", [head, tail], axis=0)
        return self.add("Resize", [source, "", "", sizes], **how)

    def concat(self, a: str, b: str, channels: int) -> str:
        self.channels = channels
        return self.add("Concat", [a, b], axis=1)

    def build(self, *outputs: str) -> bytes:
        sides: list[str | int] = ["n", "c", "h2", "w2"]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, self.input_shape)],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, sides if i == 0 else None)
                for i, name in enumerate(outputs or [self.last])
            ],
            self.weights,
        )
        opset = helper.make_opsetid("", self.opset)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def activation(net: Net) -> None:
    match net.chosen("Relu", "LeakyRelu", "Clip", "BatchNormalization", "Sigmoid", "PRelu"):
        case "Clip":
            net.add("Clip", [net.last, net.constant(-2.0), net.constant(2.0)])
        case "BatchNormalization":
            ones = net.rng.uniform(0.5, 1.5, (4, net.channels))
            net.add("BatchNormalization", [net.last, *(net.constant(row) for row in ones)])
        case "PRelu":
            net.add("PRelu", [net.last, net.kernel(net.channels, 1, 1)])
        case op:
            net.add(op, [net.last])


def convolved(net: Net, out: int) -> None:
    """A convolution that keeps the size."""
    k, dilation = net.chosen(1, 3, 5), net.chosen(1, 1, 2, 3)
    reach = dilation * (k - 1)
    match net.chosen("explicit", "uneven", "SAME_UPPER", "SAME_LOWER", "depthwise", "padded"):
        case "uneven":
            before = int(net.rng.integers(0, reach + 1))
            pads = [before, reach - before, reach - before, before]
            net.conv(out, k, dilation=dilation, pads=pads)
        case "depthwise":
            net.conv(net.channels, k, dilation=dilation, groups=net.channels)
            net.conv(out, 1)
        case "padded":
            before = int(net.rng.integers(0, reach + 1))
            sides = [before, reach - before], [reach - before, before]
            pads = net.constant([0, 0, *sides[0], 0, 0, *sides[1]], np.int64)
            net.add("Pad", [net.last, pads], mode=net.chosen("constant", "reflect", "edge"))
            net.conv(out, k, dilation=dilation, pads=[0] * 4)
        case "explicit":
            net.conv(out, k, dilation=dilation)
        case auto:
            net.conv(out, k, dilation=1, pads=auto)
    activation(net)


def pooled(net: Net) -> None:
    """Half as many rows and columns, by pooling of some kind."""
    op, kernel, how = net.chosen(
        ("MaxPool", 2, {}),
        ("LpPool", 2, {}),
        ("AveragePool", 3, {"pads": [1] * 4, "count_include_pad": net.chosen(0, 1)}),
        ("MaxPool", 3, {"ceil_mode": 1, "pads": net.chosen([0] * 4, [0, 0, 1, 1])}),
        ("AveragePool", 3, {"ceil_mode": 1}),
        ("MaxPool", 3, {"auto_pad": net.chosen("SAME_UPPER", "SAME_LOWER")}),
    )
    net.add(op, [net.last], kernel_shape=[kernel] * 2, strides=[2, 2], **how)


def focused(net: Net) -> None:
    """Half as many rows and columns: every other pixel of four slices."""
    source, parts = net.last, []
    ends, axes, steps = (net.constant(n, np.int64) for n in ([2**62] * 2, [2, 3], [2, 2]))
    for start in ([0, 0], [1, 0], [0, 1], [1, 1]):
        starts = net.constant(start, np.int64)
        parts.append(net.add("Slice", [source, starts, ends, axes, steps]))
    net.add("Concat", parts, axis=1)


def halved(net: Net) -> None:
    """Half as many rows and columns."""
    c = net.channels
    match net.chosen("pool", "pool", "conv", "conv same", "depth", "focus"):
        case "pool":
            pooled(net)
        case "conv":
            k = net.chosen(2, 3, 4, 5)
            net.conv(c, k, stride=2, pads=[(k - 1) // 2] * 2 + [(k - 2) - (k - 2) // 2] * 2)
        case "conv same":
            net.conv(c, net.chosen(1, 2, 3, 4), 2, pads=net.chosen("SAME_UPPER", "SAME_LOWER"))
        case how:
            if how == "depth":
                net.add("SpaceToDepth", [net.last], blocksize=2)
            else:
                focused(net)
            net.channels = 4 * c
            net.conv(c, 1)


def doubled(net: Net, like: str) -> None:
    """Twice as many rows and columns; ``like`` is a tensor that has them."""
    c, scales = net.channels, net.constant([1, 1, 2, 2])
    nearest = {"mode": "nearest", "nearest_mode": net.chosen("floor", "round_prefer_floor")}
    kinds = ("nearest", "linear", "cubic", "sizes", "deconv", "depth", "shuffle", "half")
    match net.chosen(*kinds):
        case "nearest":
            asymmetric = {"coordinate_transformation_mode": "asymmetric"}
            net.add("Resize", [net.last, "", scales], **nearest, **asymmetric)
        case "half":
            net.add("Resize", [net.last, "", scales], **nearest)
        case "linear":
            where = net.chosen("half_pixel", "pytorch_half_pixel", "asymmetric")
            how = {"mode": "linear", "coordinate_transformation_mode": where}
            net.add("Resize", [net.last, "", scales], **how)
        case "cubic":
            outside = net.chosen(0, 1)
            net.add("Resize", [net.last, "", scales], mode="cubic", exclude_outside=outside)
        case "sizes":
            net.add("Identity", [net.last])
            net.up_by_sizes(like, mode="linear")
        case "deconv":
            k, pads, more = net.chosen(
                (2, 0, 0), (4, 1, 0), (3, 1, 1), (2, "SAME_UPPER", 0), (4, "SAME_LOWER", 0)
            )
            how = {"auto_pad": pads} if isinstance(pads, str) else {"pads": [pads] * 4}
            weight = net.kernel(c, c, k, k)
            padding = {"output_padding": [more] * 2}
            net.add("ConvTranspose", [net.last, weight], strides=[2, 2], **padding, **how)
        case "depth":
            net.conv(4 * c, 1)
            net.add("DepthToSpace", [net.last], blocksize=2)
            net.channels = c
        case "shuffle":
            pixel_shuffled(net)


def pixel_shuffled(net: Net) -> None:
    """Channels to pixels by Reshape and Transpose with sizes taken from Shape."""
    c = net.channels
    net.conv(4 * c, 1)
    source = net.last
    shape = net.add("Shape", [source])
    rows, columns = (net.add("Gather", [shape, net.constant([i], np.int64)]) for i in (2, 3))
    parts = [net.constant([1, c, 2, 2], np.int64), rows, columns]
    net.add("Reshape", [source, net.add("Concat", parts, axis=0)])
    net.add("Transpose", [net.last], perm=[0, 1, 4, 2, 5, 3])
    source, two = net.last, net.constant([2], np.int64)
    doubles = [net.add("Mul", [n, two]) for n in (rows, columns)]
    target = net.add("Concat", [net.constant([1, c], np.int64), *doubles], axis=0)
    net.add("Reshape", [source, target])
    net.channels = c


def plain(net: Net) -> None:
    for _ in range(net.chosen(1, 2, 3)):
        convolved(net, net.chosen(1, 2, 4))


def unet(net: Net) -> None:
    convolved(net, 2)
    skips = []
    for _ in range(net.chosen(1, 2, 3)):
        skips.append((net.last, net.channels))
        halved(net)
        convolved(net, net.chosen(2, 4))
    for skip, channels in reversed(skips):
        doubled(net, skip)
        if net.chosen(True, False) and net.channels == channels:
            net.add("Add", [skip, net.last])
        else:
            net.concat(skip, net.last, channels + net.channels)
        convolved(net, 2)


def resnet(net: Net) -> None:
    """Blocks with residuals, some of them strided: an output of lower resolution."""
    convolved(net, 4)
    for _ in range(net.chosen(1, 2, 3)):
        source, stride = net.last, net.chosen(1, 2)
        short = net.conv(4, 1, stride) if stride == 2 else source
        net.last = source
        net.conv(4, 3, stride)
        activation(net)
        convolved(net, 4)
        net.add("Add", [short, net.last])
    net.add("Softmax", [net.last], axis=1)


def unpadded(net: Net) -> None:
    """A U-Net without padding, its skip connection cropped: the output is smaller."""
    skip = net.conv(2, 3, pads="VALID")
    net.add("MaxPool", [skip], kernel_shape=[2, 2], strides=[2, 2])
    net.conv(2, net.chosen(2, 3, 4), pads=[0] * 4)
    k = (5 - net.nodes[-1].attribute[0].i) and net.weights[-1].dims[2]
    net.add("ConvTranspose", [net.last, net.kernel(2, 2, 2, 2)], strides=[2, 2])
    inner, less = net.last, 2 * (int(k) - 1)
    before = net.chosen(less // 2, less)
    ends = 2**62 if before == less else before - less
    borders = [net.constant([n] * 2, np.int64) for n in (before, ends)]
    net.add("Slice", [skip, *borders, net.constant([2, 3], np.int64)])
    net.concat(net.last, inner, 4)
    net.conv(1, 3, pads="VALID")


def channels_last(net: Net) -> None:
    """An image with its channels last, and labels out."""
    net.input_shape = ["n", "h", "w", 3]
    net.channels = 3
    net.add("Transpose", ["image"], perm=[0, 3, 1, 2])
    unet(net)
    convolved(net, 4)
    net.add("Transpose", [net.last], perm=[0, 2, 3, 1])
    net.add("MatMul", [net.last, net.kernel(4, 3)])
    net.add("Softmax", [net.last], axis=-1)


FAMILIES: dict[str, Callable[[Net], None]] = {
    build.__name__: build for build in (plain, unet, resnet, unpadded, channels_last)
}


def session_of(model: bytes):
    """Return a session of one thread."""
    ort = load_runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
