"""Parts of an ONNX graph as graphs of their own, made in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tilescope.errors import GraphMismatch
from tilescope.inference.graph import Graph, Node

if TYPE_CHECKING:
    from onnx import ModelProto

_FLOAT = 1


Dims = tuple[int | None, ...]


def extract(
    graph: Graph, inputs: Mapping[str, Dims], outputs: Sequence[str], types: Mapping[str, int]
) -> bytes:
    """Return an ONNX model that makes ``outputs`` from ``inputs``.

    Parameters
    ----------
    inputs
        Tensors that are given, with their sizes, None for any; those that nothing needs are left
        out.
    types
        Element types by tensor; single precision where there is none.

    Raises
    ------
    GraphMismatch
        When the outputs need an input of the graph that is not given.
    """
    from onnx import ModelProto, helper

    nodes = needed_nodes(graph, outputs, inputs)
    used = {name for node in nodes for name in node.inputs if name}
    own = {port.name for port in graph.inputs}
    lacking = sorted((used & own) - set(inputs))
    if lacking:
        raise GraphMismatch(f"a part of the graph needs its input {lacking[0]!r}")
    model = ModelProto()
    model.ir_version = graph.model.ir_version
    model.opset_import.extend(graph.model.opset_import)
    model.functions.extend(graph.model.functions)
    model.graph.name = "part"
    model.graph.node.extend(node.proto for node in nodes)
    model.graph.initializer.extend(
        tensor for name, tensor in graph.initializers.items() if name in used
    )
    for name, dims in inputs.items():
        if name in used:
            sizes = [f"{name}_{i}" if n is None else n for i, n in enumerate(dims)]
            kind = types.get(name, _FLOAT)
            model.graph.input.append(helper.make_tensor_value_info(name, kind, sizes))
    for name in outputs:
        kind = types.get(name, _FLOAT)
        model.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return _serialised(model)


def needed_nodes(graph: Graph, outputs: Sequence[str], given: Mapping[str, object]) -> list[Node]:
    """Return the nodes that make the outputs from what is given, in order."""
    makers = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs if name}
    found: set[int] = set()
    waiting = [name for name in outputs if name not in given]
    while waiting:
        index = makers.get(waiting.pop())
        if index is not None and index not in found:
            found.add(index)
            waiting.extend(name for name in graph.nodes[index].inputs if name not in given)
    return [graph.nodes[index] for index in sorted(found)]


def _serialised(model: ModelProto) -> bytes:
    try:
        data: bytes = model.SerializeToString()
    except ValueError as exc:  # beyond 2 GiB
        raise GraphMismatch(f"a part of the graph cannot be written: {exc}") from exc
    return data
