"""How to run a graph whose tensors do not fit: cut it, and run the first part over patches.

The idea is that of MCUNetV2 (Lin, Chen, Cai, Gan and Han, NeurIPS 2021): the first layers have few
channels at a high resolution and take most of the memory. Run patch by patch, each with the context
its result depends on, they give the same numbers; what the context is computed twice is the price.
Everything here is arithmetic on shapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, lcm
from typing import Any

from tilescope.inference.cuts import Cut, find_cuts
from tilescope.inference.graph import Graph, holds_graphs
from tilescope.inference.reach import Field, Reach, widened
from tilescope.inference.receptive import MOST_NODES, Analysis
from tilescope.inference.workload import Workload, measure_workload

_MOST_CUTS = 48
#: Patches down and along the image that are looked at.
_GRIDS = (
    *((2, 1), (2, 2), (3, 2), (3, 3), (4, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 8), (10, 10)),
    *((12, 12), (16, 16), (24, 24), (32, 32)),
)


@dataclass(frozen=True, slots=True)
class Strip:
    """A row or column of patches, in input pixels.

    Attributes
    ----------
    core
        First pixel and end of what the strip is responsible for.
    outer
        First pixel and end of what has to be read for it.
    """

    core: tuple[int, int]
    outer: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a schedule may take.

    Attributes
    ----------
    size_bytes
        Of the tensors, weights not included.
    most_extra_work
        Of `Schedule.extra_work`.
    """

    size_bytes: int
    most_extra_work: float = inf


@dataclass(frozen=True, slots=True)
class Schedule:
    """A way to run a graph, and what it takes.

    Attributes
    ----------
    place
        How many nodes are in the first part; 0 runs the graph as it is.
    live
        Tensors that the first part makes for the second.
    core_px
        Height and width of a patch without its context, multiples of ``period``.
    patches
        Rows and columns of patches for the image it was made for.
    peak_bytes, whole_peak_bytes
        Most memory of all tensors at any time, the input included: so run, and without a cut.
    multiply_adds, whole_multiply_adds
        Of the whole graph: so run, and without a cut.
    """

    place: int
    live: tuple[str, ...]
    period: int
    core_px: tuple[int, int]
    patches: tuple[int, int]
    peak_bytes: int
    whole_peak_bytes: int
    multiply_adds: int
    whole_multiply_adds: int

    @property
    def is_cut(self) -> bool:
        """Tell whether the graph is run in two parts."""
        return self.place > 0

    @property
    def extra_work(self) -> float:
        """Multiply-adds that are done twice, as a share of the graph's own."""
        return self.multiply_adds / max(self.whole_multiply_adds, 1) - 1


def schedule_of(values: Mapping[str, Any]) -> Schedule:
    """Return what ``dataclasses.asdict`` and JSON made of a schedule."""
    pairs = {name: tuple(values[name]) for name in ("live", "core_px", "patches")}
    return Schedule(**{**values, **pairs})


def search_schedule(
    graph: Graph,
    analysis: Analysis,
    size: tuple[int, int],
    budget: Budget,
    sized: Analysis | None = None,
) -> Schedule:
    """Return the schedule of least work within a budget, else the one of least memory.

    Parameters
    ----------
    analysis
        Of the graph as if it took images of any size.
    size
        Height and width of the image; rounded up to what keeps strides in phase.
    budget
        What it may take.
    sized
        The analysis for the only size that the graph takes; None where it takes any.

    Raises
    ------
    GraphMismatch
        When the size of a tensor cannot be told from the graph.
    """
    step = _whole_period(graph, analysis)
    size = (-(-size[0] // step) * step, -(-size[1] // step) * step)
    work = measure_workload(graph, (sized or analysis).values)
    best = _uncut(work, size)
    if best.peak_bytes <= budget.size_bytes or not _can_be_cut(graph):
        return best
    for cut in _narrow_cuts(find_cuts(graph, analysis.values), work, size):
        for found in _Trial(work, analysis, cut, size, best).schedules(budget.size_bytes):
            if found.extra_work > budget.most_extra_work:
                continue
            if _rank(found, budget.size_bytes) < _rank(best, budget.size_bytes):
                best = found
    return best


def _narrow_cuts(cuts: Sequence[Cut], work: Workload, size: tuple[int, int]) -> list[Cut]:
    """Return the cuts with fewer live bytes than those before and behind, and the last one."""
    held = [sum(work.tensors[name].bytes_at(*size) for name in cut.live) for cut in cuts]
    narrow = [
        (live, place)
        for place, live in enumerate(held)
        if (place == 0 or live < held[place - 1])
        and (place + 1 == len(held) or live <= held[place + 1])
    ]
    places = {place for _, place in sorted(narrow)[:_MOST_CUTS]} | {len(cuts) - 1}
    return [cuts[place] for place in sorted(places) if place >= 0]


def _can_be_cut(graph: Graph) -> bool:
    return len(graph.nodes) <= MOST_NODES and not holds_graphs(graph)


def _rank(schedule: Schedule, budget_bytes: int) -> tuple[int, int, int]:
    if schedule.peak_bytes <= budget_bytes:
        return 0, schedule.multiply_adds, schedule.peak_bytes
    return 1, schedule.peak_bytes, schedule.multiply_adds


def _whole_period(graph: Graph, analysis: Analysis) -> int:
    """Return what a side has to be a multiple of so that all sizes are whole."""
    fields = (analysis.values.get(name) for node in graph.nodes for name in node.outputs)
    reaches = [reach for field in fields if isinstance(field, Field) for reach in field.reaches]
    return lcm(analysis.period, *{reach.period for reach in reaches})


def _uncut(work: Workload, size: tuple[int, int]) -> Schedule:
    steps = range(len(work.steps))
    peak = _input_bytes(work, size) + work.peak_bytes(steps, size, work.inputs, work.outputs)
    total = work.multiply_adds(steps, size)
    return Schedule(0, (), 1, size, (1, 1), peak, peak, total, total)


def _input_bytes(work: Workload, size: tuple[int, int]) -> int:
    return sum(work.tensors[name].bytes_at(*size) for name in work.inputs)


class _Trial:
    """One cut with any number of patches."""

    def __init__(
        self,
        work: Workload,
        analysis: Analysis,
        cut: Cut,
        size: tuple[int, int],
        whole: Schedule,
    ) -> None:
        self._work, self._cut, self._size, self._whole = work, cut, size, whole
        self._axes = live_reaches(analysis, cut.live)
        self._period = patch_period(analysis, cut.live)
        self._early = work.needed(cut.live, work.inputs)
        late = work.needed(work.outputs, (*cut.live, *work.inputs))
        self._late_work = work.multiply_adds(late, size)
        self._held = _input_bytes(work, size) + sum(
            work.tensors[name].bytes_at(*size) for name in cut.live
        )
        self._late_peak = work.peak_bytes(late, size, (*cut.live, *work.inputs), work.outputs)

    def schedules(self, budget_bytes: int) -> Iterator[Schedule]:
        """Yield schedules of more and more patches, until more are of no use."""
        height, width = self._size
        for rows, columns in _GRIDS:
            if rows * self._period > height or columns * self._period > width:
                return
            found = self._schedule((rows, columns))
            if found is None:
                return
            yield found
            if found.peak_bytes <= max(budget_bytes, self._held + self._late_peak):
                return

    def _schedule(self, patches: tuple[int, int]) -> Schedule | None:
        core = tuple(
            -(-length // (count * self._period)) * self._period
            for length, count in zip(self._size, patches, strict=True)
        )
        grid = [
            strips(reaches, length, side, self._period)
            for reaches, length, side in zip(self._axes, self._size, core, strict=True)
        ]
        heights, widths = ([s.outer[1] - s.outer[0] for s in axis] for axis in grid)
        if not (heights and widths):  # the image is too small for what is live to have elements
            return None
        largest = max(heights), max(widths)
        work = self._work
        # All that patches make is held while the next one runs.
        early = work.peak_bytes(self._early, largest, work.inputs, self._cut.live)
        early += _input_bytes(work, largest)
        peak = self._held + max(early, self._late_peak)
        total = self._late_work + sum(
            tall * wide * work.multiply_adds(self._early, (height, width))
            for height, tall in Counter(heights).items()
            for width, wide in Counter(widths).items()
        )
        return Schedule(
            self._cut.place,
            self._cut.live,
            self._period,
            (core[0], core[1]),
            (len(heights), len(widths)),
            peak,
            self._whole.whole_peak_bytes,
            total,
            self._whole.whole_multiply_adds,
        )


def live_reaches(
    analysis: Analysis, live: Sequence[str]
) -> tuple[tuple[Reach, ...], tuple[Reach, ...]]:
    """Return the reaches of what is live, down and along the image."""
    fields = [analysis.values[name] for name in live]
    images = [field for field in fields if isinstance(field, Field)]
    return tuple(f.reaches[0] for f in images), tuple(f.reaches[1] for f in images)


def patch_period(analysis: Analysis, live: Sequence[str]) -> int:
    """Return what patches have to begin and end at multiples of."""
    down, along = live_reaches(analysis, live)
    return lcm(analysis.period, *(reach.period for reach in (*down, *along)))


def elements(reach: Reach, core: tuple[int, int], pixels: int) -> tuple[int, int]:
    """Return which elements of a tensor belong to a strip; the last one takes what is left over."""
    length = reach.length(pixels)
    first = min(int(core[0] / reach.step), length)
    stop = length if core[1] >= pixels else min(int(core[1] / reach.step), length)
    return first, stop


def strips(reaches: Sequence[Reach], pixels: int, core_px: int, period: int) -> list[Strip]:
    """Return the strips of patches along one axis of an image."""
    found = []
    least = max(ceil(reach.least) for reach in reaches)
    for start in range(0, pixels, core_px):
        core = (start, min(start + core_px, pixels))
        spans = []
        for reach in reaches:
            first, stop = elements(reach, core, pixels)
            if first < stop:
                spans.append(reach.span(first, stop, pixels, period))
        if spans:
            outer = min(span[0] for span in spans), max(span[1] for span in spans)
            found.append(Strip(core, widened(outer, least, pixels, period)))
    return found
