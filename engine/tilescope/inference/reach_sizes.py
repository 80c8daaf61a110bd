"""Numbers that a graph computes from shapes: the sizes of a Resize, the target of a Reshape.

Exporters write ``size=skip.shape[2:]`` as Shape, Gather, Concat, Cast and arithmetic. The numbers
are followed as expressions in the image's height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor, lcm, prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tilescope.inference.graph import Node
from tilescope.inference.reach import MOST_STEP, Extent, Field, Known, Unbounded, rational

if TYPE_CHECKING:
    from onnx import TensorProto

Numbers = tuple[Extent | None, ...]
Objects = NDArray[np.object_]
#: Larger tensors are no shapes.
_MOST_VALUES = 256
_INTEGERS = frozenset({2, 3, 4, 5, 6, 7, 9, 12, 13})
_FLOATS = frozenset({1, 10, 11})


class Arithmetic:
    """Rules for what is computed without the image's pixels.

    ``period`` collects the multiples at which rounding down does not depend on the image.
    """

    def __init__(self) -> None:
        self.period = 1

    def fold(self, node: Node, values: Sequence[Known | None]) -> Known:
        """Return what a node makes of tensors that do not depend on the image's pixels.

        Raises
        ------
        Unbounded
            When it depends on the image's size in a way that is not understood.
        """
        given = [value for value in values if value is not None]
        rule = _FOLDS.get(node.op)
        result = rule(self, node, values) if rule is not None and given else None
        if result is not None:
            return result
        if any(value.follows_size for value in given):
            msg = "its values depend on the size of the image"
            raise Unbounded(msg)
        return Known(_shape_after(node, given))

    def shape_of(self, node: Node, value: Field | Known) -> Known:
        """Return the numbers that Shape gives for a tensor."""
        if isinstance(value, Known):
            sizes = None if value.shape is None else tuple(Extent.of(n) for n in value.shape)
            whole: Numbers | None = sizes
        else:
            whole = tuple(_extent(value, axis) for axis in range(value.rank))
        if whole is None:
            return Known(None, None, is_integer=True)
        start, end = node.attributes.get("start", 0), node.attributes.get("end", len(whole))
        part = whole[start:end]
        return Known((len(part),), part, is_integer=True)

    def _rounded(self, value: Extent | None) -> Extent | None:
        """Return the value rounded down; the image has to be a multiple of what that takes."""
        if value is None:
            return None
        self.period = lcm(self.period, value.rows.denominator, value.columns.denominator)
        if self.period > MOST_STEP:
            msg = "it rounds a size in a way that suits no tile"
            raise Unbounded(msg)
        return replace(value, constant=Fraction(floor(value.constant)))

    def _binary(self, node: Node, values: Sequence[Known | None]) -> Known | None:
        first, second = (values[0], values[1]) if len(values) == 2 else (None, None)
        if first is None or second is None or first.values is None or second.values is None:
            return None
        a, b = first.values, second.values
        size = max(len(a), len(b))
        if not (len(a) in (1, size) and len(b) in (1, size)) or not size:
            return None
        a, b = a * (size // len(a)), b * (size // len(b))
        function = _BINARY[node.op]
        made = tuple(
            None if x is None or y is None else function(x, y) for x, y in zip(a, b, strict=True)
        )
        whole = first.is_integer and second.is_integer
        if whole and node.op == "Div":
            made = tuple(map(self._rounded, made))
        return Known((first if len(a) == len(first.values) else second).shape, made, whole)

    def _cast(self, node: Node, values: Sequence[Known | None]) -> Known | None:
        value = values[0]
        whole = node.attributes.get("to", 1) in _INTEGERS
        if value is None or value.values is None:
            return None
        numbers = tuple(map(self._rounded, value.values)) if whole else value.values
        return Known(value.shape, numbers, whole)

    def _floor(self, _node: Node, values: Sequence[Known | None]) -> Known | None:
        value = values[0]
        if value is None or value.values is None:
            return None
        return replace(value, values=tuple(map(self._rounded, value.values)))

    def _ceil(self, _node: Node, values: Sequence[Known | None]) -> Known | None:
        value = values[0]
        if value is None or value.values is None:
            return None
        down = map(self._rounded, value.values)
        up = (
            None if a is None or b is None else replace(a, constant=Fraction(ceil(b.constant)))
            for a, b in zip(down, value.values, strict=True)
        )
        return replace(value, values=tuple(up))


def known_tensor(tensor: TensorProto) -> Known:
    """Return what is known of a constant of the file; numbers of small ones only."""
    from onnx import TensorProto, numpy_helper

    shape = tuple(tensor.dims)
    whole = tensor.data_type in _INTEGERS
    inside = tensor.data_location != TensorProto.EXTERNAL
    plain = tensor.data_type in _INTEGERS | _FLOATS
    if not (inside and plain) or any(n < 0 for n in shape) or prod(shape) > _MOST_VALUES:
        return Known(shape, None, whole)
    try:
        flat = numpy_helper.to_array(tensor).astype(np.float64).ravel().tolist()
    except (TypeError, ValueError):  # strings, or fewer bytes than the shape claims
        return Known(shape, None, whole)
    return Known(shape, tuple(Extent.of(v) if np.isfinite(v) else None for v in flat), whole)


def constant(node: Node) -> Known:
    """Return what a Constant node holds."""
    held = node.attributes
    if "value" in held:
        return known_tensor(held["value"])
    for name in ("value_int", "value_ints", "value_float", "value_floats"):
        if name in held:
            numbers = held[name] if name.endswith("s") else [held[name]]
            shape = (len(numbers),) if name.endswith("s") else ()
            values = tuple(map(Extent.of, numbers)) if len(numbers) <= _MOST_VALUES else None
            return Known(shape, values, "int" in name)
    return Known()


def integers(value: object, what: str) -> list[int]:
    """Return constant whole numbers.

    Raises
    ------
    Unbounded
        When they are computed.
    """
    numbers = value.values if isinstance(value, Known) else None
    if numbers is None or any(n is None or not n.is_constant for n in numbers):
        msg = f"its {what} are computed"
        raise Unbounded(msg)
    return [int(n.constant) for n in numbers if n is not None]


def fractions(value: object) -> list[Fraction] | None:
    """Return constant numbers, None where there are none or they are computed."""
    numbers = value.values if isinstance(value, Known) else None
    if not numbers or any(n is None or not n.is_constant for n in numbers):
        return None
    return [rational(float(n.constant)) for n in numbers if n is not None]


def _extent(field: Field, axis: int) -> Extent | None:
    if field.is_merged and axis == field.axes[0]:
        return None
    for which, reach in enumerate(field.reaches):
        if field.axes[which] == axis:
            return Extent.along(which, 1 / reach.step, reach.extra)
    size = field.shape[axis]
    return None if size is None else Extent.of(size)


def _product(a: Extent, b: Extent) -> Extent | None:
    if b.is_constant:
        return a.times(b.constant)
    return b.times(a.constant) if a.is_constant else None


def _quotient(a: Extent, b: Extent) -> Extent | None:
    if b.is_constant:
        return a.times(1 / b.constant) if b.constant else None
    # A ratio of two sizes of the image is a number where one is a multiple of the other.
    for x, y in ((a.rows, b.rows), (a.columns, b.columns)):
        if y and a == b.times(x / y):
            return Extent(constant=x / y)
    return None


def _array(value: Known | None) -> Objects | None:
    """Return the numbers in their shape, None where they are not known."""
    if value is None or value.values is None or value.shape is None:
        return None
    found = np.empty(len(value.values), dtype=object)
    found[:] = value.values
    return found.reshape(value.shape)


def _moved(_self: Arithmetic, node: Node, values: Sequence[Known | None]) -> Known | None:
    """Return numbers that are only picked, joined or laid out anew."""
    arrays = [_array(value) for value in values]
    first = values[0]
    if arrays[0] is None or first is None:
        return None
    made = _MOVES[node.op](node, arrays[0], arrays, values)
    if made is None or made.size > _MOST_VALUES:
        return None
    return Known(made.shape, tuple(made.ravel().tolist()), first.is_integer)


def _reshaped(
    node: Node, first: Objects, _arrays: Sequence[Objects | None], values: Sequence[Known | None]
) -> Objects:
    if node.op == "Reshape":
        given = node.attributes.get("shape")
        target = integers(values[1], "sizes") if given is None else list(given)
        return first.reshape([first.shape[i] if n == 0 else n for i, n in enumerate(target)])
    axes = list(node.attributes.get("axes", ()))
    if not axes and len(values) > 1 and values[1] is not None:
        axes = integers(values[1], "axes")
    if node.op == "Unsqueeze":
        return np.expand_dims(first, tuple(axes))
    return np.squeeze(first, tuple(axes) if axes else None)


def _turned(
    node: Node, first: Objects, _arrays: Sequence[Objects | None], _values: Sequence[Known | None]
) -> Objects:
    return first.transpose(node.attributes.get("perm"))


def _joined(
    node: Node, _first: Objects, arrays: Sequence[Objects | None], _values: Sequence[Known | None]
) -> Objects | None:
    known = [array for array in arrays if array is not None]
    if len(known) < len(arrays):
        return None
    return np.concatenate(known, axis=int(node.attributes.get("axis", 0)))


def _gathered(
    node: Node, first: Objects, _arrays: Sequence[Objects | None], values: Sequence[Known | None]
) -> Objects:
    shape = (values[1].shape if values[1] is not None else None) or ()
    axis = range(first.ndim)[int(node.attributes.get("axis", 0))]
    picked = first.take(np.array(integers(values[1], "indices"), np.int64), axis)
    return picked.reshape((*first.shape[:axis], *shape, *first.shape[axis + 1 :]))


def _sliced(
    node: Node, first: Objects, _arrays: Sequence[Objects | None], values: Sequence[Known | None]
) -> Objects:
    held, more = node.attributes, [*values, None, None, None]
    if "starts" in held:
        starts, ends = list(held["starts"]), list(held["ends"])
        axes, steps = list(held.get("axes", range(len(starts)))), [1] * len(starts)
    else:
        starts, ends = (integers(more[i], "borders") for i in (1, 2))
        axes = list(range(len(starts))) if more[3] is None else integers(more[3], "axes")
        steps = [1] * len(starts) if more[4] is None else integers(more[4], "steps")
    where = [slice(None)] * first.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        where[axis] = slice(start, end, step)
    return first[tuple(where)]


def _repeated(_self: Arithmetic, node: Node, values: Sequence[Known | None]) -> Known | None:
    """Return one number as often as a constant shape says."""
    sizes = values[0]
    if sizes is None or sizes.follows_size or sizes.values is None:
        return None
    shape = tuple(integers(sizes, "sizes"))
    held = known_tensor(node.attributes["value"]) if "value" in node.attributes else None
    count = prod(shape)
    if min(shape, default=1) < 0 or count > _MOST_VALUES:
        return None
    each = (Extent(),) if held is None else held.values
    return Known(shape, each * count if each else None, held is not None and held.is_integer)


def _chosen(_self: Arithmetic, _node: Node, values: Sequence[Known | None]) -> Known | None:
    """Return what Where picks of numbers of one shape."""
    condition, yes, no = (_array(value) for value in values)
    if condition is None or yes is None or no is None or values[1] is None:
        return None
    shape = np.broadcast_shapes(condition.shape, yes.shape, no.shape)
    if prod(shape) > _MOST_VALUES:
        return None
    picks = [
        None if c is None or not c.is_constant else (a if c.constant else b)
        for c, a, b in np.broadcast(condition, yes, no)
    ]
    return Known(shape, tuple(picks), values[1].is_integer)


def _equality(a: Extent, b: Extent) -> Extent | None:
    less = a + b.times(Fraction(-1))
    return Extent.of(int(less.constant == 0)) if less.is_constant else None


_Move = Callable[[Node, Objects, Sequence[Objects | None], Sequence[Known | None]], Objects | None]
_MOVES: Mapping[str, _Move] = {
    "Identity": lambda _node, first, _arrays, _values: first,
    "Reshape": _reshaped,
    "Squeeze": _reshaped,
    "Unsqueeze": _reshaped,
    "Transpose": _turned,
    "Concat": _joined,
    "Gather": _gathered,
    "Slice": _sliced,
}
_BINARY: Mapping[str, Callable[[Extent, Extent], Extent | None]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a + b.times(Fraction(-1)),
    "Mul": _product,
    "Div": _quotient,
    "Equal": _equality,
}
_FOLDS: Mapping[str, Callable[[Arithmetic, Node, Sequence[Known | None]], Known | None]] = {
    **dict.fromkeys(_BINARY, Arithmetic._binary),
    "Cast": Arithmetic._cast,
    "Floor": Arithmetic._floor,
    "Ceil": Arithmetic._ceil,
    **dict.fromkeys(_MOVES, _moved),
    "ConstantOfShape": _repeated,
    "Where": _chosen,
}


_SHAPE_KEPT = frozenset({"Identity", "Cast", "DequantizeLinear", "QuantizeLinear", "Floor", "Ceil"})
_BROADCAST = frozenset({*_BINARY, "Pow", "Sqrt", "Neg", "Exp", "Reciprocal", "Abs", "Max", "Min"})
_RESHAPED = frozenset({"Reshape", "Unsqueeze", "Squeeze", "Expand", "ConstantOfShape"})


def _shape_after(node: Node, values: Sequence[Known]) -> tuple[int, ...] | None:
    """Return the shape of a constant made of constants, None where it is not known."""
    shapes = [value.shape for value in values if value.shape is not None]
    if not shapes or len(shapes) < len(values):
        return None
    if node.op in _SHAPE_KEPT:
        return shapes[0]
    if node.op == "Transpose":
        order = node.attributes.get("perm", tuple(range(len(shapes[0])))[::-1])
        inside = sorted(order) == list(range(len(shapes[0])))
        return tuple(shapes[0][i] for i in order) if inside else None
    if node.op in _BROADCAST:
        return _broadcast(shapes)
    return _reshaped_shape(node, values) if node.op in _RESHAPED else None


def _broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None


def _reshaped_shape(node: Node, values: Sequence[Known]) -> tuple[int, ...] | None:
    shape = values[0].shape
    assert shape is not None
    if node.op == "ConstantOfShape":
        return tuple(integers(values[0], "sizes"))
    given = list(node.attributes.get("axes", [])) or (
        integers(values[1], "sizes") if len(values) > 1 else []
    )
    if node.op == "Reshape":
        target = [shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(given)]
        rest = prod(n for n in target if n > 0)
        return tuple(prod(shape) // rest if n < 0 else n for n in target) if rest else None
    if node.op == "Expand":
        return _broadcast([shape, tuple(given)])
    rank = len(shape) + (len(given) if node.op == "Unsqueeze" else 0)
    places = {axis % rank for axis in given} if rank else set()
    if node.op == "Squeeze":
        return tuple(n for i, n in enumerate(shape) if i not in places and (given or n != 1))
    left = iter(shape)
    return tuple(1 if i in places else next(left, 1) for i in range(rank))
