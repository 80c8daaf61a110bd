"""Opens thousands of damaged files: ``python tests/benchmarks/fuzz.py --reader tiff --json``.

Every case is a small good file damaged at random and reproducibly: opened, looked at and closed in
a process of its own kind that may crash. A slide that opens and one that is refused with a
``SlideError`` are both fine. Failures are any other exception, a crash, more than the seconds or
memory allowed, a file left open, and a tile of another shape than promised; their inputs are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fuzz_seeds import SEEDS, Missing, seeds_in
from fuzz_worker import Job, Outcome, case, write_case

_HERE = Path(__file__).resolve().parent

#: A worker is replaced after so many cases, before small leaks of decoders add up.
_CASES_PER_WORKER = 1000

#: Starting a worker imports and warms up everything.
_START_SECONDS = 120

_KEPT_PER_SIGNATURE = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost."""

    seconds: float
    memory_mib: int


@dataclass(slots=True)
class Tally:
    """What became of the cases of one reader."""

    opened: int = 0
    refused: int = 0
    failures: list[Outcome] = field(default_factory=list)
    signatures: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    most_mib: int = 0

    def add(self, outcome: Outcome) -> bool:
        """Count an outcome; tell whether its input is worth keeping."""
        self.slowest_seconds = max(self.slowest_seconds, outcome.seconds)
        self.most_mib = max(self.most_mib, outcome.grown_mib)
        if outcome.kind in ("opened", "refused"):
            self.opened += outcome.kind == "opened"
            self.refused += outcome.kind == "refused"
            return False
        self.failures.append(outcome)
        # numbers differ from case to case, lines of code do not
        text = re.sub(r"(?<!:)\b-?\d[\d.]*", "N", outcome.detail)
        self.signatures[f"{outcome.kind}: {text}"] += 1
        return self.signatures[f"{outcome.kind}: {text}"] <= _KEPT_PER_SIGNATURE


class Crew:
    """Runs cases in workers, one at a time, and starts another when one dies or hangs."""

    def __init__(self, reader: str, seed: int, seeds: Path, limits: Limits) -> None:
        self._reader, self._seed, self._seeds, self._limits = reader, seed, seeds, limits

    def outcomes(self, start: int, stop: int) -> Iterator[Outcome]:
        """Yield what became of the cases ``start`` to ``stop``, in order."""
        at = start
        while at < stop:
            for outcome in self._one_worker(at, min(stop, at + _CASES_PER_WORKER)):
                at = outcome.number + 1
                yield self._confirmed(outcome)

    def _confirmed(self, outcome: Outcome) -> Outcome:
        """Try a slow case again alone: the machine may have been busy."""
        if outcome.kind != "slow":
            return outcome
        return next(self._one_worker(outcome.number, outcome.number + 1))

    def _one_worker(self, start: int, stop: int) -> Iterator[Outcome]:
        """Yield outcomes until the worker is done, dead or killed for hanging."""
        job = Job(self._reader, self._seed, str(self._seeds), start, stop, self._limits.memory_mib)
        with tempfile.TemporaryFile() as complaints:
            worker = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(_HERE / "fuzz_worker.py"),
                 json.dumps(asdict(job))],
                stdout=subprocess.PIPE, stderr=complaints,
                env={**os.environ, "TMPDIR": str(self._seeds.parent)},
            )  # fmt: skip
            try:
                yield from self._followed(worker, job, complaints)
            finally:
                worker.kill()
                worker.wait()
                assert worker.stdout is not None
                worker.stdout.close()

    def _followed(
        self, worker: subprocess.Popen[bytes], job: Job, complaints: Any
    ) -> Iterator[Outcome]:
        number, patience = job.start, 2 * self._limits.seconds
        for line in _lines(worker, _START_SECONDS, patience):
            if line is None:
                yield Outcome(number, "slow", f"over {self._limits.seconds:g} s", patience)
                return
            if not line:
                continue
            outcome = Outcome(*json.loads(line))
            if outcome.seconds > self._limits.seconds and outcome.kind in ("opened", "refused"):
                outcome.kind = "slow"
            number = outcome.number + 1
            yield outcome
        if number < job.stop:
            yield Outcome(number, "crash", _last_words(worker.wait(), complaints))


def _lines(
    worker: subprocess.Popen[bytes], first_seconds: float, later_seconds: float
) -> Iterator[bytes | None]:
    """Yield the lines of a worker as they come; None, at last, when it says nothing for long."""
    assert worker.stdout is not None
    rest, patience = b"", first_seconds
    with selectors.DefaultSelector() as selector:
        selector.register(worker.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(patience):
                yield None
                return
            chunk = worker.stdout.read1(1 << 16)  # type: ignore[attr-defined]
            if not chunk:
                return
            *whole, rest = (rest + chunk).split(b"\n")
            patience = later_seconds
            yield from whole


def _last_words(status: int, complaints: Any) -> str:
    """Return the signal and the places in the code that a dead worker printed."""
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    complaints.seek(0)
    text = complaints.read().decode(errors="replace")
    frames = re.findall(r'File "[^"]*/([^"/]+)", line (\d+) in (\w+)', text)
    places = " < ".join(f"{file}:{line} {what}" for file, line, what in frames[:4])
    return f"{name} at {places}" if places else f"{name}: {text.strip()[-300:]}"


def fuzz(reader: str, options: argparse.Namespace) -> dict[str, Any]:
    """Try one reader and return what was found."""
    # what killed workers leave behind goes with the folder
    with tempfile.TemporaryDirectory(prefix="tilescope-fuzz-") as folder:
        seeds = Path(folder, "seeds")
        seeds.mkdir()
        try:
            SEEDS[reader](seeds)
        except Missing as error:
            return {"skipped": str(error)}
        found = list(seeds_in(seeds))
        limits = Limits(options.seconds, options.memory_mib)
        tally, start = Tally(), time.perf_counter()
        crew = Crew(reader, options.seed, seeds, limits)
        for outcome in crew.outcomes(options.start, options.start + options.count):
            if tally.add(outcome):
                kept = options.keep / reader / str(outcome.number)
                write_case(case(found, reader, options.seed, outcome.number), kept)
                (options.keep / reader / f"{outcome.number}.txt").write_text(
                    f"{outcome.kind}: {outcome.detail}\n"
                )
    return {
        "cases": options.count,
        "seeds": len(found),
        "opened": tally.opened,
        "refused": tally.refused,
        "failures": len(tally.failures),
        "kinds": dict(Counter(f.kind for f in tally.failures)),
        "signatures": dict(tally.signatures.most_common()),
        "first": {f"{f.kind}: {f.detail}": f.number for f in reversed(tally.failures)},
        "slowest_seconds": tally.slowest_seconds,
        "most_mib": tally.most_mib,
        "run_seconds": round(time.perf_counter() - start, 1),
    }


def main(arguments: Sequence[str]) -> int:
    """Try the readers that were asked for; return 1 when anything failed."""
    options = _parser().parse_args(arguments)
    found = {}
    for reader in options.reader or SEEDS:
        found[reader] = fuzz(reader, options)
        if not options.json:
            print(f"{reader}: {json.dumps(found[reader], indent=2)}", flush=True)
    if options.json:
        print(json.dumps({"seed": options.seed, "kept": str(options.keep), "readers": found}))
    return int(any(result.get("failures") for result in found.values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", choices=SEEDS, action="append", help="by default all")
    parser.add_argument("--count", type=int, default=1000, help="cases per reader (default 1000)")
    parser.add_argument("--start", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=1, help="of all damage (default 1)")
    parser.add_argument("--seconds", type=float, default=5, help="per file (default 5)")
    parser.add_argument("--memory-mib", type=int, default=400, help="per file (default 400)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz-failures"), help="where failing inputs are kept"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
