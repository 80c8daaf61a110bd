"""Measures a model in the backends of this machine, each in a process of its own.

What a backend leaves in memory would otherwise count against the cap of the process that decided
for another one, and peaks of one would hide those of the next.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.errors import TilescopeError
from tilescope.inference.backends import open_session
from tilescope.inference.measurements import Measurement
from tilescope.inference.onnx_runtime import load_runtime
from tilescope.inference.session import Arrays, Precision, Session
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.children import ChildFailed, output_of

REFERENCE = "cpu"
_PATIENCE_S = 180.0
#: Inferences that are timed, unless they take longer together than that.
_TIMES, _ENOUGH_S = 5, 3.0
_WEIGHTS, _SAMPLE = "weights.onnx", "sample-{}.npz"


def measure(
    weights: bytes,
    samples: Sequence[Arrays],
    providers: Iterable[str],
    token: CancellationToken,
    *,
    threads: int,
    precision: Precision = "fp32",
) -> dict[str, Measurement]:
    """Return what a model costs in each of the providers; ``cpu`` is always among them.

    Parameters
    ----------
    weights
        The bytes of the ONNX file.
    samples
        Inputs of one tile ``[1, channels, height, width]``, of one or two sizes, smallest first:
        the growth of memory from the first to the last is what a pixel takes.
    providers
        What to measure.

    Raises
    ------
    Cancelled
        When the token is set.
    """
    names = dict.fromkeys([REFERENCE, *providers])
    with tempfile.TemporaryDirectory(prefix="tilescope-measure-") as made:
        folder = Path(made)
        (folder / _WEIGHTS).write_bytes(weights)
        for index, sample in enumerate(samples):
            _store(folder / _SAMPLE.format(index), sample)
        side_px = _side(samples[-1])
        measured = {}
        for name in names:
            try:
                said = output_of(
                    [
                        sys.executable, "-m", __name__,
                        made, name, str(threads), precision, str(len(samples)),
                    ],
                    token,
                    seconds=_PATIENCE_S,
                )  # fmt: skip
                found = json.loads(said)
            except (ChildFailed, ValueError) as exc:
                problem = f"could not be measured: {exc}"
                measured[name] = Measurement(name, side_px, math.inf, 0, 0.0, 0.0, problem)
                continue
            difference = _difference(folder, name)
            measured[name] = Measurement(name, side_px, **found, difference=difference)
    return measured


def _side(sample: Arrays) -> int:
    largest = max((array.shape for array in sample.values()), key=lambda s: s[-1] * s[-2])
    return max(1, round(math.sqrt(largest[-1] * largest[-2])))


def _difference(folder: Path, name: str) -> float:
    """Return how far the outputs in one backend are from the reference's."""
    if not (folder / f"{REFERENCE}.npz").exists():
        return math.inf
    expected, actual = (_load(folder / f"{which}.npz") for which in (REFERENCE, name))
    return relative_difference(expected, actual)


def relative_difference(expected: Arrays, actual: Arrays) -> float:
    """Return the largest difference of two sets of outputs, infinite when they do not compare.

    Each output is compared in units of one or its largest magnitude, whichever is larger.
    """
    if expected.keys() != actual.keys():
        return math.inf
    return max((_apart(expected[name], actual[name]) for name in expected), default=0.0)


def _apart(expected: NDArray[Any], actual: NDArray[Any]) -> float:
    if expected.shape != actual.shape:
        return math.inf
    if not expected.size:
        return 0.0
    a, b = expected.astype(np.float64), actual.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    apart = float(np.where(same, 0.0, np.abs(a - b)).max())
    finite = np.abs(a[np.isfinite(a)])
    unit = max(1.0, float(finite.max(initial=0.0)))
    return apart / unit if math.isfinite(apart) else math.inf


def _main(arguments: Sequence[str]) -> int:
    folder, provider, threads, precision, count = arguments
    memory.return_memory_eagerly()
    samples = [_load(Path(folder) / _SAMPLE.format(index)) for index in range(int(count))]
    load_runtime()
    before = memory.rss_bytes()
    weights = (Path(folder) / _WEIGHTS).read_bytes()
    if provider == REFERENCE and precision == "bf16":
        precision = "fp32"
    try:
        with open_session(
            weights,
            threads=int(threads),
            provider=provider,
            precision=precision,  # type: ignore[arg-type] # checked by open_session
        ) as session:
            found, outputs = _measured(session, samples, before)
    except TilescopeError as exc:
        print(" ".join(str(exc).split()), file=sys.stderr)  # noqa: T201 - read by the parent
        return 1
    _store(Path(folder) / f"{provider}.npz", outputs)
    print(json.dumps(found))  # noqa: T201 - read by the parent
    return 0


def _store(path: Path, arrays: Arrays) -> None:
    np.savez(path, np.array(list(arrays)), *arrays.values())


def _load(path: Path) -> dict[str, NDArray[np.float32]]:
    with np.load(path, allow_pickle=False) as stored:
        return {str(name): stored[f"arr_{i}"] for i, name in enumerate(stored["arr_0"], 1)}


def _measured(
    session: Session, samples: Sequence[Arrays], before: int
) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    token = CancellationToken()
    loaded = memory.rss_bytes()
    peaks = []
    for sample in samples:
        outputs = session.run(sample, token)
        peaks.append(memory.peak_rss_bytes())
    seconds: list[float] = []
    while len(seconds) < _TIMES and sum(seconds) < _ENOUGH_S:
        started = time.perf_counter()
        outputs = session.run(samples[-1], token)
        seconds.append(time.perf_counter() - started)
    peaks[-1] = memory.peak_rss_bytes()
    areas = [_side(sample) ** 2 for sample in samples]
    per_px = max(0, peaks[-1] - loaded) / areas[-1]
    if areas[-1] > areas[0]:
        per_px = max(per_px, (peaks[-1] - peaks[0]) / (areas[-1] - areas[0]))
    found = {
        "seconds": min(seconds),
        "load_bytes": max(0, loaded - before),
        "bytes_per_px": round(per_px, 1),
    }
    return found, outputs


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
