"""The promise that resident memory stays under a cap, kept while work is under way.

What a run takes is planned beforehand; the watchdog is for what no plan knows: a runtime that holds
on to memory, a heap with holes, a plugin that hoards.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tilescope.errors import BudgetTooSmall
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken

_LOOK_S = 0.02
_MARGIN_BYTES = 16 << 20


class MemoryWatch:
    """Lets work start only while it cannot push resident memory over a cap.

    Parameters
    ----------
    cap_bytes
        Most resident memory of the process.
    relieve
        Gives back what can be read again, when waiting alone does not help.
    aside_bytes
        What comes and goes beside the work that is let in.
    """

    def __init__(self, cap_bytes: int, relieve: Callable[[], None], aside_bytes: int = 0) -> None:
        self._cap_bytes = cap_bytes
        self._relieve = relieve
        self._aside_bytes = aside_bytes
        self._idle_bytes = 0

    def await_room(
        self, size_bytes: int, reserved: Callable[[], int], token: CancellationToken
    ) -> None:
        """Wait until ``size_bytes`` more stay under the cap.

        Parameters
        ----------
        size_bytes
            What the work takes.
        reserved
            What all work under way was promised, this one included: some of it may not be resident
            yet. The end of other work gives memory back.

        Raises
        ------
        BudgetTooSmall
            When nothing else is under way, everything that can be given back was, and there still
            is no room.
        Cancelled
            When the token is set while waiting.
        """
        relieved = False
        while (needed := self._needed(size_bytes, reserved())) > self._cap_bytes:
            token.raise_if_cancelled()
            if reserved() > size_bytes:
                time.sleep(_LOOK_S)
                continue
            if relieved:
                raise BudgetTooSmall(needed, self._cap_bytes)
            self._relieve()
            memory.trim()
            relieved = True

    def _needed(self, size_bytes: int, reserved_bytes: int) -> int:
        resident = memory.rss_bytes()
        if reserved_bytes <= size_bytes:
            self._idle_bytes = resident
        planned = self._idle_bytes + reserved_bytes + self._aside_bytes
        return max(resident + size_bytes, planned) + _MARGIN_BYTES
