"""Blocks through the network: reading and inference overlap, the consumer sets the pace.

::

    reader thread        infer thread         the caller's thread
    reserve bytes ─read─ encode ─▶ channel ─ session.run ─▶ channel ─ decode ─ outline ─▶ yield

``run_blocks`` is a generator. What is in flight is bounded by the ledger, not by a queue length;
closing the generator cancels and joins both threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.errors import Cancelled, InferenceFailed, TilescopeError
from tilescope.inference.planner import Block
from tilescope.inference.session import Session
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.channels import BoundedChannel
from tilescope.runtime.ledger import MemoryLedger
from tilescope.runtime.watchdog import MemoryWatch

Arrays = Mapping[str, NDArray[np.float32]]
T = TypeVar("T")


@dataclass(slots=True)
class StageSeconds:
    """Time each stage worked, in seconds; stages overlap, so the sum exceeds the wall clock."""

    read: float = 0.0
    infer: float = 0.0
    decode: float = 0.0


@dataclass(frozen=True, slots=True)
class BlockResult(Generic[T]):
    """One finished block: its objects, or why it failed."""

    block: Block
    value: T | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Stages(Generic[T]):
    """What the pipeline does with a block; every function is called from one thread only.

    Attributes
    ----------
    read
        Working pixels of a rectangle, already encoded as the graph's inputs.
    decode
        The graph's outputs cut to the block's valid rectangle, to whatever is yielded.
    bytes_of
        Bytes that a block's inputs and outputs take while it is in flight.
    """

    read: Callable[[Rect], Arrays]
    decode: Callable[[Block, Arrays], T]
    bytes_of: Callable[[Block], int]


@dataclass(slots=True)
class _Flight:
    """A block on its way, with its arrays or its failure."""

    block: Block
    arrays: Arrays = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a block waits until there is memory for it: planned, and really."""

    ledger: MemoryLedger
    watch: MemoryWatch | None

    def pass_in(self, size_bytes: int, token: CancellationToken) -> None:
        self.ledger.reserve(size_bytes, token)
        if self.watch is not None:
            ledger = self.ledger
            self.watch.await_room(size_bytes, lambda: ledger.reserved_bytes, token)


def run_blocks(
    blocks: Sequence[Block],
    stages: Stages[T],
    session: Session,
    ledger: MemoryLedger,
    token: CancellationToken,
    seconds: StageSeconds,
    watch: MemoryWatch | None = None,
) -> Generator[BlockResult[T], None, None]:
    """Yield one result per block, in order.

    A block that cannot be read, inferred or decoded is yielded with its error and the rest goes
    on. Errors outside the Tilescope tree stop the run.

    Parameters
    ----------
    watch
        Makes reading wait while resident memory is near the cap, whatever the plan said.

    Raises
    ------
    BudgetTooSmall
        When memory stays near the cap although nothing is under way.
    Cancelled
        When the token is set.
    """
    local = CancellationToken()
    forget = token.on_cancel(lambda: local.cancel())  # noqa: PLW0108 - drops the cause argument
    read_done: BoundedChannel[_Flight] = BoundedChannel(1, local)
    infer_done: BoundedChannel[_Flight] = BoundedChannel(1, local)
    entry = _Entry(ledger, watch)
    threads = [
        _thread("read", local, lambda: _reader(blocks, stages, entry, read_done, local, seconds)),
        _thread("infer", local, lambda: _infer(read_done, infer_done, session, local, seconds)),
    ]
    try:
        for flight in infer_done:
            yield _decoded(flight, stages, seconds)
            flight.arrays = {}
            ledger.release(stages.bytes_of(flight.block))
        local.raise_if_cancelled()
    except Cancelled:
        if local.cause is not None:
            raise local.cause from None
        raise
    finally:
        local.cancel()
        for thread in threads:
            thread.join()
        forget()


def _thread(name: str, token: CancellationToken, work: Callable[[], None]) -> threading.Thread:
    def body() -> None:
        try:
            work()
        except Cancelled:
            pass
        except BaseException as exc:  # noqa: BLE001 - handed to the consumer
            token.cancel(exc)

    thread = threading.Thread(target=body, name=f"tilescope-{name}", daemon=True)
    thread.start()
    return thread


def _reader(
    blocks: Sequence[Block],
    stages: Stages[Any],
    entry: _Entry,
    out: BoundedChannel[_Flight],
    token: CancellationToken,
    seconds: StageSeconds,
) -> None:
    for block in blocks:
        entry.pass_in(stages.bytes_of(block), token)
        flight = _Flight(block)
        started = time.perf_counter()
        try:
            flight.arrays = stages.read(block.outer)
        except TilescopeError as exc:
            flight.error = str(exc)
        seconds.read += time.perf_counter() - started
        out.put(flight)
        del flight
    out.close()


def _infer(
    inputs: BoundedChannel[_Flight],
    out: BoundedChannel[_Flight],
    session: Session,
    token: CancellationToken,
    seconds: StageSeconds,
) -> None:
    for flight in inputs:
        started = time.perf_counter()
        if flight.error is None:
            try:
                flight.arrays = session.run(flight.arrays, token)
            except InferenceFailed as exc:
                flight.error = str(exc)
                flight.arrays = {}
        seconds.infer += time.perf_counter() - started
        out.put(flight)
        del flight
    out.close()


def _decoded(flight: _Flight, stages: Stages[T], seconds: StageSeconds) -> BlockResult[T]:
    if flight.error is not None:
        return BlockResult(flight.block, None, flight.error)
    started = time.perf_counter()
    try:
        value = stages.decode(flight.block, flight.arrays)
    except TilescopeError as exc:
        return BlockResult(flight.block, None, str(exc))
    finally:
        seconds.decode += time.perf_counter() - started
    return BlockResult(flight.block, value)
