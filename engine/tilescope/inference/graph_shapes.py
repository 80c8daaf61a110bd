"""How large every tensor of a graph becomes, known before any of them is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING

from tilescope.inference.graph_tensors import GraphRefused, nodes_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

Shape = tuple[int, ...]

#: A network makes this many times its input at most; 64 channels of 32 bits from one of 8 bits
#: are 256 times.
_GROWTH = 1024
_LEAST_BYTES = 256 << 20
_MOST_BYTES = 4 << 30
_VALUE_BYTES = 4
#: Constants up to this many values may be sizes and take part in the inference.
_SMALL = 4096

#: Operators whose output has the size that their inputs say, as values or as factors.
_MADE_OF_SIZES = frozenset({"ConstantOfShape", "Range"})
_MAKERS = _MADE_OF_SIZES | {"Expand", "Tile", "Resize", "Upsample", "OneHot", "CenterCropPad"}


def check_shapes(model: ModelProto, inputs: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the shape of every tensor that is known, for inputs of the given shapes.

    Raises
    ------
    GraphRefused
        When one of them would take an absurd amount of memory, or when a constant size hides it.
    """
    from onnx import shape_inference

    light = _without_weights(model, inputs)
    try:
        inferred = shape_inference.infer_shapes(light, data_prop=True)
    except Exception as exc:  # what it raises is not documented
        said = " ".join(str(exc).split())[:200]
        raise GraphRefused(
            f"the sizes of its tensors contradict each other ({said}); export the model again"
        ) from exc
    taken = max((prod(shape) for shape in inputs.values()), default=1) * _VALUE_BYTES
    limit = min(_MOST_BYTES, max(_LEAST_BYTES, _GROWTH * taken))
    shapes = dict(_known(inferred.graph))
    for name, shape in shapes.items():
        if prod(shape) * _VALUE_BYTES > limit:
            raise GraphRefused(
                f"the tensor {name!r} would have the shape {list(shape)}, "
                f"{prod(shape) * _VALUE_BYTES >> 20} MiB for an input of {taken >> 10} KiB; export "
                "the model for smaller tiles or have its sizes corrected"
            )
    _check_constant_sizes(light, shapes, limit)
    return shapes


def _without_weights(model: ModelProto, inputs: Mapping[str, Shape]) -> ModelProto:
    """Return the model with fixed inputs, and with large constants as inputs of their shape."""
    from onnx import ModelProto, helper

    light = ModelProto()
    light.ir_version = model.ir_version
    light.opset_import.extend(model.opset_import)
    graph, source = light.graph, model.graph
    graph.name = "shapes"
    graph.node.extend(source.node)
    constants = {item.name for item in source.initializer}
    for item in source.input:
        if item.name in constants:
            continue
        graph.input.append(item)
        if item.name in inputs:
            kind = item.type.tensor_type.elem_type
            graph.input[-1].CopyFrom(
                helper.make_tensor_value_info(item.name, kind, list(inputs[item.name]))
            )
    graph.sparse_initializer.extend(source.sparse_initializer)
    for tensor in source.initializer:
        if prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        else:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    for output in source.output:
        # What a file says of its outputs is no evidence.
        graph.output.append(
            helper.make_tensor_value_info(output.name, output.type.tensor_type.elem_type, None)
        )
    return light


def _known(graph: GraphProto) -> Iterator[tuple[str, Shape]]:
    graphs = [graph]
    while graphs:
        here = graphs.pop()
        for item in (*here.value_info, *here.output, *here.input):
            shape = shape_of(item)
            if shape is not None:
                yield item.name, shape
        for node in here.node:
            graphs.extend(a.g for a in node.attribute if a.HasField("g"))


def shape_of(item: ValueInfoProto) -> Shape | None:
    """Return the shape that a tensor's declaration fixes, None when a side is open."""
    kind = item.type.tensor_type
    if not kind.HasField("shape"):
        return None
    sides = tuple(int(side.dim_value) for side in kind.shape.dim if side.HasField("dim_value"))
    return sides if len(sides) == len(kind.shape.dim) else None


def _check_constant_sizes(model: ModelProto, shapes: Mapping[str, Shape], limit: int) -> None:
    """Refuse sizes that are written in the graph and that no inference followed."""
    constants = dict(_small_constants(model))
    fixed = set(constants)
    for node in nodes_of(model):
        named = list(filter(None, node.input))
        if named and all(name in fixed for name in named):
            fixed.update(node.output)
        if node.op_type not in _MAKERS:
            continue
        sizes = named if node.op_type in _MADE_OF_SIZES else named[1:]
        factors = [prod(max(1.0, value) for value in constants.get(name, ())) for name in sizes]
        hidden = node.op_type in _MADE_OF_SIZES and node.output[0] not in shapes
        if max(factors, default=1.0) * _VALUE_BYTES > limit or (hidden and fixed.issuperset(sizes)):
            raise GraphRefused(
                f"node {(node.name or node.output[0])[:80]!r} ({node.op_type}) makes a tensor of a "
                "constant size that is absurd or cannot be told beforehand; simplify the graph "
                "when exporting"
            )


def _small_constants(model: ModelProto) -> Iterator[tuple[str, list[float]]]:
    """Yield the name and values of the numbers that may be sizes."""
    for tensor in model.graph.initializer:
        yield tensor.name, _numbers(tensor)
    for node in nodes_of(model):
        if node.op_type != "Constant" or not node.output:
            continue
        for attribute in node.attribute:
            values = [*attribute.ints, *attribute.floats, attribute.i, attribute.f]
            yield (
                node.output[0],
                _numbers(attribute.t) if attribute.HasField("t") else list(map(float, values)),
            )


def _numbers(tensor: TensorProto) -> list[float]:
    from onnx import numpy_helper

    if prod(tensor.dims) > _SMALL or tensor.data_type == tensor.STRING:
        return []
    values = numpy_helper.to_array(tensor)
    if values.dtype.kind not in "iuf":
        return []
    return [float(value) for value in values.reshape(-1)]
