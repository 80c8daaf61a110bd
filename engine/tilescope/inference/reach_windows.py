"""How far operations look that slide over the image, cut it, pad it or lay it out anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain

from tilescope.inference.graph import Node
from tilescope.inference.reach import Extent, Field, Known, Reach, Unbounded, Value
from tilescope.inference.reach_rules import Setting, axis_of, input_at, the_field, word
from tilescope.inference.reach_sizes import integers

#: Slices that end here run to the end.
_FAR = 2**31 - 1
_MOST_BLOCK = 256
_MOST_WINDOW = 2**20


def _over_space(
    field: Field, channels: int | None, change: Callable[[int, Reach], Reach], dims: _Dims
) -> Field:
    """Return the field after ``change`` along both axes of the image and ``dims`` elsewhere."""
    if field.is_merged or min(field.axes) < 2:
        msg = "rows and columns do not lie where it slides"
        raise Unbounded(msg)
    reaches = tuple(change(field.axes[i] - 2, reach) for i, reach in enumerate(field.reaches))
    shape = list(field.shape)
    shape[1] = channels
    for dim in range(2, field.rank):
        if dim not in field.axes:
            shape[dim] = dims(dim - 2, shape[dim])
    return replace(field, shape=tuple(shape), reaches=(reaches[0], reaches[1]))


_Dims = Callable[[int, int | None], int | None]


@dataclass(frozen=True, slots=True)
class _Window:
    """A sliding window along one axis; ``pads`` is None for the automatic kinds."""

    kernel: int
    stride: int
    dilation: int
    pads: tuple[int, int] | None
    auto: str
    rounds_up: bool

    @property
    def extent(self) -> int:
        return self.dilation * (self.kernel - 1) + 1

    def padding(self, extra: int) -> tuple[int, int]:
        """Return the padding for a length of a multiple of the stride, plus ``extra``."""
        if self.auto == "VALID":
            return 0, 0
        if self.pads is not None:
            return self.pads
        rest = extra % self.stride
        total = max(self.extent - (rest or self.stride), 0)
        less, more = total // 2, total - total // 2
        return (less, more) if self.auto == "SAME_UPPER" else (more, less)

    def count(self, extra: int) -> int:
        """Return how many windows there are beyond one per stride."""
        if self.pads is None and self.auto != "VALID":
            return -(-extra // self.stride)
        before, after = self.padding(extra)
        room = extra + before + after - self.extent
        if not self.rounds_up:
            return room // self.stride + 1
        count = -(-room // self.stride) + 1
        # A window that would begin beyond the image and its padding is left out.
        return count - 1 if (count - 1) * self.stride >= extra + before else count

    def over(self, reach: Reach) -> Reach:
        before, _ = self.padding(reach.extra)
        high = self.extent - 1 - before
        return reach.through(self.stride, -before, high, self.count(reach.extra))

    def count_of(self, size: int | None) -> int | None:
        """Return how many windows a dimension of a known size has."""
        if size is None:
            return None
        return self.count(size)


def _windows(node: Node, kernel: Sequence[int]) -> list[_Window]:
    held, n = node.attributes, len(kernel)
    strides, dilations = (list(held.get(key, [1] * n)) for key in ("strides", "dilations"))
    pads = list(held.get("pads", [0] * 2 * n))
    auto = word(node, "auto_pad", "NOTSET")
    if auto not in {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"}:
        msg = f"auto_pad {auto!r} is not known"
        raise Unbounded(msg)
    if (len(strides), len(dilations), len(pads)) != (n, n, 2 * n):
        msg = "its strides, dilations and pads do not go together"
        raise Unbounded(msg)
    if min(chain(kernel, strides, dilations), default=1) < 1:
        msg = "a kernel, stride or dilation is not positive"
        raise Unbounded(msg)
    if max(chain(kernel, strides, dilations, map(abs, pads)), default=1) > _MOST_WINDOW:
        msg = "its window is larger than any tile"
        raise Unbounded(msg)
    given = auto == "NOTSET"
    return [
        _Window(
            kernel[i],
            strides[i],
            dilations[i],
            (pads[i], pads[i + n]) if given else None,
            auto,
            bool(held.get("ceil_mode", 0)),
        )
        for i in range(n)
    ]


def _kernel(node: Node, values: Sequence[Value | None], rank: int) -> tuple[list[int], list[int]]:
    """Return the kernel's size over space and the weight's first two dimensions."""
    place = 3 if node.op.endswith("QLinearConv") else 1
    weight = values[place] if len(values) > place else None
    shape = weight.shape if isinstance(weight, Known) else None
    if not isinstance(weight, Known) or (shape is None and "kernel_shape" not in node.attributes):
        msg = "its weights are computed"
        raise Unbounded(msg)
    kernel = list(node.attributes.get("kernel_shape", shape[2:] if shape else []))
    if len(kernel) != rank - 2 or (shape is not None and len(shape) != rank):
        msg = "its weights do not have the rank of its input"
        raise Unbounded(msg)
    return kernel, list(shape[:2]) if shape else []


def conv(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return what a convolution makes."""
    field = the_field(values)
    kernel, outer = _kernel(node, values, field.rank)
    windows = _windows(node, kernel)
    return _over_space(
        field,
        outer[0] if outer else None,
        lambda axis, reach: windows[axis].over(reach),
        lambda axis, size: windows[axis].count_of(size),
    )


def pool(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return what pooling makes; the places of the largest values count over the whole image."""
    field = the_field(values)
    kernel = list(node.attributes.get("kernel_shape", []))
    if len(kernel) != field.rank - 2:
        msg = "its kernel does not have the rank of its input"
        raise Unbounded(msg)
    windows = _windows(node, kernel)
    return _over_space(
        field,
        field.shape[1],
        lambda axis, reach: windows[axis].over(reach),
        lambda axis, size: windows[axis].count_of(size),
    )


def conv_transpose(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return what a transposed convolution makes."""
    field = the_field(values)
    kernel, outer = _kernel(node, values, field.rank)
    if "output_shape" in node.attributes:
        msg = "it makes an output of a fixed size"
        raise Unbounded(msg)
    windows = _windows(node, kernel)
    if max((window.stride for window in windows), default=1) > _MOST_BLOCK:
        msg = "its stride is larger than any network's"
        raise Unbounded(msg)
    more = list(node.attributes.get("output_padding", [0] * len(kernel)))
    if len(more) != len(kernel):
        msg = "its output_padding does not go with its kernel"
        raise Unbounded(msg)
    groups = int(node.attributes.get("group", 1))

    def change(axis: int, reach: Reach) -> Reach:
        return _spread(windows[axis], more[axis], reach)

    def unknown(_axis: int, _size: int | None) -> int | None:
        return None

    return _over_space(field, outer[1] * groups if outer else None, change, unknown)


def _spread(window: _Window, more: int, reach: Reach) -> Reach:
    """Return the reach where element o is made of (o + pad - dilation * k) / stride."""
    stride, extent = window.stride, window.extent
    if window.pads is not None:
        before, after = window.pads
    elif window.auto == "VALID":
        before = after = 0
    else:
        total = max(extent + more - stride, 0)
        before = total // 2 if window.auto == "SAME_UPPER" else total - total // 2
        after = total - before
    lows, highs = [Fraction(0)], [Fraction(0)]
    for phase in range(stride):
        first, last = -(-(phase + before - extent + 1) // stride), (phase + before) // stride
        if first <= last:
            lows.append(first - Fraction(phase, stride))
            highs.append(last - Fraction(phase, stride))
    low, high = (min(lows[1:]), max(highs[1:])) if len(lows) > 1 else (lows[0], highs[0])
    extra = stride * (reach.extra - 1) + more + extent - before - after
    return reach.through(Fraction(1, stride), low, high, extra)


def pad(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return what Pad makes."""
    field, held = the_field(values), node.attributes
    mode = word(node, "mode", "constant")
    pads = list(held["pads"]) if "pads" in held else integers(input_at(values, 1), "pads")
    axes = range(field.rank) if input_at(values, 3) is None else integers(values[3], "axes")
    if mode not in {"constant", "reflect", "edge"}:
        msg = f"{mode} padding joins opposite borders"
        raise Unbounded(msg)
    if len(pads) != 2 * len(axes):
        msg = "its pads do not go with its axes"
        raise Unbounded(msg)
    shape, reaches = list(field.shape), list(field.reaches)
    for i, axis in enumerate(axes):
        before, after = pads[i], pads[i + len(axes)]
        which = axis_of(field, axis % field.rank)
        if which is None:
            size = shape[axis]
            shape[axis] = None if size is None else size + before + after
        elif before or after:
            reaches[which] = _padded(reaches[which], before, after, mode)
    return replace(field, shape=tuple(shape), reaches=(reaches[0], reaches[1]))


def _padded(reach: Reach, before: int, after: int, mode: str) -> Reach:
    if mode != "constant":
        mirrored = (before, after) if mode == "reflect" else (0, 0)
        reach = reach.holding(max(mirrored[0], 0), max(mirrored[1], 0))
    return reach.through(1, -before, -before, reach.extra + before + after)


def depth_to_space(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return channels laid out over the image."""
    field, size = the_field(values), _block_size(node)
    channels = field.shape[1]
    return _over_space(
        field,
        None if channels is None else channels // size**2,
        lambda _axis, reach: reach.through(
            Fraction(1, size), Fraction(1 - size, size), 0, reach.extra * size
        ),
        lambda _axis, length: length,
    )


def space_to_depth(node: Node, values: Sequence[Value | None], _setting: Setting) -> Field:
    """Return blocks of the image laid out over channels."""
    field, size = the_field(values), _block_size(node)
    channels = field.shape[1]
    if any(reach.extra % size for reach in field.reaches):
        msg = "its blocks do not fit the size of its input"
        raise Unbounded(msg)
    return _over_space(
        field,
        None if channels is None else channels * size**2,
        lambda _axis, reach: reach.through(size, 0, size - 1, reach.extra // size),
        lambda _axis, length: length,
    )


def _block_size(node: Node) -> int:
    size = int(node.attributes.get("blocksize", 0))
    if not 1 <= size <= _MOST_BLOCK:
        msg = f"blocksize {size} makes no sense"
        raise Unbounded(msg)
    return size


def cut(node: Node, values: Sequence[Value | None], setting: Setting) -> Field:
    """Return what Slice makes."""
    field, held = the_field(values), node.attributes
    if "starts" in held:
        ends = [Known(None, tuple(map(Extent.of, held[key]))) for key in ("starts", "ends")]
        axes = list(held.get("axes", range(len(held["starts"]))))
        steps = [1] * len(axes)
    else:
        ends = [value for value in values[1:3] if isinstance(value, Known)]
        count = len(ends[0].values or ()) if ends else 0
        axes = list(range(count)) if input_at(values, 3) is None else integers(values[3], "axes")
        steps = [1] * count if input_at(values, 4) is None else integers(values[4], "steps")
    if len(ends) != 2 or any(len(end.values or ()) != len(axes) for end in ends):
        msg = "where it cuts is computed"
        raise Unbounded(msg)
    shape, reaches = list(field.shape), list(field.reaches)
    firsts, lasts = (end.values or () for end in ends)
    for axis, first, last, step in zip(axes, firsts, lasts, steps, strict=True):
        place = axis % field.rank
        which = axis_of(field, place)
        if which is None:
            shape[place] = _part(shape[place], first, last, step)
        else:
            length = setting.length_of(field, which)
            reaches[which] = _cropped(reaches[which], length, (first, last, step), setting)
    return replace(field, shape=tuple(shape), reaches=(reaches[0], reaches[1]))


def _part(size: int | None, first: Extent | None, last: Extent | None, step: int) -> int | None:
    if size is None or first is None or last is None or step == 0:
        return None
    if not (first.is_constant and last.is_constant):
        return None
    return len(range(size)[int(first.constant) : int(last.constant) : step])


def _cropped(
    reach: Reach,
    length: Extent,
    where: tuple[Extent | None, Extent | None, int],
    setting: Setting,
) -> Reach:
    first, last, step = where
    if first is None or last is None or step < 1:
        msg = "where it cuts the image is not known"
        raise Unbounded(msg)
    start, end = setting.value_of(first), setting.value_of(last)
    if end.is_constant and end.constant < 0:
        end = length + end
    if start.is_constant and start.constant < 0:
        start = length + start
    if end.is_constant and end.constant >= _FAR:
        end = length
    less = length + end.times(Fraction(-1))
    fixed = length.is_constant and start.constant > length.constant / 2
    if not (start.is_constant and less.is_constant) or fixed:
        msg = "it cuts a part of fixed size out of the image"
        raise Unbounded(msg)
    begin, short = int(start.constant), max(int(less.constant), 0)
    extra = -(-(reach.extra - begin - short) // step)
    return reach.through(step, begin, begin, extra)
