"""A manifest for a user's model, from its graph, one run of it and what lies beside it.

Runs the model: only inside :mod:`tilescope.jobs.adding.model_trial`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from packaging.version import Version

from tilescope import __version__
from tilescope.domain.geometry import Size
from tilescope.domain.manifest import (
    ModelSpec,
    Parameter,
    PluginManifest,
    TileSpec,
    WeightsRef,
)
from tilescope.domain.scale import AtPixelSize, Native, Sampling
from tilescope.errors import InferenceFailed, ModelError
from tilescope.inference.graph_description import GraphDescription
from tilescope.inference.receptive import Halo, compute_halo
from tilescope.inference.session import OnnxSession
from tilescope.jobs.adding.assumption import Unsettled
from tilescope.jobs.adding.graph_input import GraphInput, channel_names, read_encoding
from tilescope.jobs.adding.graph_outputs import GraphOutputs, picture_of, read_outputs
from tilescope.jobs.adding.model_hints import Known
from tilescope.plugins.box_rows import OVERLAP, SCORE
from tilescope.plugins.model_store import STORED_ADAPTER
from tilescope.runtime.cancel import CancellationToken

#: Multiples of these are tried for the sides of a tile, the smallest first.
_STEPS = (1, 2, 4, 8, 16, 32, 64, 128)
#: Sides of a first tile, not square, so that rows and columns can be told apart.
_FIRST_HEIGHT, _FIRST_WIDTH = 192, 256
_BATCH = 8
_USUAL_STRIDE = 32
#: Beyond it the halo is a tenth of a tile at the most, and a tile takes long to show.
_LARGEST_FREE_PX = 2048
_SAME = 1e-3
_VAGUE_NAMES = frozenset({"model", "weights", "best", "last", "network", "net", "onnx"})


@dataclass(frozen=True, slots=True)
class Weights:
    """The bytes of a checked ONNX file and their sha256."""

    data: bytes
    sha256: str


def model_id(source: Path, onnx: Path, known: Known) -> str:
    """Return an id made of the model's name, or of the file's or folder's."""
    names = [onnx.stem] if source == onnx else [source.stem, onnx.stem]
    if names[0].lower() in _VAGUE_NAMES:
        names = [source.absolute().parent.name, *names]
    title = known.get("name") or names[0]
    slug = re.sub(r"[^a-z0-9._]+", "-", str(title).lower()).strip("-._")[:48].strip("-._")
    return slug or "model"


def draft(
    weights: Weights,
    ident: str,
    description: GraphDescription,
    taken: GraphInput,
    known: Known,
) -> PluginManifest:
    """Run the graph on noise and return the manifest that fits it.

    Raises
    ------
    ModelError
        When it does not run, or gives what is not known; without the name of the file.
    """
    with OnnxSession(weights.data, threads=1, provider="cpu") as session:
        step = _step(session, taken, known)
        first = taken.size if taken.fixed else Size(*_first_sides(step))
        sample = _run(session, noise(taken, first))
        batch = _batch(session, description, taken, noise(taken, first), sample)
    outputs = read_outputs(sample, first, description.endings, known)
    encoding = read_encoding(taken, known)
    tile = _tile(weights.data, taken, outputs, step, batch, known)
    spec = ModelSpec(
        id=ident,
        version=known.get("version") or "1",
        title=known.get("name") or ident,
        task=outputs.task,
        adapter=STORED_ADAPTER,
        classes=outputs.classes,
        licence=known.choose("licence", "unknown", "the licence is unknown"),
        sampling=_sampling(known),
        tile=tile,
        weights=WeightsRef(f"{ident}.onnx", weights.sha256, len(weights.data)),
        inputs=(replace(taken.tensor, channels=channel_names(encoding)),),
        outputs=outputs.tensors,
        encoding=encoding,
        decoding=outputs.decoding,
        parameters=_parameters(outputs),
        card=_card(known),
    )
    return PluginManifest(1, f"user.{ident}", spec.title, _requires(), (spec,))


def noise(taken: GraphInput, size: Size) -> dict[str, NDArray[Any]]:
    """Return a random input for a tile of ``size``, the same every time."""
    values = np.random.default_rng(3).random(taken.shape(size))
    if taken.tensor.dtype == "uint8":
        values *= 255
    return {taken.tensor.name: values.astype(taken.tensor.dtype)}


def _run(session: OnnxSession, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    outputs: dict[str, Any] = dict(session.run(inputs, CancellationToken()))
    for name, values in outputs.items():
        if not isinstance(values, np.ndarray):
            raise ModelError(f"its output {name!r} is a list or map; export it as a tensor")
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise ModelError(
                f"its output {name!r} is NaN for a tile of noise; the weights are broken"
            )
    return outputs


def _first_sides(step: int) -> tuple[int, int]:
    return -(-_FIRST_WIDTH // step) * step, -(-_FIRST_HEIGHT // step) * step


def _step(session: OnnxSession, taken: GraphInput, known: Known) -> int:
    """Return what the sides of a tile must be a multiple of: what is known, or what works."""
    if taken.fixed:
        return 1
    said = known.get("step_px")
    failure = ""
    for step in (said,) if said else _STEPS:
        # Odd numbers of steps: nothing larger than the step itself is tested by accident.
        size = Size(step * (96 // step | 1), step * (64 // step | 1))
        try:
            outputs = _run(session, noise(taken, size))
        except InferenceFailed as exc:
            failure = str(exc)
            continue
        if _keeps_size(outputs, size):
            return int(step)
    if not failure:
        return 32
    short = " ".join(failure.split())[:200]
    raise Unsettled(
        f"it runs on no size of tile that was tried ({short}); give the size of its tiles",
        "tile_px",
    )


def _keeps_size(outputs: Mapping[str, NDArray[Any]], size: Size) -> bool:
    """Tell whether no picture among the outputs lost a row or column to rounding."""
    pictures = [a.shape for a in outputs.values() if a.ndim == 4 and a.size > max(a.shape)]
    return all(picture_of(shape, size) is not None for shape in pictures)


def _batch(
    session: OnnxSession,
    description: GraphDescription,
    taken: GraphInput,
    inputs: Mapping[str, NDArray[Any]],
    alone: Mapping[str, NDArray[Any]],
) -> int:
    """Return how many tiles may be run at once: more than one where that changes nothing."""
    layout = taken.tensor.layout
    if not layout.startswith("N") or description.inputs[0].dims[0] is not None:
        return 1
    try:
        both = _run(session, {n: np.concatenate([a, np.zeros_like(a)]) for n, a in inputs.items()})
    except ModelError:
        return 1
    same = all(
        len(both[name]) == 2 * len(values)
        and np.allclose(both[name][: len(values)], values, rtol=_SAME, atol=_SAME)
        for name, values in alone.items()
    )
    return _BATCH if same else 1


def _tile(
    weights: bytes, taken: GraphInput, outputs: GraphOutputs, step: int, batch: int, known: Known
) -> TileSpec:
    whole = outputs.task == "classification"
    halo = None if whole else _computed_halo(weights, {taken.tensor.name: taken.tensor.layout})
    size = taken.size if taken.fixed else _free_size(taken.size, step, halo, known)
    shorter = min(size.width, size.height)
    margin = 0 if outputs.task != "detect" else min(shorter // 10, _room_px(shorter) // 2)
    if outputs.task == "detect":
        known.assume(f"objects are taken to be at most {2 * margin} px across")
    halo_px = 0
    if halo is not None:
        share = 32 if outputs.task == "detect" else 8
        halo_px = _halo_px(halo, min(shorter // share, _room_px(shorter) - margin), known)
    return TileSpec(
        size,
        halo_px=halo_px,
        decode_margin_px=margin,
        multiple_of=step,
        max_batch=batch,
        fixed=taken.fixed or whole,
    )


def _free_size(size: Size, step: int, halo: Halo | None, known: Known) -> Size:
    """Return the largest tile of a graph that takes any size.

    Where the halo is exact results do not depend on it, and of a large tile less is halo: runs
    take smaller ones where memory is short.
    """
    sides = (size.width, size.height)
    if known.get("tile_px") is None:
        if halo is not None and halo.pixels is not None:
            sides = (_LARGEST_FREE_PX, _LARGEST_FREE_PX)
        known.assume(f"tiles of at most {sides[0]} x {sides[1]} px are used", "tile_px", max(sides))
    return Size(*(-(-side // step) * step for side in sides))


def _room_px(side_px: int) -> int:
    """Return the largest margin that leaves a core in a tile, in step with common strides."""
    return max(0, (side_px - 2 * _USUAL_STRIDE) // 2)


def _halo_px(halo: Halo, default_px: int, known: Known) -> int:
    """Return the halo to declare: it is used where the exact one is unknown or costs too much."""
    lacking = [ceil(side) for output in halo.outputs for side in output.offset or ()]
    least = max(0, *lacking) if lacking else 0
    if halo.pixels is not None:
        return max(least, min(halo.pixels, known.get("halo_px") or default_px))
    said = known.choose(
        "halo_px",
        default_px,
        f"{default_px} px around each tile are seen by two tiles; they cannot be computed: "
        f"{halo.culprit}",
    )
    return max(least, int(said))


def _computed_halo(weights: bytes, layouts: Mapping[str, str]) -> Halo:
    try:
        return compute_halo(weights, layouts)
    except Exception as exc:  # noqa: BLE001 - it was made for graphs that are whole
        return Halo(None, 1, f"{type(exc).__name__} in the analysis of the graph")


def _sampling(known: Known) -> Sampling:
    um = known.choose("um_per_px", None, "slides are taken pixel by pixel, whatever their scale")
    return Native() if um is None else AtPixelSize(um)


def _parameters(outputs: GraphOutputs) -> dict[str, Parameter]:
    if outputs.task != "detect":
        return {}
    found = {SCORE: Parameter(0.25, 0.01, 0.99, "Least score of an object")}
    if outputs.decoding.form.startswith("yolo"):
        found[OVERLAP] = Parameter(
            0.45, 0.05, 0.95, "Overlap from which two boxes mean the same object"
        )
    return found


def _card(known: Known) -> dict[str, Any]:
    card: dict[str, Any] = {"assumed": [one.words for one in known.assumptions]}
    text = known.get("description")
    return card if text is None else {"description": text, **card}


def _requires() -> str:
    release = Version(__version__).release
    return f">={release[0]}.{release[1] if len(release) > 1 else 0}"
