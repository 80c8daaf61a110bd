"""Batches made in a thread of their own come in order, and what goes wrong there comes too."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing

import pytest

from tilescope.errors import Cancelled
from tilescope.jobs.ahead import ahead
from tilescope.runtime.cancel import CancellationToken


class Source:
    """Counts up; notes in which threads it ran and was closed."""

    def __init__(self, count: int, error: BaseException | None = None) -> None:
        self.count, self.error = count, error
        self.made = 0
        self.ran_in = self.closed_in = threading.current_thread()

    def batches(self) -> Generator[int, None, None]:
        self.ran_in = threading.current_thread()
        try:
            for number in range(self.count):
                self.made += 1
                yield number
            if self.error is not None:
                raise self.error
        finally:
            self.closed_in = threading.current_thread()


def test_everything_comes_in_order_from_another_thread() -> None:
    source = Source(50)
    assert list(ahead(source.batches(), CancellationToken())) == list(range(50))
    assert source.ran_in is source.closed_in is not threading.current_thread()
    assert not source.ran_in.is_alive()


def test_an_error_comes_to_whoever_uses_the_batches() -> None:
    source = Source(3, ValueError("broken"))
    found = ahead(source.batches(), CancellationToken())
    with closing(found), pytest.raises(ValueError, match="broken"):
        list(found)
    assert not source.ran_in.is_alive()


def test_who_stops_early_ends_the_thread_and_no_more_is_made() -> None:
    source = Source(1000)
    with closing(ahead(source.batches(), CancellationToken())) as found:
        assert [next(found), next(found)] == [0, 1]
    assert not source.ran_in.is_alive()
    assert source.closed_in is source.ran_in
    assert source.made < 10


@pytest.mark.parametrize("source", [Source(1000), Source(2, Cancelled())])
def test_cancelling_ends_both_sides(source: Source) -> None:
    token = CancellationToken()
    on_batch = token.cancel if source.error is None else int
    with closing(ahead(source.batches(), token)) as found, pytest.raises(Cancelled):
        any(on_batch() for _ in found)
    assert not source.ran_in.is_alive()
