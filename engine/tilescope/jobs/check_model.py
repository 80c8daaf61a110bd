"""Is a model what its manifest says, and what does it cost on this machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilescope.errors import GoldenMismatch, InferenceFailed, WeightsError
from tilescope.inference.backends import open_session, provider_states
from tilescope.inference.choice import contenders, fastest
from tilescope.inference.measurements import MeasurementStore
from tilescope.inference.measuring import measure
from tilescope.inference.receptive import compute_halo
from tilescope.jobs.running.providers import samples_of
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """How far the outputs are from the recorded ones, and how far they may be."""

    model: str
    difference: float
    allowed: float


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one tile of the model costs in the backend that is quickest here."""

    model: str
    tile_px: int
    threads: int
    seconds: float
    megapixels_per_s: float
    peak_bytes: int
    peak_bytes_per_px: float
    halo_px: int
    halo_exact: bool
    provider: str
    provider_why: str


def check_golden(model: InstalledModel) -> GoldenResult:
    """Return how well the weights reproduce their recorded output.

    Raises
    ------
    WeightsError
        When the weights or the golden files are missing or wrong.
    GoldenMismatch
        When the outputs differ by more than the manifest allows.
    """
    spec = model.spec
    if spec.golden is None:
        raise WeightsError(f"{spec.id} has no golden pair in its manifest")
    weights = model.verified_weights()
    try:
        with np.load(model.folder / spec.golden.inputs, allow_pickle=False) as stored:
            inputs = dict(stored)
        with np.load(model.folder / spec.golden.outputs, allow_pickle=False) as stored:
            expected = dict(stored)
    except (OSError, ValueError) as exc:
        raise WeightsError(f"{spec.id}: its golden files cannot be read: {exc}") from exc
    with open_session(weights, threads=1) as session:
        session.check(spec)
        outputs = session.run(inputs, CancellationToken())
    difference = max(
        float(np.abs(outputs[name] - expected[name]).max(initial=0.0)) for name in expected
    )
    if not difference <= spec.golden.atol:
        raise GoldenMismatch(
            f"{spec.id}: its outputs differ by {difference:.3g} from the recorded ones, "
            f"{spec.golden.atol:g} is allowed"
        )
    return GoldenResult(spec.id, difference, spec.golden.atol)


def probe(model: InstalledModel, *, threads: int) -> ProbeResult:
    """Measure a model in every backend of this machine, remember that, and return the quickest.

    Raises
    ------
    WeightsError
        When the weights are missing or wrong.
    InferenceFailed
        When no backend runs it.
    """
    spec = model.spec
    weights = model.verified_weights()
    names = contenders("auto", provider_states())
    samples = samples_of(model, model.load_adapter())
    measured = measure(weights, samples, names, CancellationToken(), threads=threads)
    MeasurementStore.of(weights, threads=threads, precision="fp32").save(measured)
    choice = fastest(names, measured, lambda _: True)
    best = choice.measurement
    if best is None or best.problem:
        raise InferenceFailed(f"{spec.id}: {choice.why}")
    halo = compute_halo(weights, spec.layouts)
    return ProbeResult(
        model=spec.id,
        tile_px=best.side_px,
        threads=threads,
        seconds=round(best.seconds, 4),
        megapixels_per_s=round(best.side_px**2 / best.seconds / 1e6, 3),
        peak_bytes=best.tile_bytes,
        peak_bytes_per_px=round(best.bytes_per_px, 1),
        halo_px=halo.pixels if halo.pixels is not None else spec.tile.halo_px,
        halo_exact=halo.is_exact,
        provider=choice.provider,
        provider_why=choice.why,
    )
