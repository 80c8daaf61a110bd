"""Hand-over between threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from tilescope.errors import Cancelled
from tilescope.runtime.cancel import CancellationToken

T = TypeVar("T")

#: Upper bound of one wait. A signal handler cannot take the condition's lock to wake a waiter, so
#: waiters look at the token themselves this often.
_LOOK_S = 0.1


class BoundedChannel(Generic[T]):
    """A queue that makes its producer wait when full; cancelling the token wakes both ends."""

    def __init__(self, capacity: int, token: CancellationToken) -> None:
        self._capacity = capacity
        self._token = token
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Append an item once there is room.

        Raises
        ------
        Cancelled
            When the token is set, also while waiting.
        """
        with self._changed:
            while len(self._items) >= self._capacity:
                self._token.raise_if_cancelled()
                self._changed.wait(_LOOK_S)
            self._token.raise_if_cancelled()
            self._items.append(item)
            self._changed.notify_all()

    def close(self) -> None:
        """Say that nothing more will come; the consumer ends after the last item."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                while not self._items and not self._closed:
                    self._token.raise_if_cancelled()
                    self._changed.wait(_LOOK_S)
                if self._token.is_cancelled:
                    raise Cancelled
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            # The generator frame would keep the last tile alive while waiting for the next.
            del item
