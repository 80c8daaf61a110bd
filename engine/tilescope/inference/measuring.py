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
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.errors import InferenceFailed, TilescopeError
from tilescope.inference.backends import open_session
from tilescope.inference.measurements import BatchCost, Measurement
from tilescope.inference.onnx_runtime import load_runtime
from tilescope.inference.session import Arrays, Precision, Session
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.children import ChildFailed, output_of

REFERENCE = "cpu"
_PATIENCE_S = 180.0
#: Inferences that are timed, unless they take longer together than that.
_TIMES, _ENOUGH_S = 5, 3.0
#: An inference of several tiles may take about that long; a cancel waits for it.
_LONGEST_BATCH_S = 1.0
#: Largest relative difference of a tile among others from the same tile alone.
_SAME = 1e-5
_WEIGHTS, _SAMPLE = "weights.onnx", "sample-{}.npz"


def measure(
    weights: bytes,
    samples: Sequence[Arrays],
    providers: Iterable[str],
    token: CancellationToken,
    *,
    threads: int,
    precision: Precision = "fp32",
    most_tiles: int = 1,
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
    most_tiles
        Most tiles to try in one inference; the first axis of every input and output counts them.

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
                        made, name, str(threads), precision, str(len(samples)), str(most_tiles),
                    ],
                    token,
                    seconds=_PATIENCE_S,
                )  # fmt: skip
                found = json.loads(said)
                batches = tuple(BatchCost(**item) for item in found.pop("batches"))
            except (ChildFailed, ValueError, TypeError, KeyError) as exc:
                problem = f"could not be measured: {exc}"
                measured[name] = Measurement(name, side_px, math.inf, 0, 0.0, 0.0, problem)
                continue
            difference = _difference(folder, name)
            measured[name] = Measurement(
                name, side_px, **found, difference=difference, batches=batches
            )
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
    folder, provider, threads, precision, count, most_tiles = arguments
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
            found["batches"] = _batches(session, samples[-1], found, int(most_tiles))
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
    seconds = _seconds(partial(session.run, samples[-1], token))
    peaks[-1] = memory.peak_rss_bytes()
    areas = [_side(sample) ** 2 for sample in samples]
    per_px = max(0, peaks[-1] - loaded) / areas[-1]
    if areas[-1] > areas[0]:
        per_px = max(per_px, (peaks[-1] - peaks[0]) / (areas[-1] - areas[0]))
    found = {
        "seconds": seconds,
        "load_bytes": max(0, loaded - before),
        "bytes_per_px": round(per_px, 1),
    }
    return found, outputs


def _batches(
    session: Session, sample: Arrays, found: dict[str, Any], most_tiles: int
) -> list[dict[str, Any]]:
    """Return what more and more tiles at once take, as long as each gives what it gives alone."""
    token, costs = CancellationToken(), []
    area = _side(sample) ** 2
    loaded = memory.peak_rss_bytes() - int(found["bytes_per_px"] * area)
    tiles = 2
    while tiles <= most_tiles and tiles * found["seconds"] <= _LONGEST_BATCH_S:
        # Different tiles, so that it shows when they have to do with each other.
        parts = [
            {name: np.roll(array, 3 * i, axis=-2) for name, array in sample.items()}
            for i in range(tiles)
        ]
        batch = {name: np.concatenate([part[name] for part in parts]) for name in sample}
        try:
            together = session.run(batch, token)
            alone = [session.run(part, token) for part in parts]
        except InferenceFailed:
            break
        apart = {name: np.concatenate([one[name] for one in alone]) for name in together}
        if not relative_difference(apart, together) <= _SAME:
            break
        seconds = _seconds(partial(session.run, batch, token))
        bytes_per_px = max(0, memory.peak_rss_bytes() - loaded) / area
        costs.append(
            {
                "tiles": tiles,
                "seconds_per_tile": seconds / tiles,
                "bytes_per_px": round(bytes_per_px, 1),
            }
        )
        tiles *= 2
    return costs


def _seconds(run: Callable[[], object]) -> float:
    """Return the time of one call, the best of a few."""
    seconds: list[float] = []
    while len(seconds) < _TIMES and sum(seconds) < _ENOUGH_S:
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
