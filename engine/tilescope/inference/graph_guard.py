"""Refuse an ONNX file that must not be run, without running any of it.

Every file is taken for hostile: its size is checked before it is read, its constants against the
bytes that are there, its nodes for code that is not ours, for cycles, and for tensors that would
not fit into any memory (:mod:`tilescope.inference.graph_shapes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tilescope.inference.graph_tensors import (
    LARGEST_FILE_BYTES,
    GraphRefused,
    check_tensors,
    nodes_of,
    subgraphs,
)

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto

#: Domains whose operators are part of ONNX Runtime itself.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
#: Operators of those domains that open files or run code from elsewhere.
_FORBIDDEN = frozenset({"EPContext", "PythonOp", "PythonOpGrad", "ATen"})
_MOST_NODES = 100_000
_DEEPEST = 8

_FunctionKey = tuple[str, str]


def read_model(path: Path) -> tuple[ModelProto, bytes]:
    """Return a checked model and the bytes of a file that holds all of it.

    Functions of the model are written out in the graph that is returned, not in the bytes.

    Raises
    ------
    GraphRefused
        With the reason and what to do.
    OSError
        When the file cannot be read.
    """
    data = _content(path)
    model = _parsed(data)
    _check_nodes(model)
    if check_tensors(model, path.parent):
        if model.ByteSize() > LARGEST_FILE_BYTES - (1 << 20):
            raise GraphRefused(
                "with its external data it is over 2 GiB; export it in half precision"
            )
        data = model.SerializeToString()
    if model.functions:
        model = _inlined(model)
        _check_depth(model)
    _check_order(model.graph, frozenset())
    return model, data


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    if size > LARGEST_FILE_BYTES:
        raise GraphRefused("it is larger than 2 GiB; export it in half precision")
    if not path.is_file() or not size:
        raise GraphRefused("it is empty or no file; export the model again")
    with path.open("rb") as file:
        # What is asked for is set aside at once, so no more than that is asked for.
        data = file.read(size + 1)
    if len(data) != size:
        raise GraphRefused("it is being written; add it when that is done")
    return data


def _parsed(data: bytes) -> ModelProto:
    from onnx import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(data)
    except MemoryError:
        raise
    except Exception as exc:  # protobuf raises its own, undocumented types
        raise GraphRefused(
            "it is no ONNX model, is cut off, or is nested too deeply; export the model again"
        ) from exc
    domains = {entry.domain for entry in model.opset_import}
    if not model.graph.node or not model.graph.output or not model.ir_version or not domains:
        raise GraphRefused("it is no ONNX model: it has no nodes, outputs or versions")
    return model


def _check_nodes(model: ModelProto) -> None:
    functions = {(function.domain, function.name): function for function in model.functions}
    for count, node in enumerate(nodes_of(model), 1):
        if count > _MOST_NODES:
            raise GraphRefused(f"it has more than {_MOST_NODES} nodes; simplify the graph")
        known = node.domain in _DOMAINS and node.op_type not in _FORBIDDEN
        if not known and (node.domain, node.op_type) not in functions:
            domain = node.domain or "ai.onnx"
            raise GraphRefused(
                f"node {_name(node)} is {domain}:{node.op_type}, which needs code that is not part "
                "of ONNX Runtime; export the model with standard operators"
            )
    _check_depth(model)


def _check_depth(model: ModelProto) -> None:
    graphs = [model.graph]
    for _ in range(_DEEPEST + 1):
        if not graphs:
            return
        graphs = [inner for graph in graphs for node in graph.node for inner in subgraphs(node)]
    raise GraphRefused(f"its graphs are nested more than {_DEEPEST} deep; simplify the graph")


def _function_size(
    key: _FunctionKey,
    functions: Mapping[_FunctionKey, FunctionProto],
    sizes: dict[_FunctionKey, int],
    path: list[_FunctionKey],
) -> int:
    """Return how many nodes a function stands for.

    Raises
    ------
    GraphRefused
        When it calls itself, or would fill any memory when written out.
    """
    if key in sizes:
        return sizes[key]
    if key in path or len(path) > _DEEPEST * 4:
        raise GraphRefused(
            f"its function {key[1]!r} calls itself or is nested too deeply; export the model with "
            "its functions written out"
        )
    path.append(key)
    total = 0
    for node in _own_nodes(functions[key].node):
        called = (node.domain, node.op_type)
        total += _function_size(called, functions, sizes, path) if called in functions else 1
        if total > _MOST_NODES:
            raise GraphRefused(
                f"its function {key[1]!r} stands for more than {_MOST_NODES} nodes; simplify it"
            )
    path.pop()
    sizes[key] = total
    return total


def _own_nodes(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    found = list(nodes)
    for node in found:  # grows while it is walked over
        for graph in subgraphs(node):
            found.extend(graph.node)
    return found


def _inlined(model: ModelProto) -> ModelProto:
    from onnx import inliner

    functions = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[_FunctionKey, int] = {}
    called = [(n.domain, n.op_type) for n in _own_nodes(model.graph.node)]
    if sum(_function_size(key, functions, sizes, []) for key in called if key in functions) > (
        _MOST_NODES
    ):
        raise GraphRefused(f"its functions stand for more than {_MOST_NODES} nodes; simplify it")
    try:
        return inliner.inline_local_functions(model)
    except Exception as exc:  # what it raises is not documented
        raise GraphRefused(
            f"its functions cannot be written out ({_short(exc)}); export the model without them"
        ) from exc


def _check_order(graph: GraphProto, outside: frozenset[str]) -> frozenset[str]:
    """Refuse cycles and names that nothing makes; return what the graph takes from outside."""
    given = {item.name for item in graph.input}
    given |= {item.name for item in graph.initializer}
    given |= {item.values.name for item in graph.sparse_initializer}
    maker: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in maker or name in given:
                raise GraphRefused(f"two nodes make the tensor {name!r}; export the model again")
            maker[name] = index
    reach = outside | given | maker.keys()
    needs = [_needs(node, reach) for node in graph.node]
    free = set().union(*needs, (item.name for item in graph.output)) - given - maker.keys()
    unknown = sorted(free - outside)
    if unknown:
        raise GraphRefused(f"nothing makes the tensor {unknown[0]!r}; export the model again")
    _check_acyclic(graph.node, [{maker[n] for n in names if n in maker} for names in needs])
    return frozenset(free)


def _needs(node: NodeProto, reach: frozenset[str]) -> set[str]:
    names = set(filter(None, node.input))
    for graph in subgraphs(node):
        names |= _check_order(graph, reach)
    return names


def _check_acyclic(nodes: Sequence[NodeProto], needs: Sequence[set[int]]) -> None:
    followers: list[list[int]] = [[] for _ in nodes]
    for index, wanted in enumerate(needs):
        for other in wanted:
            followers[other].append(index)
    missing = [len(wanted) for wanted in needs]
    ready = [index for index, count in enumerate(missing) if not count]
    for index in ready:  # grows while it is walked over
        for follower in followers[index]:
            missing[follower] -= 1
            if not missing[follower]:
                ready.append(follower)
    if len(ready) < len(nodes):
        stuck = next(index for index, count in enumerate(missing) if count)
        raise GraphRefused(
            f"node {_name(nodes[stuck])} ({nodes[stuck].op_type}) needs its own result: the graph "
            "has a cycle; export the model again"
        )


def _name(node: NodeProto) -> str:
    return repr((node.name or next(iter(node.output), ""))[:80])


def _short(exc: Exception) -> str:
    return " ".join(str(exc).split())[:200]
