"""Two ways of doing the same work, timed in turns: A B A B and so on.

A ratio is the median over pairs of ``peer / ours``: both halves of a pair do the same work within
the same fraction of a second, so what else the machine does mostly cancels out.
"""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Batch = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Timing:
    """What a batch took.

    Attributes
    ----------
    wall_s
        On the clock.
    cpu_s
        Of all processors, in the process that did the work.
    """

    wall_s: float
    cpu_s: float


#: One of the two ways: does a batch of work and says what it took.
Side = Callable[[Batch], Timing]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, lower, upper)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times faster ours was than the peer.

    Attributes
    ----------
    times
        By the clock, batch by batch.
    cpu_times
        By processor time, which other programs on the machine disturb least; it says nothing
        about waiting and about how well threads share the work.
    items
        Tiles or regions per batch.
    ours_per_s, peer_per_s
        Items per second, medians over the batches.
    """

    times: tuple[float, ...]
    cpu_times: float
    items: int
    ours_per_s: float
    peer_per_s: float

    @classmethod
    def of(cls, timings: Sequence[tuple[Timing, Timing]], items: int) -> Ratio:
        """Return the ratio of ``(ours, peer)`` pairs, each of which did ``items``."""
        tick_s = time.get_clock_info("process_time").resolution
        return cls(
            tuple(peer.wall_s / ours.wall_s for ours, peer in timings),
            statistics.median(
                max(peer.cpu_s, tick_s) / max(ours.cpu_s, tick_s) for ours, peer in timings
            ),
            items,
            statistics.median(items / ours.wall_s for ours, _ in timings),
            statistics.median(items / peer.wall_s for _, peer in timings),
        )

    @property
    def spread(self) -> Spread:
        """Of the ratios by the clock; its median is the ratio that is reported."""
        return Spread.of(self.times)


def compare(ours: Side, peer: Side, batches: Iterable[Batch]) -> Ratio:
    """Return how many times faster ``ours`` does the batches than ``peer``.

    The first batch is only there to warm both sides up; every later one makes a pair.
    """
    warming, *counted = batches
    ours(warming)
    peer(warming)
    return Ratio.of([(ours(batch), peer(batch)) for batch in counted], len(counted[0]))


def in_threads(work: Callable[[Any], object], threads: int) -> Side:
    """Return a side that calls ``work`` for every item, from a list that the threads share."""

    def run(batch: Batch) -> Timing:
        turn = itertools.count()
        failures: list[BaseException] = []

        def drain() -> None:
            try:
                # next() of a counter is one step of the interpreter: no lock needed
                while (index := next(turn)) < len(batch):
                    work(batch[index])
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)

        helpers = [threading.Thread(target=drain) for _ in range(threads - 1)]
        wall, cpu = time.perf_counter(), time.process_time()
        for helper in helpers:
            helper.start()
        drain()
        for helper in helpers:
            helper.join()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if failures:
            raise failures[0]
        return Timing(wall, cpu)

    return run
