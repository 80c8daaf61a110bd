"""Stopping work from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tilescope.errors import Cancelled


class CancellationToken:
    """A flag that is set once, remembers why, and wakes whoever waits on it.

    Safe to use from any thread and from a signal handler: setting it takes no lock that the
    interrupted thread could hold.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._cause: BaseException | None = None
        self._wakers: dict[int, Callable[[], None]] = {}

    @property
    def is_cancelled(self) -> bool:
        """Tell whether the token was set."""
        return self._event.is_set()

    @property
    def cause(self) -> BaseException | None:
        """The failure that set the token; None when somebody merely asked to stop."""
        return self._cause

    def cancel(self, cause: BaseException | None = None) -> None:
        """Set the token; only the first cause is kept."""
        if self._event.is_set():
            return
        self._cause = cause
        self._event.set()
        for wake in list(self._wakers.values()):
            wake()

    def raise_if_cancelled(self) -> None:
        """Raise Cancelled when the token is set."""
        if self._event.is_set():
            raise Cancelled

    def on_cancel(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` once when the token is set; returns a function that takes it back."""
        key = id(wake)
        self._wakers[key] = wake
        if self._event.is_set():
            wake()

        def forget() -> None:
            self._wakers.pop(key, None)

        return forget
