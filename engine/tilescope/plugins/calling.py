"""Calls of plugin code: whatever it raises becomes one error that names the plugin."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.errors import PluginBroken


@contextmanager
def plugin_call(plugin_id: str, action: str, remedy: str) -> Iterator[None]:
    """Have whatever the block raises be a `PluginBroken`; it must not yield.

    Plugin code may also raise what would end this program or close a generator, by ``sys.exit`` for
    example.

    Parameters
    ----------
    action
        What the plugin does in the block, in words.
    remedy
        What the user can do about it.

    Raises
    ------
    PluginBroken
        With what was raised as its cause.
    KeyboardInterrupt
        By the user's Ctrl-C.
    """
    try:
        yield
    except BaseException as exc:
        if is_interrupt(exc):
            raise
        raise PluginBroken(plugin_id, action, exc, remedy) from exc


def is_interrupt(error: BaseException) -> bool:
    """Tell whether it may be the user's Ctrl-C, which strikes the main thread and no other."""
    in_main = threading.current_thread() is threading.main_thread()
    is_heeded = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    return isinstance(error, KeyboardInterrupt) and in_main and is_heeded


def graph_inputs(encoded: object) -> dict[str, NDArray[Any]]:
    """Return what ``encode`` gave.

    Raises
    ------
    TypeError
        When it is not arrays by name.
    """
    if not isinstance(encoded, Mapping):
        msg = f"encode gives arrays by name, not {type(encoded).__name__}"
        raise TypeError(msg)
    for name, array in encoded.items():
        if not (isinstance(name, str) and isinstance(array, np.ndarray)):
            msg = f"encode gives arrays by name, and {name!r} is {type(array).__name__}"
            raise TypeError(msg)
    return dict(encoded)
