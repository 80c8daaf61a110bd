"""Is a model what its manifest says, and what does it cost on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from tilescope.errors import GoldenMismatch, PluginBroken, WeightsError
from tilescope.inference.receptive import compute_halo
from tilescope.inference.session import OnnxSession
from tilescope.plugins.api import Contrast, TileImage
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """How far the outputs are from the recorded ones, and how far they may be."""

    model: str
    difference: float
    allowed: float


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one tile of the model's preferred size costs."""

    model: str
    tile_px: int
    threads: int
    seconds: float
    megapixels_per_s: float
    peak_bytes: int
    peak_bytes_per_px: float
    halo_px: int
    halo_exact: bool


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
    with OnnxSession(weights, threads=1, provider="cpu") as session:
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
    """Return time and memory of one blank tile of the preferred size; the best of three runs."""
    memory.return_memory_eagerly()
    spec = model.spec
    weights = model.verified_weights()
    side = spec.tile.size.width
    contrast = Contrast(False, (0.0,) * 3, (255.0,) * 3)
    blank = TileImage(np.zeros((side, side, 3), np.uint8), contrast)
    try:
        inputs = model.load_adapter().encode(blank)
    except Exception as exc:  # plugin code: one of the boundaries
        raise PluginBroken(model.plugin_id, "encode", exc) from exc
    with OnnxSession(weights, threads=threads) as session:
        session.check(spec)
        before = max(memory.rss_bytes(), memory.peak_rss_bytes())
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            session.run(inputs, CancellationToken())
            seconds.append(time.perf_counter() - started)
        peak = memory.peak_rss_bytes() - before
    halo = compute_halo(weights)
    best = min(seconds)
    return ProbeResult(
        model=spec.id,
        tile_px=side,
        threads=threads,
        seconds=round(best, 4),
        megapixels_per_s=round(side**2 / best / 1e6, 3),
        peak_bytes=peak,
        peak_bytes_per_px=round(peak / side**2, 1),
        halo_px=halo.pixels if halo.pixels is not None else spec.tile.halo_px,
        halo_exact=halo.is_exact,
    )
