"""What an ONNX graph says of itself: its tensors, how it ends, what its exporter noted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

_LONGEST_NOTE = 1 << 16
#: Operators that rearrange or bound values and leave them what they are.
_PASSING = frozenset(
    {"Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Clip"}
)


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """An input or output: its numpy dtype's name, and its sides, None where they are open."""

    name: str
    dtype: str
    dims: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class GraphDescription:
    """What can be known of a graph without running it.

    Attributes
    ----------
    inputs, outputs
        In the order of the graph; constants are no inputs.
    endings
        For each output the operator that makes its values.
    operators
        Every operator in it.
    first_channels
        Channels that the first convolution takes; None when there is none at the input.
    notes
        ``metadata_props``.
    """

    inputs: tuple[GraphTensor, ...]
    outputs: tuple[GraphTensor, ...]
    endings: Mapping[str, str]
    operators: frozenset[str]
    first_channels: int | None
    notes: Mapping[str, str]


def describe(model: ModelProto) -> GraphDescription:
    """Return the description of a checked model."""
    graph = model.graph
    constants = {item.name for item in graph.initializer}
    inputs = tuple(_tensor(item) for item in graph.input if item.name not in constants)
    makers = {name: node for node in graph.node for name in node.output}
    return GraphDescription(
        inputs,
        tuple(_tensor(item) for item in graph.output),
        {item.name: _ending(makers.get(item.name), makers) for item in graph.output},
        frozenset(node.op_type for node in graph.node),
        _first_channels(graph, {item.name for item in inputs}),
        {
            entry.key[:200]: entry.value
            for entry in model.metadata_props
            if len(entry.value) <= _LONGEST_NOTE
        },
    )


def _tensor(item: ValueInfoProto) -> GraphTensor:
    from onnx import helper

    kind = item.type.tensor_type
    try:
        dtype = str(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    except (KeyError, ValueError):
        dtype = "unknown"
    dims = tuple(side.dim_value if side.dim_value > 0 else None for side in kind.shape.dim)
    return GraphTensor(item.name, dtype, dims)


def _ending(node: NodeProto | None, makers: Mapping[str, NodeProto]) -> str:
    while node is not None and node.op_type in _PASSING and node.input:
        before = makers.get(node.input[0])
        if before is None:
            break
        node = before
    return node.op_type if node is not None else ""


def _first_channels(graph: GraphProto, inputs: set[str]) -> int | None:
    weights = {item.name: item.dims for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[0] in inputs and node.input[1] in weights:
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            sides = weights[node.input[1]]
            return int(sides[1]) * int(groups) if len(sides) > 1 else None
    return None
