"""A model in less than 32 bits: tried on real tiles, accepted only if the results agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

import tilescope
from tilescope.domain.geometry import Size
from tilescope.errors import (
    GoldenMismatch,
    GraphMismatch,
    PluginBroken,
    SlideError,
    UsageError,
    WeightsError,
)
from tilescope.inference.backends import open_session, provider_states
from tilescope.inference.choice import Choice
from tilescope.inference.quantisation import LADDER, quantised
from tilescope.inference.receptive import compute_halo
from tilescope.inference.session import Arrays, Precision, Session
from tilescope.io.cache import TileCache
from tilescope.io.region import read_working
from tilescope.io.registry import open_slide
from tilescope.jobs.agreement import agreement
from tilescope.jobs.request import DEFAULT_THRESHOLD, RunRequest
from tilescope.jobs.running.planning import Network
from tilescope.jobs.running.preparation import Opened, check_settings, prepare
from tilescope.jobs.running.survey import survey_slide
from tilescope.plugins.api import TileAdapter, TileImage
from tilescope.plugins.calling import graph_inputs
from tilescope.plugins.registry import InstalledModel
from tilescope.plugins.variants import save_variant
from tilescope.runtime.cancel import CancellationToken

DEFAULT_TOLERANCE = 0.02
SAMPLES = tuple(
    Path(tilescope.__file__).parent / "samples" / name
    for name in ("CMU-1-Small-Region.svs", "fluorescence-nuclei.png")
)
_TILES_PER_SLIDE = 12
_SIDE_PX = 512
#: One tile of so many is kept out of calibration, to judge by.
_HELD_OUT = 3
_MEMORY_BYTES = 1 << 40
_PROVIDERS = ("cpu", "openvino")
_ROUNDING_PROVIDERS = ("openvino",)


@dataclass(frozen=True, slots=True)
class QuantizeRequest:
    """What to quantise and how good it has to be.

    Attributes
    ----------
    model
        The model.
    slides
        Slides like those it will see; none takes the samples that come with Tilescope.
    tolerance
        Share of results that may differ, 0..1.
    threads
        Threads of one inference.
    precision
        ``int8`` makes weights of 8 bits; ``bf16`` keeps the weights and lets the processor round.
    """

    model: InstalledModel
    slides: tuple[Path, ...]
    tolerance: float
    threads: int
    precision: Precision = "int8"


@dataclass(frozen=True, slots=True)
class Quantized:
    """What came of it.

    Attributes
    ----------
    path
        The new weights.
    size_bytes
        Of its file.
    tiles_calibrated, tiles_judged
        How many tiles it was made from, and how many others it was judged by.
    losses
        Per provider, the share of results that differ from those of the float32 weights.
    tolerance
        The share that was allowed.
    """

    path: str
    size_bytes: int
    tiles_calibrated: int
    tiles_judged: int
    losses: dict[str, float]
    tolerance: float


def quantize_model(request: QuantizeRequest, token: CancellationToken) -> Quantized:
    """Make a model's variant and keep it where its results agree with the float32 ones.

    Raises
    ------
    UsageError
        When the model cannot have one, or no slide gives tiles for it.
    GoldenMismatch
        When the results differ more than the tolerance in every backend, however many layers stay
        as they are; nothing is kept then.
    Cancelled
        When the token is set.
    """
    model = request.model
    if not 0 <= request.tolerance < 1:
        raise UsageError(f"a tolerance of {request.tolerance:g} is not in 0..1")
    if any(tensor.dtype != "float32" for tensor in model.spec.inputs):
        raise UsageError(f"{model.spec.id} does not take float32 and cannot be quantised")
    weights, adapter = model.verified_weights(), model.load_adapter()
    tiles = list(_tiles(request, weights, adapter, token))
    judged = [*tiles[::_HELD_OUT], *_golden(model)]
    calibrated = [tile for i, tile in enumerate(tiles) if i % _HELD_OUT] or tiles
    if not tiles:
        raise UsageError(
            f"{model.spec.id}: no tile to calibrate with; name slides that it is made for: --slides"
        )
    losses: dict[str, float] = {}
    for data in _candidates(request, weights, calibrated):
        losses = _losses(request, weights, data, adapter, judged, token)
        good = {name: loss for name, loss in losses.items() if loss <= request.tolerance}
        if good:
            sha256 = model.spec.weights.sha256
            variant = save_variant(sha256, request.precision, data, good, request.tolerance)
            return Quantized(
                str(variant.path),
                len(data),
                len(calibrated),
                len(judged),
                losses,
                request.tolerance,
            )
    if not losses:
        raise UsageError(f"precision {request.precision!r}: no backend here computes in it")
    said = ", ".join(f"{100 * loss:.1f} % in {name}" for name, loss in losses.items())
    raise GoldenMismatch(
        f"{model.spec.id}: in {request.precision} {said} of its results differ, "
        f"{100 * request.tolerance:g} % is allowed; nothing was kept. Slides like those it "
        "will see may help: --slides"
    )


def _candidates(
    request: QuantizeRequest, weights: bytes, calibrated: Sequence[Arrays]
) -> Iterator[bytes]:
    """Yield weights to try, the quickest first."""
    if request.precision == "bf16":
        yield weights
        return
    for kept in LADDER:
        yield quantised(weights, calibrated, kept)


def _losses(
    request: QuantizeRequest,
    weights: bytes,
    data: bytes,
    adapter: TileAdapter,
    tiles: Sequence[Arrays],
    token: CancellationToken,
) -> dict[str, float]:
    states = provider_states()
    with open_session(weights, threads=request.threads) as reference:
        expected = [reference.run(tile, token) for tile in tiles]
    losses = {}
    providers = _PROVIDERS if request.precision == "int8" else _ROUNDING_PROVIDERS
    for provider in (name for name in providers if states[name].is_usable):
        try:
            session = open_session(
                data, threads=request.threads, provider=provider, precision=request.precision
            )
        except GraphMismatch:
            continue
        with session:
            actual = [session.run(tile, token) for tile in tiles]
        losses[provider] = round(1 - _agreement(request.model, adapter, expected, actual), 5)
    return losses


def _agreement(
    model: InstalledModel,
    adapter: TileAdapter,
    expected: Sequence[Arrays],
    actual: Sequence[Arrays],
) -> float:
    parameters = model.spec.resolved({})
    with model.calling("decode"):
        return agreement(
            (
                (adapter.decode(a, parameters), adapter.decode(b, parameters))
                for a, b in zip(expected, actual, strict=True)
            ),
            threshold=parameters.get("threshold", DEFAULT_THRESHOLD),
        )


def _golden(model: InstalledModel) -> list[Arrays]:
    golden = model.spec.golden
    if golden is None:
        return []
    try:
        with np.load(model.folder / golden.inputs, allow_pickle=False) as stored:
            return [dict(stored)]
    except (OSError, ValueError) as exc:
        raise WeightsError(f"{model.spec.id}: its golden input cannot be read: {exc}") from exc


def _tiles(
    request: QuantizeRequest, weights: bytes, adapter: TileAdapter, token: CancellationToken
) -> Iterator[Arrays]:
    """Yield the graph's inputs for tiles that hold something, spread over the slides.

    A slide that was named has to be of use; of the samples those are taken that the model suits.
    """
    with open_session(weights, threads=request.threads) as session:
        session.check(request.model.spec)
        for slide in request.slides or SAMPLES:
            try:
                yield from _tiles_of(slide, request, weights, session, adapter, token)
            except (UsageError, SlideError, PluginBroken):
                if request.slides:
                    raise


def _tiles_of(
    slide: Path,
    request: QuantizeRequest,
    weights: bytes,
    session: Session,
    adapter: TileAdapter,
    token: CancellationToken,
) -> Iterator[Arrays]:
    model = _with_small_tiles(request.model)
    asked = RunRequest(model, slide, Path(), _MEMORY_BYTES, request.threads)
    cache = TileCache(64 << 20)
    with open_slide(slide, cache=cache) as source:
        layouts = model.spec.layouts
        network = Network(model.spec, compute_halo(weights, layouts))
        opened = Opened(source, cache, session, adapter, network, Choice("cpu", "for calibration"))
        settings = check_settings(asked, source)
        survey = survey_slide(source, cache)
        prepared = prepare(asked, settings, opened, survey, None, lambda _: None, token)
        full = [b for b in prepared.plan.blocks if survey.holds_something(prepared.rect_l0(b))]
        every = max(1, len(full) // _TILES_PER_SLIDE)
        for block in islice(full[::every], _TILES_PER_SLIDE):
            pixels = read_working(source, cache, block.outer, prepared.plan.grid.factor)
            with model.calling("encode"):
                inputs = graph_inputs(adapter.encode(TileImage(pixels, survey.contrast)))
            yield inputs


def _with_small_tiles(model: InstalledModel) -> InstalledModel:
    """Return the model with tiles of modest size, so that even a small slide gives several."""
    tile = model.spec.tile
    side = max(tile.multiple_of, _SIDE_PX // tile.multiple_of * tile.multiple_of)
    if tile.fixed or max(tile.size.width, tile.size.height) <= side:
        return model
    return replace(model, spec=replace(model.spec, tile=replace(tile, size=Size(side, side))))
