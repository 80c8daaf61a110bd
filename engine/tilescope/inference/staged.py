"""A session that runs the first part of a graph patch by patch and the rest at once.

::

    image ──▶ patches with context ──▶ first part ──▶ live tensors, put together ──▶ second part

A patch at the border of the image is cut there, so that the network's own padding falls where it
falls in one big run: the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.errors import GraphMismatch, InferenceFailed
from tilescope.inference.cuts import is_told, made_from_shapes
from tilescope.inference.extraction import Dims, extract, needed_nodes
from tilescope.inference.graph import Graph, Port, element_types, load_graph
from tilescope.inference.named_graph import NamedGraph
from tilescope.inference.reach import Field, Known, Unbounded
from tilescope.inference.receptive import Analysis, analyse
from tilescope.inference.schedule import Budget, Schedule, Strip, elements, search_schedule, strips
from tilescope.inference.session import Arrays, Precision, Session
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken

OpenSession = Callable[[bytes], Session]
_Values = dict[str, NDArray[Any]]
#: What ONNX's numbers for the types of shapes and scales stand for.
_KINDS: Mapping[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
}


def plan_stages(
    weights: bytes,
    size: tuple[int, int],
    budget_bytes: int,
    layouts: Mapping[str, str] | None = None,
    *,
    most_extra_work: float = inf,
) -> Schedule:
    """Return how to run a graph over one image within a budget; nothing is run.

    Parameters
    ----------
    weights
        The bytes of the ONNX file, already checked against the manifest.
    size
        Height and width of the image.
    budget_bytes
        What all tensors together may take, the input included and the weights not.
    layouts
        ``NCHW`` or ``NHWC`` by the name of the input; told from the shape where it is not given.
    most_extra_work
        Schedules with a larger ``extra_work`` are left out.

    Returns
    -------
    Schedule
        The one of least work that fits; the one of least memory when none does.

    Raises
    ------
    GraphMismatch
        When the bytes are not an ONNX model, or the size of a tensor cannot be told.
    """
    graph = load_graph(weights)
    if graph.in_cycle is not None:
        raise GraphMismatch(f"{graph.in_cycle.label}: it waits for its own result")
    sized = analyse(graph, layouts or {})
    budget = Budget(budget_bytes, most_extra_work)
    if sized.fixed == (None, None):
        return search_schedule(graph, sized, size, budget)
    analysis = analyse(graph, layouts or {}, any_size=True)
    return search_schedule(graph, analysis, size, budget, sized)


def staged_session(
    weights: bytes,
    schedule: Schedule,
    open_session: OpenSession,
    layouts: Mapping[str, str] | None = None,
) -> Session:
    """Return a session that runs a graph as scheduled: in two parts, or as it is.

    Parameters
    ----------
    open_session
        Opens a session for the bytes of a graph; called once for each part.

    Raises
    ------
    GraphMismatch
        When the schedule is not one of this graph.
    """
    if not schedule.is_cut:
        return open_session(weights)
    return StagedSession(weights, schedule, open_session, layouts)


@dataclass(frozen=True, slots=True)
class _Feed:
    """Numbers that follow from the image's size, for the second part."""

    known: Known
    kind: np.dtype[Any]

    def at(self, height: int, width: int) -> NDArray[Any]:
        values = [v.at(height, width) for v in self.known.values or () if v is not None]
        flat = np.array([float(value) for value in values])
        return flat.astype(self.kind).reshape(self.known.shape or ())


class StagedSession(NamedGraph):
    """A graph in two sessions; not shared between threads.

    Parameters
    ----------
    weights
        The bytes of the ONNX file, already checked against the manifest.
    schedule
        From :func:`plan_stages` of the same bytes; it has to be cut.
    open_session
        Opens a session for the bytes of a graph.

    Raises
    ------
    GraphMismatch
        When the schedule is not one of this graph.
    """

    def __init__(
        self,
        weights: bytes,
        schedule: Schedule,
        open_session: OpenSession,
        layouts: Mapping[str, str] | None = None,
    ) -> None:
        graph = load_graph(weights)
        analysis = analyse(graph, layouts or {}, any_size=True)
        values = analysis.values
        images = {name: values.get(name) for name in schedule.live}
        self._live = {n: value for n, value in images.items() if isinstance(value, Field)}
        if len(self._live) < len(schedule.live) or not self._live:
            raise GraphMismatch("the schedule belongs to another graph")
        self.schedule = schedule
        self._inputs = tuple(port.name for port in graph.inputs)
        self._outputs = graph.outputs
        self._images = {
            port.name: value
            for port in graph.inputs
            if isinstance(value := values[port.name], Field)
        }
        types = element_types(graph)
        dims = {port.name: self._open_dims(port) for port in graph.inputs}
        self._first = open_session(extract(graph, dims, schedule.live, types))
        try:
            self._second = self._open_second(graph, analysis, dims, types, open_session)
        except BaseException:
            self._first.close()
            raise
        self.provider = self._first.provider
        self.precision: Precision = self._first.precision
        self.keeps_memory = self._first.keeps_memory

    def _open_dims(self, port: Port) -> Dims:
        """Return the sizes of an input, those of the image and of the batch open."""
        dims = port.dims if port.dims is not None else (None,) * 4
        image = self._images.get(port.name)
        if image is None:
            return dims
        return tuple(None if i in (0, *image.axes) else n for i, n in enumerate(dims))

    def _open_second(
        self,
        graph: Graph,
        analysis: Analysis,
        dims: Mapping[str, Dims],
        types: Mapping[str, int],
        open_session: OpenSession,
    ) -> Session | None:
        """Return the session of the rest, None when there is none; remember what it is fed."""
        given: dict[str, Dims] = {**dims, **{n: f.shape for n, f in self._live.items()}}
        rest = [name for name in self._outputs if name not in self._live]
        shapes = {n: analysis.values[n] for n in made_from_shapes(graph.nodes, analysis.values)}
        told = {n: v for n, v in shapes.items() if isinstance(v, Known) and is_told(v)}
        numbers = {
            name: told[name]
            for node in needed_nodes(graph, rest, {**given, **told})
            for name in node.inputs
            if name in told and name not in given
        }
        self._feeds = {
            name: _Feed(known, _KINDS.get(types[name], np.dtype(np.int64)))
            for name, known in numbers.items()
        }
        given.update((name, known.shape or ()) for name, known in numbers.items())
        if not rest:
            return None
        return open_session(extract(graph, given, rest, types))

    def run(self, inputs: Arrays, token: CancellationToken) -> dict[str, NDArray[np.float32]]:
        """Return every output of the graph by name.

        Raises
        ------
        Cancelled
            When the token is set before or while a part runs.
        InferenceFailed
            When the sides of the input do not suit the patches, or the runtime fails.
        """
        missing = sorted(set(self._inputs) - set(inputs))
        if missing:
            raise InferenceFailed(f"input {missing[0]!r} is missing")
        batch = max(len(inputs[name]) if field.rank == 4 else 1 for name, field in self._items())
        if batch == 1:
            return self._run_one(inputs, token)
        images = dict(self._items())
        parts = [
            self._run_one({n: a[i : i + 1] if n in images else a for n, a in inputs.items()}, token)
            for i in range(batch)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def _items(self) -> Sequence[tuple[str, Field]]:
        return tuple(self._images.items())

    def _run_one(self, inputs: Arrays, token: CancellationToken) -> dict[str, NDArray[np.float32]]:
        size = self._size_of(inputs)
        live = self._make_live(inputs, size, token)
        # Small tensors of many patches leave holes in the heap; the rest would come on top of them.
        memory.trim()
        outputs: _Values = {name: live[name] for name in self._outputs if name in live}
        if self._second is not None:
            feeds: _Values = {**inputs, **live}
            feeds.update((name, feed.at(*size)) for name, feed in self._feeds.items())
            wanted = {name: feeds[name] for name in self._second.input_names}
            del live, feeds
            outputs.update(self._second.run(wanted, token))
        return {name: outputs[name] for name in self._outputs}

    def _size_of(self, inputs: Arrays) -> tuple[int, int]:
        """Return height and width of the image.

        Raises
        ------
        InferenceFailed
            When the inputs differ, or a side is no multiple of the period.
        """
        sizes = set()
        for name, field in self._items():
            array, (down, along) = inputs[name], field.axes
            if array.ndim != field.rank:
                raise InferenceFailed(f"input {name!r} has {array.ndim} dimensions")
            sizes.add((array.shape[down], array.shape[along]))
        height, width = max(sizes)
        step = self.schedule.period
        if len(sizes) > 1 or height % step or width % step or not height or not width:
            raise InferenceFailed(
                f"images of {sorted(sizes)} pixels cannot be run in patches: their sides have to "
                f"be the same multiples of {step}"
            )
        return height, width

    def _make_live(
        self, inputs: Arrays, size: tuple[int, int], token: CancellationToken
    ) -> _Values:
        """Return what the first part makes, patch by patch."""
        period, core = self.schedule.period, self.schedule.core_px
        fields = list(self._live.values())
        rows, columns = (
            strips([field.reaches[i] for field in fields], size[i], core[i], period) for i in (0, 1)
        )
        live: _Values = {}
        for row in rows:
            for column in columns:
                made = self._first.run(self._patch(inputs, row, column), token)
                for name, array in made.items():
                    self._place(live, name, array, (row, column), size)
        return live

    def _patch(self, inputs: Arrays, row: Strip, column: Strip) -> _Values:
        images = dict(self._items())
        patch: _Values = {}
        for name in self._first.input_names:
            array: NDArray[Any] = inputs[name]
            if name in images:
                where = [slice(None)] * array.ndim
                for axis, strip in zip(images[name].axes, (row, column), strict=True):
                    where[axis] = slice(*strip.outer)
                array = np.ascontiguousarray(array[tuple(where)])
            patch[name] = array
        return patch

    def _place(
        self,
        live: _Values,
        name: str,
        patch: NDArray[Any],
        strips_: tuple[Strip, Strip],
        size: tuple[int, int],
    ) -> None:
        """Copy what a patch is responsible for to its place in a live tensor."""
        field = self._live[name]
        shape = list(patch.shape)
        source, target = ([slice(None)] * patch.ndim for _ in range(2))
        for i, strip in enumerate(strips_):
            axis, reach = field.axes[i], field.reaches[i]
            try:
                shape[axis] = reach.length(size[i])
                first, stop = elements(reach, strip.core, size[i])
                before = reach.length(strip.outer[0]) - reach.extra
            except Unbounded as exc:
                raise InferenceFailed(str(exc)) from exc
            target[axis] = slice(first, max(stop, first))
            source[axis] = slice(first - before, max(stop, first) - before)
        if name not in live:
            live[name] = np.empty(shape, patch.dtype)
        live[name][tuple(target)] = patch[tuple(source)]

    def close(self) -> None:
        """Give back the weights and the threads of both parts."""
        self._first.close()
        if self._second is not None:
            self._second.close()
