"""Cancellation, hand-over and the byte ledger, with real threads."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.errors import Cancelled, UsageError
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.channels import BoundedChannel
from tilescope.runtime.collecting import seldom_collected
from tilescope.runtime.ledger import MemoryLedger
from tilescope.runtime.memory import (
    parse_size,
    peak_rss_bytes,
    program_rss_bytes,
    rss_bytes,
)


def test_only_the_first_cause_is_kept_and_every_waker_is_called_once() -> None:
    token, calls = CancellationToken(), []
    token.on_cancel(lambda: calls.append("a"))
    forget = token.on_cancel(lambda: calls.append("b"))
    forget()
    first = ValueError("first")
    token.cancel(first)
    token.cancel(ValueError("second"))
    assert token.cause is first
    assert calls == ["a"]
    token.on_cancel(lambda: calls.append("late"))
    assert calls == ["a", "late"]
    with pytest.raises(Cancelled):
        token.raise_if_cancelled()


def test_a_channel_hands_over_in_order_and_never_holds_more_than_its_capacity() -> None:
    channel: BoundedChannel[int] = BoundedChannel(2, CancellationToken())
    produced: list[int] = []

    def produce() -> None:
        for i in range(50):
            channel.put(i)
            produced.append(i)
        channel.close()

    thread = threading.Thread(target=produce)
    thread.start()
    received = []
    for item in channel:
        received.append(item)
        assert len(produced) <= len(received) + 3
    thread.join()
    assert received == list(range(50))


def test_cancelling_wakes_a_producer_that_waits_and_a_consumer_that_waits() -> None:
    token = CancellationToken()
    full: BoundedChannel[int] = BoundedChannel(1, token)
    empty: BoundedChannel[int] = BoundedChannel(1, token)
    full.put(1)
    ended = []

    def expect_cancelled(work) -> None:
        try:
            work()
        except Cancelled:
            ended.append(True)

    threads = [
        threading.Thread(target=expect_cancelled, args=(lambda: full.put(2),)),
        threading.Thread(target=expect_cancelled, args=(lambda: list(empty),)),
    ]
    for thread in threads:
        thread.start()
    token.cancel()
    for thread in threads:
        thread.join(5)
    assert ended == [True, True]


@given(st.lists(st.integers(0, 60), max_size=40))
def test_the_ledger_never_exceeds_its_cap_and_returns_to_zero(amounts: list[int]) -> None:
    ledger, token, held = MemoryLedger(100), CancellationToken(), []
    for amount in amounts:
        while ledger.reserved_bytes + amount > 100:
            ledger.release(held.pop(0))
        ledger.reserve(amount, token)
        held.append(amount)
        assert ledger.reserved_bytes == sum(held) <= 100
    assert ledger.peak_bytes <= 100
    for amount in held:
        ledger.release(amount)
    assert ledger.reserved_bytes == 0
    with pytest.raises(ValueError, match="released"):
        ledger.release(1)


def test_the_ledger_makes_a_thread_wait_until_there_is_room() -> None:
    ledger, token, order = MemoryLedger(10), CancellationToken(), []
    ledger.reserve(8, token)

    def work() -> None:
        ledger.reserve(5, token)
        order.append("reserved")
        ledger.release(5)

    thread = threading.Thread(target=work)
    thread.start()
    order.append("released")
    ledger.release(8)
    thread.join(5)
    assert order == ["released", "reserved"]
    with pytest.raises(ValueError, match="never"):
        ledger.reserve(11, token)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("600MiB", 600 * 2**20),
        ("1 GiB", 2**30),
        ("1.5GB", 1_500_000_000),
        ("4096", 4096),
        ("2g", 2_000_000_000),
        ("300 MB", 300_000_000),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1", "1.5.2MiB", "10 XB"])
def test_what_is_no_size_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="not a size"):
        parse_size(text)


def test_the_peak_is_at_least_what_is_resident_now() -> None:
    assert peak_rss_bytes() >= rss_bytes() > 2**20


def test_the_program_is_this_process_and_those_it_started() -> None:
    alone = program_rss_bytes()
    assert alone == pytest.approx(rss_bytes(), rel=0.2)
    held = "held = bytearray(b'x') * (200 << 20); print('held', flush=True); input()"
    started: list[subprocess.Popen[str]] = []

    def start() -> None:  # as a job does, in a thread that has ended when memory is looked at
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", held],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    with started[0] as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert program_rss_bytes() > alone + (200 << 20)
        process.communicate("\n")
    assert program_rss_bytes() < alone + (100 << 20)


def test_the_collector_is_left_as_it_was() -> None:
    before = gc.get_threshold()
    with seldom_collected():
        assert gc.get_threshold()[0] > before[0]
        assert gc.isenabled()
    assert gc.get_threshold() == before
