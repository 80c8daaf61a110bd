"""The watchdog and child processes, with real allocations and real processes."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from tilescope.errors import BudgetTooSmall, Cancelled
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.children import ChildFailed, output_of
from tilescope.runtime.memory import rss_bytes
from tilescope.runtime.watchdog import MemoryWatch

MIB = 2**20


class Hoard:
    """Resident memory that can be given back."""

    def __init__(self, size_bytes: int) -> None:
        self.array: np.ndarray | None = np.ones(size_bytes, np.uint8)
        self.times_relieved = 0

    def relieve(self) -> None:
        self.times_relieved += 1
        self.array = None


def test_with_room_nothing_waits_and_nothing_is_given_back() -> None:
    hoard = Hoard(8 * MIB)
    watch = MemoryWatch(rss_bytes() + 200 * MIB, hoard.relieve)
    watch.await_room(20 * MIB, lambda: 30 * MIB, CancellationToken())
    assert hoard.times_relieved == 0


def test_reading_waits_until_other_work_gave_its_memory_back() -> None:
    cap = rss_bytes() + 80 * MIB
    hoard = Hoard(120 * MIB)
    watch = MemoryWatch(cap, lambda: None)
    held: list[int] = []

    def promised() -> int:
        return 8 * MIB if hoard.array is None else 128 * MIB

    def read() -> None:
        watch.await_room(8 * MIB, promised, CancellationToken())
        held.append(rss_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    reader.join(0.2)
    assert reader.is_alive()
    hoard.relieve()
    reader.join(10)
    assert not reader.is_alive()
    assert held[0] + 8 * MIB <= cap


def test_what_was_promised_counts_before_it_is_resident() -> None:
    watch = MemoryWatch(rss_bytes() + 100 * MIB, lambda: None)
    promised = [40 * MIB]
    watch.await_room(40 * MIB, lambda: promised[0], CancellationToken())
    promised[0] = 80 * MIB
    watch.await_room(40 * MIB, lambda: promised[0], CancellationToken())
    promised[0], token = 120 * MIB, CancellationToken()
    timer = threading.Timer(0.1, token.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        watch.await_room(40 * MIB, lambda: promised[0], token)
    timer.join()


def test_what_can_be_read_again_is_given_back_before_giving_up() -> None:
    cap = rss_bytes() + 80 * MIB
    hoard = Hoard(120 * MIB)
    MemoryWatch(cap, hoard.relieve).await_room(8 * MIB, lambda: 8 * MIB, CancellationToken())
    assert hoard.times_relieved == 1
    assert rss_bytes() < cap


def test_when_nothing_helps_it_says_what_would_do() -> None:
    cap = rss_bytes() + 40 * MIB
    kept = np.ones(120 * MIB, np.uint8)
    with pytest.raises(BudgetTooSmall) as caught:
        MemoryWatch(cap, lambda: None).await_room(8 * MIB, lambda: 8 * MIB, CancellationToken())
    assert caught.value.needed_bytes > cap + 80 * MIB
    assert kept[-1] == 1


def test_waiting_ends_when_cancelled() -> None:
    token = CancellationToken()
    timer = threading.Timer(0.1, token.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        MemoryWatch(1, lambda: None).await_room(0, lambda: 1, token)
    timer.join()


def test_a_child_gives_what_it_prints() -> None:
    program = "import sys; print('out'); print('noise', file=sys.stderr)"
    said = output_of([sys.executable, "-c", program], CancellationToken(), seconds=60)
    assert said == "out\n"


def test_a_child_that_ends_badly_says_why() -> None:
    program = "import sys; print('first\\nno such thing', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ChildFailed, match=r"^no such thing$"):
        output_of([sys.executable, "-c", program], CancellationToken(), seconds=60)
    with pytest.raises(ChildFailed, match="status 4"):
        output_of([sys.executable, "-c", "raise SystemExit(4)"], CancellationToken(), seconds=60)
    with pytest.raises(ChildFailed, match="cannot be started"):
        output_of(["/nowhere/at-all"], CancellationToken(), seconds=60)


def test_a_child_that_hangs_is_ended() -> None:
    hang = [sys.executable, "-c", "import threading; threading.Event().wait()"]
    with pytest.raises(ChildFailed, match="took too long"):
        output_of(hang, CancellationToken(), seconds=0.3)
    token = CancellationToken()
    timer = threading.Timer(0.2, token.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        output_of(hang, token, seconds=60)
    timer.join()
