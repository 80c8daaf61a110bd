"""The bytes that large arrays may take, all threads together."""

from __future__ import annotations

import threading

from tilescope.runtime.cancel import CancellationToken

_LOOK_S = 0.1


class MemoryLedger:
    """Reserves bytes before they are allocated, and makes the reader wait until there are enough.

    The peak of what is reserved never exceeds the cap: the ledger is the reason why the pipeline
    cannot run ahead of its memory.
    """

    def __init__(self, cap_bytes: int) -> None:
        if cap_bytes <= 0:
            msg = f"a cap of {cap_bytes} bytes holds nothing"
            raise ValueError(msg)
        self.cap_bytes = cap_bytes
        self._reserved = 0
        self._peak = 0
        self._changed = threading.Condition()

    @property
    def reserved_bytes(self) -> int:
        """Bytes reserved now."""
        return self._reserved

    @property
    def peak_bytes(self) -> int:
        """Most bytes ever reserved at one time."""
        return self._peak

    def reserve(self, size_bytes: int, token: CancellationToken) -> None:
        """Take ``size_bytes``, waiting until they are free.

        Raises
        ------
        ValueError
            When the amount could never be free.
        Cancelled
            When the token is set while waiting.
        """
        if not 0 <= size_bytes <= self.cap_bytes:
            msg = f"{size_bytes} bytes can never be reserved of {self.cap_bytes}"
            raise ValueError(msg)
        with self._changed:
            while self._reserved + size_bytes > self.cap_bytes:
                token.raise_if_cancelled()
                self._changed.wait(_LOOK_S)
            self._reserved += size_bytes
            self._peak = max(self._peak, self._reserved)

    def release(self, size_bytes: int) -> None:
        """Give ``size_bytes`` back."""
        with self._changed:
            if size_bytes > self._reserved:
                msg = f"{size_bytes} bytes released of {self._reserved} reserved"
                raise ValueError(msg)
            self._reserved -= size_bytes
            self._changed.notify_all()
