"""A process of its own for what cannot be trusted, ended when it takes too much."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Breach = Literal["time", "memory", "crash"]

_LOOK_EVERY_S = 0.02
_LONGEST_TAIL = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process may take: resident memory at any moment, and time from start to end."""

    memory_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Ending:
    """How the process ended: None in ``breach`` means by itself and without a fault."""

    breach: Breach | None
    said: str = ""


def run_confined(
    module: str,
    arguments: Sequence[str],
    limits: Limits,
    on_look: Callable[[], None] = lambda: None,
) -> Ending:
    """Run ``python -m module arguments`` under limits and return how it ended.

    Nothing of the current folder can be imported by it, and it has no input.

    Parameters
    ----------
    on_look
        Called many times a second while it runs; what it raises ends the process and is raised.
    """
    command = [sys.executable, "-P", "-m", module, *arguments]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    # Threads of linear algebra take address space by the gigabyte and do nothing here.
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
        )
        try:
            breach = _watch(process, limits, on_look)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        errors.seek(max(0, errors.tell() - _LONGEST_TAIL))
        said = errors.read(_LONGEST_TAIL).decode("utf-8", "replace").strip()
    if breach is None and process.returncode:
        breach = "crash"
    return Ending(breach, said.splitlines()[-1] if said else "")


def _watch(
    process: subprocess.Popen[bytes], limits: Limits, on_look: Callable[[], None]
) -> Breach | None:
    """Wait until the process ends or breaks a limit."""
    import psutil

    end = time.monotonic() + limits.seconds
    try:
        watched = psutil.Process(process.pid)
    except psutil.NoSuchProcess:
        return None
    while True:
        try:
            process.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            pass
        else:
            return None
        on_look()
        try:
            if watched.memory_info().rss > limits.memory_bytes:
                return "memory"
        except psutil.Error:
            continue
        if time.monotonic() > end:
            return "time"
