"""Bytes and multiply-adds of a graph's nodes, from shapes alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from tilescope.errors import GraphMismatch
from tilescope.inference.cuts import makes_numbers
from tilescope.inference.graph import Graph, Node, element_types
from tilescope.inference.reach import Known, Lost, Reach, Value

_ELEMENT_BYTES = {2: 1, 3: 1, 4: 2, 5: 2, 7: 8, 9: 1, 10: 2, 11: 8, 13: 8, 16: 2}
_USUAL_BYTES = 4
#: Their output takes the memory of an input that nobody needs any more.
_IN_PLACE = frozenset(
    {
        *("Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Elu"),
        *("Add", "Mul", "Sub", "Div", "Sum", "BatchNormalization", "Identity", "Dropout"),
        *("Reshape", "Squeeze", "Unsqueeze", "Flatten"),
    }
)
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "ConvInteger"})


@dataclass(frozen=True, slots=True)
class Tensor:
    """How large a tensor is.

    Attributes
    ----------
    bytes_per_place
        Bytes per row and column, or of the whole tensor when it has none.
    reaches
        Down and along the image; None for a tensor without rows and columns.
    """

    bytes_per_place: int
    reaches: tuple[Reach, Reach] | None

    def places(self, height: int, width: int) -> int:
        """Return rows times columns for an image; 1 without them."""
        if self.reaches is None:
            return 1
        rows, columns = self.reaches
        return max(_length(rows, height), 0) * max(_length(columns, width), 0)

    def bytes_at(self, height: int, width: int) -> int:
        """Return its bytes for an image."""
        return self.bytes_per_place * self.places(height, width)


def _length(reach: Reach, pixels: int) -> int:
    return pixels * reach.step.denominator // reach.step.numerator + reach.extra


@dataclass(frozen=True, slots=True)
class Step:
    """What running one node takes.

    Attributes
    ----------
    inputs, outputs
        Tensors that depend on the image.
    multiply_adds
        Per place of ``counted``.
    in_place
        Whether the output may take the memory of an input.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    multiply_adds: int
    counted: str
    in_place: bool


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """A graph as steps; those that only make numbers take nothing and have no tensors."""

    steps: tuple[Step, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def peak_bytes(
        self, steps: Sequence[int], size: tuple[int, int], given: Iterable[str], kept: Iterable[str]
    ) -> int:
        """Return the most memory that tensors take while some steps run in order.

        Parameters
        ----------
        steps
            Which, by index.
        size
            Height and width of the image.
        given
            Tensors that somebody else holds; they are not counted.
        kept
            Tensors that stay until the end.
        """
        last = {name: i for i in steps for name in self.steps[i].inputs}
        foreign, lasting = set(given), set(kept)
        held: dict[str, int] = {}
        peak = now = 0
        for i in steps:
            step = self.steps[i]
            made = {name: self.tensors[name].bytes_at(*size) for name in step.outputs}
            done = [n for n in set(step.inputs) if last[n] == i and n in held and n not in lasting]
            reused = max((held[n] for n in done), default=0) if step.in_place else 0
            wanted = sum(made.values())
            peak = max(peak, now + max(wanted - reused, 0))
            held.update((n, size) for n, size in made.items() if n not in foreign)
            done += [n for n in made if n not in last and n not in lasting]
            now += wanted - sum(held.pop(n) for n in done)
        return peak

    def multiply_adds(self, steps: Iterable[int], size: tuple[int, int]) -> int:
        """Return the multiply-adds of some steps for an image."""
        return sum(
            self.steps[i].multiply_adds * self.tensors[self.steps[i].counted].places(*size)
            for i in steps
            if self.steps[i].multiply_adds
        )

    def needed(self, wanted: Iterable[str], given: Iterable[str]) -> list[int]:
        """Return the steps that make the wanted tensors from the given ones, in order."""
        makers = {name: i for i, step in enumerate(self.steps) for name in step.outputs}
        present = set(given)
        found: set[int] = set()
        waiting = [name for name in wanted if name not in present]
        while waiting:
            index = makers.get(waiting.pop())
            if index is not None and index not in found:
                found.add(index)
                inputs = self.steps[index].inputs
                waiting.extend(name for name in inputs if name not in present)
        return sorted(found)


def measure_workload(graph: Graph, values: Mapping[str, Value]) -> Workload:
    """Return what running a graph takes.

    Parameters
    ----------
    values
        What is known of the tensors.

    Raises
    ------
    GraphMismatch
        When the size of a tensor cannot be told.
    """
    types = element_types(graph)
    steps, tensors = [], {}
    for port in graph.inputs:
        tensors[port.name] = _tensor(port.name, values.get(port.name), types)
    for node in graph.nodes:
        if makes_numbers(node, values):
            steps.append(Step((), (), 0, "", in_place=False))
            continue
        outputs = tuple(filter(None, node.outputs))
        for name in outputs:
            tensors[name] = _tensor(name, values.get(name), types)
        inputs = tuple(name for name in node.inputs if name in tensors)
        counted = inputs[0] if node.op == "ConvTranspose" and inputs else outputs[0]
        each = _ELEMENT_BYTES.get(types.get(counted, 1), _USUAL_BYTES)
        work = _factor(node, values) * tensors[counted].bytes_per_place // each
        steps.append(Step(inputs, outputs, work, counted, node.op in _IN_PLACE))
    inputs = tuple(port.name for port in graph.inputs)
    return Workload(tuple(steps), tensors, inputs, graph.outputs)


def _tensor(name: str, value: Value | None, types: Mapping[str, int]) -> Tensor:
    if isinstance(value, Known) or (isinstance(value, Lost) and value.is_small):
        return Tensor(0, None)
    image = value.like if isinstance(value, Lost) else value
    sizes = [] if image is None else [n for i, n in enumerate(image.shape) if i not in image.axes]
    if image is None or None in sizes:
        why = value.culprit if isinstance(value, Lost) else "it has a dimension of any size"
        raise GraphMismatch(f"the size of the tensor {name!r} cannot be told: {why}")
    each = _ELEMENT_BYTES.get(types.get(name, 1), _USUAL_BYTES)
    return Tensor(each * prod(n for n in sizes if n is not None), image.reaches)


def _factor(node: Node, values: Mapping[str, Value]) -> int:
    """Return the multiply-adds per element of the tensor that is counted."""
    weights = values.get(node.inputs[1]) if len(node.inputs) > 1 else None
    shape = weights.shape if isinstance(weights, Known) else None
    if node.op not in _WEIGHTED or not shape:
        return 0
    if node.op in {"Conv", "ConvTranspose", "ConvInteger"}:
        return prod(shape[1:])
    return shape[-1] if node.attributes.get("transB", 0) else shape[max(len(shape) - 2, 0)]
