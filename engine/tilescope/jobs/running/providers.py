"""Which backend a run takes, and what a tile costs in it: measured once, then remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Size
from tilescope.domain.manifest import ModelSpec, TileSpec
from tilescope.errors import GraphMismatch, RunMismatch, UsageError
from tilescope.inference.backends import ProviderState, provider_states
from tilescope.inference.choice import AGREEMENT, Choice, contenders, fastest
from tilescope.inference.graph import load_graph
from tilescope.inference.measurements import Measurement, MeasurementStore
from tilescope.inference.measuring import measure
from tilescope.inference.schedule import Schedule
from tilescope.inference.session import Precision
from tilescope.jobs.request import RunRequest
from tilescope.jobs.running.footprint import Footprint, cache_bytes
from tilescope.jobs.running.patchwork import PROVIDER, Patchwork
from tilescope.plugins.api import Contrast, TileAdapter, TileImage
from tilescope.plugins.calling import graph_inputs
from tilescope.plugins.registry import InstalledModel
from tilescope.plugins.variants import Variant, find_variant
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken

#: Tiles that are measured are not larger; time and memory grow with their area from there on.
_SIDE_PX = 512
_SEED = 5
#: Tiles of one inference that are tried.
_MOST_TILES = 8
#: Backends round 8 bits and bfloat16 differently; whether results agree is judged elsewhere, here
#: only that nothing is broken.
REDUCED_AGREEMENT = 0.5


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for.

    Attributes
    ----------
    provider
        ``auto`` or the name of a provider.
    precision
        In what to compute.
    threads
        Threads of one inference.
    memory_bytes
        Cap on the process.
    agreement
        Largest relative difference from the reference's outputs.
    accepted
        The only backends that ``auto`` may take; None for any.
    """

    provider: str
    precision: Precision
    threads: int
    memory_bytes: int
    agreement: float = AGREEMENT
    accepted: tuple[str, ...] | None = None


def wish_of(request: RunRequest) -> Wish:
    """Return what a request for a run says of the backend."""
    variant = _variant(request.model, request.precision)
    return Wish(
        request.provider,
        request.precision,
        request.threads,
        request.memory_bytes,
        AGREEMENT if request.precision == "fp32" else REDUCED_AGREEMENT,
        None if variant is None else tuple(variant.losses),
    )


def resumed(wish: Wish, earlier: str, folder: Path) -> Wish:
    """Return the wish of a run that goes on with the backend it was begun with.

    Backends differ in the sixth digit, and one run must not mix them. The two ways of ONNX Runtime
    to use the processor's memory give the same digits.

    Raises
    ------
    RunMismatch
        When another one was asked for, or that one is not there any more.
    """
    lean = {earlier, wish.provider} <= {"cpu", "cpu-lean"}
    if lean:
        return wish
    if wish.provider not in {"auto", earlier}:
        raise RunMismatch(folder, [f"provider was {earlier}, now {wish.provider}"])
    state = provider_states().get(earlier)
    if state is None or not state.is_usable:
        why = "unknown" if state is None else state.reason
        raise RunMismatch(folder, [f"provider was {earlier}, which is not available now: {why}"])
    return replace(wish, provider=earlier)


def weights_for(model: InstalledModel, precision: Precision) -> bytes:
    """Return a model's weights in the precision that was asked for, checked.

    Raises
    ------
    WeightsError
        When they are missing or not what they should be.
    UsageError
        When nobody made them in that precision.
    """
    variant = _variant(model, precision)
    return model.verified_weights() if variant is None else variant.verified_weights()


def _variant(model: InstalledModel, precision: Precision) -> Variant | None:
    if precision == "fp32":
        return None
    variant = find_variant(model.spec.weights.sha256, precision)
    if variant is None:
        raise UsageError(
            f"nobody tried whether {model.spec.id} gives the same results in {precision}: run "
            f"'tilescope models quantize {model.spec.id} --precision {precision}' first"
        )
    return variant


def choose_provider(
    model: InstalledModel,
    weights: bytes,
    adapter: TileAdapter,
    wish: Wish,
    token: CancellationToken,
) -> Choice:
    """Return the backend for a run, measuring those that may be taken when nothing is remembered.

    Raises
    ------
    UsageError
        When the provider that was asked for cannot be used.
    PluginBroken
        When the plugin cannot encode a tile.
    Cancelled
        When the token is set while something is measured.
    """
    states = provider_states()
    names = contenders(wish.provider, states)
    if wish.precision == "bf16":
        names = tuple(name for name in names if not name.startswith("cpu")) or names
    if wish.accepted is not None and wish.provider == "auto":
        names = tuple(n for n in names if n.removesuffix("-lean") in wish.accepted) or names
    store = MeasurementStore.of(weights, threads=wish.threads, precision=wish.precision)
    remembered = store.load()
    found, notes = dict(remembered.measurements), [remembered.complaint]
    if any(name not in found for name in names):
        samples = samples_of(model, adapter)
        found = measure(
            weights,
            samples,
            names,
            token,
            threads=wish.threads,
            precision=wish.precision,
            most_tiles=_most_tiles(model.spec, weights),
        )
        notes.append(store.save(found))
    choice = _chosen(names, found, states, model.spec, wish)
    return replace(choice, why="; ".join(part for part in [choice.why, *notes] if part))


def _chosen(
    names: tuple[str, ...],
    found: Mapping[str, Measurement],
    states: Mapping[str, ProviderState],
    spec: ModelSpec,
    wish: Wish,
) -> Choice:
    if len(names) > 1:
        return fastest(names, found, _fits(spec, wish), agreement=wish.agreement)
    name = names[0]
    if wish.provider != "auto":
        why = f"asked for; {states[name].reason}"
    else:
        others = [f"{s.provider}: {s.reason}" for s in states.values() if not s.is_usable]
        why = "; ".join(["the only one here", *others])
    measured = found.get(name)
    return Choice(name, why, None if measured is None or measured.problem else measured)


class _fits:  # noqa: N801 - reads as a word
    """Tells whether a run in a backend stays under the cap with a tile of modest size."""

    def __init__(self, spec: ModelSpec, wish: Wish) -> None:
        self._spec = spec
        self._wish = wish

    def __call__(self, found: Measurement) -> bool:
        cap = self._wish.memory_bytes
        footprint = Footprint(
            memory.rss_bytes() + found.load_bytes,
            cache_bytes(cap),
            self._spec,
            3,
            1,
            found.bytes_per_px,
        )
        size = self._spec.tile.size
        if not self._spec.tile.fixed:
            size = Size(min(size.width, _SIDE_PX), min(size.height, _SIDE_PX))
        return footprint.bytes_at(size) <= cap


def patchwork_of(
    model: InstalledModel,
    weights: bytes,
    adapter: TileAdapter,
    wish: Wish,
    token: CancellationToken,
    given: Schedule | None,
) -> Patchwork | None:
    """Return what a network takes patch by patch; None where the wish rules that out.

    Raises
    ------
    PluginBroken
        When the plugin cannot encode a tile.
    Cancelled
        When the token is set while something is measured.
    """
    if wish.precision == "bf16" or wish.provider not in {"auto", "cpu", PROVIDER}:
        return None
    if wish.accepted is not None and "cpu" not in wish.accepted:
        return None
    lean = choose_provider(model, weights, adapter, replace(wish, provider=PROVIDER), token)
    try:
        return Patchwork.measured(weights, model.spec.layouts, lean, given)
    except GraphMismatch:
        return None


def _most_tiles(spec: ModelSpec, weights: bytes) -> int:
    """Return how many tiles of a fixed size one inference may take."""
    tile = spec.tile
    is_fixed = tile.fixed or spec.task == "classification"
    if not is_fixed or max(tile.size.width, tile.size.height) > _SIDE_PX:
        return 1
    ports = load_graph(weights).inputs
    is_free = all(port.dims is not None and port.dims[0] is None for port in ports)
    leads = all(tensor.layout.startswith("N") for tensor in (*spec.inputs, *spec.outputs))
    return min(tile.max_batch, _MOST_TILES) if is_free and leads else 1


def samples_of(model: InstalledModel, adapter: TileAdapter) -> list[dict[str, NDArray[np.float32]]]:
    """Return inputs of two tiles of the model, the smaller first, with seeded random pixels.

    Raises
    ------
    PluginBroken
        When the plugin cannot encode them.
    """
    encoding = model.spec.encoding
    bands = encoding.channels if encoding is not None and encoding.colour == "bands" else 3
    contrast = Contrast(False, (0.0,) * bands, (255.0,) * bands)
    rng = np.random.default_rng(_SEED)
    samples = []
    for height, width in _sample_sizes(model.spec.tile):
        pixels = rng.integers(0, 256, (height, width, bands), dtype=np.uint8)
        with model.calling("encode"):
            samples.append(graph_inputs(adapter.encode(TileImage(pixels, contrast))))
    return samples


def _sample_sizes(tile: TileSpec) -> list[tuple[int, int]]:
    """Return heights and widths, the smaller first; networks of one input size have one."""
    if tile.fixed:
        return [(tile.size.height, tile.size.width)]
    grain = tile.multiple_of
    side = max(grain, min(tile.size.width, _SIDE_PX) // grain * grain)
    half = max(grain, side // 2 // grain * grain)
    return [(length, length) for length in sorted({half, side})]
