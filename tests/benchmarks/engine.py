"""The whole way from a slide to a result: ours, pyFAST, a plain loop, and the bare network."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from networks import WIDTHS, installed, parameters_of, unet
from numpy.typing import NDArray
from pairs import Batch, Timing
from peer_process import PeerGone, PeerProcess
from report import Report, Settings, WrongPixels
from slides import jpeg_svs

from tilescope.errors import TilescopeError
from tilescope.inference.backends import open_session
from tilescope.inference.choice import Choice
from tilescope.inference.onnx_runtime import load_runtime
from tilescope.inference.receptive import compute_halo
from tilescope.io.cache import TileCache
from tilescope.io.region import read_working
from tilescope.io.registry import open_slide
from tilescope.jobs.quantize_model import DEFAULT_TOLERANCE, QuantizeRequest, quantize_model
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import run_model
from tilescope.jobs.running.planning import Network
from tilescope.jobs.running.preparation import Opened, check_settings, prepare
from tilescope.jobs.running.providers import choose_provider, wish_of
from tilescope.jobs.running.survey import survey_slide
from tilescope.plugins.api import TileImage
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken

PEER_TILE_PX = 512
#: Ours are larger: of a tile of 512 px a third would be halo, which the peers do without.
TILE_PX = 2048
_MEMORY_BYTES = 4 << 30
#: Share of pixels, away from the peers' seams, that must have the same class.
_SAME = 0.99
_PYFAST_KEYS = ("vs_pyfast_best", "vs_pyfast_best_same_tiles", "int8_vs_pyfast_best")


def run(settings: Settings, report: Report) -> None:
    """Measure; what is measured about models is kept beside the inputs."""
    os.environ["TILESCOPE_CACHE"] = str(settings.folder / "cache")
    os.environ["TILESCOPE_MODELS"] = str(settings.folder / "models")
    slide = jpeg_svs(settings.folder, settings.scaled(4096, 1024))
    light = installed(settings.folder, "light", tile_px=TILE_PX)
    heavy = installed(settings.folder, "heavy", tile_px=TILE_PX)
    report.input(slide.name, size_bytes=slide.stat().st_size)
    for model in (light, heavy):
        report.input(model.spec.id, parameters=parameters_of(model.verified_weights()))
    ours = Ours(settings, slide, light)
    report.input("run", **ours.facts())
    quick = _quantised(settings, report, ours, slide)
    _pyfast(settings, report, ours, quick, slide)
    _floor(settings, report, "vs_floor_light", ours)
    _plain_loop(settings, report, ours, slide)
    smaller = jpeg_svs(settings.folder, settings.scaled(2048, 1024))
    _floor(settings, report, "vs_floor_heavy", Ours(settings, smaller, heavy))


class Ours:
    """Whole runs of one model over one slide, everything that a user waits for."""

    def __init__(
        self,
        settings: Settings,
        slide: Path,
        model: InstalledModel,
        **options: Any,
    ) -> None:
        self.request = RunRequest(
            model,
            slide,
            settings.folder / "runs",
            _MEMORY_BYTES,
            _threads(),
            overwrite=True,
            **options,
        )
        self.model = model
        self._outputs: dict[str, str] = {}
        self._report: Any = None

    def side(self, batch: Batch) -> Timing:
        """Run once per item."""
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in batch:
            self._report = run_model(self.request, CancellationToken())
            if self._report.status != "complete":
                raise WrongPixels("; ".join(self._report.errors))
        return Timing(time.perf_counter() - wall, time.process_time() - cpu)

    def facts(self) -> dict[str, Any]:
        """Run once and return what the report says of the backend."""
        self.side(["once"])
        keys = ("provider", "precision", "provider_why", "halo_px", "halo_exact", "peak_rss_bytes")
        found = {key: getattr(self._report, key) for key in keys}
        return {**found, "tiles": self._report.tiles.total, "threads": self.request.threads}

    def mask(self) -> NDArray[np.bool_]:
        """Return where the last run saw the class, over the whole slide."""
        group = zarr.open_group(self._report.outputs["ome-zarr"], mode="r")
        return np.asarray(group["0"]).squeeze() > 0

    def tissue(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return where the run looks for the class at all: our map is empty where no tissue is."""
        cache = TileCache(0)
        with open_slide(self.request.slide, cache=cache) as source:
            survey = survey_slide(source, cache)
        rows, columns = (np.arange(length) + 0.5 for length in shape)
        return survey.mask_at(columns, rows)


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _batches(settings: Settings, items: Sequence[Any] = ("whole slide",)) -> Iterator[Batch]:
    for _ in range(settings.pairs + 1):
        yield items


def _floor(settings: Settings, report: Report, key: str, ours: Ours) -> None:
    tiles, choice = _preloaded(ours.request)
    bare = _bare(ours.model.verified_weights(), choice.provider, ours.request.threads)

    def side(batch: Batch) -> Timing:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in batch:
            for tile in tiles:
                bare(tile)
        return Timing(time.perf_counter() - wall, time.process_time() - cpu)

    report.ratio(key, ours.side, side, _batches(settings))


def _preloaded(request: RunRequest) -> tuple[list[dict[str, NDArray[np.float32]]], Choice]:
    """Return the inputs of every tile of a run, and its backend."""
    model, cache, token = request.model, TileCache(0), CancellationToken()
    weights, adapter = model.verified_weights(), model.load_adapter()
    choice = choose_provider(model, weights, adapter, wish_of(request), token)
    network = Network(model.spec, compute_halo(weights, {"image": "NCHW"}))
    with (
        open_slide(request.slide, cache=cache) as source,
        open_session(weights, threads=1, provider=choice.provider) as session,
    ):
        survey = survey_slide(source, cache)
        opened = Opened(source, cache, session, adapter, network, choice)
        settings = check_settings(request, source)
        plan = prepare(request, settings, opened, survey, None, lambda _: None, token).plan
        factor, contrast = plan.grid.factor, survey.contrast
        pixels = (read_working(source, cache, block.outer, factor) for block in plan.blocks)
        return [dict(adapter.encode(TileImage(tile, contrast))) for tile in pixels], choice


def _bare(
    weights: bytes, provider: str, threads: int
) -> Callable[[dict[str, NDArray[np.float32]]], object]:
    """Return the backend's own call, with the settings that we use."""
    if provider == "openvino":
        from tilescope.inference.openvino_session import load_openvino

        core = load_openvino().Core()
        hints = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        request = core.compile_model(core.read_model(weights), "CPU", hints).create_infer_request()
        return lambda tile: request.infer(tile, share_inputs=True)
    ort = load_runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = provider == "cpu"
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    return lambda tile: session.run(None, tile)


def _plain_loop(settings: Settings, report: Report, ours: Ours, slide: Path) -> None:
    openslide = report.module("openslide-python", "openslide", ["vs_plain_loop"])
    if openslide is None:
        return
    masks: list[NDArray[np.bool_]] = []

    def side(batch: Batch) -> Timing:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in batch:
            masks[:] = [_looped(openslide, slide, ours.model.weights_path)]
        return Timing(time.perf_counter() - wall, time.process_time() - cpu)

    report.ratio("vs_plain_loop", ours.side, side, _batches(settings))
    _same_masks(ours, masks[0], "the plain loop")


def _looped(openslide: Any, slide: Path, weights: Path) -> NDArray[np.bool_]:
    """Segment a slide the way people write it: tile by tile, one after the other."""
    session = load_runtime().InferenceSession(str(weights))
    with openslide.OpenSlide(slide) as opened:
        width, height = opened.dimensions
        mask = np.zeros((height, width), bool)
        for y in range(0, height, PEER_TILE_PX):
            for x in range(0, width, PEER_TILE_PX):
                tile = opened.read_region((x, y), 0, (PEER_TILE_PX, PEER_TILE_PX)).convert("RGB")
                pixels = np.asarray(tile).astype(np.float32) / 255
                found = session.run(None, {"image": pixels.transpose(2, 0, 1)[None]})[0][0, 0]
                part = mask[y : y + PEER_TILE_PX, x : x + PEER_TILE_PX]
                part[:] = found[: part.shape[0], : part.shape[1]] > 0.5
    return mask


def _same_masks(ours: Ours, peer: NDArray[np.bool_], who: str) -> None:
    """Compare tissue where a peer's tiles know what they see, away from its seams."""
    mask, far = ours.mask(), 100
    away = np.arange(PEER_TILE_PX * -(-max(mask.shape) // PEER_TILE_PX)) % PEER_TILE_PX
    inside = (away >= far) & (away < PEER_TILE_PX - far)
    rows, columns = inside[: mask.shape[0]], inside[: mask.shape[1]]
    compared = ours.tissue(mask.shape) & rows[:, None] & columns
    same = float((mask == peer)[compared].mean())
    if same < _SAME:
        msg = f"{100 * same:.1f} % of the pixels of {who} are like ours"
        raise WrongPixels(msg)


def _quantised(settings: Settings, report: Report, ours: Ours, slide: Path) -> Ours | None:
    """Return runs with 8 bits, None when they lose too much."""
    wanted = QuantizeRequest(ours.model, (slide,), DEFAULT_TOLERANCE, ours.request.threads)
    try:
        made = quantize_model(wanted, CancellationToken())
    except TilescopeError as exc:
        report.figure("int8_accepted", 0.0, because=str(exc))
        return None
    report.figure("int8_accepted", 1.0, losses=made.losses, tolerance=made.tolerance)
    quick = Ours(settings, slide, ours.model, precision="int8")
    report.input("run in int8", **quick.facts())
    return quick


def _pyfast(
    settings: Settings, report: Report, ours: Ours, quick: Ours | None, slide: Path
) -> None:
    """Measure pyFAST in a process of its own: its libraries and ours do not share one well."""
    python = settings.pythons.get("pyfast", Path(sys.executable))
    weights = settings.folder / "light-512.onnx"
    # pyFAST takes free sides for the channels, so it gets the same network with fixed ones.
    weights.write_bytes(unet(WIDTHS["light"], side=PEER_TILE_PX))
    with PeerProcess(python, Path(__file__).with_name("pyfast_worker.py")) as peer:
        try:
            hello = peer.ask("hello")
            report.peer("pyfast", hello["version"])
            common = {"slide": str(slide), "weights": str(weights), "tile": PEER_TILE_PX}
            engines = hello["engines"]
            seconds = {
                name: peer.ask("segment", batch=["once"], engine=name, **common)["cpu_s"]
                for name in engines
            }
        except PeerGone as gone:
            report.missing("pyfast", str(gone), _PYFAST_KEYS)
            return
        best = min(seconds, key=lambda name: seconds[name])
        report.input("pyfast", engine=best, cpu_seconds=seconds)
        saved = settings.folder / "pyfast-mask.npy"
        peer.ask("save_mask", path=str(saved))
        _same_masks(ours, np.load(saved) > 0, "pyFAST")
        saved.unlink()
        theirs = peer.side("segment", engine=best, **common)
        report.ratio("vs_pyfast_best", ours.side, theirs, _batches(settings))
        if quick is None:
            report.figure("int8_vs_pyfast_best", None)
        else:
            report.ratio("int8_vs_pyfast_best", quick.side, theirs, _batches(settings))
        small = replace(
            ours.model.spec, tile=replace(ours.model.spec.tile, size=_square(PEER_TILE_PX))
        )
        same = Ours(settings, slide, replace(ours.model, spec=small))
        report.ratio("vs_pyfast_best_same_tiles", same.side, theirs, _batches(settings))


def _square(side: int) -> Any:
    from tilescope.domain.geometry import Size

    return Size(side, side)
