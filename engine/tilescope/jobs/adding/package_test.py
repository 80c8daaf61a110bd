"""The test that a package brings: does a model give what its author recorded.

Runs the model: only inside :mod:`tilescope.jobs.adding.model_trial`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.encoding import Decoding, Encoding, Stretch
from tilescope.domain.manifest import GoldenRef, ModelSpec
from tilescope.errors import InferenceFailed
from tilescope.inference.session import OnnxSession
from tilescope.jobs.adding.conformance import Check
from tilescope.plugins.generic import arranged, planes_of
from tilescope.plugins.steps import Planes, finished, prepared
from tilescope.runtime.cancel import CancellationToken

#: Share of the values that may be further off, and how far in parts of their range.
_STRAY_SHARE = 1e-3
_TOLERANCE = 1e-2
_LARGEST_BYTES = 64 << 20
_NAME = "author's test"

Arrays = Mapping[str, NDArray[Any]]


def run_package_test(
    spec: ModelSpec, session: OnnxSession, pair: tuple[Path, Path], folder: Path
) -> tuple[Check, GoldenRef | None]:
    """Run the author's test input, prepared as every tile is, and compare with the output.

    Mean, deviation and percentiles are those of the test input, as the author's were. A pair that
    is reproduced is kept in ``folder`` as the golden pair of the model.
    """
    try:
        given, expected = map(_array, pair)
        assert spec.encoding is not None
        assert spec.decoding is not None
        inputs = _encoded(spec, spec.encoding, given)
        outputs = dict(session.run(inputs, CancellationToken()))
        found = _decoded(spec, spec.decoding, outputs)
    except (InferenceFailed, OSError, EOFError, ValueError) as exc:
        said = " ".join(str(exc).split())[:200]
        return Check(
            _NAME, "warning", f"cannot be run ({said}); the model was added all the same"
        ), None
    if found.size != expected.size:
        words = f"has {expected.size} values and the model gives {found.size}; check the package"
        return Check(_NAME, "warning", words), None
    off = np.abs(found.reshape(-1) - expected.reshape(-1).astype(np.float32))
    span = max(float(np.ptp(expected)), 1e-6)
    stray = float((~(off <= _TOLERANCE * span)).mean())  # NaN is off, too
    if not stray <= _STRAY_SHARE:
        words = (
            f"is not reproduced: {stray:.1%} of the values are off, by up to {off.max():.3g}; give "
            "another normalisation, or check the description"
        )
        return Check(_NAME, "warning", words, "normalise"), None
    return (
        Check(_NAME, "ok", f"is reproduced, largest difference {off.max():.2g}"),
        _kept(folder, inputs, outputs),
    )


def _array(path: Path) -> NDArray[Any]:
    """Return the array in a file; what it claims is held against its length before it is made."""
    if path.stat().st_size > _LARGEST_BYTES:
        msg = f"{path.name} is larger than {_LARGEST_BYTES >> 20} MiB"
        raise ValueError(msg)
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(mapped, np.ndarray) or mapped.dtype.kind not in "buif":
        msg = f"{path.name} holds no numbers"
        raise ValueError(msg)
    return np.array(mapped)


def _encoded(spec: ModelSpec, encoding: Encoding, given: NDArray[Any]) -> dict[str, NDArray[Any]]:
    (tensor,) = spec.inputs
    values = planes_of(given.astype(np.float32), tensor)
    stretches = [step for step in encoding.steps if isinstance(step, Stretch)]
    ends = (stretches[0].low_percentile, stretches[0].high_percentile) if stretches else (0, 100)
    low, high = np.percentile(values, ends, axis=(1, 2)).astype(np.float32)
    planes = prepared(Planes(values, low, high), encoding.steps)
    return {tensor.name: np.ascontiguousarray(arranged(planes, tensor.layout), tensor.dtype)}


def _decoded(spec: ModelSpec, decoding: Decoding, outputs: Arrays) -> NDArray[np.float32]:
    tensor = next(tensor for tensor in spec.outputs if tensor.name == decoding.outputs[0])
    values = outputs[tensor.name].astype(np.float32)
    if tensor.spatial_axes is None:
        return values
    planes = finished(planes_of(values, tensor), decoding.steps)
    return arranged(planes, tensor.layout)


def _kept(folder: Path, inputs: Arrays, outputs: Arrays) -> GoldenRef | None:
    arrays = [*inputs.values(), *outputs.values()]
    if sum(array.nbytes for array in arrays) > _LARGEST_BYTES:
        return None
    np.savez(folder / "golden-in.npz", allow_pickle=False, **dict(inputs))
    np.savez(folder / "golden-out.npz", allow_pickle=False, **dict(outputs))
    largest = max(float(np.abs(array).max(initial=0.0)) for array in outputs.values())
    return GoldenRef("golden-in.npz", "golden-out.npz", max(1e-3 * largest, 1e-5))


def with_golden(spec: ModelSpec, golden: GoldenRef | None) -> ModelSpec:
    """Return the manifest with the pair that was kept."""
    return spec if golden is None else replace(spec, golden=golden)
