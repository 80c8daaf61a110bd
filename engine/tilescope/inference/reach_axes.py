"""What operations do that move, join, split or sum up dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod

from tilescope.inference.graph import Node
from tilescope.inference.reach import Extent, Field, Known, Reach, Unbounded, Value
from tilescope.inference.reach_rules import Setting, input_at, the_field
from tilescope.inference.reach_sizes import integers


def pointwise(_node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return what combines its inputs element by element."""
    fields = [value for value in values if isinstance(value, Field)]
    result = fields[0]
    for other in fields[1:]:
        result = _joined(result, other)
    for value in values:
        if isinstance(value, Known):
            result = _with_constant(result, value)
    return result


def _joined(a: Field, b: Field) -> Field:
    if a.rank < b.rank:
        a, b = b, a
    shift = a.rank - b.rank
    if tuple(axis + shift for axis in b.axes) != a.axes:
        msg = "rows and columns of its inputs lie in other dimensions"
        raise Unbounded(msg)
    other = (*[1] * shift, *b.shape)
    shape = tuple(n if m == 1 else m for n, m in zip(a.shape, other, strict=True))
    first, second = (x.join(y) for x, y in zip(a.reaches, b.reaches, strict=True))
    return Field(shape, a.axes, (first, second))


def _with_constant(field: Field, constant: Known) -> Field:
    if constant.follows_size:
        msg = "its values depend on the size of the image"
        raise Unbounded(msg)
    if constant.shape is None:
        msg = "the shape of one of its constants is not known"
        raise Unbounded(msg)
    shift = field.rank - len(constant.shape)
    if shift < 0:
        msg = "a constant of more dimensions than the image is applied"
        raise Unbounded(msg)
    if any(axis >= shift and constant.shape[axis - shift] != 1 for axis in field.axes):
        msg = "it applies a constant of fixed size over the image"
        raise Unbounded(msg)
    other = (*[1] * shift, *constant.shape)
    shape = tuple(n if m == 1 else m for n, m in zip(field.shape, other, strict=True))
    return replace(field, shape=shape)


def first_only(_node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return what has the shape of its first input, whatever constants go with it."""
    return the_field(values)


def transpose(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return the dimensions in another order."""
    field = the_field(values)
    order = list(node.attributes.get("perm", range(field.rank)[::-1]))
    if sorted(order) != list(range(field.rank)):
        msg = "its order of dimensions makes no sense"
        raise Unbounded(msg)
    rows, columns = (order.index(axis) for axis in field.axes)
    return Field(tuple(field.shape[i] for i in order), (rows, columns), field.reaches)


def concat(node: Node, values: Sequence[Value | None], setting: Setting) -> Field:
    """Return images on top of each other along a dimension that is not the image's."""
    fields = [value for value in values if isinstance(value, Field)]
    axis = _away_from_image(fields[0], int(node.attributes.get("axis", 1)), "joins")
    if len(fields) < len(values):
        msg = "it joins an image and a constant"
        raise Unbounded(msg)
    result = fields[0]
    for other in fields[1:]:
        if other.rank != result.rank:
            msg = "it joins tensors of different ranks"
            raise Unbounded(msg)
        result = _joined(result, other)
    sizes = [field.shape[axis] for field in fields]
    known = [size for size in sizes if size is not None]
    return _with_size(result, axis, sum(known) if len(known) == len(sizes) else None)


def _away_from_image(field: Field, axis: int, does: str) -> int:
    if not -field.rank <= axis < field.rank:
        msg = f"it {does} along dimension {axis}, which is not there"
        raise Unbounded(msg)
    if axis % field.rank in field.axes:
        msg = f"it {does} along the rows or columns of the image"
        raise Unbounded(msg)
    return axis % field.rank


def _with_size(field: Field, axis: int, size: int | None) -> Field:
    shape = list(field.shape)
    shape[axis] = size
    return replace(field, shape=tuple(shape))


def split(node: Node, values: Sequence[Value | None], _setting: Setting) -> list[Field]:
    """Return the parts of an image along a dimension that is not the image's."""
    field, held = the_field(values), node.attributes
    axis = _away_from_image(field, int(held.get("axis", 0)), "splits")
    given = input_at(values, 1)
    count, size = len(node.outputs), field.shape[axis]
    parts: list[int | None] = [None] * count
    if "split" in held or given is not None:
        sizes = list(held["split"]) if "split" in held else integers(given, "parts")
        parts = list(sizes) if len(sizes) == count else parts
    elif size is not None:
        each = -(-size // count)
        parts = [*[each] * (count - 1), size - each * (count - 1)]
    return [_with_size(field, axis, part) for part in parts]


def gather(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return chosen elements along a dimension that is not the image's."""
    field, index = the_field(values), input_at(values, 1)
    axis = _away_from_image(field, int(node.attributes.get("axis", 0)), "picks")
    if not isinstance(index, Known) or index.shape is None:
        msg = "what it picks is computed"
        raise Unbounded(msg)
    shape = (*field.shape[:axis], *index.shape, *field.shape[axis + 1 :])
    moved = len(index.shape) - 1
    rows, columns = (a + moved if a > axis else a for a in field.axes)
    return Field(shape, (rows, columns), field.reaches)


def unsqueeze(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return new dimensions of size 1 put between."""
    field = the_field(values)
    given = list(node.attributes.get("axes", ())) or integers(input_at(values, 1), "axes")
    rank = field.rank + len(given)
    new = {axis % rank for axis in given}
    old = [axis for axis in range(rank) if axis not in new]
    if len(old) != field.rank:
        msg = "its axes make no sense"
        raise Unbounded(msg)
    shape: list[int | None] = [1] * rank
    for place, size in zip(old, field.shape, strict=True):
        shape[place] = size
    return Field(tuple(shape), (old[field.axes[0]], old[field.axes[1]]), field.reaches)


def squeeze(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return dimensions of size 1 left out."""
    field = the_field(values)
    given = list(node.attributes.get("axes", ()))
    if not given and input_at(values, 1) is not None:
        given = integers(values[1], "axes")
    if not given:
        given = [i for i, n in enumerate(field.shape) if n == 1 and i not in field.axes]
    return _without(field, {axis % field.rank for axis in given})


def _without(field: Field, gone: set[int]) -> Field:
    if gone & set(field.axes):
        msg = "it leaves out the rows or columns of the image"
        raise Unbounded(msg)
    left = [axis for axis in range(field.rank) if axis not in gone]
    rows, columns = (left.index(axis) for axis in field.axes)
    return Field(tuple(field.shape[i] for i in left), (rows, columns), field.reaches)


def reduce(node: Node, values: Sequence[Value | None], setting: Setting) -> Field:
    """Return sums, means and the like over dimensions that are not the image's."""
    field, held = the_field(values), node.attributes
    given = list(held.get("axes", ()))
    if not given and input_at(values, 1) is not None:
        given = integers(values[1], "axes")
    if not given and not held.get("noop_with_empty_axes", 0):
        given = list(range(field.rank))
    return _summed(field, given, bool(held.get("keepdims", 1)))


def arg_extreme(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return which element is the largest along a dimension that is not the image's."""
    held = node.attributes
    return _summed(the_field(values), [int(held.get("axis", 0))], bool(held.get("keepdims", 1)))


def _summed(field: Field, axes: Sequence[int], keeps: bool) -> Field:
    places = {axis % field.rank for axis in axes}
    if places & set(field.axes):
        msg = "it sums up the whole image"
        raise Unbounded(msg)
    if not keeps:
        return _without(field, places)
    return replace(field, shape=tuple(1 if i in places else n for i, n in enumerate(field.shape)))


def over_channels(node: Node, values: Sequence[Value | None], setting: Setting) -> Field:
    """Return what is normalised along one dimension that is not the image's."""
    field = the_field(values)
    flattens = setting.opset < 13 and node.op != "LpNormalization"
    axis = int(node.attributes.get("axis", 1 if flattens else -1)) % field.rank
    touched = range(axis, field.rank) if flattens else [axis]
    # Before opset 13 everything from the axis on was one dimension.
    if set(touched) & set(field.axes):
        msg = "it normalises over the whole image"
        raise Unbounded(msg)
    return field


def layer_norm(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return what is normalised over the last dimensions."""
    field = the_field(values)
    first = int(node.attributes.get("axis", -1)) % field.rank
    if set(range(first, field.rank)) & set(field.axes):
        msg = "it normalises over the whole image"
        raise Unbounded(msg)
    return field


def moments(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return what is normalised by mean and variance over the dimensions it names."""
    field = the_field(values)
    axes = {axis % field.rank for axis in node.attributes.get("axes", (0, 2, 3))}
    if axes & set(field.axes):
        msg = "it normalises over the whole image"
        raise Unbounded(msg)
    return field


def batch_norm(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return what is normalised by fixed statistics."""
    if node.attributes.get("training_mode", 0):
        msg = "it normalises by statistics of the whole image"
        raise Unbounded(msg)
    return the_field(values)


def whole_image(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Refuse what sums up all places."""
    verb = "normalises over" if "Norm" in node.op else "sums up"
    msg = f"it {verb} the whole image"
    raise Unbounded(msg)


def matmul(_node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return the product of an image's channels with a constant matrix."""
    left, right = values[0], values[1]
    if isinstance(left, Field) and isinstance(right, Field):
        msg = "it combines every place with every other (attention)"
        raise Unbounded(msg)
    field, constant = (left, right) if isinstance(left, Field) else (right, left)
    assert isinstance(field, Field)
    axis = field.rank - (1 if field is left else 2)
    shape = constant.shape if isinstance(constant, Known) else None
    if shape is None or len(shape) != 2 or axis < 0:
        msg = "it multiplies with something else than a constant matrix"
        raise Unbounded(msg)
    if axis in field.axes:
        msg = "it combines all places of a row or column"
        raise Unbounded(msg)
    return _with_size(field, axis, shape[1] if field is left else shape[0])


def expand(node: Node, values: Sequence[Value | None], setting: Setting) -> Field:
    """Return dimensions of size 1 repeated, those of the image as they are."""
    field, target = the_field(values), input_at(values, 1)
    sizes = _sizes_at(target, setting)
    if len(sizes) < field.rank:
        sizes = [*[1] * (field.rank - len(sizes)), *sizes]
    shift = len(sizes) - field.rank
    for which, axis in enumerate(field.axes):
        if sizes[axis + shift] not in (1, field.reaches[which].length(setting.sizes[which])):
            msg = "it repeats the image"
            raise Unbounded(msg)
    old = (*[1] * shift, *field.shape)
    shape = tuple(n if size == 1 else size for n, size in zip(old, sizes, strict=True))
    rows, columns = (axis + shift for axis in field.axes)
    cleared = tuple(None if i in (rows, columns) else n for i, n in enumerate(shape))
    return Field(cleared, (rows, columns), field.reaches)


def spread(constant: Known, sizes: Known, setting: Setting) -> Field:
    """Return a constant repeated over as many rows and columns as an image has."""
    axes: dict[int, int] = {}
    numbers = sizes.values or ()
    for axis, number in enumerate(numbers):
        if number is None or (number.rows and number.columns):
            msg = "the size of what it makes is not known"
            raise Unbounded(msg)
        if not number.is_constant:
            axes[0 if number.rows else 1] = axis
    shape = constant.shape
    if set(axes) != {0, 1} or shape is None:
        msg = "its values depend on the size of the image"
        raise Unbounded(msg)
    shift = len(numbers) - len(shape)
    if any(axis >= shift and shape[axis - shift] != 1 for axis in axes.values()):
        msg = "it repeats a constant over the image"
        raise Unbounded(msg)
    reaches = []
    for which in (0, 1):
        number = numbers[axes[which]]
        assert number is not None
        part = number.rows if which == 0 else number.columns
        if part <= 0 or number.constant.denominator != 1:
            msg = "the size of what it makes is not known"
            raise Unbounded(msg)
        reaches.append(Reach().through(1 / part, 0, 0, int(number.constant)))
    sides = tuple(None if n is None or not n.is_constant else int(n.constant) for n in numbers)
    return Field(sides, (axes[0], axes[1]), (reaches[0], reaches[1]))


def _sizes_at(target: Value | None, setting: Setting) -> list[int]:
    """Return the sizes that are asked for, for the image of the setting."""
    numbers = target.values if isinstance(target, Known) else None
    if numbers is None:
        msg = "the shape it makes is computed"
        raise Unbounded(msg)
    sizes = []
    for number in numbers:
        size = None if number is None else number.at(*setting.sizes)
        if size is None or size.denominator != 1:
            msg = "the shape it makes is not known"
            raise Unbounded(msg)
        sizes.append(int(size))
    return sizes


def flatten(node: Node, values: Sequence[Value | None], setting: Setting) -> Field:
    """Return two dimensions, before and from an axis on."""
    field = the_field(values)
    axis = int(node.attributes.get("axis", 1))
    axis += field.rank if axis < 0 else 0
    if not 0 <= axis <= field.rank:
        msg = f"its axis {axis} is not there"
        raise Unbounded(msg)
    sizes = _lengths(field, setting)
    return _regrouped(field, sizes, [prod(sizes[:axis]), prod(sizes[axis:])], setting)


def reshape(node: Node, values: Sequence[Value | None], setting: Setting) -> Field:
    """Return dimensions split and made one, where rows and columns stay apart or come together."""
    field = the_field(values)
    given = node.attributes.get("shape")
    target = input_at(values, 1) if given is None else Known(None, tuple(map(Extent.of, given)))
    wanted, sizes = _sizes_at(target, setting), _lengths(field, setting)
    if not node.attributes.get("allowzero", 0):
        wanted = [sizes[i] if n == 0 and i < len(sizes) else n for i, n in enumerate(wanted)]
    rest = prod(n for n in wanted if n >= 0)
    if wanted.count(-1) == 1 and rest and prod(sizes) % rest == 0:
        wanted = [prod(sizes) // rest if n < 0 else n for n in wanted]
    if min(wanted, default=0) < 1 or prod(wanted) != prod(sizes):
        msg = "the shape it makes does not hold its input"
        raise Unbounded(msg)
    return _regrouped(field, sizes, wanted, setting)


def _lengths(field: Field, setting: Setting) -> list[int]:
    """Return the size of every dimension for the image of the setting."""
    rows, columns = (r.length(n) for r, n in zip(field.reaches, setting.sizes, strict=True))
    sizes = []
    for axis, size in enumerate(field.shape):
        if axis in field.axes:
            merged = field.is_merged
            size = rows * columns if merged else (rows, columns)[field.axes.index(axis)]  # noqa: PLW2901 - the dimension's own
        if size is None or size < 1:
            msg = "the shape of its input is not known"
            raise Unbounded(msg)
        sizes.append(size)
    return sizes


def _regrouped(field: Field, old: list[int], new: list[int], setting: Setting) -> Field:
    """Return the field with dimensions ``old`` laid out as ``new``.

    Both are cut into the smallest groups of equal size; within a group rows or columns have to
    vary slowest, so that an element still stands for one place.
    """
    shape: list[int | None] = list(new)
    places: dict[int, int] = {}
    reaches = list(field.reaches)
    for sources, targets in _groups(old, new):
        image = [axis for axis in sources if axis in field.axes]
        if not image:
            continue
        if len(image) == 2 or field.is_merged:
            places.update(_flat(field, sources, targets, new, setting))
            continue
        which = field.axes.index(image[0])
        if sources[0] != image[0] or not targets:
            msg = "it mixes rows or columns with channels"
            raise Unbounded(msg)
        before, after = (prod(s[i] for i in g[1:]) for s, g in ((old, sources), (new, targets)))
        reaches[which] = _relaid(reaches[which], before, after)
        places[which] = targets[0]
    for axis in places.values():
        shape[axis] = None
    return Field(tuple(shape), (places[0], places[1]), (reaches[0], reaches[1]))


def _relaid(reach: Reach, before: int, after: int) -> Reach:
    """Return the reach when ``before`` channels become rows and ``after`` rows become channels."""
    if before > 1:
        low = Fraction(1 - before, before)
        reach = reach.through(Fraction(1, before), low, 0, reach.extra * before)
    if after > 1:
        if reach.extra % after:
            msg = "its blocks do not fit the size of its input"
            raise Unbounded(msg)
        reach = reach.through(after, 0, after - 1, reach.extra // after)
    return reach


def _flat(
    field: Field, sources: list[int], targets: list[int], new: list[int], setting: Setting
) -> dict[int, int]:
    """Return where rows and columns are after they became one dimension, or came apart again."""
    if sources not in ([field.axes[0]], list(field.axes)):
        msg = "it mixes rows and columns with each other or with channels"
        raise Unbounded(msg)
    if len(targets) == 1:
        return {0: targets[0], 1: targets[0]}
    lengths = [r.length(n) for r, n in zip(field.reaches, setting.sizes, strict=True)]
    if len(targets) != 2 or [new[i] for i in targets] != lengths:
        msg = "it mixes rows and columns with each other or with channels"
        raise Unbounded(msg)
    return {0: targets[0], 1: targets[1]}


def _groups(old: list[int], new: list[int]) -> list[tuple[list[int], list[int]]]:
    """Return the smallest runs of dimensions of both that hold as many elements."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and old[i] == 1 and (j >= len(new) or new[j] != 1):
            groups.append(([i], []))
            i += 1
        elif j < len(new) and new[j] == 1 and (i >= len(old) or old[i] != 1):
            groups.append(([], [j]))
            j += 1
        else:
            sources, targets = [i], [j]
            left, right = old[i], new[j]
            i, j = i + 1, j + 1
            while left != right:
                if left < right:
                    left *= old[i]
                    sources.append(i)
                    i += 1
                else:
                    right *= new[j]
                    targets.append(j)
                    j += 1
            groups.append((sources, targets))
    return groups
