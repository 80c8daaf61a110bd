"""An ONNX graph as values: its inputs, its outputs and the nodes between them, in order.

Nothing is executed and no tensor of any size is copied; what a hostile file claims is not believed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tilescope.errors import GraphMismatch

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

_STANDARD_DOMAINS = ("", "ai.onnx")
_FLOAT, _INT64, _BOOL = 1, 7, 9
_MAKE_NUMBERS = frozenset({"Shape", "Size", "ArgMax", "ArgMin", "NonZero"})
_MAKE_TRUTHS = frozenset(
    {
        *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
        *("And", "Or", "Xor", "Not", "IsNaN", "IsInf"),
    }
)
#: Which input has the type of the output, where it is not the first one.
_TYPED_BY = {"Where": 1, "QuantizeLinear": 2, "DequantizeLinear": 1, "CastLike": 1}


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation.

    Attributes
    ----------
    op
        The operator; one outside the ONNX standard has its domain before it, ``domain::op``.
    inputs, outputs
        Names of tensors; an omitted one is empty.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    proto: NodeProto

    @property
    def label(self) -> str:
        """The operator and the name, or the first output where there is no name."""
        made = next(filter(None, self.outputs), "")
        return f"{self.op} {self.name or made!r}"


@dataclass(frozen=True, slots=True)
class Port:
    """An input of the graph; ``dims`` is None where the rank is unknown, each dim where it is."""

    name: str
    element_type: int
    dims: tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The part of a graph that its outputs depend on.

    Attributes
    ----------
    nodes
        In an order in which every tensor is made before it is used.
    initializers
        Constant tensors by name.
    opset
        Version of the standard operators.
    in_cycle
        A node that waits for its own result; None in every valid graph.
    """

    model: ModelProto
    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    initializers: Mapping[str, TensorProto]
    opset: int
    in_cycle: Node | None


def load_graph(model_bytes: bytes) -> Graph:
    """Return the graph of an ONNX file.

    Raises
    ------
    GraphMismatch
        When the bytes are not an ONNX model, or two nodes make the same tensor.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(model_bytes)
    except Exception as exc:  # protobuf raises its own, undocumented types
        raise GraphMismatch(f"the weights are not an ONNX model: {exc}") from exc
    proto = model.graph
    initializers = {item.name: item for item in proto.initializer}
    outputs = tuple(item.name for item in proto.output)
    nodes, in_cycle = _ordered(_needed([_node(item) for item in proto.node], outputs))
    versions = [item.version for item in model.opset_import if item.domain in _STANDARD_DOMAINS]
    return Graph(
        model,
        tuple(_port(item) for item in proto.input if item.name not in initializers),
        outputs,
        nodes,
        initializers,
        max(versions, default=1),
        in_cycle,
    )


def holds_graphs(graph: Graph) -> bool:
    """Tell whether a node has a graph of its own, which may use any tensor of this one."""
    from onnx import AttributeProto

    kinds = {AttributeProto.GRAPH, AttributeProto.GRAPHS}
    return any(item.type in kinds for node in graph.nodes for item in node.proto.attribute)


def _node(proto: NodeProto) -> Node:
    from onnx import helper

    try:
        attributes = {item.name: helper.get_attribute_value(item) for item in proto.attribute}
    except ValueError as exc:
        raise GraphMismatch(f"node {proto.name!r} has a broken attribute: {exc}") from exc
    standard = proto.domain in _STANDARD_DOMAINS
    op = proto.op_type if standard else f"{proto.domain}::{proto.op_type}"
    return Node(op, proto.name, tuple(proto.input), tuple(proto.output), attributes, proto)


def _port(info: ValueInfoProto) -> Port:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return Port(info.name, tensor.elem_type, None)
    dims = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim)
    return Port(info.name, tensor.elem_type, dims)


def _names_inside(proto: NodeProto) -> set[str]:
    """Return the names that the graphs inside a node use, however deep."""
    names: set[str] = set()
    open_graphs: list[GraphProto] = []
    nodes: list[NodeProto] = [proto]
    while nodes or open_graphs:
        while open_graphs:
            inner = open_graphs.pop()
            nodes.extend(inner.node)
            names.update(item.name for item in inner.output)
        if not nodes:
            break
        node = nodes.pop()
        names.update(node.input)
        for item in node.attribute:
            if item.HasField("g"):
                open_graphs.append(item.g)
            open_graphs.extend(item.graphs)
    return names


def _makers(nodes: Sequence[Node]) -> dict[str, int]:
    makers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in filter(None, node.outputs):
            if name in makers:
                raise GraphMismatch(f"two nodes of the graph make the tensor {name!r}")
            makers[name] = index
    return makers


def _needed(nodes: Sequence[Node], outputs: Iterable[str]) -> list[Node]:
    """Return the nodes that the outputs depend on, in the order of the file."""
    makers = _makers(nodes)
    needed: set[int] = set()
    waiting = [makers[name] for name in outputs if name in makers]
    while waiting:
        index = waiting.pop()
        if index not in needed:
            needed.add(index)
            names = _names_inside(nodes[index].proto)
            waiting.extend(makers[name] for name in names if name in makers)
    return [nodes[index] for index in sorted(needed)]


def _ordered(nodes: Sequence[Node]) -> tuple[tuple[Node, ...], Node | None]:
    """Return the nodes so that makers come first, and a node of a cycle if there is one."""
    makers = _makers(nodes)
    users: list[list[int]] = [[] for _ in nodes]
    missing = [0] * len(nodes)
    for index, node in enumerate(nodes):
        before = {makers[name] for name in _names_inside(node.proto) if name in makers}
        missing[index] = len(before)
        for maker in before:
            users[maker].append(index)
    ready = [index for index, count in enumerate(missing) if count == 0]
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for user in users[index]:
            missing[user] -= 1
            if missing[user] == 0:
                heapq.heappush(ready, user)
    stuck = next((nodes[index] for index, count in enumerate(missing) if count > 0), None)
    return tuple(nodes[index] for index in order), stuck


def element_types(graph: Graph) -> dict[str, int]:
    """Return the element type of every tensor, as ONNX numbers them."""
    types = {port.name: port.element_type or _FLOAT for port in graph.inputs}
    types.update((name, tensor.data_type) for name, tensor in graph.initializers.items())
    for node in graph.nodes:
        kind = _made_type(node, types)
        types.update((name, kind) for name in node.outputs if name)
    return types


def _made_type(node: Node, types: Mapping[str, int]) -> int:
    held = node.attributes
    if node.op in _MAKE_NUMBERS:
        return _INT64
    if node.op in _MAKE_TRUTHS:
        return _BOOL
    if node.op == "Cast":
        return int(held.get("to", _FLOAT))
    if node.op in {"Constant", "ConstantOfShape"}:
        whole = any(name.startswith("value_int") for name in held)
        return getattr(held.get("value"), "data_type", _INT64 if whole else _FLOAT)
    place = _TYPED_BY.get(node.op, 0)
    return types.get(node.inputs[place], _FLOAT) if len(node.inputs) > place else _FLOAT
