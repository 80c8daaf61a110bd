"""What this process takes of the machine, and how to make freed memory leave it."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

from tilescope.errors import UsageError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?\s*", re.IGNORECASE)

_M_MMAP_THRESHOLD = -3
_M_TRIM_THRESHOLD = -1
_M_ARENA_MAX = -8


def parse_size(text: str) -> int:
    """Return the bytes that ``600MiB``, ``1.5 GB`` or ``1073741824`` stand for.

    Raises
    ------
    UsageError
        When the text is not a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a size; write 600MiB, 2GiB or a number of bytes")
    number, unit, binary = match.groups()
    factor = _BINARY_UNITS[unit.upper()] if binary and unit else _UNITS[unit.upper()]
    return int(float(number) * factor)


def rss_bytes() -> int:
    """Return the resident memory of this process now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def program_rss_bytes() -> int:
    """Return the resident memory of this process and of those it started, now.

    Pages that several of them share count for each.
    """
    import psutil

    found = rss_bytes()
    for pid in _children():
        try:
            found += int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:  # it has ended
            continue
    return found


def _children() -> list[int]:
    """Return the processes that this one started and that have not ended."""
    lists = list(Path("/proc/self/task").glob("*/children"))
    if not lists:
        import psutil

        return [child.pid for child in psutil.Process().children()]
    # On Linux each thread has a list of its own: psutil looks at every process of the machine.
    found: list[int] = []
    for file in lists:
        try:
            found += map(int, file.read_text().split())
        except OSError:  # the thread has ended
            continue
    return found


def peak_rss_bytes() -> int:
    """Return the largest resident memory this process ever had."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss starts at the parent's peak after fork and exec on Linux; VmHWM does not.
        match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if match:
            # The kernel updates the mark now and then; it may lag behind what is resident now.
            return max(int(match.group(1)) * 1024, rss_bytes())
    import psutil

    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):
        return int(info.peak_wset)
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS


def machine_memory_bytes() -> int:
    """Return the memory of the machine, or of the control group the process is confined to."""
    import psutil

    total = int(psutil.virtual_memory().total)
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def return_memory_eagerly() -> None:
    """Make the C library give freed tensors back to the system at once (glibc only).

    By default glibc raises its mmap threshold to the size of whatever was freed, up to 32 MiB, and
    opens an arena per thread: freed tensors then stay resident and a cap on resident memory could
    not be kept. From 256 KiB on memory is mapped and given back whole; with 1 MiB the tensors of a
    graph run in patches left holes in the heap, 17 to 25 % over its arithmetic and not 5 to 11 %.
    Called once by a program's main, never by the library.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return
    mallopt(_M_ARENA_MAX, 2)
    mallopt(_M_MMAP_THRESHOLD, 1 << 18)
    mallopt(_M_TRIM_THRESHOLD, 4 << 20)


def trim() -> None:
    """Give free heap pages back to the system now (glibc only)."""
    if sys.platform.startswith("linux"):
        malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if malloc_trim is not None:
            malloc_trim(0)
