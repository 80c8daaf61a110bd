"""The halo of a network, computed from its ONNX graph.

What each tensor depends on is followed from the inputs to the outputs node by node, by one rule
per operator. A node whose output depends on the whole image, or that is not understood, is named;
what comes after it has no finite halo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, lcm
from typing import NamedTuple

from tilescope.inference import reach_axes, reach_resize, reach_windows
from tilescope.inference.graph import Graph, Node, Port, load_graph
from tilescope.inference.reach import (
    MOST_STEP,
    Field,
    Known,
    Lost,
    Reach,
    Unbounded,
    Value,
)
from tilescope.inference.reach_rules import Rule, Setting
from tilescope.inference.reach_sizes import Arithmetic, constant, known_tensor

#: Divisible by every stride there is, and by two different primes.
_DIVISIBLE = 2**16 * 720720
_SAMPLE_SIZES = (_DIVISIBLE * 10007, _DIVISIBLE * 10009)
#: Images have at most so many channels; more in the last dimension are columns.
_MOST_CHANNELS = 16
#: Larger graphs are not looked at: no network that fits into memory comes near.
MOST_NODES = 20_000


class Sides(NamedTuple):
    """Pixels of context that are needed on each side."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class OutputReach:
    """What one output of a graph depends on.

    Attributes
    ----------
    name
        Of the output.
    axes
        Its dimensions that run down and along the image.
    reaches
        Down and along the image; None when the output depends on the whole image.
    culprit
        The node that makes it so, in words.
    """

    name: str
    axes: tuple[int, int] | None
    reaches: tuple[Reach, Reach] | None
    culprit: str | None = None

    @property
    def scale(self) -> tuple[Fraction, Fraction] | None:
        """Output pixels per input pixel, down and along the image."""
        if self.reaches is None:
            return None
        return 1 / self.reaches[0].step, 1 / self.reaches[1].step

    @property
    def offset(self) -> tuple[Fraction, Fraction] | None:
        """Input pixel at which the output begins; not 0 where a network does not pad."""
        if self.reaches is None:
            return None
        return _offset(self.reaches[0]), _offset(self.reaches[1])

    @property
    def sides(self) -> Sides | None:
        """Context around the input pixels that an output pixel stands for."""
        if self.reaches is None:
            return None
        (top, bottom), (left, right) = map(_margins, self.reaches)
        return Sides(top, bottom, left, right)

    @property
    def covers_input(self) -> bool:
        """Tell whether there is one output pixel per input pixel, at the same place."""
        return self.reaches is not None and all(r.step == 1 and r.extra == 0 for r in self.reaches)


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
    outputs
        What each output depends on.
    fixed_size
        Height and width of the only image the graph takes, each None where any is taken.
    least_px
        The least side of a tile for which no tensor is empty, and what borders mirror is there.
    """

    pixels: int | None
    multiple_of: int
    culprit: str | None = None
    outputs: tuple[OutputReach, ...] = ()
    fixed_size: tuple[int | None, int | None] = (None, None)
    least_px: int = 1

    @property
    def is_exact(self) -> bool:
        """Tell whether tiling can be exact."""
        return self.pixels is not None

    @property
    def sides(self) -> Sides | None:
        """The context per side, which can be less than ``pixels``; None when it is not exact."""
        each = [output.sides for output in self.outputs]
        known = [sides for sides in each if sides is not None]
        if self.pixels is None or not known:
            return None
        return Sides(*(max(values) for values in zip(*known, strict=True)))

    @property
    def covers_input(self) -> bool:
        """Tell whether every output has one pixel per input pixel, at the same place."""
        return all(output.covers_input for output in self.outputs)


@dataclass(slots=True)
class Analysis:
    """What is known of every tensor of a graph; ``period`` is what sizes must be multiples of."""

    values: dict[str, Value] = field(default_factory=dict)
    period: int = 1
    fixed: tuple[int | None, int | None] = (None, None)


def compute_halo(model_bytes: bytes, layouts: Mapping[str, str] | None = None) -> Halo:
    """Return the halo of a graph.

    Parameters
    ----------
    layouts
        ``NCHW`` or ``NHWC`` by the name of the input; told from the shape where it is not given.

    Raises
    ------
    GraphMismatch
        When the bytes are not an ONNX model.
    """
    graph = load_graph(model_bytes)
    if graph.in_cycle is not None:
        return Halo(None, 1, f"{graph.in_cycle.label}: it waits for its own result")
    if len(graph.nodes) > MOST_NODES:
        return Halo(None, 1, f"the graph has {len(graph.nodes)} nodes, more than {MOST_NODES}")
    analysis = analyse(graph, layouts or {})
    outputs = tuple(_output(name, analysis.values.get(name)) for name in graph.outputs)
    culprit = next((output.culprit for output in outputs if output.culprit), None)
    reaches = [reach for output in outputs for reach in output.reaches or ()]
    multiple = lcm(analysis.period, *(reach.period for reach in reaches))
    if culprit is None and multiple > MOST_STEP:
        culprit = f"its outputs go together at multiples of {multiple} pixels only"
    if culprit is not None or not reaches:
        return Halo(None, 1, culprit or "the graph has no output", outputs, analysis.fixed)
    if any(size is not None and size % multiple for size in analysis.fixed):
        culprit = f"its fixed size {analysis.fixed} is no multiple of its stride {multiple}"
        return Halo(None, 1, culprit, outputs, analysis.fixed)
    sides = [output.sides for output in outputs]
    pixels = max(max(s) for s in sides if s is not None)
    least = max(ceil(reach.least) for reach in reaches)
    return Halo(pixels, multiple, None, outputs, analysis.fixed, least)


def analyse(graph: Graph, layouts: Mapping[str, str], *, any_size: bool = False) -> Analysis:
    """Return what is known of every tensor of a graph without a cycle.

    Parameters
    ----------
    any_size
        Look at the graph as if it took images of any size, whatever its inputs say.
    """
    inputs = [_input(port, layouts.get(port.name)) for port in graph.inputs]
    fixed = _fixed_size(graph.inputs, inputs) if not any_size else (None, None)
    sizes = (fixed[0] or _SAMPLE_SIZES[0], fixed[1] or _SAMPLE_SIZES[1])
    walk = _Walk(Setting(graph.opset, sizes, fixed))
    for name, tensor in graph.initializers.items():
        walk.values[name] = known_tensor(tensor)
    for port, value in zip(graph.inputs, inputs, strict=True):
        walk.values[port.name] = value
    for node in graph.nodes:
        walk.visit(node)
    return Analysis(walk.values, walk.arithmetic.period, fixed)


def _input(port: Port, layout: str | None) -> Value:
    """Return what an input of the graph is: an image, or numbers that go with every image."""
    dims = port.dims if port.dims is not None else (None,) * 4
    if len(dims) not in (3, 4):
        known = [n for n in dims if n is not None]
        return Known(tuple(known) if len(known) == len(dims) else None)
    last, first = dims[-1], dims[-3]
    looks_last = last is not None and last <= _MOST_CHANNELS < (first or _MOST_CHANNELS + 1)
    channels_last = looks_last if layout is None else layout == "NHWC"
    rows = len(dims) - (3 if channels_last else 2)
    shape = [None if i in (rows, rows + 1) else n for i, n in enumerate(dims)]
    if len(dims) == 4 and shape[0] is None:
        shape[0] = 1
    return Field(tuple(shape), (rows, rows + 1), (Reach(), Reach()))


def _fixed_size(ports: Sequence[Port], values: Sequence[Value]) -> tuple[int | None, int | None]:
    for port, value in zip(ports, values, strict=True):
        if isinstance(value, Field) and port.dims is not None:
            return port.dims[value.axes[0]], port.dims[value.axes[1]]
    return None, None


class _Walk:
    """Tensors that are known so far."""

    def __init__(self, setting: Setting) -> None:
        self.values: dict[str, Value] = {}
        self.arithmetic = Arithmetic()
        self._setting = setting

    def visit(self, node: Node) -> None:
        """Find out what a node makes."""
        given = [self.values.get(name) if name else None for name in node.inputs]
        lost = _lost(node, given)
        made: Sequence[Value]
        if lost is not None:
            made = self._made_of_lost(node, given, lost)
        else:
            try:
                made = self._made(node, given)
            except (Unbounded, *_NONSENSE) as exc:
                reason = str(exc) if isinstance(exc, Unbounded) else "its attributes make no sense"
                made = [_without_reach(node, given, f"{node.label}: {reason}")]
        self.values.update(zip(node.outputs, made, strict=False))
        for name in filter(None, node.outputs[len(made) :]):
            further = Lost(f"{node.label}: its further outputs count over the image")
            self.values[name] = made[0] if isinstance(made[0], Lost) else further

    def _made_of_lost(
        self, node: Node, given: Sequence[Value | None], lost: Lost
    ) -> Sequence[Lost]:
        """Return what a node makes of inputs some of which have no finite reach."""
        if any(isinstance(v, Lost) and v.like is None and not v.is_small for v in given):
            return [replace(lost, like=None, is_small=False)]
        alike = [(v.like or Known(())) if isinstance(v, Lost) else v for v in given]
        if not any(isinstance(value, Field) for value in alike):
            return [replace(lost, like=None, is_small=True)]
        try:
            made = self._made(node, alike)
        except (Unbounded, *_NONSENSE):
            return [_without_reach(node, alike, lost.culprit)]
        return [
            replace(
                lost,
                like=value if isinstance(value, Field) else None,
                is_small=isinstance(value, Known),
            )
            for value in made
        ]

    def _made(self, node: Node, given: Sequence[Value | None]) -> Sequence[Value]:
        missing = next(
            (n for n, v in zip(node.inputs, given, strict=True) if n and v is None), None
        )
        if missing is not None:
            msg = f"nothing makes its input {missing!r}"
            raise Unbounded(msg)
        if node.op == "Constant":
            return [constant(node)]
        if node.op == "Shape" and isinstance(given[0], Field | Known):
            return [self.arithmetic.shape_of(node, given[0])]
        known = [value for value in given if value is None or isinstance(value, Known)]
        if len(known) == len(given):
            return [self._without_image(node, known)]
        if node.op == "Split":
            return reach_axes.split(node, given, self._setting)
        rule = _RULES.get(node.op)
        if rule is None:
            msg = "its reach over the image is not known"
            raise Unbounded(msg)
        return [rule(node, given, self._setting)]

    def _without_image(self, node: Node, known: Sequence[Known | None]) -> Value:
        sizes = known[-1] if known else None
        if node.op in _SPREADING and sizes is not None and sizes.follows_size:
            first = known[0] if node.op == "Expand" and known[0] is not None else Known(())
            return reach_axes.spread(first, sizes, self._setting)
        return self.arithmetic.fold(node, known)


def _lost(node: Node, given: Sequence[Value | None]) -> Lost | None:
    """Return what a node passes on of inputs without a finite reach, None when all have one."""
    lost = [value for value in given if isinstance(value, Lost)]
    if not lost or not lost[0].by_layout:
        return lost[0] if lost else None
    # Tokens and groups are laid out first: what is done with them says why.
    if node.op in _WHOLE_IMAGE or node.op == "LayerNormalization":
        return Lost(f"{node.label}: it normalises over the whole image")
    if node.op == "MatMul" and len(lost) > 1:
        return Lost(f"{node.label}: it combines every place with every other (attention)")
    return lost[0]


def _without_reach(node: Node, given: Sequence[Value | None], culprit: str) -> Lost:
    """Return what a node makes whose own reach is not finite."""
    image = next((value for value in given if isinstance(value, Field)), None)
    keeps = node.op in _SIZE_KEPT and image is not None
    small = node.op in _POOLS or (node.op in _REDUCTIONS and culprit.startswith(node.label))
    return Lost(culprit, node.op in _LAYOUT, image if keeps else None, small)


def _output(name: str, value: Value | None) -> OutputReach:
    match value:
        case Field() if not value.is_merged:
            return OutputReach(name, value.axes, value.reaches)
        case Lost(culprit=culprit):
            return OutputReach(name, None, None, culprit)
        case None:
            return OutputReach(name, None, None, f"output {name!r}: nothing makes it")
        case _:
            return OutputReach(name, None, None, f"output {name!r}: it is no image")


def _offset(reach: Reach) -> Fraction:
    # An output as long as the image lies on it; a shorter one lies in the middle of what it sees.
    if reach.extra == 0:
        return Fraction(0)
    return (reach.low + reach.high + 1 - reach.step) / 2


def _margins(reach: Reach) -> tuple[int, int]:
    offset = _offset(reach)
    before = max(offset - reach.low, reach.from_end)
    after = max(reach.high + 1 - reach.step - offset, reach.from_start)
    return max(ceil(before), 0), max(ceil(after), 0)


#: What attributes of the wrong kind and size end in.
_NONSENSE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_LAYOUT = frozenset(
    {"Reshape", "Flatten", "Transpose", "Slice", "Gather", "Split", "Squeeze", "Unsqueeze"}
)
_SPREADING = frozenset({"ConstantOfShape", "Expand"})
_POINTWISE = (
    *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Mish", "HardSwish", "Swish"),
    *("Softplus", "Softsign", "ThresholdedRelu", "Sigmoid", "HardSigmoid", "Tanh", "Erf", "Exp"),
    *("Log", "Sqrt", "Abs", "Neg", "Reciprocal", "Floor", "Ceil", "Round", "Sign", "Sin", "Cos"),
    *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Sum", "Mean", "Where", "Clip"),
    *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not"),
    *("IsNaN", "IsInf", "Identity"),
)
_SHAPE_OF_FIRST = (
    *("Cast", "CastLike", "Dropout", "LRN", "QuantizeLinear", "DequantizeLinear"),
    *("Shrink", "com.microsoft::QuantizeLinear", "com.microsoft::DequantizeLinear"),
)
_REDUCTIONS = (
    *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"),
    *("ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"),
)
_POOLS = ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
_WHOLE_IMAGE = (*_POOLS, "InstanceNormalization", "GroupNormalization")
_SIZE_KEPT = frozenset(
    {
        *("InstanceNormalization", "GroupNormalization", "LayerNormalization", "Softmax"),
        *("MeanVarianceNormalization", "LogSoftmax", "LpNormalization", "CumSum"),
        *_POINTWISE,
        *_SHAPE_OF_FIRST,
    }
)
_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_POINTWISE, reach_axes.pointwise),
    **dict.fromkeys(_SHAPE_OF_FIRST, reach_axes.first_only),
    **dict.fromkeys(_REDUCTIONS, reach_axes.reduce),
    **dict.fromkeys(_WHOLE_IMAGE, reach_axes.whole_image),
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv"), reach_windows.conv),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), reach_windows.pool),
    **dict.fromkeys(("Resize", "Upsample"), reach_resize.resize),
    **dict.fromkeys(("ArgMax", "ArgMin"), reach_axes.arg_extreme),
    **dict.fromkeys(
        ("Softmax", "LogSoftmax", "Hardmax", "LpNormalization"), reach_axes.over_channels
    ),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), reach_axes.layer_norm),
    "ConvTranspose": reach_windows.conv_transpose,
    "Pad": reach_windows.pad,
    "Slice": reach_windows.cut,
    "DepthToSpace": reach_windows.depth_to_space,
    "SpaceToDepth": reach_windows.space_to_depth,
    "BatchNormalization": reach_axes.batch_norm,
    "MeanVarianceNormalization": reach_axes.moments,
    "Transpose": reach_axes.transpose,
    "Reshape": reach_axes.reshape,
    "Flatten": reach_axes.flatten,
    "Unsqueeze": reach_axes.unsqueeze,
    "Squeeze": reach_axes.squeeze,
    "Concat": reach_axes.concat,
    "Gather": reach_axes.gather,
    "MatMul": reach_axes.matmul,
    "Expand": reach_axes.expand,
}
