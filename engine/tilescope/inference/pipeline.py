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
from tilescope.inference.batches import Batch, part_of
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
    batch
        How many blocks are run at once. More than one have to be of the same size, and the first
        axis of every input and output counts them.
    """

    read: Callable[[Rect], Arrays]
    decode: Callable[[Block, Arrays], T]
    bytes_of: Callable[[Block], int]
    batch: int = 1


@dataclass(slots=True)
class _Flight:
    """Blocks on their way together: the inputs of all, then the outputs or the failure of each."""

    blocks: tuple[Block, ...]
    is_batch: bool
    inputs: Arrays = field(default_factory=dict)
    outputs: dict[int, Arrays] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)


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
            for position, block in enumerate(flight.blocks):
                yield _decoded(flight, position, block, stages, seconds)
                flight.outputs.pop(position, None)
            ledger.release(_bytes(flight.blocks, stages))
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
    for first in range(0, len(blocks), stages.batch):
        group = tuple(blocks[first : first + stages.batch])
        entry.pass_in(_bytes(group, stages), token)
        started = time.perf_counter()
        flight = _read(group, stages)
        seconds.read += time.perf_counter() - started
        out.put(flight)
        del flight
    out.close()


def _bytes(blocks: Sequence[Block], stages: Stages[Any]) -> int:
    return sum(map(stages.bytes_of, blocks))


def _read(group: tuple[Block, ...], stages: Stages[Any]) -> _Flight:
    flight, batch = _Flight(group, stages.batch > 1), Batch(stages.batch)
    for position, block in enumerate(group):
        try:
            inputs = stages.read(block.outer)
            if flight.is_batch:
                batch.put(position, inputs)
                inputs = batch.arrays
            flight.inputs = inputs
        except TilescopeError as exc:
            flight.errors[position] = str(exc)
    return flight


def _infer(
    inputs: BoundedChannel[_Flight],
    out: BoundedChannel[_Flight],
    session: Session,
    token: CancellationToken,
    seconds: StageSeconds,
) -> None:
    for flight in inputs:
        started = time.perf_counter()
        _run(flight, session, token)
        seconds.infer += time.perf_counter() - started
        flight.inputs = {}
        out.put(flight)
        del flight
    out.close()


def _run(flight: _Flight, session: Session, token: CancellationToken) -> None:
    """Fill the outputs of a flight; where all tiles together fail, each is tried alone."""
    left = [i for i in range(len(flight.blocks)) if i not in flight.errors]
    if flight.is_batch and left:
        try:
            outputs = session.run(flight.inputs, token)
        except InferenceFailed:
            pass
        else:
            flight.outputs = {i: part_of(outputs, i) for i in left}
            return
    for i in left:
        inputs = part_of(flight.inputs, i) if flight.is_batch else flight.inputs
        try:
            flight.outputs[i] = session.run(inputs, token)
        except InferenceFailed as exc:
            flight.errors[i] = str(exc)


def _decoded(
    flight: _Flight, position: int, block: Block, stages: Stages[T], seconds: StageSeconds
) -> BlockResult[T]:
    if position in flight.errors:
        return BlockResult(block, None, flight.errors[position])
    started = time.perf_counter()
    try:
        value = stages.decode(block, flight.outputs[position])
    except TilescopeError as exc:
        return BlockResult(block, None, str(exc))
    finally:
        seconds.decode += time.perf_counter() - started
    return BlockResult(block, value)
