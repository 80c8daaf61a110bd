"""The halo of a network, computed from its ONNX graph.

Each tensor of a purely convolutional graph depends, along one axis, on the input interval
``[step * i + low, step * i + high]`` for its element ``i``. The interval is propagated from the
input to the outputs node by node (Araujo, Norris and Sim, "Computing Receptive Fields of
Convolutional Neural Networks", Distill 2019), here with exact fractions, because up-sampling
halves the step. A graph with a node whose output depends on the whole image has no finite halo;
the node is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

AXES = 2


@dataclass(frozen=True, slots=True)
class Reach:
    """Dependence of one tensor on the input, the same along x and y (the worse of both).

    Attributes
    ----------
    step
        Input pixels per element.
    low, high
        Element ``i`` needs input pixels ``step * i + low`` to ``step * i + high``.
    period
        Only starts that are a multiple of it keep every stride in phase.
    """

    step: Fraction = Fraction(1)
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)
    period: int = 1

    def through(self, stride: Fraction, low: Fraction, high: Fraction) -> Reach:
        """Return the reach of a tensor whose element i needs this at stride * i + [low, high]."""
        step = self.step * stride
        return Reach(
            step,
            self.low + self.step * low,
            self.high + self.step * high,
            lcm(self.period, ceil(step)),
        )

    def join(self, other: Reach) -> Reach:
        """Return the reach of a tensor that combines both element by element.

        Raises
        ------
        ValueError
            When both have another resolution.
        """
        if self.step != other.step:
            msg = f"tensors of {self.step} and {other.step} pixels per element are combined"
            raise ValueError(msg)
        return Reach(
            self.step,
            min(self.low, other.low),
            max(self.high, other.high),
            lcm(self.period, other.period),
        )


@dataclass(frozen=True, slots=True)
class Halo:
    """What tiling needs to know of a graph.

    Attributes
    ----------
    pixels
        Context on each side at which tile-by-tile inference equals whole-image inference; None
        when there is no such number.
    multiple_of
        Tiles must begin and end at multiples of it.
    culprit
        The node that makes the halo infinite or unknown, in words; None when it is exact.
    """

    pixels: int | None
    multiple_of: int
    culprit: str | None = None

    @property
    def is_exact(self) -> bool:
        """Tell whether tiling can be exact."""
        return self.pixels is not None


_POINTWISE = frozenset(
    {
        *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Gelu", "Mish", "HardSwish", "Softplus"),
        *("Sigmoid", "HardSigmoid", "Tanh", "Erf", "Exp", "Log", "Sqrt", "Abs", "Neg", "Clip"),
        *("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum"),
        *("Identity", "Cast", "Dropout", "BatchNormalization"),
    }
)


def compute_halo(model_bytes: bytes) -> Halo:
    """Return the halo of a one-input graph whose outputs have the size of its input.

    Raises
    ------
    GraphMismatch
        When the bytes are not an ONNX model.
    """
    import onnx

    from tilescope.errors import GraphMismatch

    try:
        graph = onnx.load_model_from_string(model_bytes).graph
    except Exception as exc:  # protobuf raises its own, undocumented types
        raise GraphMismatch(f"the weights are not an ONNX model: {exc}") from exc
    constants = {item.name: item for item in graph.initializer}
    reaches: dict[str, Reach] = {
        item.name: Reach() for item in graph.input if item.name not in constants
    }
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = node.attribute[0].t
            continue
        try:
            _propagate(node, reaches, constants)
        except ValueError as exc:
            return Halo(None, 1, f"{node.op_type} {node.name or node.output[0]!r}: {exc}")
    return _summary([reaches[item.name] for item in graph.output])


def _summary(outputs: Sequence[Reach]) -> Halo:
    if any(reach.step != 1 for reach in outputs):
        return Halo(None, 1, "an output has another resolution than the input")
    return Halo(
        max(ceil(max(-reach.low, reach.high)) for reach in outputs),
        lcm(*(reach.period for reach in outputs)),
    )


def _propagate(
    node: NodeProto, reaches: dict[str, Reach], constants: Mapping[str, TensorProto]
) -> None:
    inputs = [reaches[name] for name in node.input if name in reaches]
    if not inputs:  # arithmetic on constants: shapes, scales
        return
    result = inputs[0]
    for other in inputs[1:]:
        result = result.join(other)
    rule = _RULES.get(node.op_type)
    if rule is not None:
        result = rule(node, result, constants)
    elif node.op_type not in _POINTWISE:
        msg = "its reach over the image is not known"
        raise ValueError(msg)
    for name in node.output:
        reaches[name] = result


def _attributes(node: NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def _windows(node: NodeProto, kernel: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return per axis: stride, first offset and last offset of the window."""
    values = _attributes(node)
    if values.get("auto_pad", b"NOTSET") not in {b"NOTSET", b"VALID"}:
        msg = "automatic padding depends on the image size"
        raise ValueError(msg)
    strides = values.get("strides", [1] * AXES)
    dilations = values.get("dilations", [1] * AXES)
    pads = values.get("pads", [0] * 2 * AXES)
    return [
        (strides[axis], -pads[axis], -pads[axis] + dilations[axis] * (kernel[axis] - 1))
        for axis in range(AXES)
    ]


def _window_reach(before: Reach, windows: Sequence[tuple[int, int, int]]) -> Reach:
    strides = {stride for stride, _, _ in windows}
    if len(strides) > 1:
        msg = "strides differ between x and y"
        raise ValueError(msg)
    low = min(low for _, low, _ in windows)
    high = max(high for _, _, high in windows)
    return before.through(Fraction(strides.pop()), Fraction(low), Fraction(high))


def _conv(node: NodeProto, before: Reach, constants: Mapping[str, TensorProto]) -> Reach:
    weight = constants.get(node.input[1])
    if weight is None:
        msg = "its weights are computed"
        raise ValueError(msg)
    return _window_reach(before, _windows(node, weight.dims[2:]))


def _pool(node: NodeProto, before: Reach, _constants: Mapping[str, TensorProto]) -> Reach:
    values = _attributes(node)
    if values.get("ceil_mode", 0):
        msg = "ceil_mode depends on the image size"
        raise ValueError(msg)
    return _window_reach(before, _windows(node, values["kernel_shape"]))


def _depth_to_space(node: NodeProto, before: Reach, _constants: Mapping[str, TensorProto]) -> Reach:
    size = _attributes(node)["blocksize"]
    return before.through(Fraction(1, size), Fraction(1 - size, size), Fraction(0))


def _space_to_depth(node: NodeProto, before: Reach, _constants: Mapping[str, TensorProto]) -> Reach:
    size = _attributes(node)["blocksize"]
    return before.through(Fraction(size), Fraction(0), Fraction(size - 1))


def _resize(node: NodeProto, before: Reach, constants: Mapping[str, TensorProto]) -> Reach:
    from onnx import numpy_helper

    values = _attributes(node)
    scales = constants.get(node.input[2]) if len(node.input) > 2 else None
    factors = numpy_helper.to_array(scales).tolist() if scales is not None else []
    spatial = factors[2:]
    if len(spatial) != AXES or spatial[0] != spatial[1] or spatial[0] != int(spatial[0]):
        msg = "its scale is not one whole constant number"
        raise ValueError(msg)
    factor = int(spatial[0])
    mode = (values.get("mode", b"nearest"), values.get("coordinate_transformation_mode", b""))
    if mode == (b"nearest", b"asymmetric") and values.get("nearest_mode") == b"floor":
        return before.through(Fraction(1, factor), Fraction(1 - factor, factor), Fraction(0))
    msg = f"resize mode {mode[0].decode()}, {mode[1].decode()} is not analysed"
    raise ValueError(msg)


def _along_channels(node: NodeProto, before: Reach, _constants: Mapping[str, TensorProto]) -> Reach:
    if _attributes(node).get("axis", 0) != 1:
        msg = "it joins or splits along another axis than the channels"
        raise ValueError(msg)
    return before


def _slice(node: NodeProto, before: Reach, constants: Mapping[str, TensorProto]) -> Reach:
    from onnx import numpy_helper

    axes = constants.get(node.input[3]) if len(node.input) > 3 else None
    if axes is None or set(numpy_helper.to_array(axes).tolist()) - {1}:
        msg = "it cuts along another axis than the channels"
        raise ValueError(msg)
    return before


_RULES: Mapping[str, Callable[[NodeProto, Reach, Mapping[str, TensorProto]], Reach]] = {
    "Conv": _conv,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Resize": _resize,
    "Concat": _along_channels,
    "Split": _along_channels,
    "Slice": _slice,
}
