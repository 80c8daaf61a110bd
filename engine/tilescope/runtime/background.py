"""Threads that work for a window and must not be in its way."""

from __future__ import annotations

import os
import sys
import threading

_NICENESS = 5


def stand_back() -> None:
    """Let the calling thread run behind the others, where threads have priorities of their own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
