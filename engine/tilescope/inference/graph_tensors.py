"""The constants of an ONNX model, held against the bytes that are there before any use."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from tilescope.errors import ModelError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

#: What a file, and a tensor written out in full, may have.
LARGEST_FILE_BYTES = 2 << 30
_LARGEST_DENSE_BYTES = 256 << 20

_BITS = {
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("INT64", "UINT64", "DOUBLE", "COMPLEX64"), 64),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("UINT8", "INT8", "BOOL", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ"), 8),
    **dict.fromkeys(("FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT8E8M0"), 8),
    **dict.fromkeys(("UINT4", "INT4", "FLOAT4E2M1"), 4),
    "COMPLEX128": 128,
}


class GraphRefused(ModelError):
    """An ONNX model must not be run; says why and what to do, without the file."""


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs that a node holds."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def check_tensors(model: ModelProto, folder: Path) -> bool:
    """Hold every constant against its bytes and take in those that lie in other files.

    Returns
    -------
    bool
        Whether there were other files; their data is in the model then.

    Raises
    ------
    GraphRefused
        When a constant claims more or less than there is, or lies outside ``folder``.
    """
    taken = 0
    for tensor in _tensors(model):
        if tensor.data_location == tensor.EXTERNAL or tensor.external_data:
            taken += _take_in(tensor, folder)
            if taken > LARGEST_FILE_BYTES:
                raise GraphRefused(
                    "its external data is more than 2 GiB; export it in half precision"
                )
        _check_length(tensor)
    for sparse in _sparse_tensors(model):
        if any(side < 0 for side in sparse.dims) or prod(sparse.dims) * 8 > _LARGEST_DENSE_BYTES:
            raise GraphRefused(
                f"the sparse tensor {sparse.values.name!r} fills {list(sparse.dims)}, more than "
                "256 MiB; export it dense and in half precision"
            )
    return taken > 0


def nodes_of(model: ModelProto) -> Iterator[NodeProto]:
    """Yield every node of the graph, of its subgraphs and of the model's functions."""
    waiting = [node for function in model.functions for node in function.node]
    yield from waiting
    graphs = [model.graph, *(graph for node in waiting for graph in subgraphs(node))]
    while graphs:
        for node in graphs.pop().node:
            yield node
            graphs.extend(subgraphs(node))


def _graphs(model: ModelProto) -> Iterator[GraphProto]:
    yield model.graph
    for node in nodes_of(model):
        yield from subgraphs(node)


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    for graph in _graphs(model):
        yield from graph.initializer
    for node in nodes_of(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
    for sparse in _sparse_tensors(model):
        yield sparse.values
        yield sparse.indices


def _sparse_tensors(model: ModelProto) -> Iterator[SparseTensorProto]:
    for graph in _graphs(model):
        yield from graph.sparse_initializer
    for node in nodes_of(model):
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor"):
                yield attribute.sparse_tensor
            yield from attribute.sparse_tensors


def _bits(tensor: TensorProto) -> int:
    from onnx import TensorProto

    known = tensor.data_type in TensorProto.DataType.values()
    bits = _BITS.get(TensorProto.DataType.Name(tensor.data_type)) if known else None
    if bits is None:
        raise GraphRefused(
            f"the tensor {tensor.name!r} has the type {tensor.data_type}, which is not supported; "
            "export it as float32"
        )
    return bits


def _check_length(tensor: TensorProto) -> None:
    if any(side < 0 for side in tensor.dims):
        raise GraphRefused(f"the tensor {tensor.name!r} has a negative side; export it again")
    count = prod(tensor.dims)
    if tensor.data_type == tensor.STRING:
        fits = count == len(tensor.string_data)
    elif tensor.HasField("raw_data"):
        fits = -(-count * _bits(tensor) // 8) == len(tensor.raw_data)
    else:
        bits, listed = _bits(tensor), _listed(tensor)
        # Two small numbers share an entry; a complex one takes two.
        wanted = (
            {count, -(-count // 2)} if bits < 8 else {count * (2 if _is_complex(tensor) else 1)}
        )
        fits = listed in wanted
    if not fits:
        raise GraphRefused(
            f"the tensor {tensor.name[:80]!r} claims the shape {list(tensor.dims)[:8]}, and the "
            "file holds more or less of it; the file is damaged, export it again"
        )


def _is_complex(tensor: TensorProto) -> bool:
    return tensor.data_type in {tensor.COMPLEX64, tensor.COMPLEX128}


def _listed(tensor: TensorProto) -> int:
    return (
        len(tensor.float_data)
        + len(tensor.int32_data)
        + len(tensor.int64_data)
        + len(tensor.double_data)
        + len(tensor.uint64_data)
    )


def _take_in(tensor: TensorProto, folder: Path) -> int:
    """Read a tensor's data from its file into the model and return how many bytes it has."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = _inside(entries.get("location", ""), folder)
    wanted = -(-prod(tensor.dims) * _bits(tensor) // 8)
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", wanted))
    except ValueError:
        offset = length = -1
    size = path.stat().st_size
    if offset < 0 or length != wanted or offset + length > size:
        raise GraphRefused(
            f"the tensor {tensor.name!r} needs {wanted} bytes of {path.name}, which has {size}; "
            "copy the whole file beside the model"
        )
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(length)
    for field in ("external_data", "data_location"):
        tensor.ClearField(field)
    tensor.raw_data = data
    return length


def _inside(location: str, folder: Path) -> Path:
    """Return where external data lies.

    Raises
    ------
    GraphRefused
        When it is no plain file inside the folder, links followed.
    """
    refusal = GraphRefused(
        f"it wants data from {location[:200]!r}, which is no file in its own folder; export it "
        "with all data in one file"
    )
    flavours = (PurePosixPath(location), PureWindowsPath(location))
    if (
        not location
        or "\0" in location
        or any(p.is_absolute() or p.drive or p.root for p in flavours)
    ):
        raise refusal
    home = folder.resolve()
    try:
        path = (home / location).resolve(strict=True)
        plain = stat.S_ISREG(path.stat().st_mode)
    except (OSError, RuntimeError, ValueError):
        raise refusal from None
    if not plain or not path.is_relative_to(home):
        raise refusal
    return path
