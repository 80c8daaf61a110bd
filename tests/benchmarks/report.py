"""What a benchmark is told and what it reports."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import psutil
from pairs import Batch, Ratio, Side, Spread, compare


class WrongPixels(AssertionError):
    """Ours and the peer's results differ: what they took says nothing."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure.

    Attributes
    ----------
    pairs
        How often both sides do their work.
    seed
        Of the random places.
    folder
        Where inputs are made and found again.
    small
        Small inputs and short batches: to see that everything runs, not to measure.
    pythons
        Interpreters of peers that have one of their own, by name.
    cells
        Of the benchmark of cells those to run, each in its own words; empty for all.
    """

    pairs: int
    seed: int
    folder: Path
    small: bool = False
    pythons: Mapping[str, Path] = field(default_factory=dict)
    cells: tuple[str, ...] = ()

    def scaled(self, usual: int, small: int) -> int:
        """Return the usual number, or that for small inputs."""
        return small if self.small else usual


class Report:
    """Collects ratios, figures and the peers that were not there; says so on stderr."""

    def __init__(self, benchmark: str, settings: Settings) -> None:
        self._benchmark = benchmark
        self._settings = settings
        self._values: dict[str, Any] = {}
        self._details: dict[str, Any] = {}
        self._ratios: dict[str, Ratio] = {}
        self._inputs: dict[str, Any] = {}
        self._peers: dict[str, str] = {}
        self._missing: dict[str, str] = {}
        self._load = Load.now()

    def ratio(
        self, key: str, ours: Side, peer: Side, batches: Iterable[Batch], *, threads: int = 1
    ) -> Ratio:
        """Measure a ratio and keep it under ``key``."""
        found = compare(ours, peer, batches)
        self._ratios[key] = found
        self._details[key] = {
            "quartiles": [_short(found.spread.lower), _short(found.spread.upper)],
            "cpu_ratio": _short(found.cpu_times),
            "pairs": len(found.times),
            "items": found.items,
            "threads": threads,
            "ours_per_s": _short(found.ours_per_s),
            "peer_per_s": _short(found.peer_per_s),
        }
        self.figure(key, found.spread.median)
        return found

    def pooled(self, key: str, parts: Iterable[str]) -> None:
        """Keep the median over the pairs of several ratios, None if none was measured."""
        known = {part: self._ratios[part] for part in parts if part in self._ratios}
        if not known:
            self.figure(key, None)
            return
        spread = Spread.of([ratio for part in known.values() for ratio in part.times])
        self.figure(
            key,
            spread.median,
            quartiles=[_short(spread.lower), _short(spread.upper)],
            cpu_ratio=_short(statistics.median(part.cpu_times for part in known.values())),
            pairs=sum(len(part.times) for part in known.values()),
            pooled={part: self._values[part] for part in known},
        )

    def figure(self, key: str, value: float | None, **details: Any) -> None:
        """Keep a value under ``key``, and what belongs to it."""
        self._values[key] = None if value is None else _short(value)
        if details:
            self._details[key] = details
        more = self._details.get(key, {})
        print(f"{key:32} {self._values[key]}  {more}", file=sys.stderr, flush=True)

    def value(self, key: str, value: object) -> None:
        """Keep anything that JSON holds under ``key``."""
        self._values[key] = value

    def input(self, name: str, **details: Any) -> None:
        """Say what was read."""
        self._inputs[name] = details

    def peer(self, name: str, version: str) -> None:
        """Say which version of a peer was measured."""
        self._peers[name] = version

    def missing(self, name: str, why: str, keys: Iterable[str] = ()) -> None:
        """Say that a peer was not there, and which keys have no value for that."""
        self._missing[name] = why
        for key in keys:
            self._values[key] = None
        print(f"missing: {name}: {why}", file=sys.stderr, flush=True)

    def module(self, name: str, module: str, keys: Iterable[str] = ()) -> ModuleType | None:
        """Return the imported module of a peer, None when it is missing, which is noted.

        Parameters
        ----------
        name
            Name of the distribution.
        module
            What to import.
        keys
            Keys that have no value without it.
        """
        try:
            found = importlib.import_module(module)
        except (ImportError, OSError) as error:
            self.missing(name, f"{type(error).__name__}: {error}", keys)
            return None
        self.peer(name, importlib.metadata.version(name))
        return found

    def as_json(self) -> dict[str, Any]:
        """Return everything, ready to be written as one JSON object."""
        return {
            "benchmark": self._benchmark,
            **self._values,
            "missing": sorted(self._missing),
            "missing_because": self._missing,
            "peers": self._peers,
            "details": self._details,
            "inputs": self._inputs,
            "pairs": self._settings.pairs,
            "seed": self._settings.seed,
            "small": self._settings.small,
            "machine": {**machine(), **self._load.until_now()},
        }


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the machine and this process have been up to some moment."""

    clock_s: float
    busy_s: float
    own_s: float
    average: float

    @classmethod
    def now(cls) -> Self:
        """Return the state of this moment."""
        times = psutil.cpu_times()
        own = os.times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # guest time is counted in user time as well
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        return cls(
            time.monotonic(),
            sum(times) - guests - idle,
            own.user + own.system + own.children_user + own.children_system,
            psutil.getloadavg()[0],
        )

    def until_now(self) -> dict[str, float]:
        """Return the load averages and how many cores others kept busy meanwhile."""
        end = Load.now()
        passed = max(end.clock_s - self.clock_s, 1e-9)
        others = (end.busy_s - self.busy_s) - (end.own_s - self.own_s)
        return {
            "load_at_start": round(self.average, 2),
            "load_at_end": round(end.average, 2),
            "cores_used_by_others": round(max(others, 0.0) / passed, 2),
            "seconds": round(passed, 1),
        }


def machine() -> dict[str, Any]:
    """Return what of the machine matters for speed."""
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def same_pixels(ours: Any, peer: Any, who: str, *, within: int) -> None:
    """Refuse results that differ by more than ``within`` grey levels anywhere.

    Raises
    ------
    WrongPixels
        Naming the peer.
    """
    if ours.shape != peer.shape:
        msg = f"ours has shape {ours.shape}, that of {who} {peer.shape}"
        raise WrongPixels(msg)
    apart = int(abs(ours.astype(int) - peer.astype(int)).max())
    if apart > within:
        msg = f"ours and {who} differ by {apart} grey levels, more than {within}"
        raise WrongPixels(msg)


def seconds_of(
    work: Callable[[], object], times: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the sorted seconds of ``times`` calls, after one that is not counted."""
    work()
    taken = []
    for _ in range(times):
        start = clock()
        work()
        taken.append(clock() - start)
    return sorted(taken)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _short(value: float) -> float:
    return float(f"{value:.4g}")
