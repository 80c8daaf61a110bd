"""What the outputs of a graph mean, from one run of it and from what is known besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.counts import counted
from tilescope.domain.encoding import Activation, Decoding, Form, Step
from tilescope.domain.geometry import Size
from tilescope.domain.manifest import DType, Task, TensorSpec
from tilescope.errors import ModelError
from tilescope.jobs.adding.assumption import Unsettled
from tilescope.jobs.adding.model_hints import Known

_STRIDES = (1, 2, 4, 8, 16, 32)
_MOST_FINAL_BOXES = 1000
_LEAST_COLUMNS = 5
_FEW = 32
_NO_BOX_COLUMNS: Mapping[Form, int] = {"yolo-objectness": 5, "yolo-classes": 4}
_COLUMNS: Mapping[Form, str] = {
    "yolo-objectness": "centre, size in pixels, objectness and classes",
    "yolo-classes": "centre, size in pixels, classes",
    "final-boxes": "corners, score and class",
}
#: Operators after which values are probabilities.
_BOUNDED = frozenset({"Sigmoid", "Softmax", "HardSigmoid", "SoftmaxCrossEntropyLoss"})

Sample = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class GraphOutputs:
    """The meaning of a graph's outputs."""

    task: Task
    classes: tuple[str, ...]
    tensors: tuple[TensorSpec, ...]
    decoding: Decoding


@dataclass(frozen=True, slots=True)
class _Seen:
    """One run of the graph, and what is known of it."""

    sample: Sample
    tensors: tuple[TensorSpec, ...]
    pictures: Mapping[TensorSpec, Picture]
    endings: Mapping[str, str]
    known: Known


def read_outputs(
    sample: Sample, size: Size, endings: Mapping[str, str], known: Known
) -> GraphOutputs:
    """Return what the outputs mean.

    Parameters
    ----------
    sample
        Every output for one random tile of ``size``.
    endings
        For each output the operator that makes its values.

    Raises
    ------
    ModelError
        When they have no known form; without the name of the file.
    """
    tensors = tuple(_tensor(name, array, size, known) for name, array in sample.items())
    found = {t: picture_of(sample[t.name].shape, size, t.layout) for t in tensors}
    pictures = {tensor: picture for tensor, picture in found.items() if picture is not None}
    seen = _Seen(sample, tensors, pictures, endings, known)
    task = known.get("task")
    for wanted, read in (
        ("detect", _box_lists),
        ("semantic", _map),
        ("detect", _box_rows),
        ("classification", _scores),
    ):
        meant = read(seen) if task in {None, wanted} else None
        if meant is not None:
            _note_unused(sample, meant, known)
            return meant
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in sample.items())
    raise Unsettled(
        f"its outputs ({shapes[:300]}) for a tile of {size.width} x {size.height} px are no "
        f"{task or 'class map, boxes or scores'} that is known; give its task, or write a plugin",
        "task",
    )


def _note_unused(sample: Sample, found: GraphOutputs, known: Known) -> None:
    unused = [name for name in sample if name not in found.decoding.outputs]
    if unused:
        known.assume(
            f"the output {', '.join(found.decoding.outputs)} is used; {', '.join(unused)} is not"
        )


def _tensor(name: str, array: NDArray[Any], size: Size, known: Known) -> TensorSpec:
    if str(array.dtype) not in get_args(DType):
        raise ModelError(f"its output {name!r} is {array.dtype}; export it as float32")
    said = (known.get("output_layouts") or {}).get(name)
    layout, stride = _layout(array.shape, size, said, name)
    return TensorSpec(name, layout, str(array.dtype), stride=stride)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Picture:
    """How an output lies on the tile: its axes, input pixels per value, and the border it lacks."""

    layout: str
    stride: int
    lack_px: int = 0


def picture_of(shape: Sequence[int], size: Size, said: str | None = None) -> Picture | None:
    """Return how an output lies on a tile of ``size``, None when it is no picture of it.

    ``said`` is the layout that a description names; it is believed where it is possible.
    """
    possible = {4: ["NCHW", "NHWC"], 3: ["NHW", "CHW", "HWC"]}.get(len(shape), [])
    tried = [layout for layout in possible if layout != "NHW" or shape[0] == 1]
    if said in tried:
        tried = [said]
    for fit in (_whole, _lacking):
        for layout in tried:
            rows, columns = shape[layout.index("H")], shape[layout.index("W")]
            found = fit(layout, rows, columns, size)
            if found is not None:
                return found
    return None


def _whole(layout: str, rows: int, columns: int, size: Size) -> Picture | None:
    for stride in _STRIDES:
        if (rows * stride, columns * stride) == (size.height, size.width):
            return Picture(layout, stride)
    return None


def _lacking(layout: str, rows: int, columns: int, size: Size) -> Picture | None:
    """Return how the output of a network without padding lies on its tile."""
    lack = size.height - rows
    if lack == size.width - columns and lack % 2 == 0 and 0 < lack < min(rows, columns):
        return Picture(layout, 1, lack // 2)
    return None


def _layout(shape: Sequence[int], size: Size, said: str | None, name: str) -> tuple[str, int]:
    picture = picture_of(shape, size, said)
    if picture is not None:
        return picture.layout, picture.stride
    if len(shape) == 3:
        return ("NCA" if shape[1] < shape[2] else "NAC"), 1
    flat = {4: "NCHW", 2: "AC" if shape[-1] == 4 and shape[0] != 1 else "NC", 1: "A"}
    if len(shape) not in flat:
        raise ModelError(f"its output {name!r} has the shape {list(shape)}, which is not known")
    return flat[len(shape)], 1


def _map(seen: _Seen) -> GraphOutputs | None:
    sample, known = seen.sample, seen.known
    maps = [t for t in seen.pictures if sample[t.name].size > _channel_count(t, sample)]
    fine = min(maps, key=lambda t: t.stride, default=None)
    if fine is None:
        return None
    if fine.stride > 1:
        known.assume(f"each value of {fine.name!r} stands for {fine.stride} x {fine.stride} pixels")
    if seen.pictures[fine].lack_px:
        known.assume(
            f"{fine.name!r} lacks {seen.pictures[fine].lack_px} pixels on each side of a tile; "
            "tiles overlap by as much"
        )
    array, count = sample[fine.name], _channel_count(fine, sample)
    if array.dtype.kind in "iub" and count == 1:
        classes = _named(known, None)
        first = known.choose("first_label", 0, "labels are taken to begin at 0")
        decoding = Decoding("label-map", (fine.name,), (), first)
        return GraphOutputs("semantic", classes, seen.tensors, decoding)
    classes = _named(known, count)
    axis = fine.layout.index("C") if "C" in fine.layout else None
    steps = _activation(fine.name, array, axis, seen)
    return GraphOutputs(
        "semantic",
        classes,
        _with_channels(seen.tensors, fine, count),
        Decoding("class-map", (fine.name,), steps),
    )


def _with_channels(
    tensors: Sequence[TensorSpec], used: TensorSpec, count: int
) -> tuple[TensorSpec, ...]:
    """Return the tensors with names for the planes of the map: memory is planned by them."""
    names = tuple(f"plane {index}" for index in range(count))
    return tuple(replace(t, channels=names) if t is used else t for t in tensors)


def _channel_count(tensor: TensorSpec, sample: Sample) -> int:
    return sample[tensor.name].shape[tensor.layout.index("C")] if "C" in tensor.layout else 1


def _scores(seen: _Seen) -> GraphOutputs | None:
    sample, known = seen.sample, seen.known
    for tensor in seen.tensors:
        array = sample[tensor.name]
        if array.size != max(array.shape, default=0) or array.dtype.kind != "f" or not array.size:
            continue
        classes = _named(known, array.size)
        steps = _activation(tensor.name, array.reshape(-1), 0, seen)
        decoding = Decoding("tile-scores", (tensor.name,), steps)
        return GraphOutputs("classification", classes, seen.tensors, decoding)
    return None


def _box_lists(seen: _Seen) -> GraphOutputs | None:
    sample, known = seen.sample, seen.known
    corners = [n for n, a in sample.items() if a.ndim in {2, 3} and a.shape[-1] == 4]
    labels = [n for n, a in sample.items() if a.dtype.kind in "iu" and a.ndim in {1, 2}]
    scores = [
        n
        for n, a in sample.items()
        if a.dtype.kind == "f" and n not in corners and a.ndim in {1, 2}
    ]
    if not (corners and labels and scores) or len(sample) < 3:
        return None
    first = known.choose("first_label", 1, "labels are taken to begin at 1")
    decoding = Decoding("box-lists", (corners[0], scores[0], labels[0]), (), first)
    lists = tuple(
        replace(t, layout="A" if sample[t.name].ndim == 1 else t.layout) for t in seen.tensors
    )
    placed = tuple(
        replace(t, layout="AC") if t.name == corners[0] and t.layout == "NC" else t for t in lists
    )
    return GraphOutputs("detect", _named(known, None), placed, decoding)


def _box_rows(seen: _Seen) -> GraphOutputs | None:
    sample, known = seen.sample, seen.known
    tensor = next((t for t in seen.tensors if t.layout in {"NCA", "NAC"}), None)
    if tensor is None:
        return None
    rows = sample[tensor.name][0]
    rows = rows.T if tensor.layout == "NCA" else rows
    columns = rows.shape[1]
    if columns < _LEAST_COLUMNS or rows.dtype.kind != "f":
        return None
    form = known.get("boxes") or _form(rows.shape, tensor.layout, known)
    if known.get("boxes") is None:
        known.assume(f"rows of boxes are taken for {_COLUMNS[form]}", "boxes", form)
    if form == "final-boxes":
        first = known.choose("first_label", 0, "labels are taken to begin at 0")
        decoding = Decoding(form, (tensor.name,), (), first)
        return GraphOutputs("detect", _named(known, None), seen.tensors, decoding)
    classes = _named(known, columns - _NO_BOX_COLUMNS[form])
    steps: tuple[Step, ...] = ()
    if not _is_probability(rows[:, 4:]):
        steps = (Activation("sigmoid"),)
        known.assume("scores go through a sigmoid (they are not between 0 and 1)")
    return GraphOutputs("detect", classes, seen.tensors, Decoding(form, (tensor.name,), steps))


def _form(shape: tuple[int, ...], layout: str, known: Known) -> Form:
    candidates, columns = shape
    named = known.get("classes")
    if layout == "NCA" or (named and columns == 4 + len(named)):
        return "yolo-classes"
    if columns == 6 and candidates <= _MOST_FINAL_BOXES:
        return "final-boxes"
    return "yolo-objectness"


def _named(known: Known, count: int | None) -> tuple[str, ...]:
    """Return the names of the classes; ``count`` is how many there are, None when unknown.

    Raises
    ------
    ModelError
        When the names that are known are too few or too many, or when only they could tell.
    """
    names: tuple[str, ...] | None = known.get("classes")
    if count is None:
        if names is None:
            raise Unsettled(
                "its outputs are numbers of classes, and nothing says which: name them", "classes"
            )
        return names
    if names is not None:
        # One value for two classes is the probability of the second.
        if len(names) != count and not (count == 1 and len(names) == 2):
            raise Unsettled(
                f"{known.source_of('classes')} names {counted(len(names), 'class', 'classes')} "
                f"and the network gives {count}; correct them",
                "classes",
            )
        return names
    found = ("foreground",) if count == 1 else tuple(f"class {i}" for i in range(count))
    called = found[0] if count == 1 else f"{found[0]} to {found[-1]}"
    known.assume(f"classes are called {called}", "classes", found)
    return found


def _activation(name: str, array: NDArray[Any], axis: int | None, seen: _Seen) -> tuple[Step, ...]:
    """Return what makes probabilities of an output whose classes lie along ``axis``."""
    known, endings = seen.known, seen.endings
    said: tuple[Step, ...] | None = known.get("output_steps")
    if said is not None:
        return said
    count = 1 if axis is None else array.shape[axis]
    if endings.get(name) in _BOUNDED or _is_probability(array, axis):
        return ()
    if endings.get(name) == "LogSoftmax":
        return (Activation("exp"),)
    kind = "sigmoid" if count == 1 else "softmax"
    known.assume(
        f"a {kind} is applied to {name!r} (the graph ends in {endings.get(name) or 'no operator'})"
    )
    return (Activation("sigmoid"),) if count == 1 else (Activation("softmax"),)


def _is_probability(array: NDArray[Any], axis: int | None = None) -> bool:
    """Tell whether values are probabilities, of classes along ``axis`` that add up to one."""
    if not array.size or array.min() < -1e-3 or array.max() > 1 + 1e-3:
        return False
    if axis is None or array.shape[axis] == 1:
        return array.size >= _FEW  # a few values are between 0 and 1 by chance
    return bool(np.allclose(array.sum(axis=axis, dtype=np.float64), 1, atol=1e-2))
